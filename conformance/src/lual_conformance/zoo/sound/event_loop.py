"""A backend that lives in the event loop of the application.

`start` inside a running loop makes a task there, which hands the batches to a thread that
runs the outputs. Started elsewhere, or when its loop has ended, the thread sees to the
batches by itself, until a record is submitted inside another running loop: that one takes
the task in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from lual.backend import Backend, WorkItem
from lual.backend.clock import check_timeout
from lual.context import dispatch_depth
from lual_conformance.reference.plugin import Plugin
from lual_conformance.zoo.sound.loop_task import LoopTask, running_loop
from lual_conformance.zoo.sound.loop_work import Ticket

CAPABILITIES = {
    "worker": "event_loop",
    "event_loop": "asyncio",
    "isolates_slow_outputs": True,
    "ordering": "fifo",
    "overflow": ("drop_oldest", "drop_newest", "block"),
    "dispatch_concurrency": 1,
    "restartable": True,
    "clock": "wall",
    "exit_flush": True,
    "fork": "reinit",
    "delivery": "at_most_once",
}

#: Seconds for a thread that has nothing left to do but end.
GRACE = 1.0

#: Seconds for such a task: its loop may be busy with anything.
LOOP_GRACE = 0.05


class EventLoopBackend(LoopTask, Backend):
    """Hands batches over in an event loop, and runs them beside it.

    Args:
        config: What it is built from.
    """

    plugin_class: type[EventLoopPlugin]  # for backends that derive from this one

    # Records

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record; see `Backend.submit`."""
        if self.state != "running":
            return False
        if not self.has_loop():
            self.move_in()
        if not self.queue.enqueue(work_item):
            return False
        urgent = work_item.level >= self.config.flush_level
        if urgent:
            with self.lock:
                self.demand = self.queue.watermark()
        if urgent or self.is_idle or self.queue.size() >= self.trigger():
            self.tell_loop()
        return True

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all admitted so far are finished; see `Backend.flush`."""
        seconds = check_timeout(timeout, self.config.flush_timeout)
        if self.is_inside():
            return False
        deadline = self.clock.now() + seconds
        self.ledger.add("flushes")
        with self.lock:
            ticket, epoch = Ticket(self.queue.watermark()), self.epoch
            clean = self.is_reached(ticket.position) and not (self.touched or self.flushing)
            if clean or self.state in ("new", "stopped"):
                return True
            self.tickets.append(ticket)
            self.demand = max(self.demand, ticket.position)
        self.tell_loop()
        self.pursue(lambda: ticket.done or epoch != self.epoch or self.is_over(), deadline)
        with self.lock:
            if ticket in self.tickets:
                self.tickets.remove(ticket)
            done = ticket.done or (epoch == self.epoch and self.is_over() and self.answer)
        if not done:
            self.ledger.add("flush_timeouts")
        return done

    def is_over(self) -> bool:
        """Tells whether a stop has ended."""
        return self.state == "stopped"

    def pursue(self, reached: Callable[[], bool], deadline: float) -> None:
        """Waits for something, and does the task's work: it may stand in the same loop."""
        with self.lock:
            self.changed.notify_all()
            while not reached():
                self.hand_over()
                left = deadline - self.clock.now()
                if left <= 0:
                    return
                self.clock.wait(self.changed, left)

    def is_inside(self) -> bool:
        """Tells whether this call comes from an output or the thread that runs them."""
        return dispatch_depth() > 0 or threading.current_thread() is self.thread

    # Lifecycle

    def start(self, dispatch_func: Any = None) -> None:
        """Begins to work; see `Backend.start`."""
        if not self.is_running(dispatch_func) and not self.join(GRACE):
            raise RuntimeError("the thread of before is still inside an output")
        with self.lock:
            if self.is_running(dispatch_func):
                return
            if self.thread is not None and self.thread.is_alive():
                raise RuntimeError("the thread of before has not ended yet")
            self.forget_work()
            self.launch()
            if dispatch_func is not None:
                self.dispatch = dispatch_func
            self.state = "running"
            self.queue.open()
            self.move_in()

    def is_running(self, dispatch_func: Any) -> bool:
        """Gives a running backend its new dispatch function; False if it doesn't run."""
        with self.lock:
            if self.state == "stopping":
                raise RuntimeError("the backend is stopping; start it when stop has returned")
            if self.state == "running" and dispatch_func is not None:
                self.dispatch = dispatch_func
            return self.state == "running"

    def launch(self) -> None:
        """Starts the thread that runs the outputs."""
        epoch = self.epoch + 1
        thread = threading.Thread(
            target=self.serve, args=(epoch,), name="zoo-loop-outputs", daemon=True
        )
        thread.start()  # it waits for the lock
        self.thread, self.epoch = thread, epoch

    def stop(self, timeout: float | None = None) -> bool:
        """Refuses further records, drains, ends the worker; see `Backend.stop`."""
        seconds = check_timeout(timeout, self.config.shutdown_timeout)
        deadline = self.clock.now() + seconds
        with self.lock:
            if self.state == "new":
                return True
            if self.state == "running":
                self.queue.close()
                self.state = "stopping"
            epoch = self.epoch
            self.changed.notify_all()
            if self.is_inside():
                return False  # the thread finishes the drain by itself
            decides, self.is_being_stopped = not self.is_being_stopped, True
        self.pursue(lambda: self.state != "stopping" or epoch != self.epoch, deadline)
        with self.lock:
            ended = self.state != "stopping" or epoch != self.epoch
            left, begun = self.abandon() if decides and not ended else (0, 0)
            is_restarted = self.state == "running"
        if left or begun:
            self.report(
                f"stop ran out of time after {seconds:g} s: {left} records dropped "
                f"(shutdown_timeout), {begun} still inside an output"
            )
        return (is_restarted or self.join(GRACE)) and self.answer

    def abandon(self) -> tuple[int, int]:
        """Drops what could not be drained; returns how many, and how many are still inside."""
        self.epoch += 1
        rest = [*self.hand, *self.queue.extract_batch(self.queue.size())]
        self.hand.clear()
        for item in rest:
            self.ledger.drop_one(item.level, "shutdown_timeout", in_flight=True)
        self.answer = not (rest or self.inside or self.flushing or self.touched)
        self.ledger.publish()
        self.finish()
        return len(rest), self.inside

    def join(self, seconds: float) -> bool:
        """Waits for the end of the thread, and of the task if that can come."""
        thread = self.thread
        if thread is threading.current_thread():
            return False
        if thread is not None and thread.ident is not None:
            thread.join(0 if self.inside or self.flushing else seconds)
        home = self.home
        if home is not None and home.loop.is_running() and running_loop() is not home.loop:
            with self.lock:
                self.changed.wait_for(lambda: self.home is not home, LOOP_GRACE)
        return thread is None or not thread.is_alive()

    def reset(self) -> None:
        """Goes back to the state after creation; see `Backend.reset`."""
        with self.lock:
            self.epoch += 1
            self.queue.close()
            self.answer = False
            self.finish()
        self.join(GRACE)
        with self.lock:
            if self.state == "running":
                return  # somebody has started it meanwhile
            stuck = self.inside
            self.queue.clear()
            self.queue.open()
            self.forget_work()
            self.inside = stuck
            self.dispatch = None
            self.state = "new"
            self.ledger.reset()

    def get_stats(self) -> dict[str, Any]:
        """Returns all counters; see `Backend.get_stats`."""
        self.ledger.publish()
        return {**self.ledger.snapshot(), "state": self.state}


class EventLoopPlugin(Plugin):
    """The hooks of a backend of this family.

    Args:
        backend: Its class.
        name: Its name.
        **capabilities: What differs from `CAPABILITIES`.
    """

    def __init__(self, backend: type[EventLoopBackend], name: str, **capabilities: Any) -> None:
        summary = "a task in the application's event loop, outputs on a thread beside it"
        super().__init__(backend, name, summary, **{**CAPABILITIES, **capabilities})


EventLoopBackend.plugin_class = EventLoopPlugin
plugin = EventLoopPlugin(EventLoopBackend, "event-loop")
