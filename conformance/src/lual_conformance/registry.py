"""The rule book: every rule, its promise, and what it builds on.

A rule is a plain function that takes a `Kit` and raises `Violation`; this module knows
none of them until `load_rules` imports the chapters.
"""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import attrs

if TYPE_CHECKING:
    from lual_conformance.harness.kit import Kit

#: How much is run, from little to much; `stress` is `full` and what is bounded by time.
LEVELS = ("smoke", "standard", "full", "stress")


class Chapter(NamedTuple):
    """One section of the rule book.

    Args:
        title: For people.
        module: Where its rules are, in `lual_conformance.rules`.
    """

    title: str
    module: str


CHAPTERS: Mapping[int, tuple[Chapter, ...]] = {
    1: (Chapter("Identity, construction, configuration", "identity"),),
    2: (
        Chapter("Lifecycle", "lifecycle"),
        Chapter("Lifecycle", "resets"),
        Chapter("Lifecycle", "leftovers"),
    ),
    3: (Chapter("Submission", "submission"), Chapter("Submission", "reentry")),
    4: (
        Chapter("Dispatch and order", "dispatch"),
        Chapter("Dispatch and order", "batches"),
        Chapter("Dispatch and order", "triggers"),
        Chapter("Dispatch and order", "dispatch_functions"),
    ),
    5: (Chapter("Flush", "flush"), Chapter("Flush", "flush_limits")),
    6: (
        Chapter("Bounds and overflow", "overflow"),
        Chapter("Bounds and overflow", "floods"),
        Chapter("Bounds and overflow", "blocking"),
    ),
    7: (
        Chapter("Error isolation and recovery", "errors"),
        Chapter("Error isolation and recovery", "callbacks"),
        Chapter("Error isolation and recovery", "recovery"),
    ),
    8: (
        Chapter("Statistics", "statistics"),
        Chapter("Statistics", "snapshots"),
        Chapter("Statistics", "accounting"),
    ),
    9: (
        Chapter("Stop, interpreter exit, signals", "stopping"),
        Chapter("Stop, interpreter exit, signals", "stop_deadlines"),
        Chapter("Stop, interpreter exit, signals", "exits"),
    ),
    10: (Chapter("Fork", "forks"),),
    11: (Chapter("Concurrency", "concurrency"),),
    12: (Chapter("Event-loop backends", "event_loops"),),
    13: (
        Chapter("Process backends", "processes"),
        Chapter("Process backends", "process_programs"),
    ),
    14: (Chapter("Quantities", "quantities"),),
}


@attrs.frozen(kw_only=True)
class Rule:
    """One promise of the contract, and how it is checked.

    Args:
        id: As in "5.3": chapter and number, never reused.
        promise: What the contract says, one sentence.
        check: Raises `Violation` if the backend breaks it.
        hint: Where an author should look first.
        must: False for a SHOULD, which changes no verdict.
        needs: Capabilities, as `lacking` reads them; without them it is not supported.
        assumes: Ids of rules without which this one can't be judged.
        level: The lowest level at which it runs.
        stochastic: True if a broken backend may pass by luck; a sound one never fails.
        processes: True if it starts other processes.
        seed: Name of the scenario of the original design note that it is, if it is one.
        provisional: True while it is too young to bind.
    """

    id: str
    promise: str
    check: Callable[[Kit], None]
    hint: str
    must: bool = True
    needs: tuple[str, ...] = ()
    assumes: tuple[str, ...] = ()
    level: str = "standard"
    stochastic: bool = False
    processes: bool = False
    seed: str = ""
    provisional: bool = False

    @property
    def number(self) -> tuple[int, int]:
        """Chapter and number, for sorting."""
        chapter, _, number = self.id.partition(".")
        return int(chapter), int(number)

    @property
    def chapter(self) -> int:
        """The section of the rule book."""
        return self.number[0]

    @property
    def title(self) -> str:
        """The check's name as words."""
        return self.check.__name__.replace("_", " ")

    @property
    def strength(self) -> str:
        """`MUST` or `SHOULD`."""
        return "MUST" if self.must else "SHOULD"

    @property
    def profile(self) -> str:
        """The set of rules that it counts in; see `PROFILES`."""
        by_chapter = {10: "fork", 12: "loop", 13: "process", 14: "quantities"}
        if self.chapter in by_chapter:
            return by_chapter[self.chapter]
        if self.chapter == 9 and self.processes:
            return "signal" if "signal_flush" in self.needs else "exit"
        if "overflow:block" in self.needs:
            return "blocking"
        return "isolating" if "isolates_slow_outputs" in self.needs else "core"

    def runs_at(self, level: str) -> bool:
        """Tells whether it runs at a level."""
        return LEVELS.index(self.level) <= LEVELS.index(level)


