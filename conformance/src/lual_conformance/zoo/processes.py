"""Mutants whose outputs run in another process, and that handle the border badly."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import threading
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from lual.backend import BackendConfig, WorkItem
from lual_conformance.zoo.registry import mutant
from lual_conformance.zoo.sound.child import Child
from lual_conformance.zoo.sound.crossing import Outcome, pack
from lual_conformance.zoo.sound.hands import Hand
from lual_conformance.zoo.sound.process import ProcessBackend

#: Bytes that a pipe holds on most systems.
_PIPE = 65536

#: Bytes above which a parcel counts as large.
_LARGE = 8192

#: Seconds by which the worker's counters come later than its answers.
_LATE = 0.05


def _can_cross(item: WorkItem) -> bool:
    try:
        pickle.loads(pack(item))  # noqa: S301  made one line above
    except Exception:  # noqa: BLE001  pickle passes on whatever a part of the record raises
        return False
    return True


@mutant({"13.1": "were never written"})
class PickleKillsFeeder(ProcessBackend):
    """Feeds its worker in a thread that the first record which can't be pickled ends."""

    def _perform(self, hand: Hand, group: Sequence[WorkItem], func: Any) -> None:
        if not all(map(_can_cross, group)):
            sys.exit()  # as an exception that nobody catches does, but without a word on stderr
        super()._perform(hand, group, func)


@mutant({"13.1": "were never written"})
class UncrossableSinksBatch(ProcessBackend):
    """Pickles a batch as a whole, so that one record fails all of it."""

    def _run(self, hand: Hand) -> None:
        items = self._not_begun(hand)
        if all(map(_can_cross, items)):
            super()._run(hand)
        elif self._begin(hand, len(items)):
            self._book(hand, items, [("serialize", "a record can't be pickled")] * len(items))
            self._end(hand, None)


@mutant({"13.1": "are counted as failed"})
class UncrossableVanishes(ProcessBackend):
    """Leaves out what can't cross, and counts it as written."""

    def _perform(self, hand: Hand, group: Sequence[WorkItem], func: Any) -> None:
        fit = [item for item in group if _can_cross(item)]
        self._book(hand, group[len(fit) :], [None] * (len(group) - len(fit)))
        super()._perform(hand, fit, func)


@mutant({"13.1": "no report names it"})
class UncrossableUnreported(ProcessBackend):
    """Counts what can't cross, and tells nobody."""

    def _report(self, message: str) -> None:
        if "_CannotLeaveError" not in message and "pickle" not in message:
            super()._report(message)


class _TwoEnded(Child):
    """Keeps the worker's end of the socket open; only its own `kill` knows better."""

    copy = -1

    def spawn(self, far_end: Connection) -> None:
        """Forgets to close what the worker got."""
        self.copy = os.dup(far_end.fileno())
        super().spawn(far_end)

    def kill(self) -> None:
        """Closes everything, and kills."""
        self._close_copy()
        super().kill()

    def close(self) -> None:
        """Closes everything."""
        self._close_copy()
        super().close()

    def belongs_to_parent(self) -> None:
        """Closes everything, in a forked process."""
        self._close_copy()
        super().belongs_to_parent()

    def _close_copy(self) -> None:
        copy, self.copy = self.copy, -1
        with contextlib.suppress(OSError):
            os.close(copy)


@mutant({"13.2": "a flush never returned"})
class WaitsOnDeadPipe(ProcessBackend):
    """Waits for an answer on a pipe whose other end it holds itself."""

    child_class = _TwoEnded


class _Told(Child):
    """Knows of a death only if it was asked to kill."""

    was_told = False

    def kill(self) -> None:
        """Notes it."""
        self.was_told = self.was_told or self.is_alive()
        super().kill()


