//! [`counts`](crate::counts) for Python: arrays in buffers.

use crate::counts::{packed_into, Numbers};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Bytes of counts of `rows` rows; None for arrays that are not in one piece.
#[pyfunction]
pub fn counts_bytes<'py>(
    py: Python<'py>,
    rows: u64,
    cells: PyBuffer<i64>,
    moments: Option<PyBuffer<i64>>,
) -> Option<Bound<'py, PyBytes>> {
    if cells.dimensions() != 2 {
        return None;
    }
    let columns = u32::try_from(cells.shape()[0]).ok()?;
    if columns == 0 || u32::try_from(cells.shape()[1]).is_err() {
        return None;
    }
    let moments = match &moments {
        None => None,
        Some(moments) => Some(numbers(py, moments)?),
    };
    let mut packed = Vec::new();
    let moments = moments.as_ref().map(|moments| moments as &dyn Numbers);
    packed_into(&mut packed, rows, columns, &numbers(py, &cells)?, moments);
    Some(PyBytes::new(py, &packed))
}

pub fn numbers(py: Python<'_>, array: &PyBuffer<i64>) -> Option<Vec<i64>> {
    array.as_slice(py).map(|values| values.iter().map(|value| value.get()).collect())
}
