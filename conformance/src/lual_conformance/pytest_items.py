"""The rules as items of pytest."""

from __future__ import annotations

import inspect
import json
import os
from typing import Any

import attrs
import pytest

from lual_conformance import report as reports
from lual_conformance.outcomes import Result
from lual_conformance.registry import CHAPTERS, Rule
from lual_conformance.runner import Run, planned

#: Name of the property in which a report carries a rule's result.
PROPERTY = "lual-conformance"

#: Outcomes that pytest counts as skipped.
_SKIPPED = ("blocked", "not_supported", "not_applicable", "not_run", "skipped_by_user")


class BackendNode(pytest.Collector):
    """All rules for one backend.

    Args:
        run: What runs them.
    """

    def __init__(self, *, run: Run, **settings: Any) -> None:
        super().__init__(nodeid=f"lual-conformance::{settings['name']}", **settings)
        self.run = run

    def collect(self) -> list[ChapterNode]:
        """Returns a node for each chapter."""
        chapters: dict[int, list[Rule]] = {}
        for rule in planned(self.run.settings):
            chapters.setdefault(rule.chapter, []).append(rule)
        return [
            ChapterNode.from_parent(
                self, name=f"{number}-{_slug(number)}", rules=rules, run=self.run
            )
            for number, rules in sorted(chapters.items())
        ]


def _slug(chapter: int) -> str:
    return CHAPTERS[chapter][0].title.split(",")[0].lower().replace(" ", "-")


class ChapterNode(pytest.Collector):
    """The rules of one chapter.

    Args:
        rules: In order.
        run: What runs them.
    """

    def __init__(self, *, rules: list[Rule], run: Run, **settings: Any) -> None:
        super().__init__(**settings)
        self.rules = rules
        self.run = run

    def collect(self) -> list[RuleItem]:
        """Returns an item for each rule."""
        return [
            RuleItem.from_parent(
                self, name=f"test_{rule.id.replace('.', '_')}", rule=rule, run=self.run
            )
            for rule in self.rules
        ]


def as_property(backend: str, result: Result) -> dict[str, Any]:
    """Returns a result as what a report can carry from one process to another."""
    data = attrs.asdict(result, recurse=False)
    data["known"] = result.known is not None
    return json.loads(json.dumps({**data, "backend": backend}))  # type: ignore[no-any-return]


class RuleFailed(Exception):
    """A rule isn't kept; carries what is to be shown."""


class RuleItem(pytest.Item):
    """One rule for one backend; no fixture reaches it.

    Args:
        rule: The rule.
        run: What runs it.
    """

    def __init__(self, *, rule: Rule, run: Run, **settings: Any) -> None:
        super().__init__(**settings)
        self.rule = rule
        self.run = run
        # So that -k finds it by what a person calls it.
        self.extra_keyword_matches |= {rule.id, rule.title.replace(" ", "_"), rule.profile}

    def runtest(self) -> None:
        """Runs the rule."""
        result = self.run.one(self.rule)
        self.user_properties.append((PROPERTY, as_property(self.run.target.name, result)))
        if result.outcome in _SKIPPED:
            pytest.skip(f"{result.outcome.replace('_', ' ')}: {result.message}")
        if result.outcome == "known_failure" or (result.outcome == "failed" and not self.rule.must):
            pytest.xfail(result.message)
        if result.outcome != "passed":
            row = reports.rule_row(self.rule, result)
            text = "\n".join(reports.rule_lines(row))
            raise RuleFailed(f"{text}\n\n{result.details}".rstrip())

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Returns the text of a failure; a traceback through the kit would help nobody."""
        if isinstance(excinfo.value, RuleFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Returns where the rule stands, and how it is called."""
        path = inspect.getsourcefile(self.rule.check) or ""
        line = inspect.getsourcelines(self.rule.check)[1] - 1
        return path, line, f"{self.rule.id} {self.rule.title}"