#: Sets of rules that a report sums up, each with the capabilities that open it.
PROFILES = (
    "core",
    "isolating",
    "blocking",
    "exit",
    "signal",
    "fork",
    "loop",
    "process",
    "quantities",
)

#: Promises that no rule can check, so that nobody takes silence for proof.
UNTESTED: Mapping[str, str] = {
    "power-loss": "what survives a power cut is up to the disk and the operating system",
    "sudden-death": "what a process with a worker thread loses by os._exit or SIGKILL",
    "fairness": "which of several blocked producers goes first is not promised",
    "suspend": "how soon a record is dispatched after the machine was suspended is not promised",
}

_rules: dict[str, Rule] = {}
_Check = TypeVar("_Check", bound=Callable[..., None])


def rule(
    id: str,
    promise: str,
    *,
    hint: str,
    must: bool = True,
    needs: tuple[str, ...] = (),
    assumes: tuple[str, ...] = (),
    level: str = "standard",
    stochastic: bool = False,
    processes: bool = False,
    seed: str = "",
) -> Callable[[_Check], _Check]:
    """Enters a check into the rule book; see `Rule` for the arguments.

    Raises:
        ValueError: The id is taken.
    """

    def enter(check: _Check) -> _Check:
        if id in _rules and _rules[id].check.__module__ != check.__module__:
            raise ValueError(f"two rules have the id {id}")
        _rules[id] = Rule(
            id=id,
            promise=promise,
            check=check,
            hint=hint,
            must=must,
            needs=needs,
            assumes=assumes,
            level=level,
            stochastic=stochastic,
            processes=processes,
            seed=seed,
        )
        return check

    return enter


def load_rules() -> Mapping[str, Rule]:
    """Returns all rules by id, in the order of the rule book."""
    for chapters in CHAPTERS.values():
        for chapter in chapters:
            importlib.import_module(f"lual_conformance.rules.{chapter.module}")
    return {r.id: r for r in sorted(_rules.values(), key=lambda r: r.number)}


def select(rules: Iterable[Rule], globs: Iterable[str]) -> list[Rule]:
    """Returns the rules that match one of the patterns, as `5.*`.

    Args:
        rules: What to choose from.
        globs: Patterns of ids; none means all.

    Raises:
        ValueError: A pattern matches no rule.
    """
    rules, globs = list(rules), list(globs)
    for glob in globs:
        if not any(fnmatch.fnmatchcase(r.id, glob) for r in rules):
            raise ValueError(f"no rule matches {glob!r}; ids look like 5.3, patterns like 5.*")
    if not globs:
        return rules
    return [r for r in rules if any(fnmatch.fnmatchcase(r.id, glob) for glob in globs)]


def in_order(rules: Iterable[Rule]) -> list[Rule]:
    """Returns the rules so that each comes after those it assumes."""
    chosen = {r.id: r for r in rules}
    done: dict[str, Rule] = {}

    def visit(r: Rule) -> None:
        if r.id in done:
            return
        for premise in r.assumes:
            if premise in chosen:
                visit(chosen[premise])
        done[r.id] = r

    for r in chosen.values():
        visit(r)
    return list(done.values())
