from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.processes

Run = Callable[..., Any]
Written = Callable[..., dict[str, list[int]]]

#: Four threads log until `done`, while the program changes the configuration.
THREADS = """
import itertools, random, sys, time
from program import *
done = threading.Event()
counts = [0] * 4
def work(i):
    for n in itertools.count():
        if done.is_set():
            break
        log.info("thread%d %d", i, n)
        counts[i] = n + 1
        while n % 50 == 0 and lual.get_stats()["queue_size"] > 1_000:
            time.sleep(0)  # a queue that can be drained in time is all there shall be
def end(threads):
    done.set()
    join(threads)
    assert lual.flush(PATIENCE)
    stats = check()
    assert stats["messages_dropped"] == stats["messages_failed"] == 0, stats
    assert stats["messages_processed"] == sum(counts), (stats, counts)
    print(*counts)
"""


def progressed() -> str:
    """Returns code that lets every thread log some more."""
    return """
def progress(by=200):
    before = list(counts)
    while any(now < then + by for now, then in zip(counts, before)):
        time.sleep(0)
"""


def assert_complete(found: dict[str, list[int]], out: str) -> None:
    """Each thread's records are there once and in its order."""
    assert found == {f"thread{i}": list(range(int(n))) for i, n in enumerate(out.split())}


CHANGES = {
    "backend settings": "configure(max_queue_size=ROOMY + i, async_batch_size=10 + i)",
    "mode": "configure(max_queue_size=ROOMY, async_enabled=bool(i % 2))",
    "stop and start": "lual.shutdown(PATIENCE); progress(); lual.async_writer.start()",
    "pipelines": "configure(to_file(backups=1 + i), max_queue_size=ROOMY)",
    "mode and pipelines": (
        "configure(to_file(backups=1 + i), max_queue_size=ROOMY, async_enabled=bool(i % 2))"
    ),
    "level": "configure(max_queue_size=ROOMY, level='info' if i % 2 else 'debug')",
}


@pytest.mark.parametrize("change", CHANGES)
def test_twenty_changes_while_threads_log_lose_and_reorder_nothing(
    run_script: Run, written: Written, change: str
) -> None:
    ended = run_script(
        THREADS
        + progressed()
        + f"""
configure(max_queue_size=ROOMY)
threads = start_threads(4, work)
for i in range(20):
    {CHANGES[change]}
    progress()
end(threads)
"""
    )
    assert_complete(written(), ended.out)


@pytest.mark.parametrize("mode", ["async", "sync", "both", "settings"])
def test_replaced_outputs_are_closed_once_their_records_are_written(
    run_script: Run, mode: str
) -> None:
    settings = {
        "async": "",
        "sync": "async_enabled=False",
        "both": "async_enabled=bool(i % 2)",
        "settings": "async_batch_size=10 + i",
    }[mode]
    run_script(
        THREADS
        + progressed()
        + f"""
outputs = []
threads = None
for i in range(20):
    outputs.append(Collector())
    configure(outputs[-1].pipeline(), max_queue_size=ROOMY, **dict({settings}))
    threads = threads or start_threads(4, work)
    progress()
end(threads)
texts = [text for out in outputs for text in out.texts]
for who, numbers in sequences(texts).items():
    assert sorted(numbers) == list(range(counts[int(who[-1])])), who
assert [out.closed for out in outputs] == [True] * 19 + [False]
# A record that was on its way at that moment, one a thread, comes after the close.
assert max(out.late for out in outputs) <= 4, [out.late for out in outputs]
assert [out.overlaps for out in outputs] == [0] * 20, [out.overlaps for out in outputs]
for out in outputs:
    for who, numbers in out.sequences().items():
        assert numbers == sorted(numbers), who
"""
    )


@pytest.mark.parametrize("change", ["backend settings", "mode", "stop and start"])
def test_one_output_is_never_written_to_twice_at_a_time(run_script: Run, change: str) -> None:
    """It keeps its place through all changes, and has no lock of its own."""
    run_script(
        THREADS
        + progressed()
        + f"""
out = Collector()
pipeline = out.pipeline()
def configure(configure=configure, **settings):
    configure(pipeline, **settings)
configure(max_queue_size=ROOMY)
threads = start_threads(4, work)
for i in range(20):
    {CHANGES[change]}
    progress()
end(threads)
assert out.overlaps == 0
assert not out.closed
assert out.sequences() == {{f"thread{{i}}": list(range(n)) for i, n in enumerate(counts)}}
"""
    )


@pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest", "block"])
def test_changes_while_the_queue_overflows_lose_nothing_uncounted(
    run_script: Run, strategy: str
) -> None:
    run_script(
        THREADS
        + progressed()
        + f"""
out = Collector()
pipeline = out.pipeline()
for i in range(20):
    configure(
        pipeline, max_queue_size=20 + i, async_batch_size=10, overflow_strategy="{strategy}",
        async_enabled=i % 5 != 4,
    )
    if i == 0:
        threads = start_threads(4, work)
    progress()
done.set()
join(threads)
assert lual.flush(PATIENCE)
stats = check()
came = sum(map(len, out.sequences().values()))
assert came == stats["messages_processed"], (came, stats)
assert came + stats["messages_dropped"] == sum(counts), (came, counts, stats)
assert out.overlaps == 0
for numbers in out.sequences().values():
    assert numbers == sorted(numbers)
"""
    )


