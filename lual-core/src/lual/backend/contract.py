"""The contract between lual and a backend: what each side calls, and what it may assume.

A backend decides when and where the queue is drained. It never decides a policy and never
counts a drop: `BoundedQueue` books admissions, `run_batch` books outcomes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import attrs

from lual.backend.clock import Clock, is_duration
from lual.backend.items import Dispatch, WorkItem
from lual.backend.ledger import Ledger
from lual.backend.queue import STRATEGIES, BoundedQueue
from lual.errors import ConfigError, did_you_mean
from lual.levels import ERROR

#: (major, minor) of this contract; a backend of another major is refused.
CONTRACT = (1, 0)

#: Every capability a backend may declare, and which values it may have.
CAPABILITIES: Mapping[str, Callable[[Any], bool]] = {
    "async_outputs": lambda v: isinstance(v, bool),
    "buffer": lambda v: isinstance(v, int) and v >= 0,
    "clock": lambda v: v in ("injected", "wall"),
    "contract": lambda v: isinstance(v, tuple) and len(v) == 2,
    "delivery": lambda v: v in ("at_most_once", "at_least_once"),
    "dispatch_concurrency": lambda v: isinstance(v, int) and v >= 1,
    "event_loop": lambda v: isinstance(v, str),
    "exit_flush": lambda v: isinstance(v, bool),
    "fork": lambda v: v in ("reinit", "disable", "unsupported"),
    "free_threaded": lambda v: isinstance(v, bool),
    "isolates_slow_outputs": lambda v: isinstance(v, bool),
    "lazy_worker": lambda v: isinstance(v, bool),
    "ordering": lambda v: v in ("fifo", "producer", "none"),
    "overflow": lambda v: set(v) <= set(STRATEGIES),
    "restartable": lambda v: isinstance(v, bool),
    "restarts_worker": lambda v: isinstance(v, bool),
    "signal_flush": lambda v: isinstance(v, bool),
    "snapshot": lambda v: isinstance(v, bool),
    "start_methods": lambda v: set(v) <= {"fork", "spawn", "forkserver"},
    "worker": lambda v: v in ("thread", "process", "cooperative", "event_loop", "none"),
}


@attrs.frozen(kw_only=True)
class BackendInfo:
    """What a backend says of itself, without being started.

    Args:
        name: Equal to the name of its entry point.
        version: The distribution's.
        contract: (major, minor) of the contract it was written for.
        summary: One line for a person.
        capabilities: See `CAPABILITIES`; an absent one counts as lacking.
        available: False if it can't work on this machine.
        unavailable_reason: Why, and what to do; required if not available.
    """

    name: str = attrs.field(validator=attrs.validators.instance_of(str))
    version: str = attrs.field(validator=attrs.validators.instance_of(str))
    contract: tuple[int, int] = CONTRACT
    summary: str = ""
    capabilities: Mapping[str, Any] = attrs.field(factory=dict)
    available: bool = True
    unavailable_reason: str | None = None

    def problems(self) -> list[str]:
        """Returns a sentence for everything in it that the contract doesn't know."""
        found = []
        for key, value in self.capabilities.items():
            allowed = CAPABILITIES.get(key)
            if allowed is None:
                hint = did_you_mean(key, CAPABILITIES)
                found.append(f"unknown capability {key!r}{hint}")
                continue
            try:
                fits = allowed(value)
            except TypeError:
                fits = False
            if not fits:
                found.append(f"capability {key!r} can't be {value!r}")
        if not self.available and not self.unavailable_reason:
            found.append("available is False, but unavailable_reason doesn't say why")
        return found


