"""What a backend in an event loop does with its records, whoever makes it do so.

Batches may be handed over by the task in the loop, by a caller that waits, or, where there
is no loop, by the thread that runs the outputs; only that thread ever runs one.

Guarantees:
    * one lock, never held during an output, its flush or a report;
    * what is handed over and not begun can be called back by a stop.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from lual.backend import BackendConfig, WorkItem, run_batch
from lual.backend.batch import report

#: Seconds by which two readings of epoch time may differ.
_ROUNDING = 1e-6

#: Seconds until a second look at a queue from which nothing could be taken.
_AGAIN = 0.001


class Ticket:
    """A flush that waits for everything before a position of the queue."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.done = False


class LoopWork:
    """Decides when a batch is due, runs it on one thread, and answers flushes.

    Args:
        config: The backend's.
    """

    def __init__(self, config: BackendConfig) -> None:
        self.config = config
        self.queue = config.queue
        self.ledger = config.ledger
        self.clock = config.clock
        self.queue.bind(self.ledger)
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.state = "new"
        self.dispatch: Any = None
        self.thread: threading.Thread | None = None
        self.epoch = 0  # rises when nothing of before may begin any more
        self.forget_work()

    def forget_work(self) -> None:
        """Forgets what belongs to one start."""
        self.hand: deque[WorkItem] = deque()  # handed over, not begun
        self.inside = 0  # records in an output
        self.flushing = False
        self.tickets: list[Ticket] = []
        self.demand = 0  # records before this position don't wait for their batch
        self.touched: list[Any] = []  # what dispatched since its last flush
        self.answer = True  # of the last stop
        self.is_being_stopped = False  # by a caller, who drops what can't be drained
        self.is_idle = True  # nobody looks at the queue until told so
        self.empty_at = self.clock.now()  # nothing that waits came earlier

    # Handing over

    def hand_over(self) -> float | None:
        """Hands the next batch to the thread, if one is due and the thread is free.

        Returns:
            Seconds until one is due; None: not before something happens.
        """
        with self.lock:
            if self.is_busy() or self.state not in ("running", "stopping"):
                return None
            wait = self.seconds_to_due()
            if wait != 0:
                return wait
            self.hand.extend(self.take())
            self.changed.notify_all()
            # None was there to take: a record is just being refused, which nobody tells.
            return None if self.hand else _AGAIN

    def is_busy(self) -> bool:
        """Tells whether the thread has something in hand."""
        return bool(self.hand or self.inside or self.flushing)

    def seconds_to_due(self) -> float | None:
        """Returns 0 if a batch is due, else the seconds until one is; None: nothing waits."""
        self.is_idle = True  # first, so that a submit after the look at the queue tells
        size = self.queue.size()
        if not size:
            self.empty_at = self.clock.now()
            return None
        self.is_idle = False
        if self.state == "stopping" or size >= self.trigger() or self.is_demanded():
            return 0
        return max(self.config.flush_interval - self.age(), 0)

    def trigger(self) -> int:
        """Returns how many records start a batch."""
        return min(self.config.batch_size, self.queue.max_size)

    def is_demanded(self) -> bool:
        """Tells whether somebody asked for what waits."""
        return (self.queue.oldest() or 0) < self.demand

    def age(self) -> float:
        """Returns the seconds that the oldest record has waited, never too few."""
        item = self.queue.oldest_item()
        longest = self.clock.now() - self.empty_at
        if item is None:
            return 0.0
        age = self.clock.time() - item.submitted_at + _ROUNDING
        return age if 0 <= age <= longest else longest

    def take(self) -> Sequence[WorkItem]:
        """Takes a batch, no record of which came after a flush that waits."""
        oldest = self.queue.oldest() or 0
        ends = [ticket.position for ticket in self.tickets if ticket.position > oldest]
        return self.queue.extract_batch(self.config.batch_size, before=min(ends, default=None))

    # The thread that runs the outputs

    def serve(self, epoch: int) -> None:
        """Is the thread."""
        while self.is_my_turn(epoch):
            if self.flushing:
                self.flush_outputs()
            else:
                self.run(self.begin(epoch), epoch)

    def is_my_turn(self, epoch: int) -> bool:
        """Waits until there is something to run; False if there is no more."""
        with self.lock:
            while epoch == self.epoch:
                if self.hand:
                    return True
                if self.must_flush():
                    self.flushing = True
                    return True
                self.answer_flushes()
                if self.state == "stopping" and not self.queue.size():
                    self.finish()
                    return False
                self.rest()
            return False

    def rest(self) -> None:
        """Waits for a batch, and sees to it if nobody else does."""
        alone = self.state == "stopping" or not self.has_loop()
        wait = self.hand_over() if alone else None
        if not self.hand:
            self.clock.wait(self.changed, None if wait == math.inf else wait)

    def has_loop(self) -> bool:
        """Tells whether a task in a loop hands the batches over."""
        return False

    def begin(self, epoch: int) -> list[WorkItem]:
        """Takes what goes into the next call out of the hand."""
        with self.lock:
            if epoch != self.epoch or not self.hand:
                return []
            func = self.func_of(self.hand[0])
            together = len(self.hand) if hasattr(func, "many") else 1
            group = [self.hand.popleft()]
            while len(group) < together and self.func_of(self.hand[0]) is func:
                group.append(self.hand.popleft())
            self.inside = len(group)
            if hasattr(func, "flush") and not any(func is known for known in self.touched):
                self.touched.append(func)
            return group

    def func_of(self, item: WorkItem) -> Any:
        """Returns what dispatches a record."""
        return self.dispatch if item.dispatch_func is None else item.dispatch_func

    def run(self, group: Sequence[WorkItem], epoch: int) -> None:
        """Calls the outputs."""
        if group:
            run_batch(group, self.dispatch, self.config)
            self.has_run(epoch)

    def has_run(self, epoch: int) -> None:
        """Notes that a call of the outputs has ended."""
        with self.lock:
            self.inside = 0
            if epoch == self.epoch and not self.hand:
                self.tell_loop()
            self.changed.notify_all()

    def tell_loop(self) -> None:
        """Makes the task in the loop look at the queue."""

    # Flushes

    def is_reached(self, position: int) -> bool:
        """Tells whether all before a position have their outcomes."""
        oldest = self.queue.oldest()
        return not (self.hand or self.inside) and (oldest is None or oldest >= position)

    def must_flush(self) -> bool:
        """Tells whether the outputs' own flush is what a flush or the stop waits for."""
        asked = any(self.is_reached(ticket.position) for ticket in self.tickets)
        ends = self.state == "stopping" and not self.queue.size()
        return bool(self.touched) and (asked or ends)

    def flush_outputs(self) -> None:
        """Calls the own flush of whatever has dispatched."""
        with self.lock:
            touched, self.touched = self.touched, []
        for func in touched:
            try:
                func.flush()
            except BaseException as error:  # noqa: BLE001  an output's fault is reported, no more
                self.ledger.add("backend_errors")
                self.report(f"the outputs' flush raised {type(error).__name__}: {error}")
        with self.lock:
            self.flushing = False
            self.tell_loop()
            self.changed.notify_all()

    def answer_flushes(self) -> None:
        """Answers those for which everything is finished."""
        done = [ticket for ticket in self.tickets if self.is_reached(ticket.position)]
        for ticket in done:
            ticket.done = True
            self.tickets.remove(ticket)
        if done:
            self.changed.notify_all()

    def finish(self) -> None:
        """Ends a stop for which everything was drained."""
        self.state = "stopped"
        self.tell_loop()
        self.changed.notify_all()

    def report(self, message: str) -> None:
        """Reports a problem; whatever that does changes nothing."""
        report(self.config.error_callback, message)
