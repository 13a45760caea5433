//! Rows of a batch as they are read: one after another, each with the cells of its version.

use crate::cursor::{unescape, Cursor, Text};
use crate::plan::{Plan, MISSING};

/// Cells or bytes of a batch, so many that places of more would not fit. What a batch adds is refused long
/// before: a record of a megabyte cannot take it from here to the end.
const MOST: usize = 1 << 31;

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
        start: u32,
        /// Bytes.
        len: u32,
    },
}

/// The event says no time: that of the Kafka record counts.
pub const NO_TIME: i64 = -1;

/// What is read of an event beside its cells: a line of the caches.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its place in the batch.
    pub place: u32,
    /// Number of its model version.
    pub version: u32,
    /// Event time, or [`NO_TIME`].
    pub ts_ms: i64,
    /// Place of its id in [`Rows::texts`].
    pub id: u32,
    /// Bytes of its id.
    pub id_len: u16,
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
    pub numbers: u32,
    /// In [`Rows::codes`].
    pub codes: u32,
    /// In [`Rows::segments`].
    pub segments: u32,
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

    /// Add the cells of a row in which everything is missing; `None` where a batch is larger than places are.
    #[inline]
    pub fn begin(&mut self, plan: &Plan, version: usize) -> Option<Cells> {
        let cells = self.end();
        let version = &plan.versions[version];
        let shape = &version.shape;
        self.numbers.resize(self.numbers.len() + shape.numbers, f64::NAN);
        self.codes.resize(self.codes.len() + shape.codes, MISSING);
        self.segments.extend_from_slice(&version.declared.no_segments);
        let most = self.numbers.len().max(self.codes.len()).max(self.segments.len()).max(self.texts.len());
        if most < MOST {
            Some(cells)
        } else {
            None
        }
    }

    /// Where the next row begins.
    pub fn end(&self) -> Cells {
        Cells {
            numbers: self.numbers.len() as u32,
            codes: self.codes.len() as u32,
            segments: self.segments.len() as u32,
        }
    }

    /// Forget a row that was begun, and its texts from `texts` on.
    pub fn forget(&mut self, cells: Cells, texts: usize) {
        self.numbers.truncate(cells.numbers as usize);
        self.codes.truncate(cells.codes as usize);
        self.segments.truncate(cells.segments as usize);
        self.texts.truncate(texts);
    }

    /// All texts; the next batch gets a buffer of the same size.
    pub fn take_texts(&mut self) -> Vec<u8> {
        let next = Vec::with_capacity(self.texts.len());
        std::mem::replace(&mut self.texts, next)
    }

    /// Keep a text; tell its place and its bytes.
    #[inline]
    pub fn keep(&mut self, cursor: &Cursor, text: Text) -> (u32, u32) {
        let start = self.texts.len();
        if text.escaped {
            unescape(cursor.bytes(text), &mut self.texts);
        } else {
            self.texts.extend_from_slice(cursor.bytes(text));
        }
        (start as u32, (self.texts.len() - start) as u32)
    }
}
