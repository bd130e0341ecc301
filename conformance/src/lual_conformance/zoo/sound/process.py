"""One worker process that owns the outputs, and a thread that feeds it.

Records cross as pickles, because this is a test animal. What `start` is given can't cross
and isn't used: the process opens its outputs from `BackendConfig.pipelines`.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lual.backend import BackendConfig, ConfigError, WorkItem, hookimpl
from lual.backend.supervisor import Supervisor
from lual.reports import describe
from lual_conformance.reference.plugin import Plugin
from lual_conformance.zoo.sound.bare import BareBackend
from lual_conformance.zoo.sound.child import Child, ChildLostError, FarFlushError
from lual_conformance.zoo.sound.crossing import Outcome, pack
from lual_conformance.zoo.sound.hands import Hand, Task
from lual_conformance.zoo.sound.nursery import open_nursery


class ProcessBackend(BareBackend):
    """Moves batches to a worker process, one call of its outputs at a time.

    Args:
        config: See `BackendConfig`; `pipelines` is required.

    Attributes:
        child_class: What starts a worker process, and talks to it.

    Raises:
        ConfigError: There are no pipelines, or they can't be pickled.
    """

    plugin_class: type[ProcessPlugin]  # for backends that derive from this one
    child_class: type[Child] = Child

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        if config.pipelines is None:
            raise ConfigError(
                "pipelines is None; the backend 'process' writes in another process, which must "
                "open the outputs itself: give it a description that can be pickled"
            )
        try:
            self._pipelines = pickle.dumps(config.pipelines)
        except Exception as error:  # pickle passes on whatever an output raises
            raise ConfigError(
                f"pipelines {config.pipelines!r} can't be sent to another process "
                f"({describe(error)}); use outputs that can be pickled, such as functions and "
                "classes of a module"
            ) from error
        self._supervisor = Supervisor()
        self._child: Child | None = None
        self._gave_up = False

    # The courier's life

    def _launch(self) -> None:
        self._gave_up = False
        self._supervisor.forget()
        self._child = child = self.child_class(self._pipelines)
        with self._lock:
            hand = self._new_hand()
        try:
            self._hire(hand)
        except BaseException:
            self._child = None
            child.close()
            raise

    def _serve(self, hand: Hand) -> None:
        try:
            super()._serve(hand)
        finally:
            child, self._child = self._child, None
            if child is not None:
                child.close()

    # Records

    def _group(self, items: Sequence[WorkItem]) -> tuple[Any, list[WorkItem]]:
        child = self._child
        if child is None or not child.takes_many or items[0].dispatch_func is not None:
            return child, [items[0]]
        count = 0
        while count < len(items) and items[count].dispatch_func is None:
            count += 1
        return child, list(items[:count])

    def _perform(self, hand: Hand, group: Sequence[WorkItem], func: Any) -> None:
        start = self._clock.now()
        sent, parcels = [], []
        for item in group:
            try:
                parcels.append(self._pack(item))
                sent.append(item)
            except BaseException as error:  # noqa: BLE001  of this record alone, on a worker
                self._book(hand, [item], [("serialize", describe(error))])
        if not sent:
            return
        try:
            outcomes = func.run(parcels)
        except ChildLostError as lost:
            self._lose(hand, sent, was_asked=lost.was_asked)
        else:
            self._book(hand, sent, outcomes)
            self._ledger.sample("dispatch", self._clock.now() - start, hand.generation)

    def _pack(self, item: WorkItem) -> bytes:
        """Returns a record as it crosses; raises what it can't help."""
        return pack(item)

    def _book(self, hand: Hand, items: Sequence[WorkItem], outcomes: Sequence[Outcome]) -> None:
        self._count(hand, outcomes)
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome is not None:
                name = getattr(item.logger, "name", item.logger)
                message = str(getattr(item.record, "message", item.record))
                self._report(
                    f"{outcome[1]}, while dispatching a record of logger {name!r}: {message[:80]!r}"
                )

    def _count(self, hand: Hand, outcomes: Sequence[Outcome]) -> None:
        processed = sum(outcome is None for outcome in outcomes)
        self._ledger.book(hand.generation, processed=processed)
        for outcome in outcomes:
            if outcome is not None:
                self._ledger.book(hand.generation, failed=1, reason=outcome[0])
        self._ledger.publish()

    # When the process is lost

    def _lose(self, hand: Hand, sent: Sequence[WorkItem], *, was_asked: bool) -> None:
        """Settles what a lost process had, and gives back what it can't have seen."""
        with self._lock:
            returned: list[WorkItem] = []
            if hand.epoch == self._epoch:  # else they were dropped, or forgotten
                returned.extend(hand.items)
                hand.items.clear()
            if hand.epoch == self._epoch and not was_asked:
                returned[:0] = sent
                hand.begun = 0
                sent = []
            if returned:
                self.queue.requeue_front(returned)
                self._demand = max(self._demand, 1)  # they have waited for their batch
            if sent:
                self._ledger.book(hand.generation, failed=len(sent), reason="worker_lost")
            self._ledger.publish()
        self._mourn(len(sent))

    def _mourn(self, lost: int) -> None:
        """Reports the death of the present process, once."""
        child = self._child
        if child is not None and not child.is_mourned:
            child.is_mourned = True
            self._ledger.add("backend_errors")
            self._report(
                f"the worker was lost ({child!r}); {lost} records that it had in hand failed "
                "(worker_lost)"
            )

    def _duty(self, hand: Hand) -> Task | None:
        return None if self._has_child() else partial(self._replace, hand)

    def _has_child(self) -> bool:
        child = self._child
        return child is not None and child.is_alive()

    def _replace(self, hand: Hand) -> None:
        """Starts another process, after a pause that grows; at most five times."""
        self._mourn(0)
        with self._lock:
            delay = self._supervisor.next_delay(self._clock.now())
        if delay is None:
            self._give_up(hand)
            return
        self._pause(hand, delay)
        dead, self._child = self._child, None
        if dead is not None:
            dead.close()
        if hand.epoch != self._epoch:
            return
        self._ledger.add("worker_restarts")
        try:
            self._child = self.child_class(self._pipelines)
        except Exception as error:  # noqa: BLE001  whatever it is, it is tried again
            self._ledger.add("backend_errors")
            self._report(f"no new worker could be started: {describe(error)}")
        with self._lock:
            if self._touched:  # what the dead one has written is flushed by its successor
                self._touched = [self._child]

    def _pause(self, hand: Hand, delay: float) -> None:
        """Waits, unless somebody can't wait: a flush, or a stop."""
        due = self._clock.now() + delay
        with self._lock:
            while self._state == "running" and not self._tickets and hand.epoch == self._epoch:
                left = due - self._clock.now()
                if left <= 0:
                    return
                self._clock.wait(hand.condition, left)

    def _give_up(self, hand: Hand) -> None:
        with self._lock:
            if hand.epoch != self._epoch:
                return
            self._is_open = False
            self.queue.close()
            self._gave_up = True
            self._answer = False
            self._halt("stopped")
        self._report("the worker was lost too often; the backend has stopped")

    # Flushing and stopping

    def _flush_one(self, dispatch: Any, hand: Hand) -> None:
        while hand.epoch == self._epoch:
            child = self._child
            if child is None or not child.is_alive():
                self._replace(hand)
                continue
            try:
                child.flush()
            except ChildLostError:
                continue  # its successor is asked
            except FarFlushError as error:
                self._ledger.add("backend_errors")
                self._report(f"the outputs' flush raised {error}")
            return

    def _is_clean(self, position: int) -> bool:
        return super()._is_clean(position) and (self._has_child() or self._state != "running")

    def _may_be_unclean(self) -> bool:
        return not self._gave_up

    def stop(self, timeout: float | None = None) -> bool:
        """Drains and ends the process; see `Backend.stop`."""
        stopped = super().stop(timeout)
        left = 0
        with self._lock:
            while self._gave_up and (items := self.queue.extract_batch(self.config.batch_size)):
                left += self._drop(items)
            self._gave_up = False
        if left:
            self._report(f"no worker was left to write {left} records; dropped (shutdown_timeout)")
        return stopped

    def reset(self) -> None:
        """Goes back to the state after creation; see `Backend.reset`."""
        super().reset()
        self._gave_up = False

    def get_stats(self) -> dict[str, Any]:
        """Returns all counters, `state` and `worker_pid`; see `Backend.get_stats`."""
        child = self._child
        return {**super().get_stats(), "worker_pid": child.pid if child is not None else None}

    # For tests

    def kill_worker(self) -> None:
        """Kills the process with SIGKILL; it is dead when this returns."""
        child = self._child
        if child is not None:
            child.kill()


