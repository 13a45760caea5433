//! [`compact`](crate::compact) for Python.

use crate::compact::Compact;
use crate::counts::crc32;
use crate::counts_python::numbers;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
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
        let mut bytes = start.to_vec();
        bytes.extend_from_slice(&[0; 8]);
        let payload = bytes.len();
        bytes.extend_from_slice(head);
        self.inner.pack(&mut bytes);
        let (length, checksum) = ((bytes.len() - payload) as u32, crc32(&bytes[payload..]));
        bytes[start.len()..start.len() + 4].copy_from_slice(&length.to_le_bytes());
        bytes[start.len() + 4..payload].copy_from_slice(&checksum.to_le_bytes());
        PyBytes::new(py, &bytes)
    }
}

fn bytes_of<'py>(py: Python<'py>, numbers: &[i64]) -> Bound<'py, PyByteArray> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
    PyByteArray::new(py, &bytes)
}
