"""A worker thread that exists only while there are records.

It starts at the first record, waits out the interval, and ends when the queue is empty.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable

from lual.backend import BackendConfig
from lual_conformance.reference.plugin import Plugin
from lual_conformance.zoo.sound.bare import BareBackend
from lual_conformance.zoo.sound.hands import Hand


class LazyBackend(BareBackend):
    """Drains the queue in a thread that is started when there is something to drain.

    A submit may interrupt the very code that starts a thread, in a signal handler say, and
    would wait for its lock. So the thread is started by a bare one, which no Python lock
    guards, and which does nothing else. Where no thread can be started any more, as at the
    end of the interpreter, who flushes or stops does the work itself.

    Args:
        config: See `BackendConfig`.
    """

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._is_refused = False  # the last thread that was asked for

    def _launch(self) -> None:
        """Starts nobody: there is nothing to do yet, but for records of before a reset."""
        with self._lock:
            self._wake()

    def _announce(self, urgent: bool) -> None:
        if self._hands:
            super()._announce(urgent)
        else:
            self._wake()

    def _wake(self) -> None:
        super()._wake()
        if self._hands or self._state not in ("running", "stopping"):
            return
        if self.queue.size() or (self._touched and (self._tickets or self._state == "stopping")):
            self._call_worker()
        elif self._state == "stopping":
            self._finish_if_last()

    def _call_worker(self) -> None:
        self._is_refused = False
        hand = self._new_hand()
        self._hirings += 1
        try:
            _thread.start_new_thread(self._start_worker, (hand,))
        except RuntimeError:
            self._end_hiring()
            self._note_refusal(hand)

    def _start_worker(self, hand: Hand) -> None:
        try:
            self._hire(hand)
        except Exception:  # noqa: BLE001  whatever it is: the next call asks again, or stands in
            with self._lock:
                self._note_refusal(hand)
        finally:
            self._end_hiring()

    def _note_refusal(self, hand: Hand) -> None:
        if hand in self._hands:
            self._hands.remove(hand)
        if hand.epoch == self._epoch:
            self._is_refused = True
            self._changed.notify_all()

    def _rest(self, hand: Hand, wait: float | None) -> bool:
        if wait is None or hand.on_caller:
            return False
        return super()._rest(hand, wait)

    def _wait_until(self, done: Callable[[], bool], deadline: float) -> None:
        super()._wait_until(lambda: done() or self._is_refused, deadline)
        if self._is_refused and self._clock.now() < deadline:
            self._stand_in()
            super()._wait_until(done, deadline)

    def _stand_in(self) -> None:
        """Does a worker's work on this thread, if there is no worker."""
        with self._lock:
            if self._hands:
                return
            self._is_refused = False
            hand = self._new_hand()
            hand.on_caller = True
        try:
            self._serve(hand)
        except BaseException:  # for the application; a later flush or stop goes on
            with self._lock:
                self.queue.requeue_front(hand.items)
                if hand in self._hands:
                    self._hands.remove(hand)
            raise


plugin = Plugin(
    LazyBackend,
    "lazy",
    "a worker thread that starts at the first record and ends when none is left",
    worker="thread",
    lazy_worker=True,
    isolates_slow_outputs=True,
    ordering="fifo",
    overflow=("drop_oldest", "drop_newest", "block"),
    dispatch_concurrency=1,
    restartable=True,
    clock="injected",
    exit_flush=True,
    fork="reinit",
    delivery="at_most_once",
)
