//! A batch that comes in portions: what has been read of it so far, and what of it has to be kept outside.

use std::sync::Arc;

use crate::cursor::Cursor;
use crate::plan::Plan;
use crate::record::{Outcome, Reader};
use crate::refusal::{refusal, Refusal};
use crate::rows::{Cells, Row, NO_TIME};

/// An event of a model or version without a reference.
#[derive(Debug)]
pub struct Stranger {
    /// Its place in the batch.
    pub place: usize,
    /// Name of its model.
    pub model: Vec<u8>,
    /// Name of its version; empty if it names none.
    pub version: Vec<u8>,
    /// Event time, or [`NO_TIME`].
    pub ts_ms: i64,
}

/// What has been read of a batch.
#[derive(Debug)]
pub struct Portions {
    /// Holds the rows.
    pub reader: Box<Reader>,
    /// Records so far.
    pub records: usize,
    /// Places of the records that take Python, in order.
    pub left: Vec<usize>,
    /// Places of the records that are certainly no events, in order, and why.
    pub refused: Vec<(usize, Refusal)>,
    /// Events of models and versions without a reference.
    pub strangers: Vec<Stranger>,
    /// Places of those that took the time of their Kafka record.
    pub given: Vec<usize>,
}

/// How far a batch had come before a portion.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    records: usize,
    rows: usize,
    left: usize,
    refused: usize,
    strangers: usize,
    given: usize,
    cells: Cells,
    texts: usize,
}

impl Portions {
    /// A batch without records; forgets what the reader has read.
    pub fn new(mut reader: Box<Reader>) -> Self {
        reader.rows.clear();
        let (left, refused, strangers, given) = Default::default();
        Portions { reader, records: 0, left, refused, strangers, given }
    }

    /// How far it has come.
    pub fn mark(&self) -> Mark {
        let rows = &self.reader.rows;
        Mark {
            records: self.records,
            rows: rows.rows.len(),
            left: self.left.len(),
            refused: self.refused.len(),
            strangers: self.strangers.len(),
            given: self.given.len(),
            cells: rows.end(),
            texts: rows.texts.len(),
        }
    }

    /// Forget what came after `mark`.
    pub fn go_back(&mut self, mark: Mark) {
        self.records = mark.records;
        self.left.truncate(mark.left);
        self.refused.truncate(mark.refused);
        self.strangers.truncate(mark.strangers);
        self.given.truncate(mark.given);
        self.reader.rows.rows.truncate(mark.rows);
        self.reader.rows.forget(mark.cells, mark.texts);
    }

    /// Forget what came after `mark`, and in which order keys came: the reader has panicked.
    pub fn start_again(&mut self, mark: Mark, plan: &Arc<Plan>) {
        self.go_back(mark);
        let rows = std::mem::take(&mut self.reader.rows);
        *self.reader = Reader::new(Arc::clone(plan));
        self.reader.rows = rows;
    }

    /// Read the next records.
    pub fn read(&mut self, texts: &[&[u8]]) {
        for (place, text) in (self.records..).zip(texts) {
            match self.reader.read(text, place) {
                Outcome::Event => {}
                Outcome::Unsure => match refusal(text, self.reader.limits()) {
                    Some(why) => self.refused.push((place, why)),
                    None => self.left.push(place),
                },
                Outcome::Unknown { model, version, ts_ms } => {
                    let bytes = |name| Cursor::new(text).bytes(name).to_vec();
                    let (model, version) = (bytes(model), bytes(version));
                    self.strangers.push(Stranger { place, model, version, ts_ms });
                }
            }
        }
        self.records += texts.len();
    }

    /// Leave the next records to Python, unread.
    pub fn leave(&mut self, records: usize) {
        self.left.extend(self.records..self.records + records);
        self.records += records;
    }

    /// Give a time to each event since `mark` that says none. Who is given none is left to Python.
    ///
    /// `time` takes the place of a record in its portion.
    pub fn give_times<E>(
        &mut self,
        mark: Mark,
        time: impl Fn(usize) -> Result<Option<i64>, E>,
    ) -> Result<(), E> {
        let rows = &mut self.reader.rows.rows;
        let events = rows[mark.rows..].iter_mut().map(|row| (row.place as usize, &mut row.ts_ms));
        let strangers = self.strangers[mark.strangers..].iter_mut();
        let others = strangers.map(|stranger| (stranger.place, &mut stranger.ts_ms));
        for (place, ts_ms) in events.chain(others).filter(|(_, ts_ms)| **ts_ms == NO_TIME) {
            match time(place - mark.records)? {
                Some(ms) => {
                    *ts_ms = ms;
                    self.given.push(place);
                }
                None => self.left.push(place),
            }
        }
        self.left[mark.left..].sort_unstable();
        retain_from(rows, mark.rows, |row| row.ts_ms != NO_TIME);
        retain_from(&mut self.strangers, mark.strangers, |stranger| stranger.ts_ms != NO_TIME);
        Ok(())
    }

    /// Of the records since `mark`, the places within their portion of those whose bytes may be asked for again:
    /// what is no event or left to Python, and what is later than `newest_ms`.
    pub fn needed(&self, mark: Mark, newest_ms: i64) -> Vec<usize> {
        let rows = self.reader.rows.rows[mark.rows..].iter();
        let strangers = self.strangers[mark.strangers..].iter();
        let later = rows.filter(|row| row.ts_ms > newest_ms).map(|row| row.place as usize);
        let others = strangers.filter(|stranger| stranger.ts_ms > newest_ms).map(|stranger| stranger.place);
        let left = self.left[mark.left..].iter().copied();
        let refused = self.refused[mark.refused..].iter().map(|&(place, _)| place);
        left.chain(refused).chain(later).chain(others).map(|place| place - mark.records).collect()
    }

    /// Forget the records of which `kept` is 0; the others move up.
    pub fn keep(&mut self, kept: &[u8]) {
        let mut next = 0;
        let moved = kept.iter().map(|&is_kept| {
            let place = next;
            next += usize::from(is_kept != 0);
            place
        });
        let places: Vec<usize> = moved.collect();
        let is_kept = |place: usize| kept[place] != 0;
        let rows = &mut self.reader.rows.rows;
        rows.retain(|row: &Row| is_kept(row.place as usize));
        rows.iter_mut().for_each(|row| row.place = places[row.place as usize] as u32);
        self.strangers.retain(|stranger| is_kept(stranger.place));
        self.strangers.iter_mut().for_each(|stranger| stranger.place = places[stranger.place]);
        self.refused.retain(|&(place, _)| is_kept(place));
        self.refused.iter_mut().for_each(|(place, _)| *place = places[*place]);
        for each in [&mut self.left, &mut self.given] {
            each.retain(|&place| is_kept(place));
            each.iter_mut().for_each(|place| *place = places[*place]);
        }
        self.records = next;
    }
}

/// Keep those of the items from `first` on that are wanted; they stay in order.
fn retain_from<T>(items: &mut Vec<T>, first: usize, wanted: impl Fn(&T) -> bool) {
    let mut end = first;
    for place in first..items.len() {
        if wanted(&items[place]) {
            items.swap(end, place);
            end += 1;
        }
    }
    items.truncate(end);
}
