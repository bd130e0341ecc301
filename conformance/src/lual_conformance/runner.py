"""Running rules against one backend: order, premises, watchdogs, outcomes.

The three front-ends (pytest, the command line, the self-test) share this.

Guarantees:
    * a call that hangs fails its rule, and is named; it never hangs the run;
    * a fault of the kit is an `error`, never a failure and never a pass.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lual_conformance.capabilities import lacking
from lual_conformance.harness.kit import Kit
from lual_conformance.known import KnownFailures
from lual_conformance.outcomes import Blocked, NotApplicable, NotSupported, Result, Violation
from lual_conformance.registry import Rule, in_order, load_rules, select
from lual_conformance.settings import RunSettings
from lual_conformance.target import Target

#: A check that takes so many times a hung call's time is itself at fault.
_LONGEST = 12

#: How often a rule is tried at level full, if it starts processes or needs luck.
_ROUNDS = 3

#: Outcomes of a premise that leave what builds on it undecided.
_UNDECIDING = ("failed", "error", "blocked", "known_failure", "not_run")

#: The rule without which there is no backend to try.
IDENTITY = "1.1"

#: Lines of a thread's stack that a report shows.
_STACK_LINES = 12


def planned(settings: RunSettings) -> list[Rule]:
    """Returns the rules of a run, in the order in which they are run.

    Raises:
        ValueError: A pattern matches no rule.
    """
    rules = [r for r in load_rules().values() if r.runs_at(settings.level)]
    return in_order(rules) if not settings.rules else in_order(select(rules, settings.rules))


class Run:
    """One run of the rules against one backend.

    Args:
        target: The backend.
        settings: How.
        known: Failures that are known and excused.
        premises: Whether premises are run that aren't part of the run.
    """

    def __init__(
        self,
        target: Target,
        settings: RunSettings,
        known: KnownFailures | None = None,
        *,
        premises: bool = True,
    ) -> None:
        self._premises = premises
        self.target = target
        self.settings = settings
        self.known = known if known is not None else KnownFailures()
        self.results: dict[str, Result] = {}
        self._began = time.monotonic()

    def all(
        self, rules: Iterable[Rule] | None = None, listener: Callable[[Result], Any] | None = None
    ) -> Mapping[str, Result]:
        """Runs rules and returns what became of each.

        Args:
            rules: In order; None: all that the settings plan.
            listener: Told of each result at once.
        """
        for rule in planned(self.settings) if rules is None else rules:
            result = self.one(rule)
            if listener is not None:
                listener(result)
        return self.results

    def one(self, rule: Rule) -> Result:
        """Runs one rule and returns its result; its premises first, if they weren't yet.

        They may not be part of this run: with `-k`, say, or in another process.
        """
        if rule.id in self.results:
            return self.results[rule.id]
        rules = load_rules()
        for premise in rule.assumes if self._premises else ():
            if premise not in self.results:
                self.one(rules[premise])
        began = time.monotonic()
        result = self._skipped(rule) or self._rounds(rule)
        result.ms = round((time.monotonic() - began) * 1000, 1)
        result = self.known.applied(result)
        if rule.provisional and result.outcome in ("passed", "failed"):
            result.message = f"{result.outcome} {result.message}".rstrip()
            result.outcome = "provisional"
        self.results[rule.id] = result
        return self.results[rule.id]

    def _skipped(self, rule: Rule) -> Result | None:
        """Returns the result of a rule that needn't be checked at all."""
        settings = self.settings
        if settings.profiles and rule.profile not in settings.profiles:
            message = f"profile {rule.profile} wasn't asked for"
            return Result(id=rule.id, outcome="skipped_by_user", message=message)
        if rule.id != IDENTITY and self._is_refused():
            message = f"it builds on {IDENTITY}"
            return Result(id=rule.id, outcome="blocked", message=message, by=(IDENTITY,))
        need = lacking(self.target.capabilities, rule.needs)
        if need is not None:
            return Result(id=rule.id, outcome="not_supported", message=need)
        by = [p for p in rule.assumes if p in self.results and self._undecided(p)]
        if by:
            message = f"it builds on {', '.join(by)}"
            return Result(id=rule.id, outcome="blocked", message=message, by=tuple(by))
        budget = settings.time_budget
        if budget is not None and time.monotonic() - self._began > budget:
            message = f"the time budget of {budget:g} s was spent"
            return Result(id=rule.id, outcome="not_run", message=message)
        return None

    def _is_refused(self) -> bool:
        """Tells whether lual wouldn't use this backend at all, so that nothing can be tried."""
        identity = self.results.get(IDENTITY)
        return self.target.problem is not None or (
            identity is not None and identity.outcome in ("failed", "known_failure")
        )

    def _undecided(self, id: str) -> bool:
        return self.results[id].outcome in _UNDECIDING

    def _rounds(self, rule: Rule) -> Result:
        """Returns the result of a rule; where luck plays a part, of several tries at `full`."""
        often = self.settings.level in ("full", "stress") and (rule.processes or rule.stochastic)
        result = self._checked(rule)
        left = _ROUNDS - 1 if often else 0
        while left and result.outcome == "passed":
            result, left = self._checked(rule), left - 1
        return result

    def _checked(self, rule: Rule) -> Result:
        kit = Kit(self.target, self.settings)
        hook = threading.excepthook
        threading.excepthook = kit.deaths.append
        try:
            result = self._judge(rule, kit)
        finally:
            try:
                kit.close()
            finally:
                threading.excepthook = hook
        result.notes = tuple(kit.notes)
        return result

    def _judge(self, rule: Rule, kit: Kit) -> Result:
        try:
            _supervised(rule.check, kit)
        except Violation as violation:
            return self._failed(rule, kit, violation.observed)
        except NotApplicable as missing:
            outcome = "failed" if self.settings.strict_env else "not_applicable"
            return Result(id=rule.id, outcome=outcome, message=str(missing))
        except NotSupported as capability:
            return Result(id=rule.id, outcome="not_supported", message=str(capability))
        except Blocked as blocked:
            return Result(id=rule.id, outcome="blocked", message=str(blocked))
        except BaseException as error:  # noqa: BLE001  whose fault it is, is decided here
            call = getattr(error, "lual_call", None)
            text = f"{type(error).__name__}: {error}"
            if call is not None:
                return self._failed(rule, kit, f"{call} raised {text}")
            details = "".join(traceback.format_exception(error))
            return Result(id=rule.id, outcome="error", message=text, details=details)
        return Result(id=rule.id, outcome="passed")

    def _failed(self, rule: Rule, kit: Kit, observed: str) -> Result:
        return Result(id=rule.id, outcome="failed", message=observed, details=_circumstances(kit))


