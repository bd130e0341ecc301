"""What the tests of the backend contract share: virtual time, gates, and a tiny backend."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from lual.backend import BackendConfig, BaseBackend, BoundedQueue, Clock, WorkItem
from lual.levels import ERROR, INFO

#: Seconds; only turn a hang into a failure.
WATCHDOG = 10.0


class Sleeper(NamedTuple):
    """One thread that waits on virtual time."""

    thread: threading.Thread
    condition: threading.Condition
    deadline: float


class ManualClock(Clock):
    """Time that passes only when a test says so, and that knows who waits for it."""

    def __init__(self, now: float = 1000.0, epoch: float = 1_000_000.0) -> None:
        self._now = now
        self._ahead = epoch - now
        self._changed = threading.Condition()
        self._sleepers: list[Sleeper] = []
        self._parks: Counter[threading.Thread] = Counter()

    def now(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now + self._ahead

    def set_time(self, epoch: float) -> None:
        """Sets the wall clock, as an administrator might."""
        self._ahead = epoch - self._now

    def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
        with self._changed:
            if timeout is not None and timeout <= 1e-9:
                self._now += max(timeout, 0)  # so long a wait takes that long
                return False
            deadline = math.inf if timeout is None else self._now + timeout
            me = Sleeper(threading.current_thread(), condition, deadline)
            self._sleepers.append(me)
            self._parks[me.thread] += 1
            self._changed.notify_all()
        try:
            condition.wait(WATCHDOG)
        finally:
            with self._changed:
                self._sleepers.remove(me)
        return self._now < deadline

    def advance(self, seconds: float) -> None:
        """Lets time pass; who has waited long enough is woken."""
        with self._changed:
            self._now += seconds
            due = [s for s in self._sleepers if s.deadline <= self._now + 1e-9]
        for sleeper in due:
            with sleeper.condition:
                sleeper.condition.notify_all()

    def parks(self, thread: threading.Thread) -> int:
        """Returns how often a thread has begun to wait."""
        with self._changed:
            return self._parks[thread]

    def until_parked(self, thread: threading.Thread, times: int = 1) -> float:
        """Returns the deadline of a thread once it waits, for the n-th time or later."""

        def found() -> list[float]:
            if self._parks[thread] < times:
                return []
            return [s.deadline for s in self._sleepers if s.thread is thread]

        with self._changed:
            assert self._changed.wait_for(found, WATCHDOG), f"{thread} never waited"
            return found()[0]


class Output:
    """A dispatch function that notes what it gets, and stalls while its gate is closed."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.calls: list[tuple[Any, Any]] = []
        self.threads: list[threading.Thread] = []
        self.entered = threading.Semaphore(0)
        self.failures: dict[Any, BaseException] = {}
        self.hooks: dict[Any, Callable[[], object]] = {}
        self._gate = threading.Event()
        self._gate.set()

    def close(self) -> None:
        """Makes each further call stall."""
        self._gate.clear()

    def open(self) -> None:
        """Lets all calls go on."""
        self._gate.set()

    def __call__(self, logger: Any, record: Any) -> None:
        self.entered.release()
        self.threads.append(threading.current_thread())
        assert self._gate.wait(WATCHDOG), "nobody opened the gate"
        if record in self.hooks:
            self.hooks[record]()
        if record in self.failures:
            raise self.failures[record]
        self.calls.append((logger, record))
        self.records.append(record)

    def until_entered(self, times: int = 1) -> None:
        """Waits until that many further calls have begun."""
        for _ in range(times):
            assert self.entered.acquire(timeout=WATCHDOG), "the output was never called"


class BatchOutput(Output):
    """A dispatch with `many` and `flush`; `events` has them in order."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []
        self.flush_error: BaseException | None = None
        self.flush_hook: Callable[[], object] = lambda: None

    def many(self, items: Any) -> list[BaseException | None]:
        outcomes: list[BaseException | None] = []
        for item in items:
            try:
                self(item.logger, item.record)
                outcomes.append(None)
            except Exception as error:  # noqa: BLE001  the outcome, as the contract says
                outcomes.append(error)
        self.events.append([item.record for item in items])
        return outcomes

    def flush(self) -> None:
        self.flush_hook()
        self.events.append("flush")
        if self.flush_error is not None:
            raise self.flush_error


class ThreadBackend(BaseBackend):
    """The smallest backend: a thread and the loop."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.threads: list[threading.Thread] = []
        self.batches: list[list[Any]] = []
        self.refusals: list[BaseException] = []  # for the next starts of a worker
        self.pretends_death = False

    @property
    def thread(self) -> threading.Thread:
        return self.threads[-1]

    def start_worker(self) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        thread = threading.Thread(target=self._work, daemon=True)
        self.threads.append(thread)
        thread.start()

    def join_worker(self, timeout: float) -> bool:
        if self.pretends_death:
            self.pretends_death = False
            return True
        if not self.threads:
            return True
        if timeout > 0 and self.thread is not threading.current_thread():
            self.thread.join(min(timeout, WATCHDOG))
        return not self.thread.is_alive()

    def _work(self) -> None:
        while (items := self.next_batch()) is not None:
            self.batches.append([item.record for item in items])
            self.run(items)


