//! The hot path of driftstream's ingest, compiled: JSON records to columns.
//!
//! `stream.codec` in Python is what a record means; what is here takes the records of which it is certain and
//! leaves every other one to it.

#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "python"), allow(dead_code))] // the pure parts are tested alone

mod batch;
mod blake2b;
mod cells;
mod compact;
mod counts;
mod cursor;
mod matrices;
mod number;
mod plan;
mod portions;
mod record;
mod refusal;
mod rows;
mod scalars;
mod skip;
mod table;
mod tally;
mod tiles;
mod time;

#[cfg(feature = "python")]
mod batch_tally_python;
#[cfg(feature = "python")]
mod compact_python;
#[cfg(feature = "python")]
mod counts_python;
#[cfg(feature = "python")]
mod portions_python;
#[cfg(feature = "python")]
mod python;
#[cfg(feature = "python")]
mod spec;
#[cfg(feature = "python")]
mod tally_python;

#[cfg(feature = "python")]
use pyo3::prelude::*;

/// The compiled half of `stream.codec`; see `driftstream_native.pyi`.
#[cfg(feature = "python")]
#[pymodule]
fn driftstream_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<portions_python::Scanner>()?;
    module.add_class::<portions_python::Reading>()?;
    module.add_class::<python::Scanned>()?;
    module.add_class::<tally_python::Tally>()?;
    module.add_class::<batch_tally_python::PlacedTally>()?;
    module.add_class::<compact_python::CompactCounts>()?;
    module.add_function(wrap_pyfunction!(counts_python::counts_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(compact_python::bulk_panes, module)?)?;
    module.add_function(wrap_pyfunction!(batch_tally_python::count_scanned, module)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
