"""Mutants that break what is promised of reset, of failing starts, and of what is left."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any, ClassVar

from lual.backend import BackendConfig, BoundedQueue
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant

# 2.6


@mutant({"2.6": "it used the one of before"})
class ResetKeepsDispatch(RefThreads):
    """Keeps the dispatch function over a reset."""

    def reset(self) -> None:
        """Forgets the rest."""
        dispatch = self.dispatch
        super().reset()
        self.dispatch = dispatch


@mutant({"2.6": "doesn't use config.queue any more"})
class ResetReplacesQueue(RefThreads):
    """Takes a new queue at reset."""

    def reset(self) -> None:
        """Begins with all anew."""
        used = self.state != "new"
        super().reset()
        if used:
            old = self.queue
            self.queue = BoundedQueue(old.max_size, old.overflow_strategy, clock=self.clock)
            self.queue.bind(self.ledger)


@mutant({"2.6": "records in the queue"})
class ResetKeepsQueue(RefInline):
    """Keeps the records that wait over a reset."""

    def reset(self) -> None:
        """Forgets the rest."""
        items = self.queue.extract_batch(self.queue.size()) if self._state != "new" else []
        super().reset()
        self.queue.requeue_front(items)


# 2.7


@mutant({"2.7": "left the thread"})
class LeaksThread(RefThreads):
    """Has a second thread that nobody ends."""

    def launch(self) -> None:
        """Starts both."""
        super().launch()
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=threading.Event().wait, daemon=True).start()


@mutant({"2.7": "left the descriptor of pipe"})
class LeaksDescriptor(RefInline):
    """Opens a pipe at each start, and never closes it."""

    def _open(self) -> None:
        super()._open()
        os.pipe()


# 2.8


@mutant({"2.8": "its state was 'running' instead of 'stopping'"})
class StateStuck(RefThreads):
    """Says that it runs as soon as it ever did."""

    def get_stats(self) -> dict[str, Any]:
        """Returns all counters, and what the state once was."""
        stats = super().get_stats()
        return {**stats, "state": "new" if stats["state"] == "new" else "running"}


@mutant({"2.8": "instead of 'stopping'"})
class SkipsStopping(RefThreads):
    """Says that it is stopped while it still drains."""

    def get_stats(self) -> dict[str, Any]:
        """Returns all counters, and a state that is still to come."""
        stats = super().get_stats()
        return {**stats, "state": stats["state"].replace("stopping", "stopped")}


@mutant({"2.8": "started, its state is 'new' instead of 'running'"})
class NewUntilUsed(RefInline):
    """Says that it is new until the first record came."""

    def get_stats(self) -> dict[str, Any]:
        """Returns all counters, and a state that is over."""
        stats = super().get_stats()
        is_unused = stats["state"] == "running" and not stats["messages_submitted"]
        return {**stats, "state": "new"} if is_unused else stats


# 2.9


@mutant({"2.9": "is still kept somewhere"})
class RegistersInGlobalList(RefThreads):
    """Is kept in a list of all instances."""

    instances: ClassVar[list[RefThreads]] = []

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.instances.append(self)


@mutant({"2.9": "is still kept somewhere"})
class KeptUntilReset(RefInline):
    """Is kept in a set of all that were started, until a reset."""

    started: ClassVar[set[RefInline]] = set()

    def _open(self) -> None:
        super()._open()
        self.started.add(self)

    def reset(self) -> None:
        """Goes back to the state after creation."""
        super().reset()
        self.started.discard(self)


# 2.10


@mutant({"2.10": "left the state 'running' instead of 'new'"})
class HalfStarted(RefThreads):
    """Says that it runs before it has a worker."""

    def launch(self) -> None:
        """Opens the door first."""
        self.queue.open()
        self.state = "running"
        super().launch()


@mutant({"2.10": "left the descriptor of pipe"})
class LeaksWhenRefused(RefThreads):
    """Opens what its worker needs, and closes it only when that ends."""

    pipe: tuple[int, ...] = ()

    def launch(self) -> None:
        """Opens a pipe, and starts the worker's thread."""
        pipe = os.pipe()
        super().launch()
        self.close_pipe()
        self.pipe = pipe

    def close_pipe(self) -> None:
        """Closes it."""
        pipe, self.pipe = self.pipe, ()
        for descriptor in pipe:
            os.close(descriptor)

    def stop(self, timeout: float | None = None) -> bool:
        """Stops, and closes the pipe."""
        answer = super().stop(timeout)
        if not self.is_inside():
            self.close_pipe()
        return answer


@mutant({"2.10": "start returned though it was refused a worker"})
class SwallowsTheRefusal(RefThreads):
    """Runs without a worker if it gets none."""

    def launch(self) -> None:
        """Starts the worker's thread, if it can."""
        with contextlib.suppress(RuntimeError):
            super().launch()


# 2.11


@mutant({"2.11": "start raised nothing"})
class StartsBesideOldWorker(RefThreads):
    """Starts while the worker of before is still inside an output."""

    def join(self, seconds: float) -> bool:
        """Waits, and takes what it gets."""
        super().join(seconds)
        return True


@mutant({"2.11": "were counted"})
class CountsOldOutcomes(RefThreads):
    """Counts the outcome of a record from before a reset."""

    def zero_counters(self) -> None:
        """Sets all counters to zero, in the same generation."""
        super().zero_counters()
        self.ledger.generation -= 1
