//! [`tally`](crate::tally) for Python: arrays in buffers, checked before the first row is counted.

use crate::compact::{Compact, LARGEST_SCORE};
use crate::compact_python::CompactCounts;
use crate::counts_python::numbers;
use crate::tally::{Edges, Grouped};
use crate::tiles::Tile;
use pyo3::buffer::{Element, PyBuffer, ReadOnlyCell};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

const MISSING: i32 = -1;
const UNSEEN: i32 = -2;
const INVALID: i32 = -3;
const SPECIAL: usize = 3; // the last cells: missing, invalid, unseen

/// Name, edges (none of categories), value cells, scores of the cells where pairs are watched.
type Spec = (Py<PyString>, Option<Vec<f64>>, i32, Option<Vec<i16>>);

enum Kind {
    Numbers(Edges),
    Codes(i32),
}

struct Column {
    name: Py<PyString>,
    kind: Kind,
    scores: Option<Vec<i16>>, // by cell, where pairs of this column are watched
}

/// An array of a column, held for as long as it is read.
enum Array {
    Numbers(PyBuffer<f64>),
    Codes(PyBuffer<i32>),
    Absent,
}

/// Values of one column.
pub enum Values<'a> {
    Numbers(&'a [ReadOnlyCell<f64>]),
    Codes(&'a [ReadOnlyCell<i32>]),
    ScannedNumbers(&'a [f64]),
    ScannedCodes(&'a [i32]),
    Absent,
}

/// How the columns of one binning are counted.
#[pyclass(frozen, module = "driftstream_native")]
pub struct Tally {
    columns: Vec<Column>,
    width: usize,
    scored: usize,
}

#[pymethods]
impl Tally {
    #[new]
    fn new(columns: Vec<Spec>, width: usize) -> PyResult<Tally> {
        let scored = columns.iter().filter(|column| column.3.is_some()).count();
        let columns = columns
            .into_iter()
            .map(|(name, edges, cells, scores)| {
                let bounds = edges.as_ref().map_or(0, |edges| edges.len() + 1);
                if cells < 0 || bounds > 251 || bounds.max(cells as usize) + SPECIAL > width {
                    return Err(PyValueError::new_err("a column has more cells than there is room for"));
                }
                if scores.iter().flatten().any(|score| !(-LARGEST_SCORE..=LARGEST_SCORE).contains(score)) {
                    return Err(PyValueError::new_err("a score is too large to be multiplied"));
                }
                let scores = scores.map(|mut scores| {
                    scores.resize(width, 0);
                    scores
                });
                let kind = match edges {
                    Some(edges) => Kind::Numbers(Edges::new(&edges)),
                    None => Kind::Codes(cells),
                };
                Ok(Column { name, kind, scores })
            })
            .collect::<PyResult<_>>()?;
        Ok(Tally { columns, width, scored })
    }

    /// Counts of no rows.
    fn no_counts(&self) -> CompactCounts {
        let pairs = self.scored * self.scored.saturating_sub(1) / 2;
        let pairs = if self.scored > 0 { Some(pairs) } else { None };
        CompactCounts { inner: Compact::new(self.columns.len(), self.width, pairs) }
    }

    /// Count rows into `counts[group]`; false where an array is of a kind that is left to numpy: then nothing
    /// was counted.
    fn count(
        &self,
        py: Python<'_>,
        columns: &Bound<'_, PyDict>,
        group: PyBuffer<i64>,
        mut counts: Vec<PyRefMut<'_, CompactCounts>>,
    ) -> PyResult<bool> {
        let group = match numbers(py, &group) {
            Some(group) => group,
            None => return Ok(false),
        };
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            match column.array(columns, group.len())? {
                Some(found) => arrays.push(found),
                None => return Ok(false),
            }
        }
        let values: Vec<Values> = arrays.iter().map(|array| array.values(py)).collect();
        let mut targets: Vec<&mut Compact> = counts.iter_mut().map(|counts| &mut counts.inner).collect();
        self.add(&values, &group, &mut targets, &mut Tile::default())?;
        Ok(true)
    }
}

impl Tally {
    /// Kinds of the columns: whether each is of numbers.
    pub fn are_numbers(&self) -> impl Iterator<Item = bool> + '_ {
        self.columns.iter().map(|column| matches!(column.kind, Kind::Numbers(_)))
    }

    /// Count every column of rows into `targets[group]`.
    pub fn add(
        &self,
        values: &[Values],
        group: &[i64],
        targets: &mut [&mut Compact],
        tile: &mut Tile,
    ) -> PyResult<()> {
        for (column, values) in self.columns.iter().zip(values) {
            column.check(values)?;
        }
        let pairs = self.scored * self.scored.saturating_sub(1) / 2;
        let cells = self.columns.len() * self.width;
        if !targets.iter().all(|target| target.has_shape(self.columns.len(), cells, pairs)) {
            return Err(PyValueError::new_err("counts are of other columns"));
        }
        let grouped = Grouped::new(group, targets.len())
            .ok_or_else(|| PyValueError::new_err(format!("a group is not in [-1, {})", targets.len())))?;
        for (target, bounds) in targets.iter_mut().zip(grouped.bounds.windows(2)) {
            target.take((bounds[1] - bounds[0]) as u64);
        }
        tile.fit(self.columns.len(), self.scored);
        tile.count(&grouped, targets, |tile| {
            let mut slot = 0;
            for (j, (column, values)) in self.columns.iter().zip(values).enumerate() {
                self.place(tile, (j, slot), column, values);
                slot += usize::from(column.scores.is_some());
            }
        });
        Ok(())
    }

    /// Find the cells of a column.
    fn place(&self, tile: &mut Tile, place: (usize, usize), column: &Column, values: &Values) {
        let special = self.width - SPECIAL;
        match (&column.kind, values) {
            (Kind::Numbers(edges), Values::Numbers(found)) => {
                self.note(tile, place, column, |row| number_cell(edges, found[row].get(), special));
            }
            (Kind::Numbers(edges), Values::ScannedNumbers(found)) => {
                self.note(tile, place, column, |row| number_cell(edges, found[row], special));
            }
            (_, Values::Codes(found)) => {
                self.note(tile, place, column, |row| code_cell(found[row].get(), special));
            }
            (_, Values::ScannedCodes(found)) => {
                self.note(tile, place, column, |row| code_cell(found[row], special));
            }
            _ => self.note(tile, place, column, |_| special),
        }
    }

    #[inline]
    fn note(
        &self,
        tile: &mut Tile,
        (j, slot): (usize, usize),
        column: &Column,
        cell: impl Fn(usize) -> usize,
    ) {
        match &column.scores {
            None => tile.place(j, j * self.width, cell),
            Some(table) => tile.place_scored((j, j * self.width), (slot, table), cell),
        }
    }
}

impl Array {
    fn values<'a>(&'a self, py: Python<'a>) -> Values<'a> {
        match self {
            Array::Numbers(buffer) => Values::Numbers(buffer.as_slice(py).unwrap_or(&[])),
            Array::Codes(buffer) => Values::Codes(buffer.as_slice(py).unwrap_or(&[])),
            Array::Absent => Values::Absent,
        }
    }
}

impl Column {
    /// The array of this column; `None` where it is not of the kind, or not in one piece.
    fn array(&self, columns: &Bound<'_, PyDict>, rows: usize) -> PyResult<Option<Array>> {
        let py = columns.py();
        let array = match columns.get_item(&self.name)? {
            Some(array) => array,
            None => return Ok(Some(Array::Absent)),
        };
        match &self.kind {
            Kind::Numbers(_) => Ok(taken(py, &array, rows)?.map(Array::Numbers)),
            Kind::Codes(_) => Ok(taken(py, &array, rows)?.map(Array::Codes)),
        }
    }

    /// Refuse codes that have no cell.
    fn check(&self, values: &Values) -> PyResult<()> {
        let cells = match &self.kind {
            Kind::Codes(cells) => *cells,
            Kind::Numbers(_) => return Ok(()),
        };
        let found = match values {
            Values::Codes(codes) => outside(codes.iter().map(ReadOnlyCell::get), cells),
            Values::ScannedCodes(codes) => outside(codes.iter().copied(), cells),
            _ => None,
        };
        found.map_or(Ok(()), |code| {
            let known = format!("codes must lie in [{INVALID}, {cells}), there is {code}");
            Err(PyValueError::new_err(known))
        })
    }
}

fn outside(mut codes: impl Iterator<Item = i32>, cells: i32) -> Option<i32> {
    codes.find(|code| !(INVALID..cells).contains(code))
}

fn taken<T: Element>(py: Python<'_>, array: &Bound<'_, PyAny>, rows: usize) -> PyResult<Option<PyBuffer<T>>> {
    let buffer = match PyBuffer::<T>::get(array) {
        Ok(buffer) => buffer,
        Err(_) => return Ok(None),
    };
    if buffer.dimensions() != 1 || buffer.as_slice(py).is_none() {
        return Ok(None);
    }
    if buffer.item_count() != rows {
        let sizes =
            format!("columns and groups must be equally long, not {} and {rows}", buffer.item_count());
        return Err(PyValueError::new_err(sizes));
    }
    Ok(Some(buffer))
}

#[inline]
fn number_cell(edges: &Edges, value: f64, special: usize) -> usize {
    if value.is_finite() {
        edges.cell(value)
    } else if value.is_nan() {
        special
    } else {
        special + 1
    }
}

#[inline]
fn code_cell(code: i32, special: usize) -> usize {
    match code {
        MISSING => special,
        INVALID => special + 1,
        UNSEEN => special + 2,
        code => code as usize,
    }
}
