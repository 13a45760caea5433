//! [`tally`](crate::tally) for Python: arrays in buffers, checked before the first row is counted.

use crate::tally::{dot, Edges, Grouped};
use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::cell::Cell;
use std::ops::Range;

const MISSING: i32 = -1;
const UNSEEN: i32 = -2;
const INVALID: i32 = -3;
const SPECIAL: usize = 3; // the last cells: missing, invalid, unseen

enum Kind {
    Numbers(Edges),
    Codes(i32),
}

struct Column {
    name: Py<PyString>,
    kind: Kind,
    scores: Option<Vec<i16>>, // by cell, where pairs of this column are watched
}

enum Values {
    Numbers(PyBuffer<f64>),
    Codes(PyBuffer<i32>),
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
    fn new(
        columns: Vec<(Py<PyString>, Option<Vec<f64>>, i32, Option<Vec<i16>>)>,
        width: usize,
    ) -> PyResult<Tally> {
        let scored = columns.iter().filter(|column| column.3.is_some()).count();
        let columns = columns
            .into_iter()
            .map(|(name, edges, cells, scores)| {
                let bounds = edges.as_ref().map_or(0, |edges| edges.len() + 1);
                if cells < 0 || bounds > 251 || bounds.max(cells as usize) + SPECIAL > width {
                    return Err(PyValueError::new_err("a column has more cells than there is room for"));
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

    /// Count rows into `cells[group]` and `moments[group]`; the rows of each group.
    ///
    /// None where an array is of a kind that is left to numpy: then nothing was counted.
    fn count(
        &self,
        py: Python<'_>,
        columns: &Bound<'_, PyDict>,
        group: PyBuffer<i64>,
        cells: Vec<PyBuffer<i64>>,
        moments: Option<Vec<PyBuffer<i64>>>,
    ) -> PyResult<Option<Vec<usize>>> {
        let group = match read(py, &group) {
            Some(group) => group,
            None => return Ok(None),
        };
        let mut values = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            match column.values(columns, group.len())? {
                Some(found) => values.push(found),
                None => return Ok(None),
            }
        }
        let grouped = Grouped::new(&group, cells.len())
            .ok_or_else(|| PyValueError::new_err(format!("a group is not in [-1, {})", cells.len())))?;
        let targets = room(py, &cells, self.columns.len() * self.width)?;
        let sums = match &moments {
            Some(moments) if moments.len() == cells.len() => {
                room(py, moments, self.scored * self.scored.saturating_sub(1) / 2)?
            }
            None if self.scored == 0 => Vec::new(),
            _ => return Err(PyValueError::new_err("moments are given where pairs are watched, one a group")),
        };
        let scores = self.add(py, &values, &grouped, &targets);
        self.multiply(&grouped, &scores, &sums);
        Ok(Some(grouped.bounds.windows(2).map(|pair| pair[1] - pair[0]).collect()))
    }
}

impl Tally {
    /// Count every column; the scores of the columns whose pairs are watched, one after the other.
    fn add(
        &self,
        py: Python<'_>,
        values: &[Values],
        grouped: &Grouped,
        targets: &[&[Cell<i64>]],
    ) -> Vec<i16> {
        let rows = *grouped.bounds.last().unwrap_or(&0);
        let special = self.width - SPECIAL;
        let mut scores = vec![0i16; self.scored * rows];
        let mut rest = &mut scores[..];
        for (j, (column, values)) in self.columns.iter().zip(values).enumerate() {
            let (mine, others) = rest.split_at_mut(if column.scores.is_some() { rows } else { 0 });
            rest = others;
            let into = Into { grouped, targets, place: j * self.width..(j + 1) * self.width };
            let table = column.scores.as_deref();
            match (&column.kind, values) {
                (Kind::Numbers(edges), Values::Numbers(buffer)) => {
                    let values = buffer.as_slice(py).unwrap_or(&[]);
                    into.add(|row| number_cell(edges, values[row].get(), special), table, mine);
                }
                (_, Values::Codes(buffer)) => {
                    let codes = buffer.as_slice(py).unwrap_or(&[]);
                    into.add(|row| code_cell(codes[row].get(), special), table, mine);
                }
                _ => into.add(|_| special, table, mine),
            }
        }
        scores
    }

    fn multiply(&self, grouped: &Grouped, scores: &[i16], sums: &[&[Cell<i64>]]) {
        let rows = *grouped.bounds.last().unwrap_or(&0);
        for (into, bounds) in sums.iter().zip(grouped.bounds.windows(2)) {
            let column = |slot: usize| &scores[slot * rows + bounds[0]..slot * rows + bounds[1]];
            let mut pair = 0;
            for left in 0..self.scored {
                for right in left + 1..self.scored {
                    into[pair].set(into[pair].get() + dot(column(left), column(right)));
                    pair += 1;
                }
            }
        }
    }
}

impl Column {
    /// The array of this column; `None` where it is not of the kind, or not in one piece.
    fn values(&self, columns: &Bound<'_, PyDict>, rows: usize) -> PyResult<Option<Values>> {
        let py = columns.py();
        let array = match columns.get_item(&self.name)? {
            Some(array) => array,
            None => return Ok(Some(Values::Absent)),
        };
        match &self.kind {
            Kind::Numbers(_) => Ok(taken(py, &array, rows)?.map(Values::Numbers)),
            Kind::Codes(cells) => {
                let codes: PyBuffer<i32> = match taken(py, &array, rows)? {
                    Some(codes) => codes,
                    None => return Ok(None),
                };
                let known = INVALID..*cells;
                let found = codes.as_slice(py).unwrap_or(&[]);
                if let Some(code) = found.iter().find(|code| !known.contains(&code.get())) {
                    return Err(PyValueError::new_err(format!(
                        "codes must lie in [{}, {}), there is {}",
                        INVALID,
                        cells,
                        code.get()
                    )));
                }
                Ok(Some(Values::Codes(codes)))
            }
        }
    }
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

fn read(py: Python<'_>, group: &PyBuffer<i64>) -> Option<Vec<i64>> {
    group.as_slice(py).map(|values| values.iter().map(|value| value.get()).collect())
}

fn room<'a>(py: Python<'a>, arrays: &'a [PyBuffer<i64>], size: usize) -> PyResult<Vec<&'a [Cell<i64>]>> {
    let fits = |array: &'a PyBuffer<i64>| array.as_mut_slice(py).filter(|cells| cells.len() == size);
    let wrong = || PyValueError::new_err(format!("counts must be writable arrays of {size} numbers"));
    arrays.iter().map(|array| fits(array).ok_or_else(wrong)).collect()
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

/// Where one column is counted.
struct Into<'a> {
    grouped: &'a Grouped,
    targets: &'a [&'a [Cell<i64>]],
    place: Range<usize>,
}

impl Into<'_> {
    /// Count the column and note the scores of its cells.
    #[inline]
    fn add(&self, cell: impl Fn(usize) -> usize, table: Option<&[i16]>, scores: &mut [i16]) {
        let mut scores = scores.iter_mut();
        for (target, bounds) in self.targets.iter().zip(self.grouped.bounds.windows(2)) {
            let counts = &target[self.place.clone()];
            let count = |cell: usize| counts[cell].set(counts[cell].get() + 1);
            match table {
                None => self.grouped.rows(bounds[0]..bounds[1], |row| count(cell(row))),
                Some(table) => self.grouped.rows(bounds[0]..bounds[1], |row| {
                    let cell = cell(row);
                    count(cell);
                    if let Some(score) = scores.next() {
                        *score = table[cell];
                    }
                }),
            }
        }
    }
}
