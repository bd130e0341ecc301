"""`python -m lual`, the same program as `lual`."""

from __future__ import annotations

import sys

from lual.cli import main

if __name__ == "__main__":
    sys.exit(main())
