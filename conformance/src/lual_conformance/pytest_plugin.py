"""`pytest --lual-conformance`: options and hooks; all else is loaded only with the switch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lual_conformance.pytest_session import ConformanceSession

_SESSION = pytest.StashKey["ConformanceSession"]()

_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "--lual-backend",
        {
            "action": "append",
            "metavar": "NAME",
            "help": "a backend's name, package.module:plugin, or 'all'; default: the project's own",
        },
    ),
    (
        "--lual-backend-option",
        {
            "action": "append",
            "metavar": "K=V",
            "help": "an option for the backend; a value that is JSON is taken as that",
        },
    ),
    ("--lual-mode", {"metavar": "LABEL", "help": "name this combination of options"}),
    ("--lual-profile", {"action": "append", "metavar": "P[,P]", "help": "only these profiles"}),
    (
        "--lual-level",
        {
            "default": "standard",
            "choices": ("smoke", "standard", "full", "stress"),
            "help": "how much to try (default: standard)",
        },
    ),
    ("--lual-rule", {"action": "append", "metavar": "GLOB[,GLOB]", "help": "only these rules"}),
    (
        "--lual-conformance-report",
        {
            "action": "append",
            "metavar": "FILE",
            "help": "write a report: .json, .md or .xml; - is JSON to standard output",
        },
    ),
    (
        "--lual-known-failures",
        {
            "metavar": "FILE",
            "help": "excused failures; default: [tool.lual.conformance] or lual-conformance.toml",
        },
    ),
    (
        "--lual-time-budget",
        {"type": float, "metavar": "S", "help": "begin no rule after S seconds"},
    ),
    ("--lual-timeout-scale", {"type": float, "metavar": "F", "help": "lengthen watchdogs"}),
    ("--lual-seed", {"type": int, "metavar": "N", "help": "drives everything random"}),
    (
        "--lual-require",
        {
            "default": "conformant",
            "choices": ("conformant", "partial"),
            "help": "the verdict that the exit status 0 needs (default: conformant)",
        },
    ),
    (
        "--lual-strict-env",
        {
            "action": "store_true",
            "help": "a rule that can't be tried on this machine counts as failed",
        },
    ),
    ("--lual-with-own-tests", {"action": "store_true", "help": "also run the project's own tests"}),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options, which exist whether or not the switch is given."""
    group = parser.getgroup("lual-conformance", "conformance of lual backends")
    # No optional value: `--lual-conformance tests/` would swallow the folder.
    group.addoption(
        "--lual-conformance", action="store_true", help="try backends against lual's contract"
    )
    for name, settings in _OPTIONS:
        group.addoption(name, **settings)


def pytest_configure(config: pytest.Config) -> None:
    """Prepares a run of the kit, if the switch is given."""
    if not config.getoption("--lual-conformance"):
        return
    from lual_conformance.pytest_session import ConformanceSession

    config.stash[_SESSION] = ConformanceSession(config)
    if not config.getoption("--lual-with-own-tests") and not _names_paths(config):
        config.args[:] = []


def _names_paths(config: pytest.Config) -> bool:
    return config.args_source is pytest.Config.ArgsSource.ARGS


def _session(config: pytest.Config) -> ConformanceSession | None:
    return config.stash.get(_SESSION, None)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Says what is run."""
    session = _session(config)
    return session.header() if session is not None else []


@pytest.hookimpl(tryfirst=True)  # before -k, -m and --deselect choose
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Adds an item for each rule and backend."""
    found = _session(session.config)
    if found is not None:
        items.extend(found.items(session))


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Gives the outcomes of rules their own words."""
    if not report.nodeid.startswith("lual-conformance::"):
        return None
    from lual_conformance.pytest_session import status_of

    return status_of(report)
