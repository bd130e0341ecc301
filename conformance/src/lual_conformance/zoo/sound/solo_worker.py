"""The worker of `SoloBackend`: it parks, runs what is due, and answers who waits for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from lual.backend import BackendConfig, WorkItem, run_batch

Job = Callable[[int], None]


class Ticket:
    """One flush that waits.

    Args:
        position: What was admitted before this is waited for.
    """

    def __init__(self, position: int) -> None:
        self.position = position
        self.done = False


class SoloWorker:
    """What happens between the queue and the outputs, one record at a time.

    Args:
        config: See `BackendConfig`.
    """

    def __init__(self, config: BackendConfig) -> None:
        self.config = config
        self._queue = config.queue
        self._clock = config.clock
        self._changed = threading.Condition()
        self._trigger = min(config.batch_size, config.queue.max_size)
        self._thread: threading.Thread | None = None
        self._turn = 0  # rises when nothing of before may begin any more
        self._state = "new"
        self._answer = True
        self._stopper = False
        self._inside = False
        self._forget()

    def _forget(self) -> None:
        self._default: Any = None
        self._hand: deque[WorkItem] = deque()
        self._tickets: list[Ticket] = []
        self._touched: list[Any] = []
        self._urgent = 0

    def _work(self, turn: int) -> None:
        while (job := self._next_job(turn)) is not None:
            job(turn)

    def _next_job(self, turn: int) -> Job | None:
        with self._changed:
            while turn == self._turn:
                wait = self._seconds_to_due()
                reached = [t for t in self._tickets if self._is_reached(t.position)]
                drained = self._state == "stopping" and wait is None
                if (reached or drained) and self._touched:
                    return self._flush_outputs
                if reached:
                    self._answer_tickets(reached)
                elif wait == 0:
                    return self._run
                elif drained:
                    self._end("stopped")
                else:
                    self._park(wait)
        return None

    def _park(self, wait: float | None) -> None:
        self._clock.wait(self._changed, wait)

    def _ring(self) -> None:
        self._changed.notify_all()

    def _answer_tickets(self, reached: list[Ticket]) -> None:
        for ticket in reached:
            ticket.done = True
            self._tickets.remove(ticket)
        self._ring()

    def _end(self, state: str) -> None:
        self._turn += 1
        self._state = state
        self.config.ledger.publish()
        self._ring()

    def _seconds_to_due(self) -> float | None:
        size = self._queue.size()
        if size == 0:
            return None
        oldest = self._queue.oldest() or 0
        if size >= self._trigger or oldest < self._urgent or self._state == "stopping":
            return 0
        return max(self.config.flush_interval - self._age(), 0)

    def _age(self) -> float:
        item = self._queue.oldest_item()
        return 0 if item is None else max(self._clock.time() - item.submitted_at, 0)

    def _is_reached(self, position: int) -> bool:
        oldest = self._queue.oldest()
        waits = oldest is not None and oldest < position
        return not (waits or self._hand or self._inside)

    def _run(self, turn: int) -> None:
        with self._changed:
            if turn != self._turn:
                return
            self._hand.extend(self._take())
        while self._run_one(turn):
            pass

    def _take(self) -> list[WorkItem]:
        oldest = self._queue.oldest() or 0
        ahead = [t.position for t in self._tickets if t.position > oldest]
        return self._queue.extract_batch(self.config.batch_size, before=min(ahead, default=None))

    def _run_one(self, turn: int) -> bool:
        with self._changed:
            if turn != self._turn or not self._hand:
                return False
            item = self._hand.popleft()
            func: Any = self._function_of(item)
            self._inside = True
            if hasattr(func, "flush") and not any(func is known for known in self._touched):
                self._touched.append(func)
        run_batch([item], func, self.config)
        self._leave()
        return True

    def _function_of(self, item: WorkItem) -> Any:
        return self._default if item.dispatch_func is None else item.dispatch_func

    def _leave(self) -> None:
        with self._changed:
            self._inside = False
            self._ring()

    def _flush_outputs(self, turn: int) -> None:
        with self._changed:
            if turn != self._turn:
                return
            touched, self._touched = self._touched, []
            self._inside = True
        for func in touched:
            try:
                func.flush()
            except BaseException as error:  # noqa: BLE001  whatever an output raises ends here
                self._report(f"the outputs' flush raised {error!r}")
        self._leave()

    def _report(self, message: str) -> None:
        try:
            self.config.error_callback(message)
        except BaseException:  # noqa: BLE001  the error path must end here
            return