def _positive(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{attribute.name} must be 1 record or more, got {value!r}")


def _seconds(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not is_duration(value):
        raise ConfigError(f"{attribute.name} must be 0 or more seconds, got {value!r}")


def _ignore(message: str) -> None:
    """Takes a report that nobody asked for."""


@attrs.define(kw_only=True, eq=False)
class BackendConfig:
    """What a backend is built from.

    Args:
        batch_size: Records that start a batch, and the most that a batch holds.
        flush_interval: Seconds that a record may wait for its batch.
        queue: Where admitted records wait.
        stats: The ledger; a plain dict for a backend that stands alone.
        error_callback: Called with one message, from any thread, never under a lock.
        clock: The only source of time.
        flush_timeout: Seconds, for `flush(None)`.
        shutdown_timeout: Seconds, for `stop(None)`.
        block_timeout: Seconds that a submit may wait for room under `block`.
        flush_level: A record of this level or above wakes the worker at once.
        protect_level: Records of this level or above survive overflow longest.
        max_queue_size: Limit of the queue, in records.
        overflow_strategy: `drop_oldest`, `drop_newest` or `block`.
        options: The user's `backend_options`; the backend validates them.
        pipelines: Picklable description; `open_dispatch(pipelines)` opens it.
    """

    batch_size: int = attrs.field(default=50, validator=_positive)
    flush_interval: float = attrs.field(default=1.0, validator=_seconds)
    queue: BoundedQueue = attrs.field(factory=BoundedQueue)
    stats: MutableMapping[str, Any] = attrs.field(factory=dict)
    error_callback: Callable[[str], Any] = _ignore
    clock: Clock = attrs.field(factory=Clock)
    flush_timeout: float = attrs.field(default=5.0, validator=_seconds)
    shutdown_timeout: float = attrs.field(default=5.0, validator=_seconds)
    block_timeout: float = attrs.field(default=1.0, validator=_seconds)
    flush_level: int = ERROR
    protect_level: int = ERROR
    max_queue_size: int = attrs.field(default=10_000, validator=_positive)
    overflow_strategy: str = "drop_oldest"
    options: Mapping[str, Any] = attrs.field(factory=dict)
    pipelines: Any = None
    ledger: Ledger = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        queues = getattr(self.queue, "ledger", None)
        if isinstance(queues, Ledger) and queues.keeps_in(self.stats):
            self.ledger = queues
        else:
            self.ledger = Ledger.of(self.stats)
        if isinstance(self.queue, BoundedQueue):
            self.queue.bind(self.ledger)

    def check_options(self, *known: str) -> None:
        """Refuses options that the backend doesn't have.

        Raises:
            ConfigError: Names the option, and the ones there are.
        """
        for name in self.options:
            if name not in known:
                has = ", ".join(known) if known else "none"
                raise ConfigError(
                    f"backend_options has {name!r}, which this backend doesn't know; "
                    f"it has: {has}{did_you_mean(name, known)}"
                )


class Backend(ABC):
    """An asynchronous strategy: six calls.

    A class that has them may be registered with `Backend.register` instead of inheriting;
    most authors inherit from `BaseBackend`, which keeps these promises.
    """

    @abstractmethod
    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record.

        The caller may be any thread, a signal handler, a finaliser or an output. The
        backend must not raise an `Exception`, do I/O or present.

        Returns:
            True iff this record was taken. False before `start` and after `stop` (then
            nothing was counted), and for a record that was dropped and counted.

        Blocks: only under `block`, at most `block_timeout`.
        """

    @abstractmethod
    def flush(self, timeout: float | None = None) -> bool:
        """Waits until every record admitted before the call has its outcome.

        Args:
            timeout: Seconds; None: `flush_timeout`; 0 asks for a batch and polls.

        Returns:
            True iff that happened in time and the dispatch's own `flush()` was called
            after the last of them. False at once from a worker or an output.

        Raises:
            ValueError: The timeout is negative or not a number.
        """

    @abstractmethod
    def start(self, dispatch_func: Dispatch | None = None) -> None:
        """Begins to work; idempotent while running.

        Args:
            dispatch_func: Replaces the default for records not yet dispatched; None
                keeps the last one.

        Raises:
            RuntimeError: A worker of before is still inside an output, or no worker could
                be started. The state is as it was.
        """

    @abstractmethod
    def stop(self, timeout: float | None = None) -> bool:
        """Refuses further records, drains, and ends the worker.

        Args:
            timeout: Seconds for all of it; None: `shutdown_timeout`.

        Returns:
            True iff nothing was left. What was left is counted dropped and reported.

        Raises:
            ValueError: The timeout is negative or not a number.
        """

    @abstractmethod
    def get_stats(self) -> dict[str, Any]:
        """Returns the counters, `state`, `worker_restarts` and what is the backend's own.

        Blocks: never for an output.
        """

    @abstractmethod
    def reset(self) -> None:
        """Goes back to the state after creation, counting nothing; for tests."""
