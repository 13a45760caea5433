//! Reading in portions as Python sees it.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::plan::Plan;
use crate::portions::Portions;
use crate::python::Scanned;
use crate::record::Reader;
use crate::spec::{plan, LimitsSpec, ModelSpec, VersionSpec};

/// Cells of a batch beyond which its buffers are given back: 64 MB.
const KEPT_CELLS: usize = 8 << 20;

/// Reads batches of record values; see `driftstream_native.pyi`.
#[pyclass(frozen, module = "driftstream_native")]
pub struct Scanner {
    plan: Arc<Plan>,
    /// What the last batch has left: buffers, and in which order keys came.
    idle: Arc<Mutex<Option<Box<Reader>>>>,
}

#[pymethods]
impl Scanner {
    #[new]
    fn new(
        labels: bool,
        limits: LimitsSpec,
        models: Vec<ModelSpec>,
        versions: Vec<VersionSpec>,
    ) -> PyResult<Self> {
        Ok(Scanner { plan: Arc::new(plan(labels, limits, models, versions)?), idle: Arc::default() })
    }

    /// A batch that comes in portions.
    fn begin(&self) -> Reading {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let reader = idle.unwrap_or_else(|| Box::new(Reader::new(Arc::clone(&self.plan))));
        Reading {
            plan: Arc::clone(&self.plan),
            idle: Arc::clone(&self.idle),
            held: Mutex::new(Some(Portions::new(reader))),
        }
    }
}

/// A batch of which some has been read; see `driftstream_native.pyi`.
#[pyclass(frozen, module = "driftstream_native")]
pub struct Reading {
    plan: Arc<Plan>,
    idle: Arc<Mutex<Option<Box<Reader>>>>,
    /// Nothing while a portion is read, and after the last one.
    held: Mutex<Option<Portions>>,
}

impl Reading {
    fn take(&self) -> PyResult<Portions> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        held.ok_or_else(|| PyValueError::new_err("the batch is finished, or read by another thread"))
    }

    fn put_back(&self, portions: Portions) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(portions);
    }
}

#[pymethods]
impl Reading {
    /// Read the next records; tell which of them may be asked for again.
    fn read(
        &self,
        py: Python,
        values: &Bound<PyList>,
        record_ms: &Bound<PyAny>,
        newest_ms: i64,
    ) -> PyResult<Vec<usize>> {
        let held: Vec<Option<Bound<PyBytes>>> =
            values.iter().map(|value| value.downcast_into::<PyBytes>().ok()).collect();
        let texts: Vec<&[u8]> =
            held.iter().map(|value| value.as_ref().map_or(&[][..], |value| value.as_bytes())).collect();
        let mut portions = self.take()?;
        let mark = portions.mark();
        let range = self.plan.limits.min_ms..=self.plan.limits.max_ms;
        let read = py.allow_threads(|| catch_unwind(AssertUnwindSafe(|| portions.read(&texts))));
        if read.is_err() {
            portions.start_again(mark, &self.plan);
            self.put_back(portions);
            return Err(PyRuntimeError::new_err("the compiled decoder has panicked"));
        }
        let timed: PyResult<()> = portions.give_times(mark, |place| {
            let given = record_ms.get_item(place)?.extract().ok();
            Ok(given.filter(|ms| range.contains(ms)))
        });
        if timed.is_err() {
            portions.go_back(mark);
        }
        let needed = timed.map(|()| portions.needed(mark, newest_ms));
        self.put_back(portions);
        needed
    }

    /// Leave the next records to Python.
    fn leave(&self, records: usize) -> PyResult<()> {
        let mut portions = self.take()?;
        portions.leave(records);
        self.put_back(portions);
        Ok(())
    }

    /// The batch; `kept` has a byte for each record, 0 for those that are none of it after all.
    #[pyo3(signature = (kept=None))]
    fn finish(&self, py: Python, kept: Option<&[u8]>) -> PyResult<Scanned> {
        let mut portions = self.take()?;
        if let Some(kept) = kept {
            if kept.len() != portions.records {
                let reason = format!("{} of {} records: one byte for each", kept.len(), portions.records);
                self.put_back(portions);
                return Err(PyValueError::new_err(reason));
            }
            portions.keep(kept);
        }
        let (scanned, reader) = Scanned::new(py, &self.plan, portions)?;
        if reader.rows.numbers.capacity() + reader.rows.codes.capacity() < KEPT_CELLS {
            *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader);
        }
        Ok(scanned)
    }
}
