from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.processes

Run = Callable[..., Any]
Written = Callable[..., dict[str, list[int]]]

#: A handler that logs a thousand times a second, until `quiet` (T9).
TIMER = """
import signal, sys
from program import *
fired = 0
def handler(*_):
    global fired
    n = fired
    fired += 1
    log.info("signal %d", n)
signal.signal(signal.SIGALRM, handler)
def loud():
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
def quiet():
    signal.setitimer(signal.ITIMER_REAL, 0)
def finish():
    quiet()
    assert lual.flush(PATIENCE)
    stats = check()
    assert fired > 10, fired
    assert stats["queue_size"] == stats["in_flight"] == 0, stats
    assert stats["messages_failed"] == 0, stats
    return stats
"""

MODES = {
    "drop_oldest": "max_queue_size=ROOMY, overflow_strategy='drop_oldest'",
    "drop_newest": "max_queue_size=ROOMY, overflow_strategy='drop_newest'",
    "block": "max_queue_size=ROOMY, overflow_strategy='block'",
    "synchronous": "async_enabled=False",
}


@pytest.mark.parametrize("mode", MODES)
def test_a_signal_handler_that_logs_into_a_busy_loop_loses_nothing(
    run_script: Run, written: Written, mode: str
) -> None:
    ended = run_script(
        TIMER
        + f"""
configure({MODES[mode]})
loud()
burst("main", 50_000)
stats = finish()
assert stats["messages_dropped"] == 0, stats
assert stats["messages_submitted"] == 50_000 + fired, stats
print(fired)
"""
    )
    found = written()
    found["signal"].sort()  # one handler may interrupt another
    assert found == {"main": list(range(50_000)), "signal": list(range(int(ended.out)))}


@pytest.mark.parametrize("mode", MODES)
def test_a_signal_handler_that_logs_among_busy_threads_loses_nothing(
    run_script: Run, written: Written, mode: str
) -> None:
    ended = run_script(
        TIMER
        + f"""
configure({MODES[mode]})
loud()
threads = start_threads(4, lambda i: burst(f"thread{{i}}", 3_000))
burst("main", 5_000)
join(threads)
stats = finish()
assert stats["messages_submitted"] == 17_000 + fired, stats
print(fired)
"""
    )
    found = written()
    found["signal"].sort()
    assert found == {
        "main": list(range(5_000)),
        "signal": list(range(int(ended.out))),
        **{f"thread{i}": list(range(3_000)) for i in range(4)},
    }


def test_under_block_a_handler_that_may_not_wait_is_refused_and_counted(
    run_script: Run, written: Written
) -> None:
    ended = run_script(
        TIMER
        + """
configure(max_queue_size=20, async_batch_size=10, overflow_strategy="block", block_timeout=PATIENCE)
loud()
burst("main", 50_000)
stats = finish()
refused = stats["dropped_by_reason"].get("cannot_block", 0)
assert refused == stats["messages_dropped"], stats
assert stats["messages_submitted"] == 50_000 + fired, stats
print(fired, refused)
"""
    )
    fired, refused = map(int, ended.out.split())
    found = written()
    assert found["main"] == list(range(50_000))
    assert len(set(found["signal"])) == len(found["signal"]) == fired - refused
    assert refused > 0


@pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest"])
def test_a_handler_that_logs_into_a_full_queue_is_accounted_for(
    run_script: Run, strategy: str
) -> None:
    run_script(
        TIMER
        + f"""
out = Collector()
configure(out.pipeline(), max_queue_size=20, async_batch_size=10, overflow_strategy="{strategy}")
loud()
burst("main", 50_000)
stats = finish()
assert stats["messages_submitted"] == 50_000 + fired, stats
found = out.sequences()
assert found["main"] == sorted(set(found["main"]))
assert len(set(found["signal"])) == len(found["signal"])
came = len(found["main"]) + len(found["signal"])
assert came == stats["messages_processed"] == 50_000 + fired - stats["messages_dropped"], stats
"""
    )


@pytest.mark.parametrize("mode", ["drop_oldest", "block", "synchronous"])
def test_finalizers_run_by_the_collector_may_log(
    run_script: Run, written: Written, mode: str
) -> None:
    """Every collection, at any allocation, runs some that log (T9)."""
    ended = run_script(
        f"""
import gc
from program import *
configure({MODES[mode]})
made = finalized = 0
class Cycle:
    def __init__(self):
        global made
        made += 1
        self.itself = self
    def __del__(self):
        global finalized
        n = finalized
        finalized += 1
        log.info("finalizer %d", n)
gc.set_threshold(1, 1, 1)
for n in range(5_000):
    Cycle()
    log.info("main %d", n)
    log.info("args %d", n, exc_info=Cycle())
gc.set_threshold(700, 10, 10)
while finalized < made:
    gc.collect()  # does nothing while another thread collects
assert lual.flush(PATIENCE)
stats = check()
assert stats["messages_submitted"] == stats["messages_processed"] == 20_000, stats
""",
        limit=18,
    )
    assert ended.out == ""
    found = written()
    found["finalizer"].sort()  # one may interrupt another
    assert found == {
        "main": list(range(5_000)),
        "args": list(range(5_000)),
        "finalizer": list(range(10_000)),
    }