def test_a_change_is_not_held_up_by_the_report_of_a_gap(run_script: Run) -> None:
    """The old line writes it while other threads wait for the old line."""
    run_script(
        """
import itertools, time
from program import *
gate = threading.Event()
out = Collector(gate)
pipeline = out.pipeline()
configure(pipeline, max_queue_size=10, async_batch_size=10, shutdown_timeout=PATIENCE)
burst("main", 10)
out.entered.wait()
burst("main", 100)
assert check()["messages_dropped"] == 90
synchronous = threading.Event()
def work(i):
    while lual.get_stats()["enabled"]:
        pass
    synchronous.set()
    log.info("thread 0")
threads = start_threads(1, work)
def open_gate(i):
    synchronous.wait()
    gate.set()
threads += start_threads(1, open_gate)
began = time.monotonic()
configure(pipeline, async_enabled=False)
join(threads)
assert time.monotonic() - began < PATIENCE / 2
assert lual.flush(PATIENCE)
assert out.sequences()["thread"] == [0]
stats = check()
assert stats["messages_dropped"] == 90, stats
assert stats["reports"] == 1, stats
"""
    )


@pytest.mark.parametrize("mode", ["async_enabled=False", "max_queue_size=77"])
def test_a_signal_handler_may_log_during_a_change(run_script: Run, mode: str) -> None:
    """Its record can't wait for the very change that it interrupted."""
    run_script(
        f"""
import signal, time
from program import *
gate = threading.Event()
class Gated(Collector):
    def write(self, batch):
        if threading.current_thread() is not threading.main_thread():
            self.entered.set()
            gate.wait()
        super().write(batch)
out = Gated()
pipeline = out.pipeline()
configure(pipeline, async_batch_size=10, shutdown_timeout=PATIENCE)
burst("main", 20)
out.entered.wait()
spent = []
def handler(*_):
    began = time.monotonic()
    log.info("signal 0")
    lual.flush(0.1)
    spent.append(time.monotonic() - began)
    gate.set()
signal.signal(signal.SIGALRM, handler)
def interrupt(i):
    while lual.get_stats()["epoch"] == epoch:
        pass
    os.kill(os.getpid(), signal.SIGALRM)
epoch = lual.get_stats()["epoch"]
threads = start_threads(1, interrupt)
configure(pipeline, {mode})
join(threads)
assert spent and spent[0] < PATIENCE / 2, spent
assert lual.flush(PATIENCE)
assert out.sequences() == {{"main": list(range(20)), "signal": [0]}}
assert check()["messages_dropped"] == 0
"""
    )


def test_changes_from_many_threads_are_serialised(run_script: Run, written: Written) -> None:
    ended = run_script(
        THREADS
        + progressed()
        + """
configure(max_queue_size=ROOMY)
threads = start_threads(4, work)
def change(i):
    for n in range(5):
        lual.config(max_queue_size=ROOMY + 10 * i + n, async_batch_size=10 + n)
changers = start_threads(4, change)
join(changers)
progress()
end(threads)
"""
    )
    assert_complete(written(), ended.out)


#: A clock that can be put forward.
CLOCK = """
import time
from program import *
from lual.backend import Clock
from lual.engine.writer import writer
class Hand(Clock):
    ahead = 0.0
    def now(self): return time.monotonic() + self.ahead
writer().clock = clock = Hand()
def refuse(self):
    raise RuntimeError("can't start new thread")
"""


def test_a_killed_worker_is_replaced_and_nothing_is_lost(run_script: Run, written: Written) -> None:
    run_script(
        """
from program import *
from lual.engine.writer import writer
configure(max_queue_size=ROOMY)
with problems() as found:
    for n in range(5):
        before = lual.get_stats()["worker_restarts"]
        for m in range(1_000):
            log.info("main %d", n * 1_000 + m)
            if m == 500:
                writer().line.backend.kill_worker()
        assert lual.flush(PATIENCE)
        assert lual.get_stats()["worker_restarts"] == before + 1
stats = check()
assert stats["messages_processed"] == 5_000, stats
assert len(found) == 5 and all("the worker was lost" in message for message in found), found
"""
    )
    assert written() == {"main": list(range(5_000))}


def test_a_worker_killed_too_often_leaves_a_program_that_logs_synchronously(
    run_script: Run, written: Written
) -> None:
    run_script(
        CLOCK
        + """
configure(max_queue_size=ROOMY)
burst("main", 10)
with problems() as found:
    for n in range(5):
        writer().line.backend.kill_worker()
        while lual.get_stats()["worker_restarts"] == n:
            pass
    writer().line.backend.kill_worker()
    while lual.get_stats()["backend_stats"]["state"] == "running":
        pass
    burst("degraded", 100)
    assert check()["state"] == "degraded"
assert any("writing synchronously" in message for message in found), found
stats = check()
assert stats["sync_processed"] >= 99, stats
clock.ahead += 29
burst("degraded", 100)
assert check()["state"] == "degraded"
clock.ahead += 2
burst("back", 100)
assert check()["state"] == "running"
assert lual.flush(PATIENCE)
stats = check()
assert stats["messages_processed"] == 310, stats
"""
    )
    assert written() == {
        "main": list(range(10)),
        "degraded": [*range(100), *range(100)],
        "back": list(range(100)),
    }


