//! What Python says the plan is: tuples as `stream.codec.compiled` makes them.

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::plan::{
    Answers, Coder, Column, Declared, Form, Kind, Limits, Model, Newest, Plan, Shape, Values, Version, UNSEEN,
};
use crate::table::{Keys, Table};

/// A value of the record that many columns share, or a feature: see [`ColumnSpec`].
const FEATURE: i32 = -1;
/// Keys are numbered in 16 bits.
const MAX_NAMES: usize = 65_000;

/// record bytes, features, string bytes, depth, id bytes, earliest and latest time.
#[derive(Debug, FromPyObject)]
pub struct LimitsSpec(usize, usize, usize, u32, usize, i64, i64);

/// Texts to positions, the position of another text, and that of none.
#[derive(Debug, FromPyObject)]
struct ValuesSpec(Vec<(String, i32)>, i16, i16);

/// Name, numbers of its versions by name, number of the newest, segments with their values, measures, choices.
#[derive(Debug, FromPyObject)]
pub struct ModelSpec(String, Vec<(String, i32)>, usize, Vec<(String, ValuesSpec)>, Vec<String>, ValuesSpec);

/// Field (-1 for a feature), name, cell, codes of texts (`None` for numbers), codes of numbers, whether truths
/// are categories, class of the score.
#[derive(Debug, FromPyObject)]
struct ColumnSpec(i32, String, usize, Option<Vec<(String, i32)>>, Vec<(f64, i32)>, bool, Option<String>);

/// Number of the model, columns, how answers are kept, cells that are numbers, cells that are codes.
#[derive(Debug, FromPyObject)]
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

/// Parts that are the same are one.
struct Shared<T>(HashMap<String, Arc<T>>);

impl<T> Shared<T> {
    /// The part that `spec` says: made with a number of its own if there is none like it.
    fn part(&mut self, spec: String, make: impl FnOnce(usize) -> T) -> Arc<T> {
        let number = self.0.len();
        Arc::clone(self.0.entry(spec).or_insert_with(|| Arc::new(make(number))))
    }
}

fn model(spec: ModelSpec, shared: &mut Shared<Declared>) -> (String, Model) {
    let ModelSpec(name, versions, newest, segments, measures, choices) = spec;
    let key = format!("{:?}", (&segments, &measures, &choices));
    let declared = shared.part(key, |number| {
        let names: Vec<_> = segments.iter().map(|(name, _)| name.clone()).collect();
        let segment_values: Vec<Values> = segments.into_iter().map(|(_, values)| values.into()).collect();
        Declared {
            number,
            segments: Keys::new(&names),
            no_segments: segment_values.iter().map(|values| values.none).collect(),
            segment_values,
            measures: Keys::new(&measures),
            choices: choices.into(),
        }
    });
    let named = versions.iter().find(|(_, number)| *number as usize == newest);
    let newest = Newest::new(newest, named.map(|(name, _)| name.as_bytes()));
    (name, Model { versions: Table::new(versions), newest, declared })
}

fn version(spec: VersionSpec, models: &[(String, Model)], shared: &mut Shared<Shape>) -> Version {
    let VersionSpec(model, specs, answers, numbers, codes) = spec;
    let key = format!("{:?}", (&specs, numbers, codes));
    let shape = shared.part(key, |number| shape(number, specs, numbers, codes));
    let answers = match answers {
        0 => Answers::Ignored,
        1 => Answers::AsColumn,
        2 => Answers::Raw,
        _ => Answers::Unsure,
    };
    Version { model, answers, shape, declared: Arc::clone(&models[model].1.declared) }
}

fn shape(number: usize, specs: Vec<ColumnSpec>, numbers: usize, codes: usize) -> Shape {
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
    Shape { number, features: Keys::new(&names), columns, scalars, numbers, codes }
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
        few && known(*newest) && names.iter().all(|&(_, number)| usize::try_from(number).map_or(false, known))
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
    let (mut declared, mut shapes) = (Shared(HashMap::new()), Shared(HashMap::new()));
    let models: Vec<_> = models.into_iter().map(|spec| model(spec, &mut declared)).collect();
    let versions = versions.into_iter().map(|spec| version(spec, &models, &mut shapes)).collect();
    Ok(Plan::new(form, limits, models, versions))
}
