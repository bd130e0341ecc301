"""The machine that compares a backend with its sequential model, call by call.

Where a thread runs the output, that stalls at each record until a step lets it go on: so
after each call there is one state in which the backend must come to rest, and a sequence
that fails can be replayed and made shorter.

This module needs Hypothesis: `pip install lual-conformance[model]`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import ClassVar, NoReturn

import attrs
import hypothesis
from hypothesis import strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import NEVER
from lual_conformance.outcomes import Violation
from lual_conformance.sequential import Model

#: Calls in one sequence, at most.
_LENGTH = 20

#: Real seconds for a flush to begin to wait.
_MOMENT = 0.002

#: Real seconds for making a failing sequence shorter, and for each wait meanwhile.
_SHRINK_SECONDS = 4.0
_SHRINK_PATIENCE = 0.1


@attrs.define
class Findings:
    """What has failed so far.

    Args:
        patience: Real seconds that the backend is given to come to rest.
    """

    patience: float
    calls: list[str] = attrs.field(factory=list)
    observed: str = ""
    since: float | None = None

    def note(self, calls: list[str], observed: str) -> None:
        """Keeps a failure if no shorter sequence has led to one."""
        if self.since is None:
            self.since = time.monotonic()
            self.patience = _SHRINK_PATIENCE
        if not self.observed or len(calls) <= len(self.calls):
            self.calls, self.observed = list(calls), observed

    @property
    def is_over(self) -> bool:
        """True if there has been time enough for looking for a shorter sequence."""
        return self.since is not None and time.monotonic() - self.since > _SHRINK_SECONDS


class _Enough(BaseException):
    """Ends the search for a shorter sequence; Hypothesis lets it through."""


class Machine(RuleBasedStateMachine):
    """Makes calls at random, and looks after each whether backend and model agree."""

    kit: ClassVar[Kit]
    findings: ClassVar[Findings]

    @initialize(
        strategy=strategies.sampled_from(("drop_oldest", "drop_newest")),
        size=strategies.integers(1, 2),
        is_started=strategies.booleans(),
    )
    def build(self, strategy: str, size: int, is_started: bool) -> None:
        """Builds a backend and its model."""
        allowed = sorted(set(self.kit.capabilities["overflow"]) - {"block"})
        strategy = strategy if strategy in allowed else allowed[0]
        self.model = Model(not self.kit.is_cooperative, size, strategy)
        self.system = self.kit.system(batch_size=1, max_size=size, strategy=strategy)
        self.calls = [f"a queue of {size} with {strategy}"]
        self.number = 0
        if self.model.stalls:
            self.system.output.close()
        if is_started:
            self.start()

    @rule()
    def start(self) -> None:
        """Starts it."""
        self.model.state = "running"
        self._call("start", lambda: self.system.backend.start(self.system.output), None)

    @rule(count=strategies.integers(1, 4))
    def submit(self, count: int) -> None:
        """Submits records."""
        self._submit("good", count)

    @rule(count=strategies.integers(1, 4))
    def submit_bad(self, count: int) -> None:
        """Submits records for which the output raises."""
        self._submit("bad", count)

    @rule(kind=strategies.sampled_from(("good", "bad")))
    def overflow(self, kind: str) -> None:
        """Submits more than there is room for."""
        self._submit(kind, self.model.size + 2)

    def _submit(self, kind: str, count: int) -> None:
        for _ in range(count):
            self.number += 1
            name = f"{kind} {self.number}"
            if kind == "bad":
                self.model.bad.add(name)
                self.system.output.failures[name] = ValueError(name)
            item, answer = self.system.item(name), self.model.submit(name)
            self._call(f"submit({name})", partial(self.system.backend.submit, item), answer)

    @precondition(lambda self: self.model.stalls and self.model.pending)
    @rule()
    def step(self) -> None:
        """Lets the output finish one record."""
        self.model.step()
        self._call("step", self.system.output.step, None)

    @rule(seconds=strategies.sampled_from((0.0, 100.0)))
    def poll(self, seconds: float) -> None:
        """Lets time pass, which changes nothing, and asks whether all is done."""
        self._call(f"advance {seconds:g} s", partial(self.system.clock.advance, seconds), None)
        if self.model.pending:  # else it is True, perhaps only once the worker has looked
            self._call("flush(0)", partial(self.system.backend.flush, 0), False)

    @precondition(lambda self: self.model.pending)
    @rule()
    def flush(self) -> None:
        """Waits until all is done."""
        self._freely("flush", lambda: self.system.backend.flush(NEVER))

    @rule()
    def stop(self) -> None:
        """Drains and stops it."""
        if self.model.state == "running":
            self.model.state = "stopped"
        self._freely("stop", lambda: self.system.backend.stop(NEVER))

    @rule()
    def restart(self) -> None:
        """Stops and starts it."""
        self.stop()
        self.start()

    @precondition(lambda self: not self.model.pending)
    @rule()
    def reset(self) -> None:
        """Resets it."""
        self.model.reset()
        self._call("reset", self.system.backend.reset, None)

    def teardown(self) -> None:
        """Ends the backend."""
        if hasattr(self, "system"):
            self.system.end()
            self.kit.systems.remove(self.system)

    # Comparing

    def _freely(self, name: str, call: Callable[[], bool]) -> None:
        """Makes a call that waits for the output, which goes on as soon as it does."""
        self.model.drain()
        output, backend = self.system.output, self.system.backend

        def answer() -> bool:
            waiting = self.kit.background(call, name)
            # A stop can be seen to wait, a flush can't.
            self.kit.becomes_true(
                lambda: waiting.has_ended() or backend.get_stats()["state"] == "stopping", _MOMENT
            )
            output.open()
            return waiting.result()

        self._call(name, answer, True)
        if self.model.stalls:
            output.close()

    def _call(self, name: str, call: Callable[[], object], expected: object) -> None:
        if self.findings.is_over:
            raise _Enough
        self.calls.append(name)
        answer: object = None
        try:
            with self.kit.calling(", ".join(self.calls)):
                answer = call()
        except Violation as violation:
            self._fail(violation.observed)
        except Exception as error:
            self.findings.note(self.calls, f"{name} raised {type(error).__name__}: {error}")
            raise
        if answer != expected:
            self._fail(f"{name} returned {answer!r} instead of {expected!r}")
        if not self._soon(lambda: not self._differences()):
            self._fail("; ".join(self._differences()) or "it took very long to come to rest")

    def _fail(self, observed: str) -> NoReturn:
        self.findings.note(self.calls, observed)
        raise Violation(observed)

    def _soon(self, condition: Callable[[], bool]) -> bool:
        for _ in range(50):  # nearly always enough, and sooner than the first sleep ends
            if condition():
                return True
            time.sleep(0)
        return self.kit.becomes_true(condition, self.findings.patience)

    def _differences(self) -> list[str]:
        model, stats = self.model, self.system.get_stats()
        found = [
            f"{key} was {stats.get(key)!r} instead of {value!r}"
            for key, value in model.stats().items()
            if stats.get(key) != value
        ]
        if self.system.output.begun != model.begun:
            found.append(f"the output got {self.system.output.begun} instead of {model.begun}")
        return found


def compare(kit: Kit, examples: int) -> None:
    """Compares a backend with the model, in that many sequences of calls.

    Args:
        kit: Of the rule.
        examples: How many.

    Raises:
        Violation: They differ; names the shortest sequence that was found.
    """
    findings = Findings(kit.patience)
    machine = type("Machine", (Machine,), {"kit": kit, "findings": findings})
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=_LENGTH,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
        print_blob=False,
        report_multiple_bugs=False,
    )
    try:
        run_state_machine_as_test(hypothesis.seed(kit.settings.seed)(machine), settings=settings)
    except (Exception, _Enough):
        if not findings.observed:
            raise
        calls = ", ".join(findings.calls)
        raise Violation(f"{findings.observed}, after: {calls}") from None
