"""``python -m stream`` is ``driftstream``."""

from __future__ import annotations

import sys

from stream.cli import main

if __name__ == "__main__":
    sys.exit(main())
