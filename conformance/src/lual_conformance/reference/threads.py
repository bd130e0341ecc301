"""A perfect backend with a worker thread, written from scratch.

It shares nothing with `BaseBackend` but the queue and `run_batch`, and is slow and plain:
one lock, one condition, one record at a time. The self-test breaks it in a hundred ways, so
every promise has a small method of its own.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import Any

from lual.backend import Backend, BackendConfig, WorkItem, hookimpl, run_batch
from lual_conformance.reference.plugin import Plugin

CAPABILITIES = {
    "worker": "thread",
    "isolates_slow_outputs": True,
    "ordering": "fifo",
    "overflow": ("drop_oldest", "drop_newest", "block"),
    "dispatch_concurrency": 1,
    "restartable": True,
    "restarts_worker": True,
    "clock": "injected",
    "exit_flush": True,
    "fork": "reinit",
    "free_threaded": True,
    "delivery": "at_most_once",
}

#: Seconds before the worker goes on after its first, second, ... death.
DELAYS = (0.0, 0.1, 0.2, 0.4, 0.8)

#: Seconds of health after which deaths are forgotten.
HEALTHY_AFTER = 60.0

#: Real seconds for a worker that has nothing left to do but end.
GRACE = 1.0


class WorkerKilled(BaseException):
    """Raised in the worker by `kill_worker`."""


class Ticket:
    """One flush that waits for all before a position of the queue."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.done = False