class Background:
    """A call that runs in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._answer: Any = None
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._answer = self._call()
        except BaseException as error:  # noqa: BLE001  raised by `result`
            self._error = error

    def result(self) -> Any:
        self.thread.join(WATCHDOG)
        assert not self.thread.is_alive(), "the call never returned"
        if self._error is not None:
            raise self._error
        return self._answer


class System:
    """A backend with everything around it; keyword arguments go to `BackendConfig`."""

    def __init__(
        self,
        output: Output | None = None,
        backend: type[ThreadBackend] = ThreadBackend,
        max_size: int = 100,
        strategy: str = "drop_oldest",
        epoch: float = 1_000_000.0,
        queue: BoundedQueue | None = None,
        **settings: Any,
    ) -> None:
        self.clock = ManualClock(epoch=epoch)
        self.errors: list[str] = []
        settings.setdefault("batch_size", 5)
        settings.setdefault("flush_interval", 1e9)
        settings.setdefault("error_callback", self.errors.append)
        if queue is None:
            queue = BoundedQueue(
                max_size,
                strategy,
                clock=self.clock,
                block_timeout=settings.get("block_timeout", 1.0),
                protect_level=settings.get("protect_level", ERROR),
            )
        self.queue = queue
        self.config = BackendConfig(queue=queue, clock=self.clock, **settings)
        self.backend = backend(self.config)
        self.output = output if output is not None else Output()

    def start(self) -> System:
        """Starts the backend, and returns once its worker is parked."""
        self.backend.start(self.output)
        self.clock.until_parked(self.backend.thread)
        return self

    def submit(self, *records: Any, level: int = INFO, func: Any = None) -> list[bool]:
        items = [WorkItem("app", r, func, self.clock.time(), level) for r in records]
        return [self.backend.submit(item) for item in items]

    def submit_and_park(self, *records: Any) -> None:
        """Submits what doesn't fill a batch, and waits until the worker has looked at it."""
        times = self.clock.parks(self.backend.thread) + 1
        self.submit(*records)
        self.clock.until_parked(self.backend.thread, times)

    def hold(self, record: Any = "held") -> None:
        """Gets an idle worker stuck inside the output with one record."""
        while self.output.entered.acquire(blocking=False):
            pass  # calls of before
        self.output.close()
        self.submit(record, level=self.config.flush_level)
        self.output.until_entered()

    @property
    def stats(self) -> dict[str, Any]:
        """A snapshot, in which the books balance."""
        stats = self.backend.get_stats()
        assert stats["messages_submitted"] == (
            stats["messages_processed"]
            + stats["messages_failed"]
            + stats["messages_dropped"]
            + stats["queue_size"]
            + stats["in_flight"]
        )
        assert stats["messages_dropped"] == sum(stats["dropped_by_reason"].values())
        assert stats["messages_dropped"] == sum(stats["dropped_by_level"].values())
        assert all(v >= 0 for v in stats.values() if isinstance(v, (int, float)))
        return stats

    def end(self) -> None:
        self.output.open()
        self.backend.reset()
        for thread in self.backend.threads:
            thread.join(WATCHDOG)
            assert not thread.is_alive(), "a worker is left behind"


@pytest.fixture
def make_system() -> Iterator[Callable[..., System]]:
    """Returns what builds a `System`; all of them are ended after the test."""
    systems: list[System] = []

    def make(*args: Any, **settings: Any) -> System:
        systems.append(System(*args, **settings))
        return systems[-1]

    yield make
    for system in systems:
        system.end()


@pytest.fixture
def system(make_system: Callable[..., System]) -> System:
    """Returns a started system: batches of five, no interval worth waiting for."""
    return make_system().start()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def output() -> Output:
    return Output()


@pytest.fixture
def batch_output() -> BatchOutput:
    return BatchOutput()


@pytest.fixture
def thread_backend() -> type[ThreadBackend]:
    """Returns the class, for tests that change a method of it."""
    return ThreadBackend


@pytest.fixture
def background() -> Callable[..., Background]:
    """Returns what makes a call in another thread."""
    return lambda call, *args: Background(lambda: call(*args))


@pytest.fixture
def make_item() -> Callable[..., WorkItem]:
    """Returns what makes a work item of a record and a level."""

    def make(record: Any = None, level: int = INFO, func: Any = None) -> WorkItem:
        return WorkItem("app", record, func, 0.0, level)

    return make


class Interruptions:
    """Runs a call and interrupts it once, each time at another place of lual's own code.

    An interruption comes where CPython looks for signals and runs finalisers: where a
    function begins, and where one has returned.
    """

    def __init__(self, nested: Callable[[], object]) -> None:
        self._nested = nested
        self._place = 0
        self._left = 0
        self.happened = False
        self.where = ""

    def next(self) -> bool:
        """Goes on to the next place; False once the call ended before it was reached."""
        if self._place and not self.happened:
            return False
        self._place += 1
        self._left = self._place
        self.happened = False
        return True

    def __enter__(self) -> None:
        sys.setprofile(self._profile)

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)

    def _profile(self, frame: Any, event: str, arg: object) -> None:
        if event == "c_call" or "/lual/backend/" not in frame.f_code.co_filename:
            return
        self._left -= 1
        if self._left == 0:
            self.happened = True
            self.where = f"{event} in {frame.f_code.co_name}, line {frame.f_lineno}"
            sys.setprofile(None)
            self._nested()


@pytest.fixture
def interruptions() -> Iterator[type[Interruptions]]:
    yield Interruptions
    sys.setprofile(None)


@pytest.fixture
def fast_switches() -> Iterator[None]:
    """Makes threads take turns as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(autouse=True)
def no_thread_dies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test in which a thread ended by an exception that nobody expected."""
    deaths: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: deaths.append(repr(args)))
    yield
    assert not deaths


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Returns what waits for a state that nothing announces."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WATCHDOG
        while not condition():
            assert time.monotonic() < deadline, "it never came about"
            time.sleep(0)

    return wait