@pytest.mark.parametrize("mode", ["drop_oldest", "synchronous"])
def test_an_output_that_logs_is_stopped_at_the_second_level(run_script: Run, mode: str) -> None:
    run_script(
        f"""
from program import *
seen = []
class Loop:
    def write(self, batch):
        for text, record in batch:
            seen.append(text)
            log.info("about %s", text)
    def flush(self):
        log.info("flushed")
    def close(self): pass
configure(lual.pipeline(presenter=lual.text(layout="{{message}}"), outputs=[Loop()]), {MODES[mode]})
for n in range(100):
    log.info("record %d", n)
lual.flush(PATIENCE)
lual.flush(PATIENCE)
stats = check()
assert [s for s in seen if s.startswith("record")] == [f"record {{n}}" for n in range(100)]
assert sorted(s for s in seen if s.startswith("about record")) == sorted(
    f"about record {{n}}" for n in range(100)
)
assert not any(s.startswith("about about") for s in seen)
assert stats["dropped_by_reason"]["reentrant_loop"] >= 100, stats
assert stats["dropped_by_reason"].keys() == {{"reentrant_loop"}}, stats
"""
    )


def test_an_output_that_always_logs_does_not_keep_flush_and_exit_from_ending(
    run_script: Run,
) -> None:
    run_script(
        """
from program import *
class Loop:
    def write(self, batch):
        for _ in batch:
            log.error("again")
    def flush(self):
        log.error("again")
    def close(self):
        log.error("again")
configure(lual.pipeline(outputs=[Loop()]))
burst("main", 1_000)
assert lual.flush(PATIENCE)
lual.config(max_queue_size=500)
burst("main", 100)
assert lual.flush(PATIENCE)
assert lual.shutdown(PATIENCE)
burst("main", 10)
lual.async_writer.start()
burst("main", 10)
check()
"""
    )


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        *(
            (mode, e)
            for mode in ("drop_oldest", "synchronous")
            for e in ("", "raise ValueError", "1 / 0")
        ),
        # In synchronous mode it would be the application's own exit, on its own thread.
        ("drop_oldest", "raise SystemExit(4)"),
    ],
)
def test_an_error_handler_may_log_and_raise(run_script: Run, mode: str, error: str) -> None:
    run_script(
        f"""
from program import *
calls = []
def handler(message):
    calls.append(message)
    log.warning("handled %d", len(calls))
    {error}
out = Collector()
class Failing:
    def __call__(self, text, record):
        raise OSError("disk gone")
lual.set_error_handler(handler)
configure(out.pipeline(), lual.pipeline(outputs=[Failing()]), {MODES[mode]})
burst("main", 100)
lual.flush(PATIENCE)
lual.flush(PATIENCE)
check()
assert calls
assert out.sequences()["main"] == list(range(100))
assert "handled" in out.sequences()
lual.set_error_handler(None)
""",
        err=False,
    )


LOUD = """
class Loud:
    def __str__(self):
        log.info("str 0")
        return "text"
    __repr__ = __str__
"""

PARTS = {
    "filter": "filters=[lambda record: log.info('part 0') or True]",
    "transformer": "transformers=[lambda record: log.info('part 0')]",
    "presenter": "presenter=lambda record: log.info('part 0') or record.message",
}


@pytest.mark.parametrize("mode", ["drop_oldest", "block", "synchronous"])
@pytest.mark.parametrize("part", PARTS)
def test_parts_of_a_pipeline_may_log(run_script: Run, mode: str, part: str) -> None:
    settings = PARTS[part]
    if part != "presenter":
        settings += ", presenter=lual.text(layout='{message}')"
    run_script(
        f"""
from program import *
out = Collector()
configure(lual.pipeline(outputs=[out], {settings}), {MODES[mode]})
burst("main", 100)
lual.flush(PATIENCE)
lual.flush(PATIENCE)
stats = check()
found = out.sequences()
assert found == {{"main": list(range(100)), "part": [0] * 100}}, found
dropped = stats["dropped_by_reason"]
# The report about these drops was logged about as well.
assert dropped.keys() == {{"reentrant_loop"}} and 100 <= dropped["reentrant_loop"] < 110, stats
assert out.overlaps == 0
"""
    )


