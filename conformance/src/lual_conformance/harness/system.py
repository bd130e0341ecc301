"""One backend with everything around it that a check controls."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import lual
from lual.backend import BackendConfig, BoundedQueue, WorkItem
from lual_conformance.harness.background import Background
from lual_conformance.harness.output import Output
from lual_conformance.harness.queue import ProbeQueue
from lual_conformance.outcomes import Blocked, Violation

if TYPE_CHECKING:
    from lual_conformance.harness.kit import Kit

#: Seconds of an interval or a timeout that must not come to pass.
NEVER = 1e6

#: Real seconds in which a sound backend reacts, unless it is very busy; nobody waits for
#: them in vain but a broken one, or one that needs another kind of push.
_REACTION = 0.3

_numbers = itertools.count(1)


class LoggerName(str):
    """Stands for a logger, for backends that read its name and for those that don't."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The logger's name."""
        return str(self)


class System:
    """A backend, its queue, clock, output, counters and reports.

    By default nothing but a full batch of five, a flush or a stop makes it work: the
    interval never passes.

    Attributes:
        errors: What was reported through `error_callback`.
        stats: The mapping that the backend counts in.
        backend: What `lual_create_backend` built.

    Args:
        kit: What it belongs to.
        output: The dispatch function; None: a new `Output`.
        queue: Where records wait; None: a new `ProbeQueue`.
        max_size: The queue's limit, in records.
        strategy: What happens when it is full; None: `drop_oldest`, or what the backend has.
        settings: Of `BackendConfig`.
    """

    def __init__(
        self,
        kit: Kit,
        *,
        output: Any = None,
        queue: BoundedQueue | None = None,
        max_size: int = 100,
        strategy: str | None = None,
        **settings: Any,
    ) -> None:
        self.kit = kit
        self.clock = kit.new_clock()
        strategy = strategy or kit.usual_strategy
        self.errors: list[str] = []
        self.stats: dict[str, Any] = settings.pop("stats", {})
        self.output: Any = output if output is not None else Output(kit.patience)
        settings.setdefault("batch_size", 5)
        settings.setdefault("flush_interval", NEVER)
        settings.setdefault("flush_timeout", NEVER)
        settings.setdefault("shutdown_timeout", NEVER)
        settings.setdefault("block_timeout", NEVER)
        settings.setdefault("error_callback", self.errors.append)
        settings.setdefault("options", dict(kit.settings.options))
        if queue is None:
            queue = ProbeQueue(
                max_size,
                strategy,
                clock=self.clock,
                block_timeout=settings["block_timeout"],
                protect_level=settings.get("protect_level", lual.ERROR),
                stats=self.stats,
            )
        self.queue: Any = queue
        settings.setdefault("max_queue_size", max_size)
        settings.setdefault("overflow_strategy", strategy)
        settings.setdefault("pipelines", kit.describe_outputs(lambda: self.output))
        self.config = BackendConfig(queue=queue, stats=self.stats, clock=self.clock, **settings)
        self.backend = kit.target.create(self.config)

    # The six calls. Each is noted, so that one that hangs can be named.

    def start(self, output: Any = ...) -> System:
        """Starts the backend with the system's output, or another one."""
        chosen = self.output if output is ... else output
        with self.kit.calling("start(dispatch_func)"):
            self.kit.host.start(self.backend, chosen)
        return self

    def item(self, name: str, level: int = lual.INFO, func: Any = None) -> WorkItem:
        """Returns a work item whose record has that message."""
        number = next(_numbers)
        record = lual.Record.build(
            name,
            logger_name="kit",
            level=level,
            seq=number,
            timestamp_ns=int(self.clock.time() * 1e9),
        )
        return WorkItem(LoggerName("kit"), record, func, self.clock.time(), level)

    def submit(self, *names: str, level: int = lual.INFO, func: Any = None) -> list[bool]:
        """Submits records with these messages and returns the answers."""
        return [self.submit_item(self.item(name, level, func)) for name in names]

    def submit_item(self, item: WorkItem) -> bool:
        """Submits one item as it is."""
        with self.kit.calling("submit(work_item)"):
            return self.backend.submit(item)

    def flush(self, timeout: float | None = NEVER) -> bool:
        """Calls `flush`, on this thread."""
        with self.kit.calling(f"flush({_shown(timeout)})"):
            return self.backend.flush(timeout)

    def stop(self, timeout: float | None = NEVER) -> bool:
        """Calls `stop`, on this thread."""
        with self.kit.calling(f"stop({_shown(timeout)})"):
            return self.backend.stop(timeout)

    def reset(self) -> None:
        """Calls `reset`, on this thread."""
        with self.kit.calling("reset()"):
            self.backend.reset()

    def get_stats(self) -> dict[str, Any]:
        """Calls `get_stats`, on this thread."""
        with self.kit.calling("get_stats()"):
            return self.backend.get_stats()

    @property
    def state(self) -> Any:
        """What `get_stats` says of the state."""
        return self.get_stats().get("state")

    # Calls in the background

    def flushing(self, timeout: float | None = NEVER) -> Background[bool]:
        """Begins a flush in another thread, and returns once it waits, or has ended."""
        what = f"flush({_shown(timeout)})"
        return self._begin(lambda: self.backend.flush(timeout), what)

    def stopping(self, timeout: float | None = NEVER) -> Background[bool]:
        """Begins a stop in another thread, and returns once it waits, or has ended."""
        what = f"stop({_shown(timeout)})"
        return self._begin(lambda: self.backend.stop(timeout), what)

    def submitting(self, name: str, level: int = lual.INFO) -> Background[bool]:
        """Begins a submit in another thread, and returns once it waits, or has ended."""
        item = self.item(name, level)
        return self._begin(lambda: self.backend.submit(item), f"submit({name!r})")

    def _begin(self, call: Callable[[], bool], what: str) -> Background[bool]:
        background = self.kit.background(call, what)
        self.until_waiting(background)
        return background

    def until_waiting(self, background: Background[Any]) -> bool:
        """Waits until a background call is parked on the clock, or has ended, or a moment passed.

        A backend may wait by other means than its clock: then only the moment passes.
        """
        if not self.clock.is_manual:
            return background.has_ended(0.05)
        for _ in range(60):
            if background.has_ended(0.005) or self.clock.is_parked(background.thread):
                return True
        return False

    # Time

    def advance(self, seconds: float) -> None:
        """Lets time pass; with a manual clock in which nothing happens by itself."""
        with self.kit.calling(f"the clock's advance by {seconds:g} s"):
            self.clock.advance(seconds)

    def until_ended(self, background: Background[Any], seconds: float) -> Any:
        """Lets time pass until a background call has ended, and returns its answer.

        Args:
            background: The call.
            seconds: What it was given; some more passes if it hadn't begun to wait yet.
        """
        for _ in range(4):
            self.advance(seconds * 1.06 + self.kit.grace)
            if background.has_ended(_REACTION):
                break
        return background.result()

    # Bringing a backend where a check begins

    def hold(self, name: str = "held") -> None:
        """Gets a worker stuck inside the output with one record, by whatever makes it move.

        Raises:
            Blocked: Nothing did.
        """
        before = len(self.output.begun)
        self.output.hold(name)
        item = self.item(name, max(self.config.flush_level, lual.ERROR))
        submitting = self.kit.background(lambda: self.backend.submit(item), "submit(work_item)")
        # Its level is reason enough to move; only a broken backend needs another one.
        if not self.push(lambda: name in self.output.begun[before:], first=_REACTION):
            raise Blocked("no record could be brought into the output")
        if not submitting.has_ended(self.kit.patience / 4):
            raise Blocked("the output holds the thread that submits")

    def deliver(self, *names: str) -> None:
        """Submits records and has them written, by whatever makes the backend move.

        Raises:
            Blocked: They never were.
        """
        before = len(self.output.done)
        self.submit(*names)
        if not self.push(lambda: len(self.output.done) >= before + len(names)):
            raise Blocked(f"{list(names)} could not be brought through the output")

    def drain(self, reached: Callable[[], bool]) -> bool:
        """As `push`, for as long as that brings further records into the output."""
        begun = getattr(self.output, "begun", ())
        before = -1
        while not self.push(reached):
            if len(begun) <= before:
                return False
            before = len(begun)
        return True

    def push(self, reached: Callable[[], bool], *, first: float = 0.01) -> bool:
        """Makes the backend work off what it has, and waits until something is reached.

        Args:
            reached: What.
            first: Real seconds in which it may come to that by itself.
        """
        if self._within(reached, first * self.kit.settings.scale):
            return True
        pushes: tuple[Callable[[], Any], ...] = (
            lambda: self.kit.background(lambda: self.backend.flush(0), "flush(0)"),
            lambda: self.advance(self.config.flush_interval if self.clock.is_manual else 0.0),
            lambda: self.flushing(self.kit.seconds(1.0)),
        )
        for push in pushes:
            push()
            if self._within(reached, _REACTION * self.kit.settings.scale):
                return True
        return self._within(reached, self.kit.patience / 4)

    def _within(self, reached: Callable[[], bool], seconds: float) -> bool:
        return bool(self.kit.becomes_true(reached, seconds))

    def end(self) -> None:
        """Lets everything go, so that nothing of this system outlives its check."""
        if isinstance(self.output, Output):
            self.output.open()
        if isinstance(self.queue, ProbeQueue):
            self.queue.proceed()
        for _ in range(3):
            ending = Background(self.backend.reset, "reset()", 1.0)
            if ending.has_ended(0.3):
                break
            self.clock.release_all()
            if self.clock.is_manual:
                try:
                    self.clock.advance(NEVER)
                except Violation:
                    break  # its lock is stuck: nothing more can be done


def _shown(timeout: float | None) -> str:
    return "None" if timeout is None else f"{timeout:g}"
