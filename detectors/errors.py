"""Errors of the detectors, in one tree.

DetectorError
├── BuildError       a reference cannot be built from these columns
├── FormatError      a reference file does not hold what its format promises
├── CorruptBytes     stored counts or state fail their checks: never parse them further
├── NewerBytes       stored counts or state of a newer release: keep them for it
└── MismatchError    counts or state belong to another reference

A message names the thing, its value and the remedy, in one line.
"""

from __future__ import annotations


class DetectorError(Exception):
    """Root of the tree."""


class BuildError(DetectorError):
    """A reference cannot be built. Action: mend the column or option that the message names."""


class FormatError(DetectorError):
    """A reference file is not valid. Action: build it again, or restore the file."""


class CorruptBytes(DetectorError):
    """Bytes have a wrong magic, version, shape or checksum. Action: drop them and rebuild from the source."""


class NewerBytes(DetectorError):
    """Sound bytes of a later version. Action: leave them as they are, run the newer release."""


class MismatchError(DetectorError):
    """Counts or state were made for another reference. Action: use the reference they were made for."""
