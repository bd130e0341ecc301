"""Chapter 7, the other half: what becomes of a worker that dies, and of its records."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lual_conformance.harness.counters import imbalance
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import NEVER, System
from lual_conformance.outcomes import Blocked, expect
from lual_conformance.registry import rule

#: How often a lost worker may be replaced.
_MOST_RESTARTS = 5

#: Deaths after which a backend that still goes on is believed to go on for ever.
_MANY = _MOST_RESTARTS + 3

#: Virtual seconds between two looks.
_STEP = 0.25

#: So many steps before the end they become slow.
_SLOWLY = 120

#: Virtual seconds that a successor is waited for; twice as many don't make a worker healthy again.
_LONGEST_PAUSE = 28.0


def _faults(kit: Kit, system: System) -> Any:
    faults = kit.target.faults(system.backend)
    if faults is None:
        raise Blocked("lual_backend_faults gives nothing that could kill the worker")
    return faults


def comes(system: System, reached: Callable[[], bool]) -> bool:
    """Lets a little time pass again and again, until something is reached."""
    deadline = time.monotonic() + system.kit.patience
    steps = int(_LONGEST_PAUSE / _STEP)
    # Quick at first; later a busy machine gets time to notice the death at all.
    while not system.kit.becomes_true(reached, 0.005 if steps > _SLOWLY else 0.05):
        if time.monotonic() >= deadline:
            return False
        if steps:
            steps -= 1
            system.advance(system.kit.seconds(_STEP))
    return True


class _Mortal:
    """A backend whose worker dies again and again.

    Args:
        kit: Of the check.
    """

    def __init__(self, kit: Kit) -> None:
        self.system = kit.running(batch_size=1)
        self.deaths = 0
        self._kit = kit
        self._faults = _faults(kit, self.system)

    def die(self) -> None:
        """Kills the worker, and submits a record for its successor."""
        # What is still under way could be taken for the successor's first record.
        self._kit.becomes_true(self._is_idle, self._kit.patience / 4)
        self.deaths += 1
        self._before = self._signs()
        self._written = len(self.system.output.done)
        self._faults.kill_worker()
        self.system.submit(f"after death {self.deaths}")

    def _is_idle(self) -> bool:
        stats = self.system.get_stats()
        return not (stats.get("queue_size") or stats.get("in_flight"))

    def _signs(self) -> int:
        """Returns a number that grows when a death has been noticed."""
        return len(self.system.errors) + int(self.system.get_stats().get("worker_restarts", 0))

    def is_stopped(self) -> bool:
        """Tells whether the backend has given up."""
        return bool(self.system.state == "stopped")

    def is_back(self) -> bool:
        """Tells whether the last death was noticed, and something was written since."""
        if len(self.system.output.done) <= self._written:
            return False
        # A worker that exists only while there are records may have been dead before.
        return self._signs() > self._before or self._kit.claims("lazy_worker")

    def settles(self) -> bool:
        """Waits until the last death has its consequence; False if it has none."""

        def is_settled() -> bool:
            if self.is_back() or self.is_stopped():
                return True
            self.system.submit("another")  # should the first have been lost, or not been noticed
            return False

        return comes(self.system, is_settled)

    def lasts(self) -> int:
        """Dies until the backend gives up, or very often; returns how often it came back.

        Raises:
            Blocked: A death had no consequence.
        """
        for restarts in range(_MANY):
            self.die()
            if not self.settles():
                raise Blocked("a worker that died was neither replaced nor given up")
            if self.is_stopped():
                return restarts
        return _MANY


@rule(
    "7.4",
    "A dead worker is noticed by the next submit or flush: it is replaced, or, after too many "
    "deaths, the backend is `stopped`: submit refuses, flush and stop answer.",
    hint="who looks whether the worker still lives; BaseBackend does at submit, flush and stop",
    needs=("restarts_worker",),
    assumes=("2.8", "4.5", "5.1"),
    seed="Worker recovery",
)
def a_dead_worker_is_replaced_or_given_up_visibly(kit: Kit) -> None:
    system = kit.running(batch_size=1)
    _faults(kit, system).kill_worker()
    system.submit("first")
    flush = kit.background(lambda: system.backend.flush(NEVER), "flush(inf)")
    ended = comes(system, flush.has_ended)
    expect(ended, "flush never returned after the worker had died")
    expect(flush.result(), "flush returned False, in time, after the worker had died")
    system.submit("second")  # what became of the first is another rule's
    expect(
        comes(system, lambda: "second" in system.output.done),
        "after the worker had died and a flush had returned, no further record was written",
    )
    mortal = _Mortal(kit)
    for _ in range(_MANY):
        mortal.die()
        expect(
            mortal.settles(),
            f"after {mortal.deaths} deaths of its worker the backend neither wrote any more nor "
            f"gave up: its state is {mortal.system.state!r}",
        )
        if mortal.is_stopped():
            _expect_refusal(mortal.system)
            return


def _expect_refusal(system: System) -> None:
    """Expects that a backend which has given up says so at every call."""
    why = "after the backend had given up its worker,"
    expect(system.submit("too late") == [False], f"{why} submit still returned True")
    timeout = system.kit.seconds(1.0)
    system.until_ended(system.flushing(timeout), timeout)
    system.until_ended(system.stopping(timeout), timeout)
    expect(system.state == "stopped", f"{why} and a stop, the state is {system.state!r}")


@rule(
    "7.5",
    "What a dead worker had in hand and not begun goes back to the front, in order; what was "
    "begun is failed (`worker_lost`); nothing is written twice; the death is reported.",
    hint="keep in one place what was taken and not begun, and settle it when the worker dies",
    needs=("restarts_worker",),
    assumes=("4.1", "4.2", "4.4", "7.1", "7.4"),
)
def every_record_of_a_dead_worker_is_accounted_for(kit: Kit) -> None:
    system = kit.running()
    faults = _faults(kit, system)
    names = [f"a{number}" for number in range(1, 14)]
    if kit.isolates:
        system.output.hold("a1")
    else:
        names = names[:3]
    system.submit(*names)
    if kit.isolates and not system.push(lambda: bool(system.output.begun)):
        raise Blocked("no record could be brought into the output")
    faults.kill_worker()
    system.output.open()
    names += ["b1", "b2"]
    system.submit(*names[-2:])
    kit.background(lambda: system.backend.flush(NEVER), "flush(inf)")
    comes(system, lambda: _is_at_rest(system, len(names)))
    _expect_conserved(kit, system, names)
    expect(
        kit.becomes_true(lambda: bool(system.errors), kit.patience),
        "the death of the worker was never reported",
    )
    stats = system.get_stats()
    for counter in ("backend_errors", "worker_restarts"):
        expect(stats.get(counter, 0) >= 1, f"a worker died, but {counter} is {stats.get(counter)}")


def _is_at_rest(system: System, submitted: int) -> bool:
    stats = system.get_stats()
    ended = stats.get("messages_processed", 0) + stats.get("messages_failed", 0)
    return bool(ended >= submitted and system.output.begun)


def _expect_conserved(kit: Kit, system: System, names: list[str]) -> None:
    stats, begun = system.get_stats(), list(system.output.begun)
    processed, failed = stats.get("messages_processed", 0), stats.get("messages_failed", 0)
    lost = stats.get("failed_by_reason", {}).get("worker_lost", 0)
    why = f"a worker died while {len(names)} records were under way;"
    at_most_once = not kit.claims("delivery:at_least_once")
    twice = sorted({name for name in begun if begun.count(name) > 1})
    expect(not (twice and at_most_once), f"{why} {twice} were written twice")
    if not kit.is_process:  # there, what was sent has begun without having got to the output
        missing = [name for name in names if name not in begun]
        expect(not missing, f"{why} {missing}, not begun before, were never written")
    expect(
        processed + failed == len(names),
        f"{why} afterwards {processed} are processed, {failed} failed, "
        f"{stats.get('in_flight')} in flight and {stats.get('queue_size')} queued",
    )
    expect(failed == lost, f"{why} {failed} failed, but {lost} of them as worker_lost")
    if not at_most_once:
        return
    if kit.claims("ordering:fifo|producer"):
        in_order = [name for name in names if name in begun]
        expect(begun == in_order, f"{why} they were written in the order {begun}")
    expect(
        processed <= len(begun) <= processed + lost,
        f"{why} {len(begun)} got to the output, but {processed} count as processed and {lost} "
        "as lost",
    )
    wrong = imbalance(stats)
    expect(not wrong, f"{why} {wrong}")


@rule(
    "7.6",
    "A lost worker is replaced at most five times in a row, with pauses on the injected clock.",
    hint="count deaths, and wait on config.clock before the next worker",
    must=False,
    needs=("restarts_worker",),
    assumes=("4.5", "7.4"),
    stochastic=True,
)
def restarts_are_bounded_and_backed_off(kit: Kit) -> None:
    mortal = _Mortal(kit)
    paused = kit.keeps_wall_time
    restarts = 0
    while restarts < _MANY:
        mortal.die()
        if not paused:
            paused = not kit.becomes_true(
                lambda: mortal.is_back() or mortal.is_stopped(), kit.glance
            )
        if not mortal.settles():
            raise Blocked("a worker that died was neither replaced nor given up")
        if mortal.is_stopped():
            break
        restarts += 1
    if restarts == _MANY and kit.claims("lazy_worker"):
        kit.not_applicable("the worker ends by itself; it may not have been there to be killed")
    expect(
        restarts <= _MOST_RESTARTS,
        f"a worker that died at once each time was replaced {restarts} times",
    )
    expect(
        paused or restarts < 2,
        f"{restarts} lost workers were replaced without any time passing between",
    )


@rule(
    "7.10",
    "Deaths are forgotten after 60 s of health.",
    hint="compare the time of a death with that of the last one, on config.clock",
    needs=("restarts_worker", "clock:injected"),
    assumes=("4.5", "7.4", "7.6"),
)
def old_deaths_are_forgiven(kit: Kit) -> None:
    limit = _Mortal(kit).lasts()
    if not 0 < limit < _MANY:
        raise Blocked(f"a worker was replaced {limit} times")
    mortal = _Mortal(kit)
    for _ in range(limit):
        mortal.die()
        if not mortal.settles() or mortal.is_stopped():
            raise Blocked("another number of deaths was survived than before")
    mortal.system.advance(66.0)
    mortal.die()
    expect(
        mortal.settles() and not mortal.is_stopped(),
        f"the backend gave up at a death of its worker 66 s after the last of {limit} others",
    )
