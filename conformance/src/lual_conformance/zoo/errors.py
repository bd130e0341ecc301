"""Mutants that break what chapter 7 promises of exceptions in outputs and callbacks."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import lual
from lual.backend import BackendConfig, WorkItem
from lual.backend.batch import book, call, report_failures
from lual_conformance.reference.group import Group
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


class _Quit(BaseException):
    """Ends a worker for good, without a word."""


class _Mortal(RefThreads):
    """Can lose its worker unnoticed."""

    def recover(self, error: BaseException, epoch: int) -> bool:
        return not isinstance(error, _Quit) and super().recover(error, epoch)

    def quit_after(self, item: WorkItem, *kinds: type[BaseException]) -> None:
        """Dispatches a record properly, and quits if it raised one of these."""
        error = run_one(self, item)
        if isinstance(error, kinds):
            raise _Quit


def run_one(backend: RefThreads, item: WorkItem, *, silently: bool = False) -> Any:
    """Dispatches, books and reports one record, as run_batch does; returns what it raised."""
    func, generation = backend.func_of(item), backend.ledger.generation
    outcomes = call([item], func)
    failures = book([item], func, outcomes, backend.config, generation)
    if not silently:
        report_failures(failures, backend.config)
    return outcomes[0]


def wrap_callback(config: BackendConfig, around: Callable[[Any, str], None]) -> None:
    """Has every report pass through `around(callback, message)`."""
    callback = config.error_callback
    config.error_callback = lambda message: around(callback, message)


@mutant({"7.1": "were never written"})
class ErrorKillsWorker(_Mortal):
    """Ends its worker when an output raises."""

    def run_item(self, item: WorkItem) -> None:
        self.quit_after(item, Exception)


@mutant({"7.1": "messages_failed is 0"})
class SwallowsErrors(RefThreads):
    """Takes a record whose output raised for written."""

    def run_item(self, item: WorkItem) -> None:
        if self.func_of(item) is None:
            super().run_item(item)
            return
        generation = self.ledger.generation
        call([item], self.func_of(item))
        self.ledger.book(generation, processed=1)


@mutant({"7.1": "nothing was reported"})
class CountsInSilence(RefThreads):
    """Counts a failed record and tells nobody."""

    def run_item(self, item: WorkItem) -> None:
        run_one(self, item, silently=True)


@mutant({"7.1": "doesn't name the text 'card refused'"})
class ReportsTheKindOnly(RefThreads):
    """Leaves the exception's text out of its report."""

    def run_item(self, item: WorkItem) -> None:
        error = run_one(self, item, silently=True)
        if error is not None:
            message = getattr(item.record, "message", "")
            self.report(f"{type(error).__name__} for a record of {item.logger}: {message}")


@mutant({"7.1": "were never written"})
class ErrorFailsTheBatch(RefThreads):
    """Gives up the rest of a batch when one of its records fails."""

    def run_item(self, item: WorkItem) -> None:
        generation = self.ledger.generation
        if isinstance(run_one(self, item), Exception):
            with self.lock:
                rest = len(self.hand)
                self.hand.clear()
            self.ledger.book(generation, failed=rest)


@mutant({"7.1": "submit(work_item) raised"})
class ErrorReachesTheCaller(RefInline):
    """Lets an output's exception out of the call that happened to dispatch."""

    def _run(self, group: Group) -> None:
        errors: list[BaseException] = []
        super()._run(group._replace(func=_noting(group.func, errors)))
        if errors:
            raise errors[0]


def _noting(func: Any, errors: list[BaseException]) -> Any:
    """Returns a dispatch function that notes what its calls raise."""

    def noted(logger: Any, record: Any) -> None:
        try:
            func(logger, record)
        except BaseException as error:
            errors.append(error)
            raise

    return noted if func is not None else None


