"""A dispatch function that a check controls: it notes, stalls, fails, or calls back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from lual_conformance.outcomes import Violation


def name_of(record: Any) -> str:
    """Returns the message of a record, by which checks know it."""
    return str(getattr(record, "message", record))


class Output:
    """A dispatch function `(logger, record)`.

    Attributes:
        begun: Names of the records whose call has begun, in order.
        done: Names of those whose call ended well, in order.
        calls: `(logger, record)` of each call that has begun.
        threads: The thread of each call that has begun.
        failures: By name, what a call raises.
        hooks: By name, what a call calls before it ends.
        deepest: How many calls were in progress at once, at most.

    Args:
        patience: Real seconds after which a wait for it counts as vain.

    Threads: any thread.
    """

    def __init__(self, patience: float = 10.0) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.calls: list[tuple[Any, Any]] = []
        self.threads: list[threading.Thread] = []
        self.failures: dict[str, BaseException] = {}
        self.hooks: dict[str, Callable[[], object]] = {}
        self.deepest = 0
        self.patience = patience
        self._inside = 0
        self._changed = threading.Condition(threading.RLock())
        self._is_closed = False
        self._held: set[str] = set()
        self._steps = 0

    # The gate

    def close(self) -> None:
        """Makes every call from now on stall until `open` or `step`."""
        with self._changed:
            self._is_closed = True
            self._steps = 0

    def hold(self, *names: str) -> None:
        """Makes the calls with these records stall until `open`."""
        with self._changed:
            self._held |= set(names)

    def release(self, *names: str) -> None:
        """Lets the calls with these records go on."""
        with self._changed:
            self._held -= set(names)
            self._changed.notify_all()

    def open(self) -> None:
        """Lets all calls go on, those in progress and those to come."""
        with self._changed:
            self._is_closed = False
            self._held.clear()
            self._changed.notify_all()

    def step(self, count: int = 1) -> None:
        """Lets that many calls go on while the gate is closed."""
        with self._changed:
            self._steps += count
            self._changed.notify_all()

    def _may_pass(self, name: str) -> bool:
        if name in self._held:
            return False
        if not self._is_closed:
            return True
        if self._steps:
            self._steps -= 1
            return True
        return False

    # Being called

    def __call__(self, logger: Any, record: Any) -> None:
        """Takes one record."""
        name = name_of(record)
        with self._changed:
            self.begun.append(name)
            self.calls.append((logger, record))
            self.threads.append(threading.current_thread())
            self._inside += 1
            self.deepest = max(self.deepest, self._inside)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._may_pass(name))
        try:
            if name in self.hooks:
                self.hooks[name]()
            if name in self.failures:
                raise self.failures[name]
        except BaseException:
            self._leave(None)
            raise
        self._leave(name)

    def _leave(self, name: str | None) -> None:
        with self._changed:
            self._inside -= 1
            if name is not None:
                self.done.append(name)
            self._changed.notify_all()

    # Waiting for calls

    def until(self, reached: Callable[[], bool], observed: str) -> None:
        """Waits until something is true of the calls.

        Raises:
            Violation: It never was; `observed` says what was the case instead.
        """
        with self._changed:
            if not self._changed.wait_for(reached, self.patience):
                raise Violation(observed)

    def until_begun(self, count: int, observed: str = "") -> None:
        """Waits until that many calls have begun, since the output was made."""
        self.until(
            lambda: len(self.begun) >= count,
            observed or f"only {self.begun} reached the output, {count} records were awaited",
        )

    def until_done(self, count: int, observed: str = "") -> None:
        """Waits until that many calls have ended well, since the output was made."""
        self.until(
            lambda: len(self.done) >= count,
            observed or f"only {self.done} were written, {count} records were awaited",
        )

    def has_begun(self, count: int, seconds: float) -> bool:
        """Tells whether that many calls begin within so many real seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.begun) >= count, seconds)


class BatchOutput(Output):
    """An output that takes batches, and has a `flush` of its own.

    Attributes:
        batches: The names in each call of `many`.
        flushers: The thread of each call of `flush`.
        events: "record name" and "flush", in the order in which they ended.
        flush_error: What `flush` raises.
    """

    def __init__(self, patience: float = 10.0) -> None:
        super().__init__(patience)
        self.batches: list[list[str]] = []
        self.flushers: list[threading.Thread] = []
        self.events: list[str] = []
        self.flush_error: BaseException | None = None

    def many(self, items: Sequence[Any]) -> list[BaseException | None]:
        """Takes a batch, and returns what became of each."""
        outcomes: list[BaseException | None] = []
        self.batches.append([name_of(item.record) for item in items])
        for item in items:
            try:
                self(item.logger, item.record)
                outcomes.append(None)
            except BaseException as error:  # noqa: BLE001  it is the outcome, which is returned
                outcomes.append(error)
        return outcomes

    def _leave(self, name: str | None) -> None:
        if name is not None:
            self.events.append(name)
        super()._leave(name)

    def flush(self) -> None:
        """Notes that it was called."""
        self.flushers.append(threading.current_thread())
        self.events.append("flush")
        if self.flush_error is not None:
            raise self.flush_error
