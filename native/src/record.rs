//! One record: its fields, and the cells of its version.

use std::sync::Arc;

use crate::cells::Scratch;
use crate::cursor::{Cursor, Text};
use crate::plan::{Field, Form, Limits, Plan};
use crate::rows::{Answer, Cells, Row, Rows, NO_TIME};
use crate::skip::pass_object;
use crate::table::Guess;
use crate::time;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An event, the last of the rows.
    Event,
    /// An event of a model or version without a reference, at this time.
    Unknown {
        /// Name of its model, in the record.
        model: Text,
        /// Name of its version; empty if it names none.
        version: Text,
        /// Event time, or [`NO_TIME`].
        ts_ms: i64,
    },
    /// Something that takes Python.
    Unsure,
}

const NO_TEXT: Text = Text { start: 0, len: 0, escaped: false };

/// Whose columns a record is read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Version(usize),
    Unknown,
}

/// What has been read of a record so far.
struct Envelope {
    seen: u32,
    id: Text,
    model: Text,
    version: Text,
    /// Number of the model, once its name has been read.
    number: Option<i32>,
    ts_ms: i64,
    choice: Option<i16>,
    flag: bool,
    amount: f64,
    answer: Answer,
    /// Once a field was read that depends on it.
    target: Option<(Target, Cells)>,
    /// Whether that was behind the names of model and version.
    settled: bool,
}

/// Reads records one by one; learns in which order keys come.
#[derive(Debug)]
pub struct Reader {
    plan: Arc<Plan>,
    /// What has been read.
    pub rows: Rows,
    fields: Guess,
    scratch: Scratch,
    last: Option<usize>,
}

impl Reader {
    /// A reader that has read nothing.
    pub fn new(plan: Arc<Plan>) -> Self {
        let (scratch, fields) = (Scratch::new(&plan), plan.fields.guess());
        Reader { plan, rows: Rows::default(), fields, scratch, last: None }
    }

    /// What a record may hold.
    pub fn limits(&self) -> &Limits {
        &self.plan.limits
    }

    /// Read the record that has this `place` in the batch.
    pub fn read(&mut self, text: &[u8], place: usize) -> Outcome {
        let (cells, texts) = (self.rows.end(), self.rows.texts.len());
        let outcome = self.event(text, place);
        if outcome != Some(Outcome::Event) {
            self.rows.forget(cells, texts);
        }
        outcome.unwrap_or(Outcome::Unsure)
    }

    fn event(&mut self, text: &[u8], place: usize) -> Option<Outcome> {
        if text.is_empty() || text.len() > self.plan.limits.record_bytes {
            return None;
        }
        let (cells, texts) = (self.rows.end(), self.rows.texts.len());
        let mut envelope = self.fields(text, None)?;
        let mut target = match envelope.target {
            Some((assumed, _)) if envelope.settled => assumed,
            _ => self.target(&envelope),
        };
        match envelope.target {
            Some((assumed, _)) if assumed != target => {
                // Its name stood behind its features: once more, now that it is known.
                self.rows.forget(cells, texts);
                envelope = self.fields(text, Some(target))?;
                target = self.target(&envelope);
            }
            _ => {}
        }
        let required = if self.plan.form == Form::Inference { 0b11 } else { 0b111 };
        if envelope.seen & required != required {
            return None;
        }
        let version = match target {
            Target::Version(version) => version,
            Target::Unknown => {
                let Envelope { model, version, ts_ms, .. } = envelope;
                return Some(Outcome::Unknown { model, version, ts_ms });
            }
        };
        let cells = match envelope.target {
            Some((_, cells)) => cells,
            None => self.rows.begin(&self.plan, version)?,
        };
        let (id, id_len) = self.rows.keep(&Cursor::new(text), envelope.id);
        let Envelope { ts_ms, flag, amount, answer, .. } = envelope;
        let choices = &self.plan.versions[version].declared.choices;
        let choice = envelope.choice.unwrap_or(choices.none);
        let (place, id_len) = (place as u32, id_len as u16);
        let number = version as u32;
        let row = Row { place, version: number, ts_ms, id, id_len, choice, flag, amount, answer, cells };
        self.rows.rows.push(row);
        self.last = Some(version);
        Some(Outcome::Event)
    }

    /// The version that the record is about, as far as it has been read.
    fn target(&self, envelope: &Envelope) -> Target {
        let name = &self.scratch.version;
        self.plan.version(envelope.number, name).map_or(Target::Unknown, Target::Version)
    }

    /// Read all fields, into the columns of `target` if it is known already.
    fn fields(&mut self, text: &[u8], target: Option<Target>) -> Option<Envelope> {
        let mut cursor = Cursor::new(text);
        if cursor.next() != b'{' {
            return None;
        }
        cursor.at += 1;
        let mut envelope = Envelope {
            seen: 0,
            id: NO_TEXT,
            model: NO_TEXT,
            version: NO_TEXT,
            number: None,
            ts_ms: NO_TIME,
            choice: None,
            flag: false,
            amount: if self.plan.form == Form::Inference { 1.0 } else { f64::NAN },
            answer: Answer::Null,
            target: None,
            settled: false,
        };
        self.scratch.version.clear();
        let mut behind = 0;
        loop {
            if cursor.next() != b'"' {
                return None; // an empty object has no id
            }
            cursor.at += 1;
            let found = self.plan.fields.pass(&mut cursor, &mut self.fields, &mut behind)?;
            cursor.colon()?;
            match found {
                None => cursor.skip(self.plan.limits.depth - 1)?,
                Some(number) => {
                    if envelope.seen >> number & 1 == 1 {
                        return None;
                    }
                    envelope.seen |= 1 << number;
                    cursor.next();
                    self.field(&mut cursor, self.plan.form.fields()[number].1, &mut envelope, target)?;
                }
            }
            if cursor.ended(b'}')? {
                break;
            }
        }
        cursor.next();
        if cursor.at == text.len() {
            Some(envelope)
        } else {
            None
        }
    }

