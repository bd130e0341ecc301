"""Chapter 7, on `error_callback`: what it may do, and when it may be called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import NEVER, System
from lual_conformance.outcomes import Blocked, expect
from lual_conformance.registry import rule
from lual_conformance.rules.errors import NAMES, expect_count, expect_written, item, submit_all


@rule(
    "7.2",
    "Whatever `error_callback` does or raises changes nothing.",
    hint="the call of error_callback needs an `except` of its own, and no lock around it",
    assumes=("2.8", "3.6", "4.1", "7.1", "7.9", "9.2"),
)
def an_error_callback_that_misbehaves_changes_nothing(kit: Kit) -> None:
    raised: list[BaseException] = [ValueError("the callback")]
    if not kit.is_cooperative:
        raised.append(SystemExit("the callback"))  # elsewhere it may belong to the caller
    for error in raised:
        system = kit.running(error_callback=_raising(error))
        _fail_two(system, f"raised {type(error).__name__}")
        if kit.isolates:
            _stop_in_vain(kit.running(error_callback=_raising(error)))
    _call_back(kit)


def _raising(error: BaseException) -> Callable[[str], None]:
    def callback(message: str) -> None:
        raise error

    return callback


def _fail_two(system: System, did: str) -> None:
    system.output.failures.update({"payment 2": ValueError("no"), "payment 7": ValueError("no")})
    submit_all(system)
    system.kit.background(lambda: system.backend.flush(NEVER), "flush(inf)")
    others = [name for name in NAMES if name not in system.output.failures]
    why = f"after an error_callback {did}"
    expect_written(system, others, why)
    expect_count(system, "messages_failed", 2, f"{why}, with two failing records")
    expect(system.state == "running", f"{why}, the backend's state is {system.state!r}")


def _stop_in_vain(system: System) -> None:
    """Lets a stop report what it had to leave."""
    system.hold()
    system.submit("a", "b")
    timeout = system.kit.seconds(5.0)
    answer = system.until_ended(system.stopping(timeout), timeout)
    why = "a stop that ran out of time, and whose report raised in error_callback,"
    expect(answer is False, f"{why} returned {answer!r}")
    expect(system.state == "stopped", f"{why} left the state {system.state!r}")


def _call_back(kit: Kit) -> None:
    """Lets the callback call the backend itself."""
    answers: list[Any] = []
    refusals: list[str] = []

    def callback(message: str) -> None:
        try:
            if len(answers) < len(NAMES):
                answers.append(system.backend.submit(item(system, f"echo {len(answers)}")))
            system.backend.flush(0)
            system.backend.get_stats()
        except Exception as error:  # noqa: BLE001  whatever a backend raises is what is looked for
            refusals.append(f"{type(error).__name__}: {error}")

    system = kit.system(error_callback=callback)
    system.start()
    _fail_two(system, "called submit, flush(0) and get_stats")
    expect(not refusals, f"a call from within error_callback raised {refusals[:1]}")
    taken = [f"echo {number}" for number, answer in enumerate(answers) if answer]
    expect_written(system, taken, "though submit had returned True for them in error_callback")
    wrong = [name for name in taken if system.output.begun.count(name) != 1]
    expect(not wrong, f"{wrong}, submitted in error_callback, were written more than once")


class _Prober:
    """An `error_callback` that asks another thread to call the backend, and waits for it.

    Args:
        kit: Of the check.
    """

    def __init__(self, kit: Kit) -> None:
        self.left = 1  # reports at which it does that; its own calls may cause further ones
        self.begun = 0
        self.ended = 0
        self.stuck = ""
        self.system: System | None = None
        self._kit = kit

    def __call__(self, message: str) -> None:
        if self.system is not None and self.left:
            self.left -= 1
            self.begun += 1
            self._probe(self.system, message)
            self.ended += 1

    def _probe(self, system: System, message: str) -> None:
        backend, item = system.backend, system.item("from another thread")
        calls: list[tuple[str, Callable[[], object]]] = [
            ("get_stats()", backend.get_stats),
            ("submit(work_item)", lambda: backend.submit(item)),
        ]
        if self._kit.isolates:
            calls.append(("flush(0)", lambda: backend.flush(0)))
        for what, call in calls:
            if not self._kit.background(call, what).has_ended(0.8 * self._kit.patience):
                self.stuck = f"{what} of another thread was held while {message!r} was reported"
                return

    def has_ended(self) -> bool:
        """Tells whether a report has come, and the calls made then have ended, or one is stuck."""
        return 0 < self.begun == self.ended or bool(self.stuck)


@rule(
    "7.9",
    "`error_callback` is never called while a lock is held.",
    hint="collect what is to be said under the lock, and say it after",
    assumes=("5.4", "7.1", "8.4"),
)
def no_lock_is_held_while_an_error_is_reported(kit: Kit) -> None:
    prober = _Prober(kit)
    output = kit.new_batch_output()
    output.flush_error = ValueError("the outputs' flush")
    prober.system = system = kit.system(error_callback=prober, output=output, batch_size=2)
    output.failures["bad"] = ValueError("a record")
    system.start()
    system.submit("good", "bad")
    system.push(prober.has_ended)
    expect(not prober.stuck, prober.stuck)
    if not prober.ended:
        raise Blocked("nothing was reported")
    prober.left, reports = 1, prober.begun
    kit.background(lambda: system.backend.flush(NEVER), "flush(inf)")
    if kit.becomes_true(lambda: prober.begun > reports, kit.glance):  # not every one is flushed
        kit.becomes_true(prober.has_ended, kit.patience)
    expect(not prober.stuck, prober.stuck)
    if kit.isolates:
        _report_a_loss(kit)


def _report_a_loss(kit: Kit) -> None:
    prober = _Prober(kit)
    prober.system = system = kit.running(error_callback=prober)
    system.hold()
    system.submit("a", "b")
    timeout = kit.seconds(5.0)
    stop = system.stopping(timeout)
    for _ in range(4):
        system.advance(timeout * 1.06 + kit.grace)
        if kit.becomes_true(prober.has_ended, 0.3):
            break
    kit.becomes_true(lambda: stop.has_ended() or prober.has_ended(), kit.patience)
    expect(not prober.stuck, prober.stuck)
    system.output.open()