class _Hung(Violation):
    """A call of the backend doesn't return."""


def _supervised(check: Callable[[Kit], None], kit: Kit) -> None:
    """Calls a check in a thread of its own, and gives up on it if it hangs."""
    ended = threading.Event()
    errors: list[BaseException] = []

    def call() -> None:
        try:
            check(kit)
        except BaseException as error:  # noqa: BLE001  raised again below
            errors.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=call, name="check", daemon=True)
    began = time.monotonic()
    thread.start()
    while not ended.wait(0.05):
        now, doing = time.monotonic(), kit.doing
        if doing is not None and now - doing.since > kit.patience:
            raise _Hung(f"{doing.what} had not returned after {kit.patience:g} s")
        if now - began > _LONGEST * kit.child_patience:
            raise TimeoutError(f"the check itself has not ended after {now - began:.0f} s")
    if errors:
        raise errors[0]


def _circumstances(kit: Kit) -> str:
    """Returns what the report says of the moment of a failure: reports, counters, stacks."""
    lines = []
    for system in kit.systems:
        lines += [f"reported: {message}" for message in system.errors[:10]]
        lines.append(f"counters: {_counters(system.stats)}")
        high_water = getattr(system.queue, "high_water", None)
        lines.append(f"most records that waited at once: {high_water}")
    for death in kit.deaths:
        lines.append(f"a thread ended by {death.exc_type.__name__}: {death.exc_value}")
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None and thread is not threading.current_thread():
            stack = traceback.format_stack(frame)[-_STACK_LINES:]
            lines.append(f"thread {thread.name}:\n{''.join(stack).rstrip()}")
    return "\n".join(lines)


def _counters(stats: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in list(stats.items()) if value}
