//! What the references of a topic make of its records: which fields are read, into which column.

use std::sync::Arc;

use crate::table::{Keys, Table};

/// Codes of a category that no value is; as in `detectors.columns`.
pub const MISSING: i32 = -1;
/// Code of a category that the reference does not have.
pub const UNSEEN: i32 = -2;
/// Code of a value that is no category.
pub const INVALID: i32 = -3;

/// What a field of the record itself is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The prediction's id.
    Id,
    /// Name of the model.
    Model,
    /// Version of the model.
    Version,
    /// Event time.
    Time,
    /// The object of the features.
    Features,
    /// A value that may be a column, by its number: prediction and score, or the label.
    Scalar(usize),
    /// The object of the segments.
    Segments,
    /// The object of the measures.
    Measures,
    /// Text of which only declared values are told apart: variant, or feedback.
    Choice,
    /// `ok` or `error`.
    Status,
    /// A positive number: the weight.
    Weight,
    /// Any number: what an outcome was worth.
    Worth,
    /// Text of which only its presence counts: what a label supersedes.
    Supersedes,
    /// Text that is only bounded.
    Note,
}

/// Which event a topic carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Predictions.
    Inference,
    /// Labels.
    Label,
}

const INFERENCE: [(&str, Field); 16] = [
    ("prediction_id", Field::Id),
    ("model", Field::Model),
    ("version", Field::Version),
    ("ts", Field::Time),
    ("features", Field::Features),
    ("prediction", Field::Scalar(0)),
    ("score", Field::Scalar(1)),
    ("segments", Field::Segments),
    ("measures", Field::Measures),
    ("variant", Field::Choice),
    ("status", Field::Status),
    ("error_code", Field::Note),
    ("weight", Field::Weight),
    ("prompt_version", Field::Note),
    ("entity_id", Field::Note),
    ("trace_id", Field::Note),
];
const LABEL: [(&str, Field); 8] = [
    ("prediction_id", Field::Id),
    ("model", Field::Model),
    ("label", Field::Scalar(0)),
    ("ts", Field::Time),
    ("value", Field::Worth),
    ("feedback", Field::Choice),
    ("source", Field::Note),
    ("supersedes", Field::Supersedes),
];

impl Form {
    /// Its fields, in the order of `stream.events`.
    pub fn fields(self) -> &'static [(&'static str, Field)] {
        match self {
            Form::Inference => &INFERENCE,
            Form::Label => &LABEL,
        }
    }
}

/// Bounds of one record, as in `stream.codec.Limits`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the record.
    pub record_bytes: usize,
    /// Features, those that are not read among them.
    pub features: usize,
    /// Bytes of each text that is kept.
    pub string_bytes: usize,
    /// Objects and arrays in each other, the record itself counted.
    pub depth: u32,
    /// Bytes of an id.
    pub id_bytes: usize,
    /// Earliest event time.
    pub min_ms: i64,
    /// Latest event time.
    pub max_ms: i64,
}

/// Codes of the categories of one column.
#[derive(Clone, Debug)]
pub struct Coder {
    /// Of texts.
    pub texts: Table,
    /// Of numbers, by the bytes of the float.
    pub numbers: Table,
    /// Of `false` and `true`.
    pub truths: [i32; 2],
    /// Whether truths are categories of the model: then numbers are not.
    pub boolean: bool,
}

/// What a value becomes.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A float.
    Number,
    /// The code of a category.
    Code(Box<Coder>),
}

/// One column of a version: what a value becomes and in which cell of the row it goes.
#[derive(Clone, Debug)]
pub struct Column {
    /// What it is.
    pub kind: Kind,
    /// Its cell, among the numbers or among the codes.
    pub cell: usize,
    /// Of scores by class, the class that counts; without it the largest one does.
    pub class: Option<Vec<u8>>,
}

/// How the raw prediction or label is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Not at all.
    Ignored,
    /// As the column takes it.
    AsColumn,
    /// As JSON has it.
    Raw,
    /// That takes Python.
    Unsure,
}

