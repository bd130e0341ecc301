"""What all tests of the workspace share: executable documents, limits, and the skip policy.

The skip policy: every skip is listed with its cause at the end of the run, and one that
`skips.txt` doesn't allow fails the run, because a skipped test protects nothing.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

pytest_plugins = ["pytester"]

#: Seconds a test marked `slow` may take.
SLOW_TIMEOUT = 300


def _enter_document(namespace: dict[str, Any]) -> None:
    """Gives a document an empty folder to write into."""
    folder = tempfile.TemporaryDirectory(prefix="lual-document-")
    namespace["__left__"] = (os.getcwd(), folder)
    os.chdir(folder.name)


def _leave_document(namespace: dict[str, Any]) -> None:
    """Puts lual and the working directory back, so that documents don't see each other."""
    import lual

    before, folder = namespace["__left__"]
    os.chdir(before)
    with folder:  # removed once lual has closed its files
        lual.shutdown()
        lual.reset_config()


# No parser for skip directives: each Python fence of a document runs.
pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=_enter_document,
    teardown=_leave_document,
).pytest()


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gives slow tests more time, and keeps those that start processes on one worker."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT))
        if item.get_closest_marker("processes") and config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group("processes"))


class Skip(NamedTuple):
    """One skip, or one pattern for skips."""

    test: str
    reason: str

    def allows(self, skip: Skip) -> bool:
        """Tells whether this pattern covers `skip`; only `*` has a meaning in it."""
        return all(
            re.fullmatch(".*".join(map(re.escape, wanted.split("*"))), found, re.DOTALL)
            for wanted, found in zip(self, skip, strict=True)
        )


def read_skips(path: Path) -> list[Skip]:
    """Returns the patterns of the list, of which there are none if there is no file.

    Raises:
        UsageError: A line isn't a test and a reason.
    """
    patterns = []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else (), 1):
        if not line.strip() or line.startswith("#"):
            continue
        test, bar, reason = (part.strip() for part in line.partition(" | "))
        if not (test and bar and reason):
            raise pytest.UsageError(
                f"{path.name}, line {number}: {line!r} must read: test id | reason"
            )
        patterns.append(Skip(test, reason))
    return patterns


class SkipPolicy:
    """Collects the skips of a run and judges them at its end.

    Args:
        patterns: The skips that may happen.
    """

    def __init__(self, patterns: list[Skip]) -> None:
        self._patterns = patterns
        self._skips: list[Skip] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes a test that was skipped; an expected failure isn't one."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Notes a file that was skipped as a whole."""
        if report.skipped:
            self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        # pytest-xdist appends the group to the id.
        test = report.nodeid.removesuffix("@processes")
        self._skips.append(Skip(test, reason.removeprefix("Skipped: ")))

    def _is_allowed(self, skip: Skip) -> bool:
        return any(pattern.allows(skip) for pattern in self._patterns)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fails a run that would have passed."""
        passed = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if passed and not all(map(self._is_allowed, self._skips)):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Lists the skips, and apart from them those that fail the run."""
        for title, allowed in (
            ("skipped, as skips.txt allows", True),
            ("FAILED: skipped, and not on the list skips.txt", False),
        ):
            skips = sorted(skip for skip in self._skips if self._is_allowed(skip) is allowed)
            if skips:
                terminalreporter.section(title, red=not allowed)
                for skip in skips:
                    terminalreporter.line(f"{skip.test} | {skip.reason}")


def pytest_configure(config: pytest.Config) -> None:
    """Puts the skip policy to work where the reports of all workers arrive."""
    if not hasattr(config, "workerinput"):
        patterns = read_skips(config.rootpath / "skips.txt")
        config.pluginmanager.register(SkipPolicy(patterns), "lual-skip-policy")
