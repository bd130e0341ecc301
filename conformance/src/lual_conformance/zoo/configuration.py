"""Mutants that break what is promised of options, time and capabilities."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from typing import Any, ClassVar

from lual.backend import BackendConfig, BackendInfo, ConfigError, WorkItem, hookimpl
from lual_conformance.reference.inline import RefInline, RefInlinePlugin
from lual_conformance.reference.threads import RefThreads, RefThreadsPlugin, Ticket
from lual_conformance.zoo.registry import mutant

# 1.4


class _TakesAll(RefThreadsPlugin):
    @hookimpl
    def lual_create_backend(self, config: BackendConfig) -> Any:
        """Builds it, whatever the options."""
        return self._create(config)


@mutant({"1.4": "instead of raising ConfigError"}, plugin=_TakesAll)
class IgnoresTypos(RefThreads):
    """Ignores options that it doesn't know."""


@mutant({"1.4": "instead of raising ConfigError"}, plugin=_TakesAll)
class FailsAtFirstSubmit(RefThreads):
    """Looks at its options when there is something to do."""

    def admit(self, item: WorkItem) -> bool:
        """Finds out now."""
        self.config.check_options()
        return super().admit(item)


class _TakesEmpty(RefThreadsPlugin):
    @hookimpl
    def lual_create_backend(self, config: BackendConfig) -> Any:
        """Builds it, if no option is set to anything."""
        for name, value in config.options.items():
            if value:
                raise ConfigError(f"backend_options has {name!r}, which this backend doesn't know")
        return self._create(config)


@mutant({"1.4": "instead of raising ConfigError"}, plugin=_TakesEmpty)
class IgnoresEmptyOptions(RefThreads):
    """Takes an option that is None or False for one that isn't there."""


class _Unhelpful(RefThreadsPlugin):
    @hookimpl
    def lual_create_backend(self, config: BackendConfig) -> Any:
        """Builds it without options."""
        if config.options:
            raise ConfigError("invalid backend options")
        return self._create(config)


@mutant({"1.4": "doesn't name it"}, plugin=_Unhelpful)
class UnhelpfulRefusal(RefThreads):
    """Refuses an option without a word about which."""


class _PassesOn(RefInlinePlugin):
    @hookimpl
    def lual_create_backend(self, config: BackendConfig) -> RefInline:
        """Builds it with the options as arguments."""
        built: RefInline = self._create(config, **config.options)
        return built


@mutant(
    {"1.4": "creation raised TypeError"},
    plugin=_PassesOn,
)
class OptionsAreArguments(RefInline):
    """Lets Python refuse the options that it doesn't know."""


# 1.5


@mutant({"1.5": "they weren't given to"})
class ClassLevelQueue(RefThreads):
    """Keeps what its worker has taken in one queue for all instances."""

    shared: ClassVar[dict[int, deque[WorkItem]]] = {}

    def forget_work(self) -> None:
        """Forgets all but the queue."""
        super().forget_work()
        self.hand = self.shared.setdefault(os.getpid(), deque())

    def put_back(self) -> None:
        """Gives back what was taken and not begun, in order."""
        self.queue.requeue_front(list(self.hand))
        self.hand.clear()

    def reset(self) -> None:
        """Goes back to the state after creation."""
        super().reset()
        self.hand.clear()


@mutant({"1.5": "when another one had been stopped"})
class StopsAllInstances(RefInline):
    """Closes every instance when one is stopped."""

    running: ClassVar[weakref.WeakSet[RefInline]] = weakref.WeakSet()

    def _open(self) -> None:
        super()._open()
        self.running.add(self)

    def _close(self) -> None:
        super()._close()
        for each in list(self.running):
            each.queue.close()
        self.running.clear()


# 1.6


@mutant({"1.6": "a partial batch was dispatched"})
class UsesTimeMonotonic(RefThreads):
    """Measures the interval with a clock of its own."""

    since: float | None = None

    def seconds_to_due(self) -> float | None:
        """Looks at the real time."""
        wait = super().seconds_to_due()
        if not wait:
            self.since = None
            return wait
        now = time.monotonic()
        self.since = now if self.since is None else self.since
        return max(self.since + self.config.flush_interval - now, 0)

    def park(self, seconds: float | None) -> None:
        """Waits in real time."""
        self.changed.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))


@mutant({"1.6": "a flush gave up"})
class FlushesInRealTime(RefThreads):
    """Waits for a flush with the timeout of a condition."""

    def wait_for_ticket(self, ticket: Ticket, deadline: float) -> None:
        """Waits in real time."""
        seconds = min(deadline - self.clock.now(), threading.TIMEOUT_MAX)
        self.changed.wait_for(lambda: ticket.done or self.state == "stopped", seconds)


@mutant({"1.6": "a stop gave up"})
class StopsInRealTime(RefThreads):
    """Waits for the drain with the timeout of a condition."""

    def wait_for_drain(self, deadline: float) -> None:
        """Waits in real time."""
        seconds = min(deadline - self.clock.now(), threading.TIMEOUT_MAX)
        self.changed.wait_for(lambda: self.state != "stopping" or self.gave_up, seconds)


@mutant({"1.6": "a partial batch was dispatched"})
class InlineUsesTimeMonotonic(RefInline):
    """Measures the interval with a clock of its own."""

    def _note_arrival(self, item: WorkItem) -> None:
        if self.queue.size() <= 1:
            self._floor = time.monotonic()
        super()._note_arrival(item)

    def _is_overdue(self) -> bool:
        return time.monotonic() - self._floor >= self.config.flush_interval


# 1.7


@mutant({"1.7": "it claims lazy_worker, but started"}, lazy_worker=True)
class ClaimsButSkips(RefThreads):
    """Claims a worker that is only there when needed, and has one all the time."""


@mutant({"1.7": "start after stop raised nothing"}, restartable=False)
class SilentlyIgnores(RefThreads):
    """Denies that it can start again, and says nothing when it should."""

    def start(self, dispatch_func: Any = None) -> None:
        """Starts once."""
        if self.state != "stopped":
            super().start(dispatch_func)


@mutant({"1.7": "start after stop raised nothing"}, restartable=False)
class InlineSilentlyIgnores(RefInline):
    """Denies that it can start again, and says nothing when it should."""

    def start(self, dispatch_func: Any = None) -> None:
        """Starts once."""
        if self._state != "stopped":
            super().start(dispatch_func)


class _NoKnife(RefThreadsPlugin):
    @hookimpl
    def lual_backend_faults(self, backend: RefThreads) -> None:  # type: ignore[override]
        """Offers nothing."""


@mutant({"1.7": "which has no kill_worker()"}, plugin=_NoKnife)
class FaultsWithoutKill(RefThreads):
    """Claims to restart its worker, and gives nobody a way to try it."""


# 1.8


class _ProbeRaises(RefThreadsPlugin):
    @hookimpl
    def lual_backend_info(self) -> BackendInfo:
        """Says what the backend is, where there is a path."""
        assert os.environ["PATH"]  # noqa: S101  it is broken
        return self._info


@mutant({"1.8": "raised KeyError"}, plugin=_ProbeRaises)
class ProbeRaises(RefThreads):
    """Can't say whether it is available where the environment is empty."""
