"""Random programs: several threads that call one backend, all at once."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import lual
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import NEVER, System
from lual_conformance.outcomes import Violation, expect

#: Seconds between two switches of threads: the interpreter takes as many as it can.
_SWITCH_INTERVAL = 1e-6

#: Virtual seconds that pass at once while a program runs.
_TICK = 0.1

#: Reasons for which a record is dropped that `submit` has refused.
_REFUSALS = ("overflow_newest", "block_timeout", "cannot_block")


class Call(NamedTuple):
    """One call that a thread of a program makes.

    Args:
        name: As it is written.
        make: Makes it.
    """

    name: str
    make: Callable[[], Any]


@contextmanager
def switching_all_the_time() -> Iterator[None]:
    """Makes the interpreter switch between threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class Program:
    """Threads with calls chosen at random.

    Args:
        kit: Chooses.
        threads: How many.
        length: Calls of each.
        kinds: What to choose from; those that come twice are chosen twice as often.
    """

    def __init__(self, kit: Kit, threads: int, length: int, kinds: Sequence[str]) -> None:
        self.kit = kit
        strategies = sorted(kit.capabilities.get("overflow") or ["drop_oldest"])
        self.strategy = kit.random.choice(strategies)
        self.system = kit.running(
            max_size=kit.random.choice((4, 20)),
            strategy=self.strategy,
            batch_size=kit.random.choice((1, 3)),
            flush_interval=kit.seconds(1.0),
            block_timeout=kit.seconds(1.0),
        )
        self.accepted: list[str] = []
        self.raised: list[str] = []
        self._names = itertools.count(1)
        self._doing: dict[int, tuple[str, float]] = {}
        self._barrier = threading.Barrier(threads)
        plans = [
            [self._call(kit.random.choice(kinds)) for _ in range(length)] for _ in range(threads)
        ]
        self.text = " | ".join(", ".join(call.name for call in plan) for plan in plans)
        self._threads = [
            threading.Thread(target=self._run, args=(number, plan), daemon=True)
            for number, plan in enumerate(plans)
        ]

    def _call(self, kind: str) -> Call:
        system, some = self.system, self.kit.random
        backend = system.backend
        if kind == "submit":
            level = some.choice((lual.INFO, lual.INFO, lual.ERROR))
            names = [f"record {next(self._names)}" for _ in range(some.choice((1, 2, 8)))]
            if some.random() < 0.3:
                system.output.failures[names[0]] = ValueError("a record that fails")
            return Call(f"submit x {len(names)}", lambda: self._submit(names, level))
        if kind in ("flush", "stop"):
            timeout = some.choice((0.0, self.kit.seconds(0.5), NEVER))
            method = getattr(backend, kind)
            return Call(f"{kind}({timeout:g})", lambda: method(timeout))
        if kind == "start":
            return Call("start", self._start)
        return Call(kind, getattr(backend, kind))

    def _submit(self, names: Sequence[str], level: int) -> None:
        for name in names:
            if self.system.backend.submit(self.system.item(name, level)):
                self.accepted.append(name)

    def _start(self) -> None:
        # Right while another thread stops it, or a worker of before is inside an output.
        with suppress(RuntimeError):
            self.kit.host.start(self.system.backend, self.system.output)

    def _run(self, number: int, plan: Sequence[Call]) -> None:
        try:
            self._barrier.wait()
            for call in plan:
                self._doing[number] = (call.name, time.monotonic())
                call.make()
        except BaseException as error:  # noqa: BLE001  whatever it is, it was not to be raised
            call_name = self._doing.get(number, ("nothing", 0.0))[0]
            self.raised.append(f"{call_name} raised {type(error).__name__}: {error}")
        finally:
            self._doing.pop(number, None)

    def run(self) -> None:
        """Runs it, and stops the backend if it still runs then; meanwhile time passes.

        Raises:
            Violation: A call hangs, or raises what it must not.
        """
        ticking = threading.Event()
        ticking.set()
        threading.Thread(target=self._pass_time, args=(ticking,), daemon=True).start()
        try:
            for thread in self._threads:
                thread.start()
            for thread in self._threads:
                while thread.is_alive():
                    thread.join(0.02)
                    self._look_for_hangs()
            expect(not self.raised, f"{'; '.join(self.raised)}, in the program {self.text}")
            stop = self.kit.background(self.system.backend.stop, "stop(None)")
            stop.result(f"a stop after the program never returned: {self.text}")
        finally:
            ticking.clear()

    def _pass_time(self, ticking: threading.Event) -> None:
        with suppress(Violation):  # a lock is stuck: who watches the calls says so
            while ticking.is_set():
                if self.system.clock.is_manual:
                    self.system.clock.advance(_TICK)
                time.sleep(0.0005)

    def _look_for_hangs(self) -> None:
        now = time.monotonic()
        doing = list(self._doing.values())
        if any(now - since > self.kit.patience for _, since in doing):
            names = " and ".join(name for name, _ in doing)
            seconds = f"{self.kit.patience:g} s"
            raise Violation(f"{names} had not returned after {seconds}, in the program {self.text}")

    # What became of the records

    def expect_conservation(self) -> None:
        """Compares what was accepted with what the output saw and the statistics say.

        Raises:
            Violation: A record is missing, or was written twice.
        """
        begun = self.system.output.begun
        twice = sorted({name for name in begun if begun.count(name) > 1})
        expect(not twice, f"{twice} began to be dispatched twice, in the program {self.text}")
        unknown = sorted(set(begun) - set(self.accepted))
        expect(not unknown, f"{unknown} were dispatched though submit returned False")

    def expect_counted(self) -> None:
        """Expects that every record that was accepted has one outcome; without resets only.

        Raises:
            Violation: One has none, or the statistics don't agree.
        """
        if not self.kit.becomes_true(lambda: self._missing() == 0, self.kit.patience / 4):
            raise Violation(f"{self._balance()}, in the program {self.text}")

    def _dropped(self) -> int:
        reasons = self.system.get_stats()["dropped_by_reason"]
        return sum(count for reason, count in reasons.items() if reason not in _REFUSALS)

    def _missing(self) -> int:
        output = self.system.output
        failed = sum(name in output.failures for name in output.begun)
        stats = self.system.get_stats()
        is_counted = (stats["messages_processed"], stats["messages_failed"]) == (
            len(output.done),
            failed,
        )
        missing = len(self.accepted) - len(output.done) - failed - self._dropped()
        return missing if missing or is_counted else -1

    def _balance(self) -> str:
        output, stats = self.system.output, self.system.get_stats()
        return (
            f"{len(self.accepted)} records were accepted; {len(output.begun)} reached the output, "
            f"{stats['messages_processed']} are counted processed, {stats['messages_failed']} "
            f"failed, {self._dropped()} dropped"
        )


def settle(system: System) -> None:
    """Resets a backend after a program, and expects it to be as new.

    Raises:
        Violation: It isn't.
    """
    system.reset()
    _start_again(system)
    before = len(system.output.done)
    system.submit("as new 1", "as new 2", "as new 3")
    flush = system.flushing()
    answer = flush.result("after a parallel program, a reset and a start, flush never returned")
    expect(answer is True, f"after a parallel program, a reset and a start, flush said {answer!r}")
    written, counted = len(system.output.done) - before, system.get_stats()["messages_processed"]
    expect(
        written == counted == 3,
        f"after a parallel program, a reset and a start, 3 records were submitted, {written} "
        f"written and {counted} counted",
    )


def _start_again(system: System) -> None:
    """Starts a backend whose last worker may just be leaving an output."""

    def starts() -> bool:
        try:
            system.start()
        except RuntimeError:
            return False
        return True

    if not system.kit.becomes_true(starts, system.kit.patience / 4):
        system.start()