def test_a_program_that_gets_no_thread_logs_synchronously_until_it_gets_one(
    run_script: Run, written: Written
) -> None:
    run_script(
        CLOCK
        + """
configure(max_queue_size=ROOMY)
burst("main", 100)
assert lual.flush(PATIENCE)
start, threading.Thread.start = threading.Thread.start, refuse
with problems() as found:
    writer().line.backend.kill_worker()
    while lual.get_stats()["backend_stats"]["state"] == "running":
        pass
    burst("degraded", 100)
    assert check()["state"] == "degraded"
    assert any("can't start new thread" in message for message in found), found
    clock.ahead += 31
    log.info("degraded 100")
    assert check()["state"] == "degraded"
    assert "still synchronous" in found[-1], found
threading.Thread.start = start
clock.ahead += 31
burst("back", 100)
assert check()["state"] == "running"
assert lual.flush(PATIENCE)
assert check()["messages_processed"] == 301
"""
    )
    assert written() == {
        "main": list(range(100)),
        "degraded": list(range(101)),
        "back": list(range(100)),
    }


def test_without_a_thread_a_change_is_refused_and_the_old_setup_stays(
    run_script: Run, written: Written
) -> None:
    run_script(
        CLOCK
        + """
configure(max_queue_size=ROOMY)
burst("main", 100)
start, threading.Thread.start = threading.Thread.start, refuse
before = lual.get_config()
try:
    configure(to_file("other.log"), max_queue_size=77)
except lual.ConfigError as error:
    assert "can't start new thread" in str(error)
else:
    raise AssertionError("accepted")
assert lual.get_config() == before
burst("main again", 100)
assert lual.flush(PATIENCE)
assert check()["state"] == "running"
assert lual.shutdown(PATIENCE)
with problems() as found:
    try:
        lual.async_writer.start()
    except RuntimeError as error:
        assert "can't start new thread" in str(error)
    else:
        raise AssertionError("started")
burst("stopped", 100)
assert check()["state"] == "stopped"
threading.Thread.start = start
lual.async_writer.start()
burst("started", 100)
assert lual.flush(PATIENCE)
assert check()["state"] == "running"
"""
    )
    assert written() == {
        name: list(range(100)) for name in ("main", "main again", "stopped", "started")
    }


def test_behind_a_stuck_output_records_are_dropped_after_a_stop_and_start_raises(
    run_script: Run,
) -> None:
    run_script(
        """
from program import *
gate = threading.Event()
out = Collector(gate)
configure(out.pipeline(), async_batch_size=10)
burst("main", 30)
out.entered.wait()
with problems() as found:
    assert not lual.shutdown(0.1)
    assert any("20 records dropped" in message for message in found), found
    stats = check()
    assert stats["dropped_by_reason"] == {"shutdown_timeout": 20}, stats
    assert stats["in_flight"] == 10, stats
    burst("inline", 5)
    stats = check()
    assert stats["dropped_by_reason"] == {"shutdown_timeout": 20, "stopped": 5}, stats
    try:
        lual.async_writer.start()
    except RuntimeError as error:
        assert "still inside an output" in str(error)
    else:
        raise AssertionError("started")
    assert check()["state"] == "stopped"
gate.set()
while check()["in_flight"]:
    pass
while True:
    try:
        lual.async_writer.start()
    except RuntimeError:
        continue  # its thread is about to end
    break
burst("again", 50)
assert lual.flush(PATIENCE)
stats = check()
assert out.sequences() == {"main": list(range(10)), "again": list(range(50))}
assert stats["messages_processed"] == 60, stats
assert stats["messages_submitted"] == 85, stats
""",
        err=False,
    )


def test_an_output_that_logs_during_a_stop_is_not_entered_twice(run_script: Run) -> None:
    run_script(
        """
from program import *
class Strict:
    def __init__(self):
        self.lock = threading.Lock()  # not re-entrant
        self.texts = []
    def write(self, batch):
        with self.lock:
            for text, record in batch:
                self.texts.append(text)
                if not record.message.startswith("about"):
                    log.info("about %s", text)
    def flush(self): pass
    def close(self): pass
out = Strict()
text = lual.text(layout="{message}")
configure(lual.pipeline(presenter=text, outputs=[out]), async_batch_size=10)
burst("main", 1_000)
assert lual.shutdown(PATIENCE)
burst("main", 10)
stats = check()
assert stats["messages_dropped"] == 0, stats
assert sorted(out.texts) == sorted(
    text for n in [*range(1_000), *range(10)] for text in (f"main {n}", f"about main {n}")
)
"""
    )
