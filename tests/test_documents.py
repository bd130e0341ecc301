"""Every fence of a document is of a kind that is known to run, or known not to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "*/README.md", "docs/**/*.md")
    for path in ROOT.glob(pattern)
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)

RUNS = {"python"}
SHOWN_ONLY = {"bash", "console", "json", "text", "toml"}

FENCE = re.compile(r"^[ >]*(```+|~~~+)[ ]*(?P<kind>[^\n]*)$", re.MULTILINE)


def unknown_fences(text: str) -> list[str]:
    """Returns the info strings of the opening fences that no test and no reader knows."""
    openings = [match["kind"].strip() for match in FENCE.finditer(text)][::2]
    return [kind for kind in openings if kind not in RUNS | SHOWN_ONLY]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_fence_is_of_a_known_kind(path):
    assert unknown_fences(path.read_text()) == []


@pytest.mark.parametrize("info", ["", "pycon", "python skip", "Python", "{.python}"])
def test_a_fence_that_would_be_passed_over_in_silence_is_unknown(info):
    assert unknown_fences(f"Text\n\n```python\n1\n```\n\n```{info}\n2\n```\n") == [info]


@pytest.mark.processes
def test_each_python_fence_of_a_document_runs(pytester):
    lual = pytester.mkpydir("lual") / "__init__.py"
    lual.write_text("def shutdown(): pass\ndef reset_config(): pass\n")
    pytester.makeconftest((ROOT / "conftest.py").read_text())
    pytester.makefile(".md", README="```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n")
    options = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    result = pytester.runpytest_subprocess("README.md", *options)
    result.assert_outcomes(passed=1, failed=1)