class RefThreads(Backend):
    """Drains the queue in one daemon thread.

    Args:
        config: What it is built from.
    """

    plugin_class: type[RefThreadsPlugin]  # for backends that derive from this one

    def __init__(self, config: BackendConfig) -> None:
        self.config = config
        self.queue = config.queue
        self.clock = config.clock
        self.ledger = config.ledger
        self.queue.bind(self.ledger)
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.state = "new"
        self.dispatch: Any = None
        self.thread: threading.Thread | None = None
        self.epoch = 0  # rises when nothing of before may begin any more
        self.forget_work()

    def forget_work(self) -> None:
        """Forgets everything that belongs to one run of the worker."""
        self.hand: deque[WorkItem] = deque()  # taken and not begun
        self.inside = 0  # records inside an output
        self.tickets: list[Ticket] = []
        self.demand = 0  # records before this position don't wait for their batch
        self.touched: list[Any] = []  # dispatch functions that were called since their flush
        self.killed = False
        self.deaths = 0
        self.last_death = -math.inf
        self.answer = True  # of the last stop
        self.gave_up = False  # after too many deaths
        self.floor = self.clock.now()  # nothing that waits is older than this

    # Submitting

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record; see `Backend.submit`."""
        if not self.is_accepting():
            return False
        taken = self.admit(work_item)
        if taken:
            self.wake(work_item)
        return taken

    def is_accepting(self) -> bool:
        """Tells whether records are taken now."""
        return self.state == "running"

    def admit(self, item: WorkItem) -> bool:
        """Puts a record into the queue."""
        return self.queue.enqueue(item)

    def wake(self, item: WorkItem) -> None:
        """Makes the worker look at the queue."""
        with self.lock:
            if item.level >= self.config.flush_level:
                self.demand = self.queue.watermark()
            self.changed.notify_all()

    # The worker

    def work(self, epoch: int) -> None:
        """Is the worker's thread."""
        while True:
            try:
                self.loop(epoch)
                return
            except BaseException as error:  # noqa: BLE001  it is reported, and the work goes on
                if not self.recover(error, epoch):
                    return

    def loop(self, epoch: int) -> None:
        """Runs batches until there is no more to do."""
        while self.next_batch(epoch):
            while (item := self.next_item(epoch)) is not None:
                try:
                    self.run_item(item)
                finally:
                    self.leave_output()

    def next_batch(self, epoch: int) -> bool:
        """Takes the next batch when it is due; False if the worker must end."""
        while True:
            self.flush_outputs()
            with self.lock:
                if self.killed:
                    self.killed = False
                    raise WorkerKilled("a check asked for it")
                if epoch != self.epoch:
                    return False
                self.answer_flushes()
                wait = self.seconds_to_due()
                if wait == 0:
                    self.hand.extend(self.take())
                    return True
                if self.state == "stopping":
                    if self.touched:
                        continue
                    self.finish()
                    return False
                self.park(wait)

    def seconds_to_due(self) -> float | None:
        """Returns 0 if a batch is due, else the seconds until one is; None: nothing waits."""
        size, now = self.queue.size(), self.clock.now()
        if size == 0:
            self.floor = now
            return None
        if self.is_full(size) or self.is_demanded() or self.state == "stopping":
            return 0
        return max(self.arrival(now) + self.config.flush_interval - now, 0)

    def is_full(self, size: int) -> bool:
        """Tells whether enough records wait for a batch."""
        return size >= min(self.config.batch_size, self.queue.max_size)

    def is_demanded(self) -> bool:
        """Tells whether somebody asked for what waits."""
        return (self.queue.oldest() or 0) < self.demand

    def arrival(self, now: float) -> float:
        """Returns when the oldest waiting record came, never too late."""
        item = self.queue.oldest_item()
        age = self.clock.time() - item.submitted_at if item is not None else -1.0
        # A float of epoch seconds is exact to less than a microsecond.
        came = now - age - 1e-6
        return came if age >= 0 and came >= self.floor else self.floor

    def park(self, seconds: float | None) -> None:
        """Waits for something to do."""
        self.clock.wait(self.changed, seconds)

    def take(self) -> list[WorkItem]:
        """Takes a batch from the queue, none that came after a flush that waits."""
        oldest = self.queue.oldest() or 0
        ahead = [ticket.position for ticket in self.tickets if ticket.position > oldest]
        batch = self.queue.extract_batch(self.config.batch_size, before=min(ahead, default=None))
        if self.queue.size() == 0:
            self.floor = self.clock.now()
        return batch

    def next_item(self, epoch: int) -> WorkItem | None:
        """Returns the next record in hand, which is begun with that."""
        with self.lock:
            if not self.hand or epoch != self.epoch:
                return None
            item = self.hand.popleft()
            self.inside += 1
            func = self.func_of(item)
            if hasattr(func, "flush") and not any(func is known for known in self.touched):
                self.touched.append(func)
            return item

    def func_of(self, item: WorkItem) -> Any:
        """Returns what dispatches a record."""
        return item.dispatch_func if item.dispatch_func is not None else self.dispatch

    def run_item(self, item: WorkItem) -> None:
        """Dispatches one record."""
        run_batch([item], self.dispatch, self.config)

    def leave_output(self) -> None:
        """Notes that the record inside the output has its outcome."""
        with self.lock:
            self.inside -= 1
            self.changed.notify_all()

    def flush_outputs(self) -> None:
        """Calls the dispatch's own flush if a flush or a stop waits for nothing else."""
        with self.lock:
            ready = any(self.is_reached(ticket.position) for ticket in self.tickets)
            ready = ready or (self.state == "stopping" and self.is_reached(self.queue.watermark()))
            if not (ready and self.touched):
                return
            touched, self.touched = self.touched, []
            self.inside += 1
        try:
            for func in touched:
                self.flush_output(func)
        finally:
            self.leave_output()

    def flush_output(self, func: Any) -> None:
        """Calls one dispatch's own flush."""
        try:
            func.flush()
        except BaseException as error:  # noqa: BLE001  counted and reported, like a record's
            self.ledger.add("backend_errors")
            self.report(f"the outputs' flush raised {type(error).__name__}: {error}")

    def finish(self) -> None:
        """Ends a stop for which everything was drained."""
        self.state = "stopped"
        self.changed.notify_all()

    # Its death

    def kill_worker(self) -> None:
        """Makes the worker die at its next look at the queue; for checks."""
        with self.lock:
            self.killed = True
            self.changed.notify_all()

    def recover(self, error: BaseException, epoch: int) -> bool:
        """Settles a death of the worker; False if it must not go on."""
        with self.lock:
            self.put_back()
            self.ledger.add("backend_errors")
            now = self.clock.now()
            self.deaths = self.deaths + 1 if now - self.last_death < HEALTHY_AFTER else 1
            self.last_death = now
            too_often = self.deaths > len(DELAYS)
            if too_often and epoch == self.epoch:
                self.give_up()
        why = f"the worker was lost ({type(error).__name__}: {error})"
        if too_often:
            self.report(f"{why} too often; the backend has stopped")
            return False
        self.report(f"{why} and is replaced")
        self.wait_before_restart(DELAYS[self.deaths - 1])
        self.ledger.add("worker_restarts")
        return True

    def put_back(self) -> None:
        """Gives back what was taken and not begun, in order."""
        items, self.hand = list(self.hand), deque()
        if items:
            self.queue.requeue_front(items)

    def give_up(self) -> None:
        """Ends the backend after too many deaths."""
        self.queue.close()
        self.epoch += 1
        self.gave_up = True
        self.state = "stopped"
        self.changed.notify_all()

    def wait_before_restart(self, seconds: float) -> None:
        """Waits a little, unless somebody can't wait for the worker."""
        with self.lock:
            end = self.clock.now() + seconds
            while self.state == "running" and not self.tickets:
                left = end - self.clock.now()
                if left <= 0:
                    return
                self.clock.wait(self.changed, left)

    def report(self, message: str) -> None:
        """Calls the error callback, with no lock held."""
        try:
            self.config.error_callback(message)
        except BaseException:  # noqa: BLE001  whatever it raises changes nothing
            return

    # Flushing

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all admitted so far are finished; see `Backend.flush`."""
        seconds = self.checked(timeout, self.config.flush_timeout)
        if self.is_inside():
            return False
        deadline = self.clock.now() + seconds
        self.ledger.add("flushes")
        with self.lock:
            if self.state in ("new", "stopped"):
                return self.queue.is_empty() or self.state == "new"
            ticket = Ticket(self.queue.watermark())
            if self.is_reached(ticket.position) and not self.touched:
                return True
            self.tickets.append(ticket)
            self.demand = max(self.demand, ticket.position)
            self.changed.notify_all()
            self.wait_for_ticket(ticket, deadline)
            if ticket in self.tickets:
                self.tickets.remove(ticket)
            if not ticket.done:
                self.ledger.add("flush_timeouts")
            return ticket.done

    def wait_for_ticket(self, ticket: Ticket, deadline: float) -> None:
        """Waits until a flush is answered, or its time has passed."""
        epoch = self.epoch
        while not ticket.done and self.state in ("running", "stopping"):
            left = deadline - self.clock.now()
            if left <= 0 or epoch != self.epoch:  # a reset and a start, meanwhile
                return
            self.clock.wait(self.changed, left)
        if self.state == "stopped" and self.answer:
            ticket.done = True  # a stop drained and flushed everything meanwhile

    def is_reached(self, position: int) -> bool:
        """Tells whether every record before a position has its outcome."""
        oldest = self.queue.oldest()
        return (oldest is None or oldest >= position) and not self.hand and not self.inside

    def answer_flushes(self) -> None:
        """Answers the flushes that are finished."""
        for ticket in list(self.tickets):
            if self.is_reached(ticket.position) and not self.touched:
                ticket.done = True
                self.tickets.remove(ticket)
        self.changed.notify_all()

    def checked(self, timeout: float | None, default: float) -> float:
        """Returns the seconds that were asked for.

        Raises:
            ValueError: They are negative or not a number.
        """
        if timeout is None:
            return default
        if math.isnan(timeout) or timeout < 0:
            raise ValueError(f"timeout must be 0 or more seconds, got {timeout!r}")
        return timeout

    def is_inside(self) -> bool:
        """Tells whether this call comes from the worker or an output."""
        return threading.current_thread() is self.thread

    # Lifecycle

    def start(self, dispatch_func: Any = None) -> None:
        """Begins to work; see `Backend.start`."""
        if self.is_started(dispatch_func):
            return
        if not self.join(GRACE):
            raise RuntimeError("the worker of before is still inside an output")
        with self.lock:
            if self.is_started(dispatch_func):  # another thread was faster
                return
            self.forget_work()
            self.epoch += 1
            self.launch()
            if dispatch_func is not None:
                self.dispatch = dispatch_func
            self.queue.open()
            self.state = "running"

    def is_started(self, dispatch_func: Any) -> bool:
        """Gives a running backend its new dispatch function; False if it doesn't run."""
        with self.lock:
            if self.state == "stopping":
                raise RuntimeError("the backend is stopping; start it when stop has returned")
            if self.state == "running" and dispatch_func is not None:
                self.dispatch = dispatch_func
            return self.state == "running"

    def launch(self) -> None:
        """Starts the worker's thread."""
        thread = threading.Thread(
            target=self.work, args=(self.epoch,), name="ref-worker", daemon=True
        )
        thread.start()
        self.thread = thread

    def join(self, seconds: float) -> bool:
        """Waits for the end of the worker's thread."""
        thread = self.thread
        if thread is None or thread is threading.current_thread():
            return thread is None
        if self.inside:
            seconds = 0.0  # who knows when that output returns
        thread.join(seconds)
        return not thread.is_alive()

    def stop(self, timeout: float | None = None) -> bool:
        """Refuses further records, drains, ends the worker; see `Backend.stop`."""
        seconds = self.checked(timeout, self.config.shutdown_timeout)
        deadline = self.clock.now() + seconds
        with self.lock:
            if self.state == "new":
                return True
            self.begin_stop()
            if self.is_inside():
                return False  # the worker finishes by itself
            epoch = self.epoch
            self.wait_for_drain(deadline)
            left, begun = self.abandon() if self.state == "stopping" else (0, 0)
            is_restarted = self.state == "running" and epoch != self.epoch
        if left or begun:
            self.report(
                f"stop ran out of time after {seconds:g} s: {left} records dropped "
                f"(shutdown_timeout), {begun} still inside an output"
            )
        return (is_restarted or self.join(GRACE)) and self.answer

    def begin_stop(self) -> None:
        """Closes the door."""
        if self.state == "running" or self.gave_up:
            self.queue.close()
            self.state = "stopping"
            self.changed.notify_all()

    def wait_for_drain(self, deadline: float) -> None:
        """Waits until the worker has drained everything, or time has passed."""
        while self.state == "stopping" and not self.gave_up:
            left = deadline - self.clock.now()
            if left <= 0:
                return
            self.clock.wait(self.changed, left)

    def abandon(self) -> tuple[int, int]:
        """Drops what could not be drained; returns how many, and how many are still inside."""
        self.epoch += 1
        rest = [*self.hand, *self.queue.extract_batch(10**9)]
        self.hand.clear()
        for item in rest:
            self.ledger.drop_one(item.level, "shutdown_timeout", in_flight=True)
        self.gave_up = False
        self.answer = not rest and not self.inside and not self.touched
        self.finish()
        return len(rest), self.inside

    def reset(self) -> None:
        """Goes back to the state after creation; see `Backend.reset`."""
        with self.lock:
            self.epoch += 1
            self.queue.close()
            self.answer = False
            self.state = "stopped"
            self.changed.notify_all()
        self.join(GRACE)
        with self.lock:
            self.epoch += 1  # also for a worker that was started meanwhile
            self.changed.notify_all()
            self.queue.clear()
            self.queue.open()
            self.forget_work()
            self.dispatch = None
            self.state = "new"
            self.zero_counters()

    def zero_counters(self) -> None:
        """Sets all counters to zero, in place."""
        self.ledger.reset()

    def get_stats(self) -> dict[str, Any]:
        """Returns all counters; see `Backend.get_stats`."""
        self.ledger.publish()
        return {**self.ledger.snapshot(), "state": self.state}


class RefThreadsPlugin(Plugin):
    """The hooks of a backend of this family.

    Args:
        backend: Its class.
        name: Its name.
        **capabilities: What differs from `CAPABILITIES`.
    """

    def __init__(self, backend: type[RefThreads], name: str, **capabilities: Any) -> None:
        summary = "a worker thread, plain and slow"
        super().__init__(backend, name, summary, **{**CAPABILITIES, **capabilities})

    @hookimpl
    def lual_backend_faults(self, backend: RefThreads) -> RefThreads:
        """Lets the kit kill the worker."""
        return backend


RefThreads.plugin_class = RefThreadsPlugin
plugin = RefThreadsPlugin(RefThreads, "ref-threads")
