//! Predictions, scores and labels: fields of the record that may be columns, and answers.

use crate::cells::{number, CellReader};
use crate::cursor::{Cursor, Text};
use crate::number::EXACT;
use crate::plan::{Answers, Column, Kind};
use crate::rows::Answer;
use crate::skip::opened;

/// Scores of classes that are told apart when one key could stand twice.
const MAX_CLASSES: usize = 64;

impl CellReader<'_> {
    /// Read the prediction, the score or the label; tell it if it is the answer and is kept.
    #[inline]
    #[allow(clippy::option_option)] // not certain, not kept, answer
    pub fn scalar(&mut self, cursor: &mut Cursor, field: usize) -> Option<Option<Answer>> {
        let (depth, start, version) = (self.limits.depth - 1, *cursor, self.version);
        let columns = &self.shape.scalars[field];
        if field == 1 && cursor.peek() == b'{' && !columns.is_empty() {
            return self.scores(cursor, columns).map(|()| None);
        }
        for column in columns {
            *cursor = start;
            self.cell(cursor, column, depth)?;
        }
        let kept = if field == 0 { version.answers } else { Answers::Ignored };
        if columns.is_empty() && kept == Answers::Ignored {
            cursor.skip(depth)?;
            return Some(None);
        }
        let column = match (kept, columns.first()) {
            (Answers::Ignored, _) => return Some(None),
            (Answers::Unsure, _) => return None,
            (Answers::AsColumn, column) => column,
            (Answers::Raw, _) => None,
        };
        *cursor = start;
        self.answer(cursor, column.map(|column| &column.kind), depth).map(Some)
    }

    fn answer(&mut self, cursor: &mut Cursor, kind: Option<&Kind>, depth: u32) -> Option<Answer> {
        let numeric = matches!(kind, Some(Kind::Number));
        Some(match cursor.peek() {
            b'n' => cursor.literal(b"null").map(|()| Answer::Null)?,
            b'"' => {
                cursor.at += 1;
                let text = cursor.string()?;
                if numeric {
                    return Some(Answer::Float(f64::INFINITY));
                }
                let (start, len) = self.rows.keep(cursor, text);
                Answer::Text { start, len }
            }
            byte @ (b't' | b'f') => {
                let truth = byte == b't';
                cursor.literal(if truth { b"true" } else { b"false" })?;
                match kind {
                    Some(Kind::Code(coder)) if !coder.boolean => return None, // is text then
                    _ => Answer::Truth(truth),
                }
            }
            b'{' | b'[' if numeric => cursor.skip(depth).map(|()| Answer::Float(f64::INFINITY))?,
            _ => {
                let number = cursor.number()?;
                if numeric || !number.whole {
                    Answer::Float(number.value)
                } else if number.value.abs() < EXACT as f64 {
                    Answer::Whole(number.value as i64)
                } else {
                    return None;
                }
            }
        })
    }

    /// Read an object of class to score: for each column the score of its class, else the largest one.
    fn scores(&mut self, cursor: &mut Cursor, columns: &[Column]) -> Option<()> {
        let depth = self.limits.depth.checked_sub(2)?;
        if columns.iter().any(|column| !matches!(column.kind, Kind::Number)) {
            return None;
        }
        if !opened(cursor)? {
            return Some(());
        }
        let mut classes: Vec<Text> = Vec::new();
        loop {
            if cursor.next() != b'"' {
                return None;
            }
            cursor.at += 1;
            let class = cursor.string()?;
            let again = |other: &Text| cursor.bytes(*other) == cursor.bytes(class);
            if class.escaped || classes.len() >= MAX_CLASSES || classes.iter().any(again) {
                return None;
            }
            classes.push(class);
            cursor.colon()?;
            let null = cursor.next() == b'n';
            let score = number(cursor, depth, usize::MAX)?;
            for column in columns {
                let cell = &mut self.rows.numbers[self.cells.numbers as usize + column.cell];
                let chosen = match &column.class {
                    Some(name) => name == cursor.bytes(class),
                    None => !null && (cell.is_nan() || *cell < score),
                };
                if chosen {
                    *cell = score;
                }
            }
            if cursor.ended(b'}')? {
                return Some(());
            }
        }
    }
}
