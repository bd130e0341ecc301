from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.processes

Run = Callable[..., Any]

#: Eight producers, an output that fails on some records, a queue that is too small, and a
#: thread that looks at the statistics all the while; all of them switched very often.
PRODUCERS = """
import collections, sys, time
from program import *
sys.setswitchinterval(1e-6)
levels = ["debug", "info", "warning", "error", "critical"]
produced = [collections.Counter() for _ in range(8)]
def produce(i):
    for n in range(COUNT):
        level = levels[n * (i + 1) % 5]
        getattr(log, level)("thread%d %d", i, n)
        produced[i][level.upper()] += 1

class Flaky:
    def __init__(self):
        self.taken = collections.Counter()
        self.failed = 0
        self.calls = 0
    def __call__(self, text, record):
        if record.logger_name == "lual.engine":
            self.reports = getattr(self, "reports", 0) + 1
            return
        self.calls += 1
        if self.calls % FAIL_EACH == 0:
            self.failed += 1
            raise OSError("disk gone")
        self.taken[record.level_name] += 1

checked = 0
def watch(i):
    global checked
    before = check()
    while checked < 2_000 or not finished.is_set():
        now = check()
        check_monotone(before, now)
        before = now
        checked += 1
finished = threading.Event()
out = Flaky()
lual.set_error_handler(lambda message: None)
"""


@pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest", "block"])
@pytest.mark.parametrize("size", [7, 100])
def test_the_statistics_add_up_in_every_snapshot_and_are_true_at_rest(
    run_script: Run, strategy: str, size: int
) -> None:
    run_script(
        "COUNT, FAIL_EACH = 1_500, 7\n"
        + PRODUCERS
        + f"""
configure(
    lual.pipeline(outputs=[out]),
    max_queue_size={size}, async_batch_size=5, overflow_strategy="{strategy}",
    block_timeout=0.002,
)
watcher = start_threads(1, watch)
join(start_threads(8, produce))
assert lual.flush(PATIENCE)
finished.set()
join(watcher)
stats = check()
levels_of = sum(produced, collections.Counter())
assert checked >= 2_000
assert stats["queue_size"] == stats["in_flight"] == 0, stats
assert stats["messages_submitted"] == sum(levels_of.values()) == 8 * COUNT, stats
assert stats["messages_processed"] == sum(out.taken.values()), (stats, out.taken)
assert stats["messages_failed"] == out.failed > 0, (stats, out.failed)
assert stats["output_errors"] == out.failed, stats
assert stats["backend_errors"] == out.failed, stats
assert stats["failed_by_reason"] == {{"dispatch": out.failed}}, stats
assert stats["messages_dropped"] > 0, stats
assert stats["queue_high_watermark"] <= {size}, stats
assert stats["reports"] == getattr(out, "reports", 0), stats
if "{strategy}" != "drop_newest":
    assert not {{"overflow_newest"}} & stats["dropped_by_reason"].keys() or True
dropped = collections.Counter(stats["dropped_by_level"])
# Which level a failed record had is nobody's to count: the rest lies in between.
for level, count in levels_of.items():
    gone = count - out.taken[level]
    assert dropped[level] <= gone <= dropped[level] + out.failed, level
"""
    )


@pytest.mark.parametrize("mode", ["sync", "stopped"])
def test_the_statistics_add_up_when_threads_write_inline(run_script: Run, mode: str) -> None:
    run_script(
        "COUNT, FAIL_EACH = 300, 7\n"
        + PRODUCERS
        + f"""
configure(lual.pipeline(outputs=[out]), async_enabled={mode == "stopped"})
if {mode == "stopped"}:
    assert lual.shutdown()
watcher = start_threads(1, watch)
join(start_threads(8, produce))
finished.set()
join(watcher)
stats = check()
assert stats["messages_submitted"] == stats["sync_processed"] + out.failed == 8 * COUNT, stats
assert stats["messages_processed"] == sum(out.taken.values()), stats
assert stats["messages_failed"] == out.failed, stats
assert stats["messages_dropped"] == 0, stats
"""
    )


def test_the_statistics_add_up_through_stops_and_starts(run_script: Run) -> None:
    run_script(
        "COUNT, FAIL_EACH = 1_000, 7\n"
        + PRODUCERS
        + """
configure(lual.pipeline(outputs=[out]), max_queue_size=50, async_batch_size=5)
watcher = start_threads(1, watch)
producers = start_threads(8, produce)
epochs = [check()["epoch"]]
while any(producer.is_alive() for producer in producers):
    lual.shutdown(PATIENCE)
    lual.async_writer.start()
    epochs.append(check()["epoch"])
join(producers)
assert lual.flush(PATIENCE)
finished.set()
join(watcher)
stats = check()
assert epochs == sorted(set(epochs)) and len(epochs) > 2
assert stats["messages_submitted"] == 8 * COUNT, stats
assert stats["messages_processed"] == sum(out.taken.values()), stats
assert stats["messages_failed"] == out.failed, stats
"""
    )


def test_a_snapshot_taken_in_a_signal_handler_adds_up(run_script: Run) -> None:
    run_script(
        """
import signal
from program import *
out = Collector()
configure(out.pipeline(), max_queue_size=20, async_batch_size=5)
seen = [check()]
def handler(*_):
    seen.append(check())
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
burst("main", 30_000)
signal.setitimer(signal.ITIMER_REAL, 0)
assert len(seen) > 20
assert lual.flush(PATIENCE)
assert check()["messages_submitted"] == 30_000
"""
    )
