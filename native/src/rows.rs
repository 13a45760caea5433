//! Rows of a batch as they are read: one after another, each with the cells of its version.

use crate::cursor::{unescape, Cursor, Text};
use crate::plan::{Plan, MISSING};

/// A raw prediction or label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// None.
    Null,
    /// A truth.
    Truth(bool),
    /// A number without fraction.
    Whole(i64),
    /// Any other number; infinite where it is none.
    Float(f64),
    /// Text, by its place in [`Rows::texts`].
    Text {
        /// First byte.
        start: usize,
        /// Bytes.
        len: usize,
    },
}

/// What is read of an event beside its cells.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its place in the batch.
    pub place: usize,
    /// Number of its model version.
    pub version: usize,
    /// Event time, `None` to take that of the Kafka record.
    pub ts_ms: Option<i64>,
    /// Place of its id in [`Rows::texts`].
    pub id: usize,
    /// Bytes of its id.
    pub id_len: usize,
    /// Variant, or feedback.
    pub choice: i16,
    /// Status `error`, or a label that supersedes.
    pub flag: bool,
    /// Weight, or worth.
    pub amount: f64,
    /// What was answered.
    pub answer: Answer,
    /// Places of its cells.
    pub cells: Cells,
}

/// Where the cells of a row begin, or where those of the next one will.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cells {
    /// In [`Rows::numbers`].
    pub numbers: usize,
    /// In [`Rows::codes`].
    pub codes: usize,
    /// In [`Rows::segments`].
    pub segments: usize,
}

/// All rows of a batch.
#[derive(Debug, Default)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Row>,
    /// Number cells.
    pub numbers: Vec<f64>,
    /// Code cells.
    pub codes: Vec<i32>,
    /// Codes of segments.
    pub segments: Vec<i16>,
    /// Ids and answers.
    pub texts: Vec<u8>,
}

impl Rows {
    /// Forget everything, keep the buffers.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.forget(Cells::default(), 0);
    }

    /// Add the cells of a row in which everything is missing.
    #[inline]
    pub fn begin(&mut self, plan: &Plan, version: usize) -> Cells {
        let cells = self.end();
        let version = &plan.versions[version];
        self.numbers.resize(cells.numbers + version.numbers, f64::NAN);
        self.codes.resize(cells.codes + version.codes, MISSING);
        self.segments.extend(plan.models[version.model].segment_values.iter().map(|values| values.none));
        cells
    }

    /// Where the next row begins.
    pub fn end(&self) -> Cells {
        Cells { numbers: self.numbers.len(), codes: self.codes.len(), segments: self.segments.len() }
    }

    /// Forget a row that was begun, and its texts from `texts` on.
    pub fn forget(&mut self, cells: Cells, texts: usize) {
        self.numbers.truncate(cells.numbers);
        self.codes.truncate(cells.codes);
        self.segments.truncate(cells.segments);
        self.texts.truncate(texts);
    }

    /// Keep a text; tell its place and its bytes.
    #[inline]
    pub fn keep(&mut self, cursor: &Cursor, text: Text) -> (usize, usize) {
        let start = self.texts.len();
        if text.escaped {
            unescape(cursor.bytes(text), &mut self.texts);
        } else {
            self.texts.extend_from_slice(cursor.bytes(text));
        }
        (start, self.texts.len() - start)
    }
}
