//! What Python says the plan is: tuples as `stream.codec.compiled` makes them.

use std::collections::HashMap;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::plan::{Answers, Coder, Column, Form, Kind, Limits, Model, Plan, Values, Version, UNSEEN};
use crate::table::{Keys, Table};

/// A value of the record that many columns share, or a feature: see [`ColumnSpec`].
const FEATURE: i32 = -1;
/// Keys are numbered in 16 bits.
const MAX_NAMES: usize = 65_000;

/// record bytes, features, string bytes, depth, id bytes, earliest and latest time.
#[derive(FromPyObject)]
pub struct LimitsSpec(usize, usize, usize, u32, usize, i64, i64);

/// Texts to positions, the position of another text, and that of none.
#[derive(FromPyObject)]
struct ValuesSpec(HashMap<String, i32>, i16, i16);

/// Name, numbers of its versions by name, number of the newest, segments with their values, measures, choices.
#[derive(FromPyObject)]
pub struct ModelSpec(String, HashMap<String, i32>, usize, Vec<(String, ValuesSpec)>, Vec<String>, ValuesSpec);

/// Field (-1 for a feature), name, cell, codes of texts (`None` for numbers), codes of numbers, whether truths
/// are categories, class of the score.
#[derive(FromPyObject)]
struct ColumnSpec(i32, String, usize, Option<HashMap<String, i32>>, Vec<(f64, i32)>, bool, Option<String>);

/// Number of the model, columns, how answers are kept, cells that are numbers, cells that are codes.
#[derive(FromPyObject)]
pub struct VersionSpec(usize, Vec<ColumnSpec>, u8, usize, usize);

impl From<ColumnSpec> for Column {
    fn from(ColumnSpec(_, _, cell, texts, numbers, boolean, class): ColumnSpec) -> Self {
        let kind = match texts {
            None => Kind::Number,
            Some(codes) => {
                let texts = Table::new(codes);
                let truth = |name: &[u8]| texts.of(name).unwrap_or(UNSEEN);
                let truths = [truth(b"false"), truth(b"true")];
                let bits = |number: f64| (number + 0.0).to_bits().to_le_bytes();
                let numbers = Table::new(numbers.into_iter().map(|(number, code)| (bits(number), code)));
                Kind::Code(Box::new(Coder { texts, numbers, truths, boolean }))
            }
        };
        Column { kind, cell, class: class.map(String::into_bytes) }
    }
}

impl From<ValuesSpec> for Values {
    fn from(ValuesSpec(positions, other, none): ValuesSpec) -> Self {
        Values { positions: Table::new(positions), other, none }
    }
}

impl From<ModelSpec> for (String, Model) {
    fn from(ModelSpec(name, versions, newest, segments, measures, choices): ModelSpec) -> Self {
        let names: Vec<_> = segments.iter().map(|(name, _)| name.clone()).collect();
        let model = Model {
            versions: Table::new(versions),
            newest,
            segments: Keys::new(&names),
            segment_values: segments.into_iter().map(|(_, values)| values.into()).collect(),
            measures: Keys::new(&measures),
            choices: choices.into(),
        };
        (name, model)
    }
}

impl From<VersionSpec> for Version {
    fn from(VersionSpec(model, specs, answers, numbers, codes): VersionSpec) -> Self {
        let (mut names, mut columns) = (Vec::new(), Vec::new());
        let mut scalars: [Vec<Column>; 2] = Default::default();
        for spec in specs {
            let field = spec.0;
            if field == FEATURE {
                names.push(spec.1.clone());
                columns.push(spec.into());
            } else {
                scalars[usize::from(field == 1)].push(spec.into());
            }
        }
        let answers = match answers {
            0 => Answers::Ignored,
            1 => Answers::AsColumn,
            2 => Answers::Raw,
            _ => Answers::Unsure,
        };
        Version { model, features: Keys::new(&names), columns, scalars, answers, numbers, codes }
    }
}

/// The plan that the specs say, checked as far as a wrong one would be an index out of bounds.
pub fn plan(
    labels: bool,
    LimitsSpec(record_bytes, features, string_bytes, depth, id_bytes, min_ms, max_ms): LimitsSpec,
    models: Vec<ModelSpec>,
    versions: Vec<VersionSpec>,
) -> PyResult<Plan> {
    let known = |number: usize| number < versions.len();
    let sound_model = |ModelSpec(_, names, newest, segments, measures, _): &ModelSpec| {
        let few = segments.len() < MAX_NAMES && measures.len() < MAX_NAMES;
        few && known(*newest) && names.values().all(|&number| usize::try_from(number).map_or(false, known))
    };
    let sound_version = |VersionSpec(model, columns, _, numbers, codes): &VersionSpec| {
        let fits = |ColumnSpec(_, _, cell, texts, ..): &ColumnSpec| {
            *cell < if texts.is_none() { *numbers } else { *codes }
        };
        let measures = models.get(*model).map_or(usize::MAX, |model| model.4.len());
        columns.len() < MAX_NAMES && measures <= *numbers && columns.iter().all(fits)
    };
    if depth < 1 || !models.iter().all(sound_model) || !versions.iter().all(sound_version) {
        return Err(PyValueError::new_err("a plan that does not fit together"));
    }
    let limits = Limits { record_bytes, features, string_bytes, depth, id_bytes, min_ms, max_ms };
    let form = if labels { Form::Label } else { Form::Inference };
    let models = models.into_iter().map(Into::into).collect();
    Ok(Plan::new(form, limits, models, versions.into_iter().map(Into::into).collect()))
}
