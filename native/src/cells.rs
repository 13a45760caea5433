//! The cells of a row: features, segments, measures, predictions, scores and labels of one version.

use std::collections::BTreeMap;

use crate::cursor::{unescape, Cursor, Text};
use crate::number::EXACT;
use crate::plan::{
    Coder, Column, Declared, Kind, Limits, Plan, Shape, Values, Version, INVALID, MISSING, UNSEEN,
};
use crate::rows::{Cells, Rows};
use crate::skip::opened;
use crate::table::Guess;

/// What outlives a record: in which order keys came, and buffers.
#[derive(Debug)]
pub struct Scratch {
    /// Name of the version of the record at hand.
    pub version: Vec<u8>,
    features: Vec<Guess>,
    segments: Vec<Guess>,
    measures: Vec<Guess>,
    seen: Vec<u64>,
    text: Vec<u8>,
}

/// Reads values into the cells of one row.
pub struct CellReader<'r> {
    pub(crate) limits: &'r Limits,
    pub(crate) version: &'r Version,
    pub(crate) shape: &'r Shape,
    declared: &'r Declared,
    pub(crate) cells: Cells,
    pub(crate) rows: &'r mut Rows,
    scratch: &'r mut Scratch,
}

impl Scratch {
    /// Guesses for all versions of `plan`.
    pub fn new(plan: &Plan) -> Self {
        Scratch {
            version: Vec::new(),
            features: numbered(plan.versions.iter().map(|version| {
                let shape = &version.shape;
                (shape.number, shape.features.guess())
            })),
            segments: numbered(plan.models.iter().map(|model| {
                let declared = &model.declared;
                (declared.number, declared.segments.guess())
            })),
            measures: numbered(plan.models.iter().map(|model| {
                let declared = &model.declared;
                (declared.number, declared.measures.guess())
            })),
            seen: Vec::new(),
            text: Vec::new(),
        }
    }

    /// A reader for the row of `cells`, of version `number`.
    #[inline]
    pub fn cells<'r>(
        &'r mut self,
        plan: &'r Plan,
        rows: &'r mut Rows,
        number: usize,
        cells: Cells,
    ) -> CellReader<'r> {
        let version = &plan.versions[number];
        let declared = &version.declared;
        CellReader {
            limits: &plan.limits,
            version,
            shape: &version.shape,
            declared,
            cells,
            rows,
            scratch: self,
        }
    }

    /// Note key `number` of an object; not certain of one that came before.
    #[inline(always)]
    fn see(&mut self, number: usize) -> Option<()> {
        let (word, bit) = (self.seen.get_mut(number / 64)?, 1 << (number % 64));
        if *word & bit != 0 {
            return None;
        }
        *word |= bit;
        Some(())
    }

    #[inline]
    fn see_none_of(&mut self, keys: usize) {
        self.seen.clear();
        self.seen.resize(keys / 64 + 1, 0);
    }

    /// What a text says.
    #[inline]
    fn plain<'t>(&'t mut self, cursor: &Cursor<'t>, text: Text) -> &'t [u8] {
        if !text.escaped {
            return cursor.bytes(text);
        }
        self.text.clear();
        unescape(cursor.bytes(text), &mut self.text);
        &self.text
    }
}

/// Guesses by their numbers.
fn numbered(guesses: impl Iterator<Item = (usize, Guess)>) -> Vec<Guess> {
    let found: BTreeMap<usize, Guess> = guesses.collect();
    found.into_values().collect()
}

