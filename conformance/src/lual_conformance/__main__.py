"""`python -m lual_conformance` is `lual conformance`."""

from __future__ import annotations

from lual_conformance.cli import conformance

if __name__ == "__main__":
    conformance(prog_name="lual conformance")