@pytest.mark.parametrize("mode", ["drop_oldest", "block", "synchronous"])
@pytest.mark.parametrize(
    "call",
    [
        "log.info('main %d %s', n, Loud())",
        "log.info('main %d %r', n, Loud())",
        "log.info(Loud())",
        "log.info('main %d', n, field=Loud())",
        "log.bind(field=Loud()).info('main %d', n)",
    ],
)
def test_arguments_may_log_while_they_are_captured(run_script: Run, mode: str, call: str) -> None:
    run_script(
        f"""
from program import *
{LOUD}
out = Collector()
configure(out.pipeline(), {MODES[mode]})
for n in range(100):
    {call}
assert lual.flush(PATIENCE)
check()
loud = [text for text in out.texts if text == "str 0"]
assert len(loud) == 100, out.texts
assert len(out.texts) == 200
assert out.overlaps == 0
"""
    )


@pytest.mark.parametrize("mode", ["drop_oldest", "block", "synchronous"])
@pytest.mark.parametrize("place", ["write", "flush"])
def test_calls_from_an_output_return_at_once(run_script: Run, mode: str, place: str) -> None:
    run_script(
        f"""
import time
from program import *
answers = []
class Calling(Collector):
    def {place}(self, *args):
        super().{place}(*args)
        if not answers:
            answers.append(lual.flush(PATIENCE))
            answers.append(lual.get_stats()["messages_submitted"] >= 0)
            lual.config(level="info")
            lual.logger("new.one").set_level("debug")
            answers.append(lual.shutdown(PATIENCE))
out = Calling()
configure(out.pipeline(), {MODES[mode]})
began = time.monotonic()
burst("main", 100)
lual.flush(PATIENCE)
burst("main", 100)
lual.shutdown(PATIENCE)
assert answers == [False, True, False], answers
assert time.monotonic() - began < PATIENCE
stats = check()
assert stats["messages_processed"] == 200, stats
assert out.sequences() == {{"main": [*range(100), *range(100)]}}
"""
    )


@pytest.mark.parametrize(
    "change",
    [
        "configure(second.pipeline())",
        "configure(second.pipeline(), max_queue_size=500)",
        "configure(second.pipeline(), async_enabled=False)",
        "lual.reset_config()",
        "lual.async_writer.reset()",
    ],
)
def test_changes_from_an_output_do_not_deadlock(run_script: Run, change: str) -> None:
    run_script(
        f"""
import time
from program import *
done = threading.Event()
second = Collector()
class Changing(Collector):
    def write(self, batch):
        super().write(batch)
        if not done.is_set():
            {change}
            done.set()
out = Changing()
configure(out.pipeline(), async_batch_size=10, shutdown_timeout=PATIENCE, flush_timeout=1)
burst("main", 1_000)
assert done.wait(PATIENCE)
check()
configure(second.pipeline(), max_queue_size=1_000)
burst("after", 100)
assert lual.flush(PATIENCE)
assert second.sequences()["after"] == list(range(100))
if {"reset" not in change}:
    assert check()["messages_dropped"] == 0
    main = [*out.sequences()["main"], *second.sequences().get("main", [])]
    assert main == list(range(1_000))
""",
        err=False,
    )


@pytest.mark.parametrize(
    "call",
    [
        "lual.flush(0.2)",
        "lual.get_stats()",
        "lual.config(level='debug')",
        "configure(out.pipeline(), max_queue_size=ROOMY + fired, shutdown_timeout=0.2)",
        "lual.logger(f'new.{fired}').set_level('info')",
        "lual.bind_context(a=1); lual.clear_context()",
    ],
)
def test_calls_from_a_signal_handler_do_not_hang(run_script: Run, call: str) -> None:
    run_script(
        TIMER.replace('"signal %d", n)', f'"signal %d", n); {call}; loud()').replace(
            "0.001, 0.001", "0.002"
        )  # a handler doesn't interrupt itself
        + """
out = Collector()
configure(out.pipeline(), max_queue_size=ROOMY)
loud()
burst("main", 20_000)
stats = finish()
found = out.sequences()
assert found["main"] == list(range(20_000))
assert sorted(found["signal"]) == list(range(fired))
assert stats["messages_dropped"] == 0, stats
"""
    )


def test_a_stop_from_a_signal_handler_loses_nothing(run_script: Run, written: Written) -> None:
    run_script(
        """
import signal
from program import *
configure(max_queue_size=ROOMY)
def handler(*_):
    lual.shutdown(PATIENCE)
    burst("signal", 10)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.03)
burst("main", 20_000)
stats = check()
assert stats["messages_dropped"] == 0, stats
""",
    )
    assert written() == {"main": list(range(20_000)), "signal": list(range(10))}
