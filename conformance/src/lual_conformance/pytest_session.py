"""A run of the kit inside pytest: items for the rules, and the reports at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from lual.backend import ConfigError
from lual_conformance import report as reports
from lual_conformance.options import Asked, OptionError, chosen_backends, run_settings
from lual_conformance.outcomes import Result
from lual_conformance.project import Project, ProjectError, read_project
from lual_conformance.pytest_items import PROPERTY, BackendNode
from lual_conformance.runner import Run, planned
from lual_conformance.target import Target, installed_names
from lual_conformance.verdict import satisfies

#: What `-v` and the counts at the end call each outcome, and its letter.
_WORDS = {
    "blocked": ("skipped", "b", "BLOCKED"),
    "not_supported": ("skipped", "-", "NOT SUPPORTED"),
    "not_applicable": ("skipped", "n", "NOT APPLICABLE"),
    "not_run": ("skipped", "s", "NOT RUN"),
    "known_failure": ("xfailed", "x", "KNOWN FAILURE"),
}


def result_of(report: pytest.TestReport) -> dict[str, Any] | None:
    """Returns the result that a report carries, None if it is no rule's."""
    return next((value for key, value in report.user_properties if key == PROPERTY), None)  # type: ignore[return-value]


def status_of(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Returns category, letter and word for a rule's report; None leaves them to pytest."""
    if report.when != "call":
        return None
    data = result_of(report)
    return _WORDS.get(str(data["outcome"])) if data is not None else None


class ConformanceSession:
    """Everything of one run that outlives its items.

    Args:
        config: pytest's.

    Raises:
        pytest.UsageError: An option can't be used, or there is no such backend.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._results: dict[str, dict[str, Result]] = {}
        known = config.getoption("--lual-known-failures")
        try:
            for path in self._report_files():
                reports.check_suffix(path)
            self._project = read_project(config.rootpath, Path(known) if known else None)
            self._settings = run_settings(self._asked(), self._project)
            self._targets = self._find_targets()
            planned(self._settings)
        except (ConfigError, OptionError, ProjectError, ValueError) as error:
            raise pytest.UsageError(f"--lual-conformance: {error}") from error
        config.pluginmanager.register(self, "lual-conformance-session")

    def _option(self, name: str) -> Any:
        return self._config.getoption(name)

    def _report_files(self) -> list[str]:
        return self._option("--lual-conformance-report") or []

    def _asked(self) -> Asked:
        return Asked(
            level=self._option("--lual-level"),
            rules=self._option("--lual-rule") or (),
            profiles=self._option("--lual-profile") or (),
            options=self._option("--lual-backend-option") or (),
            mode=self._option("--lual-mode"),
            seed=self._seed(),
            scale=self._option("--lual-timeout-scale"),
            time_budget=self._option("--lual-time-budget"),
            strict_env=self._option("--lual-strict-env"),
        )

    def _seed(self) -> int | None:
        """Returns the seed; that of the controller in a worker of pytest-xdist."""
        workerinput: Mapping[str, Any] = getattr(self._config, "workerinput", {})
        seed: int | None = workerinput.get("lual_seed", self._option("--lual-seed"))
        return seed

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tells a worker of pytest-xdist the seed."""
        node.workerinput["lual_seed"] = self._settings.seed

    def _find_targets(self) -> list[Target]:
        installed = installed_names()
        own = self._project
        if not own.backends and own.distribution is not None:
            own = attrs.evolve(own, backends=tuple(_offered_by(own, installed)))
        asked = self._option("--lual-backend") or ()
        return [Target.find(name) for name in chosen_backends(asked, own, installed)]

    def header(self) -> list[str]:
        """Returns the lines that stand above the run."""
        settings = self._settings
        names = ", ".join(f"{t.name} {t.info.version}" for t in self._targets)
        return [
            f"lual-conformance: {names}; level {settings.level}, seed {settings.seed}, "
            f"watchdogs {settings.patience:g} s"
        ]

    def items(self, session: pytest.Session) -> Iterator[pytest.Item]:
        """Yields an item for each rule and backend."""
        for target in self._targets:
            run = Run(target, self._settings, self._project.known)
            node = BackendNode.from_parent(session, name=target.name, run=run)
            yield from session.genitems(node)  # which also counts them

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collects a result; under pytest-xdist all reports come to the controller."""
        data = result_of(report)
        if report.when == "call" and data is not None:
            values = dict(data)
            backend = values.pop("backend")
            known = values.pop("known")
            entry = self._project.known.entry(values["id"]) if known else None
            values["by"], values["notes"] = tuple(values["by"]), tuple(values["notes"])
            self._results.setdefault(backend, {})[values["id"]] = Result(**values, known=entry)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Builds the reports, writes them, and sets the exit status."""
        self._made: list[dict[str, Any]] = []
        if hasattr(session.config, "workerinput") or self._option("--collect-only"):
            return
        finished = int(exitstatus) in (0, 1, 5) and not (session.shouldstop or session.shouldfail)
        for target in self._targets:
            results = self._results.get(target.name, {})
            self._made.append(reports.build(target, self._settings, results, finished=finished))
        for path in self._report_files():
            reports.write(path, self._made)
        required = self._option("--lual-require")
        enough = all(satisfies(made["verdict"], required) for made in self._made)
        if int(exitstatus) in (0, 5):
            session.exitstatus = pytest.ExitCode.OK if enough else pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Writes one line for each rule, and the verdicts."""
        shows_all = self._config.option.verbose >= 0
        required = self._option("--lual-require")
        for made in getattr(self, "_made", ()):
            terminalreporter.section(f"lual-conformance {made['backend']['name']}")
            for line in reports.lines(made, passed=shows_all):
                terminalreporter.write_line(line)
            if made["verdict"] == "partial" and required == "conformant":
                hint = "not all rules were proven; --lual-require partial accepts that"
                terminalreporter.write_line(f"  exit status 1: {hint}")
        if "-" in self._report_files():
            terminalreporter.write_line(reports.render("-", self._made))


def _offered_by(project: Project, installed: list[str]) -> Iterator[str]:
    """Yields the installed backends of a project whose metadata is not in its pyproject.toml."""
    wanted = (project.distribution or "").lower().replace("_", "-")
    for name in installed:
        try:
            distribution = Target.find(name).distribution or ""
        except ConfigError:
            continue  # somebody else's, which doesn't load: not what was asked for
        if distribution.lower().replace("_", "-") == wanted:
            yield name
