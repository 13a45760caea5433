//! Counting of all blocks of a scanned batch in one call.

use crate::compact::Compact;
use crate::compact_python::CompactCounts;
use crate::counts_python::numbers;
use crate::python::Scanned;
use crate::tally_python::{Tally, Values};
use crate::tiles::Tile;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;

/// A tally, and the line of each of its columns in the blocks of a version; see `driftstream_native.pyi`.
#[pyclass(frozen, module = "driftstream_native")]
pub struct PlacedTally {
    tally: Py<Tally>,
    lines: Vec<Option<usize>>,
}

#[pymethods]
impl PlacedTally {
    #[new]
    fn new(tally: Py<Tally>, lines: Vec<Option<usize>>) -> PlacedTally {
        PlacedTally { tally, lines }
    }
}

/// A block: how it is counted, its number in the batch, its first row in `group`, the first of its counts and
/// the one behind.
type Part<'py> = (Bound<'py, PlacedTally>, usize, usize, usize, usize);

/// Count blocks of `scanned`: row i of all into the counts of its block at `group[i]`.
#[pyfunction]
pub fn count_scanned(
    scanned: PyRef<'_, Scanned>,
    parts: Vec<Part<'_>>,
    group: PyBuffer<i64>,
    mut counts: Vec<PyRefMut<'_, CompactCounts>>,
) -> PyResult<()> {
    let group =
        numbers(scanned.py(), &group).ok_or_else(|| PyValueError::new_err("groups must be in one piece"))?;
    let mut targets: Vec<&mut Compact> = counts.iter_mut().map(|counts| &mut counts.inner).collect();
    let wrong = || PyIndexError::new_err("there is no such block, column, row or pane");
    let mut tile = Tile::default();
    for (placed, block, first, from, to) in parts {
        let cells = scanned.cells(block).ok_or_else(wrong)?;
        let (tally, lines) = (placed.get().tally.get(), &placed.get().lines);
        let values: Option<Vec<Values>> = tally
            .are_numbers()
            .zip(lines)
            .map(|(is_number, line)| match *line {
                None => Some(Values::Absent),
                Some(line) if is_number => cells.numbers(line..line + 1).map(Values::ScannedNumbers),
                Some(line) => cells.codes(line..line + 1).map(Values::ScannedCodes),
            })
            .collect();
        let rows = group.get(first..first + cells.rows).ok_or_else(wrong)?;
        let targets = targets.get_mut(from..to).ok_or_else(wrong)?;
        tally.add(&values.ok_or_else(wrong)?, rows, targets, &mut tile)?;
    }
    Ok(())
}