    fn field(
        &mut self,
        cursor: &mut Cursor,
        field: Field,
        envelope: &mut Envelope,
        known: Option<Target>,
    ) -> Option<()> {
        match field {
            Field::Id => {
                envelope.id = self.text(cursor)??;
                if !(1..=self.plan.limits.id_bytes).contains(&envelope.id.len) {
                    return None;
                }
            }
            Field::Model => {
                let model = self.text(cursor)??;
                if model.len == 0 || model.escaped {
                    return None;
                }
                envelope.model = model;
                envelope.number = self.plan.names.get(cursor.text, model.start, model.len);
            }
            Field::Version => {
                if let Some(version) = self.text(cursor)? {
                    if version.escaped {
                        return None;
                    }
                    envelope.version = version;
                    self.scratch.version.extend_from_slice(cursor.bytes(version));
                }
            }
            Field::Time => envelope.ts_ms = self.time(cursor)?,
            Field::Status => {
                if let Some(status) = self.text(cursor)? {
                    envelope.flag = cursor.bytes(status) == b"error";
                    if !envelope.flag && cursor.bytes(status) != b"ok" {
                        return None;
                    }
                }
            }
            Field::Weight | Field::Worth => {
                if cursor.peek() == b'n' {
                    cursor.literal(b"null")?;
                } else {
                    envelope.amount = cursor.number()?.value;
                    if field == Field::Weight && envelope.amount <= 0.0 {
                        return None;
                    }
                }
            }
            Field::Supersedes => envelope.flag = self.text(cursor)?.map_or(false, |text| text.len > 0),
            Field::Note => self.text(cursor).map(|_| ())?,
            Field::Choice | Field::Features | Field::Scalar(_) | Field::Segments | Field::Measures => {
                let (target, cells) = match envelope.target {
                    Some(used) => used,
                    None => {
                        let used = self.assumed(envelope, known)?;
                        let names = if self.plan.form == Form::Inference { 0b110 } else { 0b10 };
                        envelope.settled = envelope.seen & names == names;
                        envelope.target = Some(used);
                        used
                    }
                };
                match target {
                    Target::Unknown => self.pass_unknown(cursor, field)?,
                    Target::Version(version) => {
                        let Reader { plan, rows, scratch, .. } = self;
                        let mut reader = scratch.cells(plan, rows, version, cells);
                        match field {
                            Field::Features => reader.features(cursor)?,
                            Field::Segments => reader.segments(cursor)?,
                            Field::Measures => reader.measures(cursor)?,
                            Field::Choice => envelope.choice = reader.choice(cursor)?,
                            Field::Scalar(number) => {
                                if let Some(answer) = reader.scalar(cursor, number)? {
                                    envelope.answer = answer;
                                }
                            }
                            _ => return None,
                        }
                    }
                }
            }
        }
        Some(())
    }

    /// Into whose columns to read now: as known, as named so far, or as the last time.
    fn assumed(&mut self, envelope: &Envelope, known: Option<Target>) -> Option<(Target, Cells)> {
        let target = match (known, self.last) {
            (Some(target), _) => target,
            (None, Some(last)) if envelope.model.len == 0 => Target::Version(last),
            (None, _) => self.target(envelope),
        };
        let cells = match target {
            Target::Version(version) => self.rows.begin(&self.plan, version)?,
            Target::Unknown => self.rows.end(),
        };
        Some((target, cells))
    }

    /// Pass a field of an event that nobody monitors; what it must be holds for it too.
    fn pass_unknown(&mut self, cursor: &mut Cursor, field: Field) -> Option<()> {
        match field {
            Field::Scalar(_) => return cursor.skip(self.plan.limits.depth - 1),
            Field::Choice => return self.text(cursor).map(|_| ()),
            _ => {}
        }
        if cursor.peek() == b'n' {
            return cursor.literal(b"null");
        }
        pass_object(cursor, &self.plan.limits, field == Field::Features)
    }

    /// A bounded text, or `null`.
    #[inline]
    #[allow(clippy::option_option)] // not certain, null, text
    fn text(&self, cursor: &mut Cursor) -> Option<Option<Text>> {
        match cursor.peek() {
            b'"' => {
                cursor.at += 1;
                let text = cursor.string()?;
                if text.len <= self.plan.limits.string_bytes {
                    Some(Some(text))
                } else {
                    None
                }
            }
            b'n' => cursor.literal(b"null").map(|()| None),
            _ => None,
        }
    }

    /// A time, or [`NO_TIME`] for `null`.
    #[inline]
    fn time(&self, cursor: &mut Cursor) -> Option<i64> {
        let ms = if matches!(cursor.peek(), b'"' | b'n') {
            match self.text(cursor)? {
                Some(text) => time::epoch_ms(cursor.bytes(text))?,
                None => return Some(NO_TIME),
            }
        } else {
            cursor.number()?.value as i64 // saturates; fractions of a ms are cut
        };
        if (self.plan.limits.min_ms..=self.plan.limits.max_ms).contains(&ms) {
            Some(ms)
        } else {
            None
        }
    }
}
