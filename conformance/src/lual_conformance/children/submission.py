"""Processes in which `submit` is interrupted by itself."""

from __future__ import annotations

import gc
import itertools
import random
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from lual_conformance.children import Report
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.output import name_of
from lual_conformance.harness.system import System
from lual_conformance.settings import RunSettings
from lual_conformance.target import Target

#: What interrupts a submit, and submits as well.
SIGNAL, FINALISER = KINDS = ("signal handler", "finaliser")

#: Records that the main thread submits.
RECORDS = 600

#: How many of them make a line in the report.
STRIDE = 50

#: Entered functions of one submit that are interrupted in turn.
_DEPTH = 60

#: Signals during one submit at most: a busy machine would handle nothing else.
_SIGNALS = 3

#: Seconds between the end of one signal handler and the next signal, at least and at most.
_PAUSES = (10e-6, 100e-6)

#: Allocations after which the collector runs: often enough to hit every step of a submit.
_ALLOCATIONS = 10


class Interruption:
    """A profile function that raises a signal when the n-th Python function is entered.

    At such an entry a real signal may be handled as well, in every version of Python.

    Args:
        position: Which.
    """

    def __init__(self, position: int) -> None:
        self._left = position

    def __call__(self, frame: Any, event: str, argument: Any) -> None:
        """Is told of each call."""
        if event == "call":
            self._left -= 1
            if not self._left:
                signal.raise_signal(signal.SIGALRM)


class Written:
    """An output that only notes names, and takes no lock for it."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def __call__(self, logger: Any, record: Any) -> None:
        """Takes one record."""
        self.begun.append(name_of(record))


class Journal:
    """What was submitted, and what came of it.

    Args:
        system: Whose backend it submits to.
        kind: What interrupts the main thread.
        report: Where it tells how far that is.
    """

    def __init__(self, system: System, kind: str, report: Report) -> None:
        self.system = system
        self.kind = kind
        self.is_open = False  # to signals
        self.report = report
        self.taken: list[str] = []
        self.refused: list[str] = []
        self.raised: list[str] = []

    def submit_all(self) -> Iterator[int]:
        """Submits what the main thread has to submit, one record at each step."""
        for n in range(RECORDS):
            if n % STRIDE == 0:
                self.report(f"{self.kind}: at {n}")
            self.submit(f"main {n}", Interruption(n % _DEPTH + 1) if self.is_open else None)
            yield n

    def submit(self, name: str, interruption: Interruption | None = None) -> None:
        """Submits one record and notes the answer."""
        item, submit = self.system.item(name), self.system.backend.submit
        try:
            if interruption is None:
                answer = submit(item)
            else:
                answer = _interrupted(lambda: submit(item), interruption)
        except Exception as error:  # noqa: BLE001  it is noted, for the check to judge
            self.raised.append(f"{type(error).__name__}: {error}")
            return
        (self.taken if answer else self.refused).append(name)

    def tell(self) -> None:
        """Reports what went wrong, one line each."""
        kind, report, arrived = self.kind, self.report, set(self.system.output.begun)
        lost = [name for name in self.taken if name not in arrived]
        if lost:
            report(
                f"lost: {len(lost)} of {len(self.taken)} records that submit had taken, some from "
                f"a {kind}, never reached the output: {lost[:5]}"
            )
        if self.refused:
            report(
                f"refused: {len(self.refused)} records though there was room, as submit was "
                f"interrupted by a {kind}: {self.refused[:5]}"
            )
        if self.raised:
            report(f"raised: submit, with a {kind} that submits, raised {self.raised[0]}")


def _interrupted(submit: Callable[[], bool], interruption: Interruption) -> bool:
    sys.setprofile(interruption)
    try:
        return submit()
    finally:
        sys.setprofile(None)


class Garbage:
    """Part of a cycle, so that only the collector can end it; it then submits a record.

    Args:
        journal: What it submits through.
        name: Of its record.
    """

    def __init__(self, journal: Journal, name: str) -> None:
        self._me = self
        self._journal = journal
        self._name = name

    def __del__(self) -> None:
        self._journal.submit(self._name)


def interrupted_submits(
    report: Report, backend: str, options: dict[str, Any], watchdog: float
) -> None:
    """Submits from the main thread while signal handlers, then finalisers, submit as well."""
    settings = RunSettings(options=options, watchdog=watchdog, scale=1.0)
    target = Target.find(backend)
    for kind in KINDS:
        kit = Kit(target, settings)
        output = Written()
        system = kit.running(output=output, max_size=100_000, batch_size=20)
        journal = Journal(system, kind, report)
        if kind == SIGNAL:
            _among_signals(journal)
        else:
            _among_finalisers(journal)
        report(f"{kind}: submitted")
        system.drain(lambda j=journal, o=output: len(o.begun) >= len(j.taken))  # type: ignore[misc]
        journal.tell()
        report(f"{kind}: told")
        kit.close()


def _among_signals(journal: Journal) -> None:
    numbers = itertools.count()
    pauses = random.Random(0)  # noqa: S311  chooses moments, no secrets
    left = 0

    def arm() -> None:
        signal.setitimer(signal.ITIMER_REAL, pauses.uniform(*_PAUSES))

    def handle(*_: Any) -> None:
        nonlocal left
        if not journal.is_open or left <= 0:
            return  # one during another, or more than any backend could keep up with
        left -= 1
        journal.is_open = False
        journal.submit(f"signal {next(numbers)}")
        journal.is_open = True
        arm()

    signal.signal(signal.SIGALRM, handle)
    journal.is_open = True
    for _ in journal.submit_all():
        left = _SIGNALS
        arm()
    journal.is_open = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)


def _among_finalisers(journal: Journal) -> None:
    before = gc.get_threshold()
    gc.set_threshold(_ALLOCATIONS)
    for n in journal.submit_all():
        Garbage(journal, f"finaliser {n}")
    gc.set_threshold(*before)
    gc.collect()
