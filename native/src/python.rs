//! A batch that has been read, as Python sees it.

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyByteArray, PyList};

use crate::batch::{Block, Grouped, Texts, Unknown};
use crate::blake2b::id_hash;
use crate::matrices::{begins, matrices, BlockCells, Matrices};
use crate::plan::Plan;
use crate::portions::Portions;
use crate::record::Reader;
use crate::rows::Answer;

/// A batch that has been read; see `driftstream_native.pyi`.
#[pyclass(frozen, module = "driftstream_native")]
pub struct Scanned {
    /// Rows that take Python.
    #[pyo3(get)]
    left: Vec<usize>,
    /// Rows that are no events: the first byte of each that is not UTF-8, nothing of those that were cut off.
    #[pyo3(get)]
    refused: Vec<(usize, Option<usize>)>,
    /// Rows that took the time of their Kafka record.
    #[pyo3(get)]
    fallbacks: usize,
    /// Version, first and last row of each block.
    #[pyo3(get)]
    blocks: Vec<(usize, usize, usize)>,
    /// Model, version and rows of what has no reference.
    #[pyo3(get)]
    unknown: Vec<(String, String, Py<PyByteArray>)>,
    #[pyo3(get)]
    ts_ms: Py<PyByteArray>,
    #[pyo3(get)]
    rows: Py<PyByteArray>,
    #[pyo3(get)]
    segments: Py<PyByteArray>,
    #[pyo3(get)]
    choices: Py<PyByteArray>,
    #[pyo3(get)]
    flags: Py<PyByteArray>,
    #[pyo3(get)]
    amounts: Py<PyByteArray>,
    matrices: Matrices,
    texts: Texts,
}

impl Scanned {
    /// Group what has been read; the reader is left for the next batch.
    pub fn new(py: Python, plan: &Plan, portions: Portions) -> PyResult<(Self, Box<Reader>)> {
        let Portions { mut reader, records, left, refused, strangers, given } = portions;
        let rows = &mut reader.rows;
        let grouped = Grouped::new(&rows.rows, plan.versions.len());
        let times = rows.rows.iter().map(|row| (row.place as usize, row.ts_ms));
        let times = times.chain(strangers.iter().map(|stranger| (stranger.place, stranger.ts_ms)));
        let ts_ms = buffer(py, 8 * records, |out| {
            out.fill(0xff); // of NO_TIME
            for (place, ts_ms) in times {
                out[8 * place..8 * place + 8].copy_from_slice(&ts_ms.to_ne_bytes());
            }
        })?;
        let mut unknown = Unknown::default();
        for stranger in &strangers {
            unknown.add(&stranger.model, &stranger.version, stranger.place);
        }
        let text = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
        let unknown = unknown.found.into_iter().map(|(model, version, places)| {
            let places = column(py, places.iter(), |place| place.to_ne_bytes())?;
            Ok((text(model), text(version), places))
        });
        let versions = |block: &Block| &plan.versions[block.version];
        let ordered = || grouped.order.iter().map(|&number| &rows.rows[number as usize]);
        let segments = matrices(&grouped, &rows.rows, &rows.segments, |block| {
            (versions(block).declared.segments.len(), |row| row.cells.segments)
        });
        let scanned = Scanned {
            unknown: unknown.collect::<PyResult<_>>()?,
            ts_ms,
            fallbacks: given.len(),
            left,
            refused: refused.into_iter().map(|(place, why)| (place, why.odd_byte())).collect(),
            blocks: grouped.blocks.iter().map(|block| (block.version, block.first, block.last)).collect(),
            rows: column(py, ordered(), |row| i64::from(row.place).to_ne_bytes())?,
            choices: column(py, ordered(), |row| row.choice.to_ne_bytes())?,
            flags: column(py, ordered(), |row| [u8::from(row.flag)])?,
            amounts: column(py, ordered(), |row| row.amount.to_ne_bytes())?,
            matrices: Matrices {
                numbers: matrices(&grouped, &rows.rows, &rows.numbers, |block| {
                    (versions(block).shape.numbers, |row| row.cells.numbers)
                }),
                codes: matrices(&grouped, &rows.rows, &rows.codes, |block| {
                    (versions(block).shape.codes, |row| row.cells.codes)
                }),
                begins: begins(&grouped, |block| {
                    (versions(block).shape.numbers, versions(block).shape.codes)
                }),
            },
            segments: column(py, segments.iter(), |code| code.to_ne_bytes())?,
            texts: Texts::new(rows, &grouped),
        };
        Ok((scanned, reader))
    }

    /// Cells of a block; `None` where there is none of that number.
    pub fn cells(&self, block: usize) -> Option<BlockCells<'_>> {
        let &(_, first, last) = self.blocks.get(block)?;
        self.matrices.cells(block, last - first)
    }

    fn rows(&self, first: usize, last: usize) -> PyResult<&Texts> {
        if first <= last && last <= self.texts.len() {
            Ok(&self.texts)
        } else {
            Err(PyIndexError::new_err(format!("rows {first} to {last} of {}", self.texts.len())))
        }
    }
}

