from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.processes

Run = Callable[..., Any]


def run_storm(run_script: Run, seed: int, source: str) -> None:
    """Python says on stderr where it ignored an interrupt; lual has nothing to say."""
    ended = run_script(f"SEED = {seed}\n{STORM}{source}", err=False)
    assert "lual:" not in ended.err, ended.err


#: A handler that raises `KeyboardInterrupt` after random delays, into logging and flushing.
STORM = """
import itertools, random, signal
from program import *
rng = random.Random(SEED)
kept = []  # as an interactive prompt keeps the last one: frames and all
interrupts = 0
def handler(*_):
    global interrupts
    interrupts += 1
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, handler)

class Quiet(Collector):
    '''An output that an interrupt leaves in order: it takes no lock and sets no flag.'''
    def write(self, batch):
        self.texts += [text for text, _ in batch]

def gust(act, numbers):
    before = interrupts
    signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.0001, 0.003))
    while interrupts == before:  # else Python ignored it, in a weakref's callback
        act(next(numbers))

def storm(act, rounds=150):
    '''Calls `act(n)` with rising n until it was interrupted that often.'''
    numbers = itertools.count(1)
    while len(kept) < rounds:
        try:
            gust(act, numbers)  # apart: Python 3.13 leaves the end of a loop out of its `try`
        except KeyboardInterrupt as error:
            kept.append(error)
        check()
    signal.setitimer(signal.ITIMER_REAL, 0)
"""

AFTER = """
lual.config(level="debug")
assert lual.flush(PATIENCE)
def from_thread(i):
    burst("thread", 100)
join(start_threads(1, from_thread))
assert lual.flush(PATIENCE)
burst("after", 100)
assert lual.flush(PATIENCE)
stats = check()
assert stats["queue_size"] == 0, stats
# What became of a record whose synchronous writing was interrupted is nobody's to know.
assert stats["in_flight"] <= len(kept) if stats["sync_processed"] else not stats["in_flight"], stats
found = out.sequences()
assert found["thread"] == found["after"] == list(range(100))
main = found.get("main", [])
assert len(set(main)) == len(main), "doubled"
assert main == sorted(main), [pair for pair in zip(main, main[1:]) if pair[0] > pair[1]]
unknown = stats["messages_failed"] + stats["in_flight"]
written = sum(map(len, found.values()))
assert 0 <= written - stats["messages_processed"] <= unknown, (written, stats)
"""

STRATEGIES = ["drop_oldest", "drop_newest", "block"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_interrupts_in_logging_and_flushing_break_nothing(
    run_script: Run, strategy: str, seed: int
) -> None:
    run_storm(
        run_script,
        seed,
        f"""
out = Quiet()
configure(out.pipeline(), max_queue_size=100, async_batch_size=10, overflow_strategy="{strategy}")
def act(n):
    log.log(rng.choice([10, 20, 40]), "main %d", n)
    if n % 100 == 0:
        lual.flush(1)
storm(act)
{AFTER}
# The whole capacity is still there: nothing leaked into it, nothing is stuck in it.
gate = threading.Event()
stalled = Collector(gate)
configure(stalled.pipeline())
burst("hand", 10)
stalled.entered.wait()
burst("queue", 100)
stats = check()
assert stats["queue_size"] == 100, stats
gate.set()
assert lual.flush(PATIENCE)
""",
    )


@pytest.mark.parametrize("seed", range(3))
def test_interrupts_in_synchronous_logging_break_nothing(run_script: Run, seed: int) -> None:
    run_storm(
        run_script,
        seed,
        f"""
out = Quiet()
configure(out.pipeline(), async_enabled=False)
def act(n):
    log.info("main %d", n)
    if n % 100 == 0:
        lual.flush(1)
storm(act)
from lual.context import dispatch_depth
assert dispatch_depth() == 0
{AFTER}
assert stats["messages_dropped"] == 0, stats
""",
    )


@pytest.mark.parametrize("seed", range(3))
def test_interrupts_in_logging_to_a_file_break_nothing(
    run_script: Run, tmp_path: Path, seed: int
) -> None:
    run_storm(
        run_script,
        seed,
        """
configure(to_file(max_bytes=10_000_000), async_enabled=False)
def act(n):
    log.info("main %d", n)
storm(act)
def from_thread(i):
    burst("thread", 100)
join(start_threads(1, from_thread))
burst("after", 100)
check()
""",
    )
    # Where an interrupt hid how far a write came, an empty line keeps the lines apart.
    lines = [line for line in (tmp_path / "app.log").read_text().splitlines() if line]
    numbers = [int(line.removeprefix("main ")) for line in lines if line.startswith("main ")]
    assert numbers == sorted(set(numbers))
    assert lines[-200:] == [f"{who} {n}" for who in ("thread", "after") for n in range(100)]


@pytest.mark.parametrize("seed", range(3))
def test_interrupts_in_stops_break_nothing(run_script: Run, seed: int) -> None:
    run_storm(
        run_script,
        seed,
        f"""
out = Quiet()
configure(out.pipeline(), max_queue_size=1_000, async_batch_size=10)
def act(n):
    log.info("main %d", n)
    if n % 50 == 0:
        lual.async_writer.stop(1)
        log.info("stopped %d", n)
        # Not in here: the standard library's Thread.start doesn't survive it.
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        lual.async_writer.start()
        signal.setitimer(signal.ITIMER_REAL, left)
storm(act)
lual.async_writer.stop(PATIENCE)
lual.async_writer.start()
assert check()["state"] == "running"
{AFTER}
""",
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_blocked_call_can_be_interrupted(run_script: Run, seed: int) -> None:
    """It waits for room behind an output that is stalled for good."""
    run_storm(
        run_script,
        seed,
        f"""
gate = threading.Event()
class Stalled(Quiet):
    def write(self, batch):
        self.entered.set()
        gate.wait()
        super().write(batch)
out = Stalled()
configure(
    out.pipeline(), max_queue_size=10, async_batch_size=10, overflow_strategy="block",
    block_timeout=PATIENCE,
)
burst("hand", 10)
out.entered.wait()
burst("queue", 10)
def act(n):
    log.info("main %d", n)
storm(act, 50)
blocked = check()
assert blocked["queue_size"] == 10 and blocked["in_flight"] == 10, blocked
assert blocked["messages_dropped"] == 0, blocked
def act(n):
    lual.flush(PATIENCE)
kept.clear()
storm(act, 50)
gate.set()
{AFTER}
""",
    )