class ProcessPlugin(Plugin):
    """The plugin, with the third hook that `restarts_worker` asks for.

    Args:
        create: Builds the backend.
        name: The backend's.
        **capabilities: What it claims differently.
    """

    def __init__(
        self, create: Callable[[BackendConfig], Any], name: str, **capabilities: Any
    ) -> None:
        claimed: dict[str, Any] = {
            "worker": "process",
            "isolates_slow_outputs": True,
            "ordering": "fifo",
            "overflow": ("drop_oldest", "drop_newest", "block"),
            "dispatch_concurrency": 1,
            "restartable": True,
            "restarts_worker": True,
            "clock": "injected",
            "exit_flush": True,
            "fork": "reinit",
            "start_methods": ("spawn",),
            "delivery": "at_most_once",
        }
        summary = "one worker process that owns the outputs"
        super().__init__(create, name, summary, **{**claimed, **capabilities})

    @hookimpl
    def lual_backend_faults(self, backend: ProcessBackend) -> ProcessBackend:
        """Lets a test kill the worker; the backend itself can do that."""
        return backend

    def before_rules(self) -> None:
        """Prepares a run of many rules in a process that has one thread."""
        open_nursery()


ProcessBackend.plugin_class = ProcessPlugin
plugin = ProcessPlugin(ProcessBackend, "process")