@mutant({"7.2": "after an error_callback raised ValueError"})
class ReporterKillsWorker(_Mortal):
    """Ends its worker when error_callback raises."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.is_ended = False
        wrap_callback(config, self.call_back)

    def call_back(self, callback: Any, message: str) -> None:
        """Notes that the callback raised."""
        try:
            callback(message)
        except BaseException:
            self.is_ended = True
            raise

    def run_item(self, item: WorkItem) -> None:
        super().run_item(item)
        if self.is_ended:
            raise _Quit


@mutant({"7.2": "raised ValueError: the callback"})
class ReportOfStopRaises(RefThreads):
    """Lets error_callback break a stop that ran out of time."""

    def report(self, message: str) -> None:
        self.config.error_callback(message)


@mutant({"7.2": "after an error_callback raised SystemExit"})
class ReporterMayExit(ReporterKillsWorker):
    """Protects itself from the Exceptions of error_callback, but not from SystemExit."""

    def call_back(self, callback: Any, message: str) -> None:
        with contextlib.suppress(Exception):
            super().call_back(callback, message)
            return
        self.is_ended = False


@mutant({"7.2": "raised ValueError: the callback"})
class ReporterReachesTheCaller(RefInline):
    """Lets what error_callback raises out of submit."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.raised: list[Exception] = []
        wrap_callback(config, self.call_back)

    def call_back(self, callback: Any, message: str) -> None:
        """Notes what the callback raises."""
        try:
            callback(message)
        except Exception as error:
            self.raised.append(error)
            raise

    def _run(self, group: Group) -> None:
        super()._run(group)
        if self.raised:
            raise self.raised.pop()


@mutant({"7.3": "were never written"})
class BaseExceptionBlackHole(_Mortal):
    """Ends its worker at SystemExit and the like, without a word."""

    def run_item(self, item: WorkItem) -> None:
        self.quit_after(item, SystemExit, KeyboardInterrupt, GeneratorExit)


@mutant({"7.3": "messages_failed is 0"})
class ExitIsNoOutcome(RefThreads):
    """Replaces a worker that an output ended, and forgets the record."""

    def run_item(self, item: WorkItem) -> None:
        func, generation = self.func_of(item), self.ledger.generation
        outcomes = call([item], func)
        if isinstance(outcomes[0], (SystemExit, KeyboardInterrupt, GeneratorExit)):
            raise outcomes[0]
        failures = book([item], func, outcomes, self.config, generation)
        report_failures(failures, self.config)


@mutant({"7.3": "the caller never got it"})
class SwallowsInterrupts(RefInline):
    """Keeps the Ctrl-C of its caller for itself."""

    def _run(self, group: Group) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            super()._run(group)


@mutant({"7.3": "had not returned"})
class InterruptLeavesALock(RefInline):
    """Believes for ever that somebody dispatches, once a Ctrl-C came out of an output."""

    def _dispatch_batch(self, until: float = math.inf) -> None:
        try:
            super()._dispatch_batch(until)
        except BaseException:
            self._turn._owner = -1
            raise


@mutant({"7.7": "wrote to lual's own log"})
class LogsItsOwnErrors(RefThreads):
    """Tells its troubles to a logger as well."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        wrap_callback(config, self.call_back)

    def call_back(self, callback: Any, message: str) -> None:
        """Logs what is reported."""
        lual.logger("lual.backends.mine").debug(message)
        callback(message)


@mutant({"7.8": "were never written"})
class CatchesOnlyValueError(_Mortal):
    """Takes a lack of stack or memory for the end."""

    def run_item(self, item: WorkItem) -> None:
        self.quit_after(item, RecursionError, MemoryError)


@mutant({"7.9": "was held while"})
class ReportsUnderLock(RefThreads):
    """Holds its lock while error_callback runs."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        wrap_callback(config, self.call_back)

    def call_back(self, callback: Any, message: str) -> None:
        """Reports with the lock held."""
        with self.lock:
            callback(message)


@mutant({"7.9": "was held while 'stop ran out of time"})
class ReportsLossUnderLock(RefThreads):
    """Holds its lock while it reports what a stop had to leave."""

    def abandon(self) -> tuple[int, int]:
        left, begun = super().abandon()
        if left or begun:
            self.report(f"stop ran out of time: {left} records dropped, {begun} still inside")
        return 0, 0


@mutant({"7.9": "was held while"})
class ReportsUnderTheInlineLock(RefInline):
    """Holds its lock while error_callback runs."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        wrap_callback(config, self.call_back)

    def call_back(self, callback: Any, message: str) -> None:
        """Reports with the lock held."""
        with self._lock:
            callback(message)