fn no_block() -> PyErr {
    PyIndexError::new_err("there is no such block or column")
}

/// A new array of `size` bytes.
fn buffer(py: Python, size: usize, fill: impl FnOnce(&mut [u8])) -> PyResult<Py<PyByteArray>> {
    let array = PyByteArray::new_with(py, size, |out| {
        fill(out);
        Ok(())
    })?;
    Ok(array.unbind())
}

/// A new array of the bytes of each item.
fn column<I: ExactSizeIterator, const N: usize>(
    py: Python,
    items: I,
    bytes: impl Fn(I::Item) -> [u8; N],
) -> PyResult<Py<PyByteArray>> {
    buffer(py, N * items.len(), |out| {
        for (out, item) in out.chunks_exact_mut(N).zip(items) {
            out.copy_from_slice(&bytes(item));
        }
    })
}

#[pymethods]
impl Scanned {
    /// Columns of numbers of a block, `lines` from `first` on.
    fn numbers(&self, py: Python, block: usize, first: usize, lines: usize) -> PyResult<Py<PyByteArray>> {
        let found = self.cells(block).and_then(|cells| cells.numbers(first..first + lines));
        column(py, found.ok_or_else(no_block)?.iter(), |number| number.to_ne_bytes())
    }

    /// A column of numbers of some blocks, one after the other; `parts` are block and line.
    fn numbers_of(&self, py: Python, parts: Vec<(usize, usize)>) -> PyResult<Py<PyByteArray>> {
        let mut found = Vec::with_capacity(self.texts.len());
        for (block, line) in parts {
            let cells = self.cells(block).ok_or_else(no_block)?;
            found.extend_from_slice(cells.numbers(line..line + 1).ok_or_else(no_block)?);
        }
        column(py, found.iter(), |number| number.to_ne_bytes())
    }

    /// Columns of codes of a block, `lines` from `first` on.
    fn codes(&self, py: Python, block: usize, first: usize, lines: usize) -> PyResult<Py<PyByteArray>> {
        let found = self.cells(block).and_then(|cells| cells.codes(first..first + lines));
        column(py, found.ok_or_else(no_block)?.iter(), |code| code.to_ne_bytes())
    }

    /// Keys of the ids of rows `first..last`: 8 bytes each.
    fn keys(
        &self,
        py: Python,
        first: usize,
        last: usize,
        model: PyBackedStr,
        secret: &[u8],
    ) -> PyResult<Py<PyByteArray>> {
        self.keys_of(py, vec![(first, last, model)], secret)
    }

    /// Keys of the ids of some rows; `parts` are first row, the one behind the last, and model.
    fn keys_of(
        &self,
        py: Python,
        parts: Vec<(usize, usize, PyBackedStr)>,
        secret: &[u8],
    ) -> PyResult<Py<PyByteArray>> {
        if secret.len() > 64 {
            return Err(PyValueError::new_err(format!("a secret of {} bytes: 64 at most", secret.len())));
        }
        let mut keys: Vec<u64> = Vec::with_capacity(self.texts.len());
        let mut near = Vec::new();
        for (first, last, model) in &parts {
            let (texts, hash) = (self.rows(*first, *last)?, id_hash(model, secret));
            texts.ids(*first..*last, &mut near, |id| keys.push(hash.digest(id)[0]));
        }
        column(py, keys.iter(), |key| key.to_le_bytes())
    }

    /// Ids of rows `first..last`.
    fn ids(&self, first: usize, last: usize) -> PyResult<Vec<String>> {
        let texts = self.rows(first, last)?;
        Ok((first..last).map(|row| String::from_utf8_lossy(texts.id(row)).into_owned()).collect())
    }

    /// The different answers of rows `first..last`, and for each row which of them it is, as int32.
    fn answers<'py>(
        &self,
        py: Python<'py>,
        first: usize,
        last: usize,
    ) -> PyResult<(Bound<'py, PyList>, Py<PyByteArray>)> {
        let texts = self.rows(first, last)?;
        let (found, codes) = texts.answers(first, last);
        let values = PyList::empty(py);
        for answer in found {
            match answer {
                Answer::Null => values.append(py.None())?,
                Answer::Truth(truth) => values.append(truth)?,
                Answer::Whole(number) => values.append(number)?,
                Answer::Float(number) => values.append(number)?,
                Answer::Text { start, len } => {
                    values.append(String::from_utf8_lossy(texts.bytes(start, len)))?
                }
            }
        }
        Ok((values, column(py, codes.iter(), |code| code.to_ne_bytes())?))
    }
}