impl CellReader<'_> {
    /// Read the object of the features, or `null`.
    #[inline]
    pub fn features(&mut self, cursor: &mut Cursor) -> Option<()> {
        if cursor.peek() == b'n' {
            return cursor.literal(b"null");
        }
        let depth = self.limits.depth.checked_sub(2)?;
        if !opened(cursor)? {
            return Some(());
        }
        let shape = self.shape;
        self.scratch.see_none_of(shape.features.len());
        let mut behind = 0;
        let mut here = *cursor; // a copy that is lent to nobody stays in registers
        for count in 1.. {
            if count > self.limits.features || here.next() != b'"' {
                return None;
            }
            here.at += 1;
            let guess = &mut self.scratch.features[shape.number];
            let found = shape.features.pass(&mut here, guess, &mut behind)?;
            here.colon()?;
            match found {
                None => here.at = here.behind_value(depth)?,
                Some(key) => {
                    self.scratch.see(key)?;
                    here.next();
                    self.cell(&mut here, &shape.columns[key], depth)?;
                }
            }
            if here.ended(b'}')? {
                break;
            }
        }
        *cursor = here;
        Some(())
    }

    #[inline(always)]
    pub(crate) fn cell(&mut self, cursor: &mut Cursor, column: &Column, depth: u32) -> Option<()> {
        match &column.kind {
            Kind::Number => {
                let value = number(cursor, depth, self.limits.string_bytes)?;
                self.rows.numbers[self.cells.numbers as usize + column.cell] = value;
            }
            Kind::Code(coder) => {
                let code = self.code(cursor, coder, depth)?;
                self.rows.codes[self.cells.codes as usize + column.cell] = code;
            }
        }
        Some(())
    }

    #[inline]
    fn code(&mut self, cursor: &mut Cursor, coder: &Coder, depth: u32) -> Option<i32> {
        match cursor.peek() {
            b'"' => {
                cursor.at += 1;
                let text = cursor.string()?;
                if text.len > self.limits.string_bytes {
                    return None;
                }
                let found = if text.escaped {
                    coder.texts.of(self.scratch.plain(&{ *cursor }, text))
                } else {
                    coder.texts.get(cursor.text, text.start, text.len)
                };
                Some(found.unwrap_or(UNSEEN))
            }
            b'n' => cursor.literal(b"null").map(|()| MISSING),
            b't' => cursor.literal(b"true").map(|()| coder.truths[1]),
            b'f' => cursor.literal(b"false").map(|()| coder.truths[0]),
            b'{' | b'[' => {
                cursor.at = cursor.behind_value(depth)?;
                Some(INVALID)
            }
            _ => coder.number(cursor.number()?.value),
        }
    }

    /// Read the object of the segments, or `null`.
    pub fn segments(&mut self, cursor: &mut Cursor) -> Option<()> {
        if cursor.peek() == b'n' {
            return cursor.literal(b"null");
        }
        let depth = self.limits.depth.checked_sub(2)?;
        if !opened(cursor)? {
            return Some(());
        }
        let declared = self.declared;
        self.scratch.see_none_of(declared.segments.len());
        let mut behind = 0;
        loop {
            if cursor.next() != b'"' {
                return None;
            }
            cursor.at += 1;
            let guess = &mut self.scratch.segments[declared.number];
            let found = declared.segments.pass(cursor, guess, &mut behind)?;
            cursor.colon()?;
            match found {
                None => cursor.skip(depth)?,
                Some(key) => {
                    self.scratch.see(key)?;
                    let position = self.position(cursor, &declared.segment_values[key], depth)?;
                    self.rows.segments[self.cells.segments as usize + key] = position;
                }
            }
            if cursor.ended(b'}')? {
                return Some(());
            }
        }
    }

    fn position(&mut self, cursor: &mut Cursor, values: &Values, depth: u32) -> Option<i16> {
        match cursor.next() {
            b'"' => {
                cursor.at += 1;
                let text = cursor.string()?;
                let found = values.positions.of(self.scratch.plain(cursor, text));
                Some(found.map_or(values.other, |position| position as i16))
            }
            b'n' => cursor.literal(b"null").map(|()| values.none),
            b'{' | b'[' => cursor.skip(depth).map(|()| values.other),
            _ => None, // 12 and true are texts in Python
        }
    }

    /// Read the object of the measures, or `null`.
    pub fn measures(&mut self, cursor: &mut Cursor) -> Option<()> {
        if cursor.peek() == b'n' {
            return cursor.literal(b"null");
        }
        let depth = self.limits.depth.checked_sub(2)?;
        if !opened(cursor)? {
            return Some(());
        }
        let declared = self.declared;
        self.scratch.see_none_of(declared.measures.len());
        let first = self.cells.numbers as usize + self.shape.numbers - declared.measures.len();
        let mut behind = 0;
        loop {
            if cursor.next() != b'"' {
                return None;
            }
            cursor.at += 1;
            let guess = &mut self.scratch.measures[declared.number];
            let found = declared.measures.pass(cursor, guess, &mut behind)?;
            cursor.colon()?;
            match found {
                None => cursor.skip(depth)?,
                Some(key) => {
                    self.scratch.see(key)?;
                    cursor.next();
                    self.rows.numbers[first + key] = number(cursor, depth, usize::MAX)?;
                }
            }
            if cursor.ended(b'}')? {
                return Some(());
            }
        }
    }

    /// Read the variant or the feedback.
    #[inline]
    #[allow(clippy::option_option)] // not certain, null, position
    pub fn choice(&mut self, cursor: &mut Cursor) -> Option<Option<i16>> {
        if cursor.peek() == b'n' {
            return cursor.literal(b"null").map(|()| None);
        }
        if !cursor.pass(b'"') {
            return None;
        }
        let text = cursor.string()?;
        if text.len > self.limits.string_bytes {
            return None;
        }
        let values = &self.declared.choices;
        let found = values.positions.of(self.scratch.plain(cursor, text));
        Some(Some(found.map_or(values.other, |position| position as i16)))
    }
}

impl Coder {
    #[inline]
    fn number(&self, value: f64) -> Option<i32> {
        if self.boolean || value.abs() >= EXACT as f64 {
            return None;
        }
        let bytes = (value + 0.0).to_bits().to_le_bytes(); // -0.0 is 0.0
        Some(self.numbers.of(&bytes).unwrap_or(UNSEEN))
    }
}

/// Any value as a float: NaN if missing, infinite if it is no number.
#[inline(always)]
pub fn number(cursor: &mut Cursor, depth: u32, string_bytes: usize) -> Option<f64> {
    match cursor.peek() {
        b'"' => {
            cursor.at += 1;
            if cursor.string()?.len > string_bytes {
                return None;
            }
            Some(f64::INFINITY)
        }
        b'n' => cursor.literal(b"null").map(|()| f64::NAN),
        b't' => cursor.literal(b"true").map(|()| 1.0),
        b'f' => cursor.literal(b"false").map(|()| 0.0),
        b'{' | b'[' => {
            cursor.at = cursor.behind_value(depth)?;
            Some(f64::INFINITY)
        }
        _ => Some(cursor.number()?.value),
    }
}