@mutant({"13.2": "have an outcome"})
class LosesWhatWasSent(ProcessBackend):
    """Replaces a worker that was killed from outside, and forgets what it had."""

    child_class = _Told

    def _lose(self, hand: Hand, sent: Sequence[WorkItem], *, was_asked: bool) -> None:
        if isinstance(self._child, _Told) and not self._child.was_told:
            sent = []
        super()._lose(hand, sent, was_asked=was_asked)


@mutant({"13.2": "as worker_lost"})
class TakesDeathForSuccess(ProcessBackend):
    """Counts what a killed worker had as written, since nobody complained."""

    child_class = _Told

    def _lose(self, hand: Hand, sent: Sequence[WorkItem], *, was_asked: bool) -> None:
        if isinstance(self._child, _Told) and not self._child.was_told:
            self._book(hand, sent, [None] * len(sent))
            sent = []
        super()._lose(hand, sent, was_asked=was_asked)


class _Staging(Child):
    """Fills one pipe before it begins to empty it."""

    def run(self, parcels: Sequence[bytes]) -> list[Outcome]:
        """Writes everything, and reads it then."""
        read, write = os.pipe()
        with open(read, "rb", buffering=0) as source:
            with open(write, "wb", buffering=0) as target:
                for parcel in parcels:
                    target.write(parcel)
            while source.read(_PIPE):
                pass
        return super().run(parcels)


@mutant({"13.5": "flush never returned"})
class PipeDeadlock(ProcessBackend):
    """Writes a batch into a pipe that nobody reads meanwhile."""

    child_class = _Staging


@mutant({"13.5": "was never written as it was submitted"})
class TornAtPipeSize(ProcessBackend):
    """Believes that one write takes everything."""

    def _pack(self, item: WorkItem) -> bytes:
        message = item.record.message
        if len(message) > _PIPE:
            record = item.record.replace(message=message[:_PIPE])
            item = WorkItem(item.logger, record, None, item.submitted_at, item.level)
        return super()._pack(item)


@mutant({"13.5": "submit never returned"})
class SubmitFillsPipe(ProcessBackend):
    """Writes what is large into a pipe already in `submit`; its worker reads when it has time."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._room = threading.Semaphore(16)

    def submit(self, work_item: WorkItem) -> bool:
        """Waits for room in the pipe."""
        if _is_large(work_item):
            self._room.acquire()
        return super().submit(work_item)

    def _pack(self, item: WorkItem) -> bytes:
        if _is_large(item):
            self._room.release()
        return super()._pack(item)


def _is_large(item: WorkItem) -> bool:
    return len(getattr(item.record, "message", "")) > _LARGE


@mutant({"13.6": "were written in the order"})
class ReordersAcrossPipe(ProcessBackend):
    """Sends large records through a channel of their own."""

    def _take(self, hand: Hand) -> None:
        super()._take(hand)
        hand.items = deque(sorted(hand.items, key=_is_large))


class _Doubtful(Child):
    """Trusts no answer that comes soon after a large parcel."""

    was_large = False

    def run(self, parcels: Sequence[bytes]) -> list[Outcome]:
        """Sends small parcels again after a large one."""
        after_large, self.was_large = self.was_large, sum(map(len, parcels)) > _LARGE
        outcomes = super().run(parcels)
        return super().run(parcels) if after_large and not self.was_large else outcomes


@mutant({"13.6": "were written more than once"})
class DuplicatesAcrossPipe(ProcessBackend):
    """Sends a record again that comes after a large one."""

    child_class = _Doubtful


@mutant({"13.7": "right after flush"})
class ChildOnlyStats(ProcessBackend):
    """Gets its worker's count of failures over another channel, a moment after its answers."""

    def _count(self, hand: Hand, outcomes: Sequence[Outcome]) -> None:
        failed = [outcome for outcome in outcomes if outcome is not None]
        super()._count(hand, [None] * (len(outcomes) - len(failed)))
        late = threading.Timer(_LATE, super()._count, (hand, failed))
        late.name = "check: counters"
        late.daemon = True
        late.start()
