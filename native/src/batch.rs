//! A batch that has been read: its rows by model version, its columns feature by feature.

use std::collections::HashMap;
use std::ops::Range;

use crate::rows::{Answer, Row, Rows};

/// Rows whose cells are copied at once, so that they are still in the caches for the next column.
const TILE: usize = 64;

/// Answers that are looked for one by one: most models have few.
const FEW: usize = 8;

/// The events of one version, in the order of the batch.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Number of the version.
    pub version: usize,
    /// Its rows: `order[first..last]`.
    pub first: usize,
    /// Behind its last row.
    pub last: usize,
}

/// Rows sorted by version; versions in the order in which they came.
#[derive(Debug)]
pub struct Grouped {
    /// The versions that are there.
    pub blocks: Vec<Block>,
    /// Numbers of the rows, block by block.
    pub order: Vec<u32>,
}

impl Grouped {
    /// Group `rows`, stably.
    pub fn new(rows: &[Row], versions: usize) -> Self {
        let mut sizes = vec![0u32; versions];
        let mut blocks = Vec::new();
        for row in rows {
            let version = row.version as usize;
            if sizes[version] == 0 {
                blocks.push(Block { version, first: 0, last: 0 });
            }
            sizes[version] += 1;
        }
        let mut next = 0;
        for block in &mut blocks {
            block.first = next;
            next += std::mem::replace(&mut sizes[block.version], next as u32) as usize;
            block.last = next;
        }
        let mut order = vec![0; rows.len()];
        for (number, row) in rows.iter().enumerate() {
            let next = &mut sizes[row.version as usize];
            order[*next as usize] = number as u32;
            *next += 1;
        }
        Grouped { blocks, order }
    }

    /// Write `width` cells of each row of `block`, cell by cell: `out` takes all first ones, all second ones.
    ///
    /// `begin` tells where the cells of a row are in `cells`.
    pub fn transpose<T: Copy>(
        &self,
        block: &Block,
        rows: &[Row],
        (cells, width): (&[T], usize),
        begin: impl Fn(&Row) -> u32,
        out: &mut [T],
    ) {
        let order = &self.order[block.first..block.last];
        for (tile, places) in order.chunks(TILE).enumerate() {
            let mut begins = [0; TILE];
            for (begun, &number) in begins.iter_mut().zip(places) {
                *begun = begin(&rows[number as usize]) as usize;
            }
            for cell in 0..width {
                let at = cell * order.len() + tile * TILE;
                for (out, begun) in out[at..at + places.len()].iter_mut().zip(&begins) {
                    *out = cells[begun + cell];
                }
            }
        }
    }
}

/// What can be asked of a batch later: ids and answers, block by block.
#[derive(Debug)]
pub struct Texts {
    texts: Vec<u8>,
    ids: Vec<(u32, u32)>,
    answers: Vec<Answer>,
}

impl Texts {
    /// Those of `rows`, in the order of `grouped`. Takes the texts.
    pub fn new(rows: &mut Rows, grouped: &Grouped) -> Self {
        let ordered = || grouped.order.iter().map(|&number| &rows.rows[number as usize]);
        let ids = ordered().map(|row| (row.id, u32::from(row.id_len))).collect();
        let answers = ordered().map(|row| row.answer).collect();
        Texts { ids, answers, texts: rows.take_texts() }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The id of a row.
    pub fn id(&self, row: usize) -> &[u8] {
        let (start, len) = self.ids[row];
        self.bytes(start, len)
    }

    /// Call `each` with the ids of some rows. A few at a time are copied to `near` first: those of one model
    /// lie far apart, and what is copied one after another is waited for together.
    pub fn ids(&self, rows: Range<usize>, near: &mut Vec<u8>, mut each: impl FnMut(&[u8])) {
        for some in self.ids[rows].chunks(TILE) {
            near.clear();
            for &(start, len) in some {
                near.extend_from_slice(self.bytes(start, len));
            }
            let mut rest = &near[..];
            for &(_, len) in some {
                let (id, others) = rest.split_at(len as usize);
                each(id);
                rest = others;
            }
        }
    }

    /// A text that an answer names.
    pub fn bytes(&self, start: u32, len: u32) -> &[u8] {
        &self.texts[start as usize..][..len as usize]
    }

    /// The answers of rows `first..last`: the different ones, and for each row which of them.
    pub fn answers(&self, first: usize, last: usize) -> (Vec<Answer>, Vec<u32>) {
        let mut found: Vec<Answer> = Vec::new();
        let mut codes = Vec::with_capacity(last - first);
        let mut few: Vec<Key> = Vec::with_capacity(FEW);
        let mut many = HashMap::new();
        for &answer in &self.answers[first..last] {
            let key = self.key(answer);
            let code = match few.iter().position(|&known| known == key) {
                Some(place) => place as u32,
                None => *many.entry(key).or_insert_with(|| {
                    if few.len() < FEW {
                        few.push(key);
                    }
                    found.push(answer);
                    found.len() as u32 - 1
                }),
            };
            codes.push(code);
        }
        (found, codes)
    }

    fn key(&self, answer: Answer) -> Key<'_> {
        // Of nothing, but of a place that exists: libc compares no bytes nowhere at the cost of a hundred.
        let nothing = &self.texts[..0];
        match answer {
            Answer::Null => (0, 0, nothing),
            Answer::Truth(truth) => (1, u64::from(truth), nothing),
            Answer::Whole(number) => (2, number as u64, nothing),
            Answer::Float(number) => (3, number.to_bits(), nothing),
            Answer::Text { start, len } => (4, 0, self.bytes(start, len)),
        }
    }
}

/// What makes two answers the same.
type Key<'t> = (u8, u64, &'t [u8]);

/// Events of models and versions without a reference.
#[derive(Debug, Default)]
pub struct Unknown {
    numbers: HashMap<(Vec<u8>, Vec<u8>), usize>,
    /// Model, version and rows of each.
    pub found: Vec<(Vec<u8>, Vec<u8>, Vec<i64>)>,
}

impl Unknown {
    /// Add a row.
    pub fn add(&mut self, model: &[u8], version: &[u8], place: usize) {
        let found = &mut self.found;
        let number = *self.numbers.entry((model.to_vec(), version.to_vec())).or_insert_with(|| {
            found.push((model.to_vec(), version.to_vec(), Vec::new()));
            found.len() - 1
        });
        found[number].2.push(place as i64);
    }
}
