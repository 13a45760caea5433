"""The hot path of driftstream's ingest, compiled: JSON records to columns."""

__version__: str