/// One model version. Fleets of models are often of one shape: then they share it in the caches.
#[derive(Clone, Debug)]
pub struct Version {
    /// Number of its model.
    pub model: usize,
    /// How its answers are kept.
    pub answers: Answers,
    /// Its columns.
    pub shape: Arc<Shape>,
    /// What its model declares.
    pub declared: Arc<Declared>,
}

/// Columns of a version.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Number of the shape.
    pub number: usize,
    /// Names of its features.
    pub features: Keys,
    /// A column for each of them.
    pub columns: Vec<Column>,
    /// Columns that are fields of the record, by the number of the field.
    pub scalars: [Vec<Column>; 2],
    /// Cells of a row that are numbers: those of its columns, then the measures.
    pub numbers: usize,
    /// Cells of a row that are codes.
    pub codes: usize,
}

/// A model.
#[derive(Clone, Debug)]
pub struct Model {
    /// Numbers of its versions, by name.
    pub versions: Table,
    /// The version of events that name none.
    pub newest: Newest,
    /// What it declares.
    pub declared: Arc<Declared>,
}

/// The newest version of a model. Most events are of it: those of all models fit the caches.
#[derive(Clone, Copy, Debug)]
pub struct Newest {
    number: u32,
    /// Bytes of its name, or [`LONG`].
    len: u8,
    name: [u8; 11],
}

/// The length of names that are looked up elsewhere.
const LONG: u8 = u8::MAX;

impl Newest {
    /// Version `number` of this `name`; without one it is only that of events that name none.
    pub fn new(number: usize, name: Option<&[u8]>) -> Self {
        let mut newest = Newest { number: number as u32, len: LONG, name: [0; 11] };
        if let Some((kept, name)) = name.and_then(|name| Some((newest.name.get_mut(..name.len())?, name))) {
            kept.copy_from_slice(name);
            newest.len = name.len() as u8;
        }
        newest
    }

    fn is(&self, name: &[u8]) -> bool {
        self.name.get(..usize::from(self.len)) == Some(name)
    }
}

/// What a model declares.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Number of the declaration.
    pub number: usize,
    /// Names of its segments.
    pub segments: Keys,
    /// Positions of the values of each.
    pub segment_values: Vec<Values>,
    /// Positions of none of each.
    pub no_segments: Vec<i16>,
    /// Names of its measures.
    pub measures: Keys,
    /// Variants, or feedback.
    pub choices: Values,
}

/// Positions of declared values.
#[derive(Clone, Debug)]
pub struct Values {
    /// Of each value.
    pub positions: Table,
    /// Of every other text.
    pub other: i16,
    /// Of none at all.
    pub none: i16,
}

/// Everything that is known before the first record.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which event it is about.
    pub form: Form,
    /// Names of the fields of `form`.
    pub fields: Keys,
    /// Bounds of a record.
    pub limits: Limits,
    /// Numbers of the models, by name.
    pub names: Table,
    /// The models.
    pub models: Vec<Model>,
    /// The newest version of each.
    newest: Vec<Newest>,
    /// The versions of all models.
    pub versions: Vec<Version>,
}

impl Plan {
    /// A plan for `models`, each with its name.
    pub fn new(form: Form, limits: Limits, models: Vec<(String, Model)>, versions: Vec<Version>) -> Self {
        let numbered = models.iter().enumerate().map(|(number, (name, _))| (name, number as i32));
        Plan {
            form,
            fields: Keys::new(&form.fields().iter().map(|(name, _)| *name).collect::<Vec<_>>()),
            limits,
            names: Table::new(numbered),
            newest: models.iter().map(|(_, model)| model.newest).collect(),
            models: models.into_iter().map(|(_, model)| model).collect(),
            versions,
        }
    }

    /// The version of a model that an event is about; `None` if it has no reference.
    #[inline]
    pub fn version(&self, model: Option<i32>, name: &[u8]) -> Option<usize> {
        let model = model? as usize;
        let newest = &self.newest[model];
        if name.is_empty() || newest.is(name) {
            Some(newest.number as usize)
        } else {
            self.models[model].versions.of(name).map(|number| number as usize)
        }
    }
}
