"""What authors get wrong with a queue and books of their own, inline, or in what they claim."""

from __future__ import annotations

import contextlib
from typing import Any

from lual.backend import BackendConfig, WorkItem
from lual_conformance.zoo.registry import mutant
from lual_conformance.zoo.second_look import claiming
from lual_conformance.zoo.sound.duck import Duck
from lual_conformance.zoo.sound.duck_books import Books
from lual_conformance.zoo.sound.duck_worker import Begun
from lual_conformance.zoo.sound.hired import HiredBackend
from lual_conformance.zoo.sound.lanes import LanesBackend
from lual_conformance.zoo.sound.pool import PoolBackend
from lual_conformance.zoo.sound.solo import SoloBackend
from lual_conformance.zoo.sound.synchronous import Synchronous

_DROPS = ("drop_oldest", "drop_newest")


def alone(cls: type, name: str, **capabilities: Any) -> Any:
    """Returns the plugin of a backend with a queue of its own, which never waits for room."""
    return claiming(cls, name, overflow=_DROPS, **capabilities)


def inline(cls: type, name: str, **capabilities: Any) -> Any:
    """Returns the plugin of a backend that writes before `submit` returns."""
    return claiming(cls, name, worker="none", isolates_slow_outputs=False, **capabilities)


# With a queue and books of its own


@mutant({"6.11": "drop_oldest, full of unprotected ones) was dropped"}, plugin=alone)
class EvictsWhatIsFirst(Duck):
    """Protects no record from eviction."""

    def _make_room(self, item: WorkItem) -> bool:
        if not self._evicts:
            return super()._make_room(item)
        self._drop(self._queue.popleft().item, "overflow_oldest")
        return True


@mutant(
    {"6.2": "possible here: overflow_oldest", "6.3": "possible here: overflow_newest"}, plugin=alone
)
class OneReasonForAll(Duck):
    """Has one reason of its own for every drop at overflow."""

    def _drop(self, item: WorkItem, reason: str) -> None:
        super()._drop(item, "overflow" if reason.startswith("overflow") else reason)


class _NumberedLevels(Books):
    def drop(self, level: int, reason: str) -> None:
        super().drop(level, reason)
        by_level = self._stats["dropped_by_level"]
        for name in [name for name in by_level if not name.isdigit()]:
            by_level[str(level)] = by_level.get(str(level), 0) + by_level.pop(name)


@mutant(
    {"6.2": "dropped_by_level says {'20': 25, '30': 7}", "6.3": "dropped_by_level says {'30': 25}"},
    plugin=alone,
)
class LevelsAsNumbers(Duck):
    """Counts drops by the level's number."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._books = _NumberedLevels(config, lambda: len(self._queue))


class _NothingInFlight(Books):
    def _totals(self, counters: Any) -> dict[str, int]:
        totals = super()._totals(counters)
        return {**totals, "messages_submitted": totals["messages_submitted"] - self._flying()}

    def _flying(self) -> int:
        return int(self._stats["in_flight"])


@mutant({"8.2": "in_flight 1 make 8"}, plugin=alone)
class ForgetsWhatIsInside(Duck):
    """Counts a record as submitted once it waits no more and is inside no output."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._books = _NothingInFlight(config, lambda: len(self._queue))


@mutant({"5.13": "before the failure of 'a' was reported"}, plugin=alone)
class ReportsLater(Duck):
    """Keeps its reports until the next batch is due."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._kept: list[str] = []

    def _report(self, message: str) -> None:
        self._kept.append(message)

    def _run(self, begun: Begun) -> None:
        self._tell()
        super()._run(begun)

    def _tell(self) -> None:
        while self._kept:
            super()._report(self._kept.pop(0))

    def stop(self, timeout: float | None = None) -> bool:
        """Stops."""
        done = super().stop(timeout)
        self._tell()
        return done

    def get_stats(self) -> dict[str, Any]:
        """Returns the counters."""
        if self._thread is not None and not self._in_hand and not self._awaited:
            self._tell()
        return super().get_stats()


@mutant({"2.8": "its state was 'running' instead of 'stopping'"}, plugin=alone)
class RunsUntilStopped(Duck):
    """Doesn't tell that it is stopping."""

    def get_stats(self) -> dict[str, Any]:
        """Returns the counters."""
        stats = super().get_stats()
        return {**stats, "state": stats["state"].replace("stopping", "running")}


@mutant({"6.2": "never reached the output", "6.3": "['room 9'] were refused"}, plugin=alone)
class OneTooFew(Duck):
    """Takes its queue for full when there is room for one more."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._limit = max(self._limit - 1, 1)
        self._trigger = min(self._trigger, self._limit)


# Inline


@mutant({"7.3": "the caller never got it"}, plugin=inline)
class KeepsInterrupts(Synchronous):
    """Lets no interruption out of its submit."""

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record."""
        with contextlib.suppress(BaseException):
            return super().submit(work_item)
        return True


@mutant({"3.6": "were dispatched inside the dispatch of another record"}, plugin=inline)
class WritesInsideWriting(Synchronous):
    """Writes a record that an output submits inside that output."""

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record."""
        func = self._dispatch if work_item.dispatch_func is None else work_item.dispatch_func
        if self._state == "running" and self._turn.is_mine() and func is not None:
            func(work_item.logger, work_item.record)
            return True
        return super().submit(work_item)


@mutant({"5.1": "while a record was still inside the output"}, plugin=inline)
class AlwaysFlushed(Synchronous):
    """Takes a flush for needless, as every record is written at once."""

    def flush(self, timeout: float | None = None) -> bool:
        """Waits for nothing."""
        inside = self._turn.is_mine()
        super().flush(timeout if timeout is None or not timeout >= 0 else 0.0)
        return not inside


# Claims


@mutant({"1.7": "it claims lazy_worker"}, plugin=claiming, lazy_worker=True)
class ClaimsToBeLazy(HiredBackend):
    """Claims that its worker is there only when there is work."""


@mutant({"4.2": "when it was the turn of"}, plugin=claiming)
class ClaimsOneLane(LanesBackend):
    """Claims an order across threads, and has one for each."""


@mutant({"4.4": "more calls of the output ran at once"}, plugin=claiming, ordering="none")
class ClaimsOneWorker(PoolBackend):
    """Claims one dispatch at a time, and has two workers."""


@mutant({"3.2": "on the thread that submitted"}, plugin=claiming)
class ClaimsIsolation(Synchronous):
    """Claims a thread for its outputs, and writes inline."""


@mutant({"6.1": "once a batch had been taken"}, plugin=claiming)
class TakesTwoBatches(SoloBackend):
    """Has one batch more in hand than it says."""

    def _take(self) -> list[WorkItem]:
        return super()._take() + super()._take()
