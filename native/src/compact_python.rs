//! [`compact`](crate::compact) for Python.

use crate::compact::Compact;
use crate::counts::{crc32, crc32_of_both};
use crate::counts_python::numbers;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes};

/// Counts of one pane; see `driftstream_native.pyi`.
#[pyclass(module = "driftstream_native")]
pub struct CompactCounts {
    pub inner: Compact,
}

#[pymethods]
impl CompactCounts {
    #[getter]
    fn rows(&self) -> u64 {
        self.inner.rows()
    }

    #[getter]
    fn cells<'py>(&self, py: Python<'py>) -> Bound<'py, PyByteArray> {
        bytes_of(py, &self.inner.cells())
    }

    #[getter]
    fn moments<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyByteArray>> {
        self.inner.sums().map(|sums| bytes_of(py, &sums))
    }

    /// Add other counts.
    fn merge(
        &mut self,
        py: Python<'_>,
        rows: u64,
        cells: PyBuffer<i64>,
        moments: Option<PyBuffer<i64>>,
    ) -> PyResult<()> {
        let wrong = || PyValueError::new_err("counts must be whole arrays of the same shape");
        let columns = cells.shape().first().copied().filter(|_| cells.dimensions() == 2);
        let more = numbers(py, &cells).ok_or_else(wrong)?;
        let sums = moments.map(|moments| numbers(py, &moments).ok_or_else(wrong)).transpose()?;
        let pairs = sums.as_ref().map_or_else(|| self.inner.pairs(), Vec::len);
        if !self.inner.has_shape(columns.ok_or_else(wrong)?, more.len(), pairs) {
            return Err(wrong());
        }
        self.inner.merge(rows, &more, sums.as_deref());
        Ok(())
    }

    /// The stored form.
    fn packed<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut bytes = Vec::new();
        self.inner.pack(&mut bytes);
        PyBytes::new(py, &bytes)
    }

    /// `head` and the stored form, behind `start`, their length and checksum.
    fn framed<'py>(&self, py: Python<'py>, start: &[u8], head: &[u8]) -> Bound<'py, PyBytes> {
        let mut bytes = Vec::new();
        self.frame(&mut bytes, start, head);
        PyBytes::new(py, &bytes)
    }
}

impl CompactCounts {
    fn frame(&self, bytes: &mut Vec<u8>, start: &[u8], head: &[u8]) {
        bytes.extend_from_slice(start);
        let place = bytes.len();
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(head);
        let (rest, checksum) = self.inner.pack(bytes);
        let payload = place + 8;
        let checksum = crc32_of_both(crc32(&bytes[payload..rest]), checksum, (bytes.len() - rest) as u32);
        let length = (bytes.len() - payload) as u32;
        bytes[place..place + 4].copy_from_slice(&length.to_le_bytes());
        bytes[place + 4..payload].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Counts, first and last time of their events, and what is to follow.
type Pane<'py> = (PyRef<'py, CompactCounts>, i64, i64, PyBackedBytes);

/// Panes as arguments for Redis, each behind `start`; see `driftstream_native.pyi`.
#[pyfunction]
pub fn bulk_panes<'py>(py: Python<'py>, start: &[u8], panes: Vec<Pane<'py>>) -> Bound<'py, PyBytes> {
    let (mut bytes, mut framed) = (Vec::new(), Vec::new());
    for (counts, first_ms, last_ms, behind) in &panes {
        let mut head = [0; 16];
        head[..8].copy_from_slice(&first_ms.to_le_bytes());
        head[8..].copy_from_slice(&last_ms.to_le_bytes());
        framed.clear();
        counts.frame(&mut framed, start, &head);
        bytes.extend_from_slice(format!("${}\r\n", framed.len()).as_bytes());
        bytes.extend_from_slice(&framed);
        bytes.extend_from_slice(behind);
    }
    PyBytes::new(py, &bytes)
}

fn bytes_of<'py>(py: Python<'py>, numbers: &[i64]) -> Bound<'py, PyByteArray> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
    PyByteArray::new(py, &bytes)
}
