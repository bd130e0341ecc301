from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.processes

Run = Callable[..., Any]
Written = Callable[..., dict[str, list[int]]]

HEAD = """
import signal, subprocess, sys, time
from program import *
configure(max_queue_size=ROOMY)
"""


def test_a_child_forked_while_threads_log_loses_and_doubles_nothing(
    run_script: Run, written: Written
) -> None:
    """T10."""
    run_script(
        HEAD
        + """
busy = threading.Barrier(9)
def work(i):
    burst(f"thread{i}", 500)
    busy.wait()
    burst(f"more{i}", 2_000)
threads = start_threads(8, work)
busy.wait()
child = fork(lambda: burst("child", 1_000))
join(threads)
reap(child)
"""
    )
    assert written() == {
        "child": list(range(1_000)),
        **{f"thread{i}": list(range(500)) for i in range(8)},
        **{f"more{i}": list(range(2_000)) for i in range(8)},
    }


def test_thirty_forks_in_a_row_while_threads_log(run_script: Run, written: Written) -> None:
    run_script(
        HEAD
        + """
stop = threading.Event()
counts = [0] * 4
def work(i):
    while not stop.is_set():
        log.info("thread%d %d", i, counts[i])
        counts[i] += 1
        time.sleep(0)
threads = start_threads(4, work)
children = [fork(lambda: burst(f"child{i}", 30)) for i in range(30)]
reap(*children)
stop.set()
join(threads)
print(*counts)
"""
    )
    found = written()
    for i in range(30):
        assert found.pop(f"child{i}") == list(range(30))
    assert len(found) == 4
    for numbers in found.values():
        assert numbers == list(range(len(numbers)))


def test_a_fork_in_a_thread_loses_and_doubles_nothing(run_script: Run, written: Written) -> None:
    """Such a child ends without the interpreter's own end, so it has to say so itself."""
    run_script(
        HEAD
        + """
def work(i):
    burst(f"thread{i}", 1_000)
    pid = os.fork()
    if pid == 0:
        burst(f"child{i}", 1_000)
        os._exit(not lual.shutdown())
    reap(pid)
join(start_threads(4, work))
"""
    )
    assert written() == {
        name: list(range(1_000)) for i in range(4) for name in (f"thread{i}", f"child{i}")
    }


def test_a_fork_gives_back_the_locks_that_it_took_and_no_others(
    run_script: Run, written: Written
) -> None:
    """Two threads fork; the second does all of it between the first one's hooks."""
    run_script(
        """
import os, threading
def pause():  # registered before lual's, so it runs after that
    if threading.current_thread().name == "first":
        inside.set()
        other_forked.wait()
inside, other_forked = threading.Event(), threading.Event()
os.register_at_fork(before=pause)
from program import *
configure()
burst("before", 100)
def fork_once():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    reap(pid)
first = threading.Thread(target=fork_once, name="first")
first.start()
inside.wait()
second = threading.Thread(target=fork_once, name="second")
second.start()
join([second])
other_forked.set()
join([first])
burst("after", 100)
assert lual.flush()
lual.logger("made.after.the.forks").set_level("error")
"""
    )
    assert written() == {"before": list(range(100)), "after": list(range(100))}


@pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest", "block"])
def test_a_child_forked_with_a_full_queue_starts_with_an_empty_one(
    run_script: Run, written: Written, strategy: str
) -> None:
    run_script(
        f"""
from program import *
gate = threading.Event()
class Gated:
    def __call__(self, text, record):
        if record.process_id == parent:
            gate.wait()
        with open("app.log", "a") as file:
            print(text, file=file)
parent = os.getpid()
configure(
    lual.pipeline(presenter=lual.text(layout="{{message}}"), outputs=[Gated()]),
    max_queue_size=50, async_batch_size=10, overflow_strategy="{strategy}",
    block_timeout=PATIENCE,
)
burst("hand", 10)
while lual.get_stats()["in_flight"] < 10:
    pass
burst("queue", 50)
if "{strategy}" == "block":
    def blocked(i):
        burst("blocked", 5)
    threads = start_threads(1, blocked)
    while not lual.get_stats()["blocked_submits"]:
        pass
else:
    threads = []
def child():
    stats = lual.get_stats()
    assert stats["inherited_discarded"] == 60, stats
    assert stats["queue_size"] == stats["in_flight"] == stats["messages_submitted"] == 0, stats
    burst("child", 50)
    assert check()["max_queue_size"] == 50
    assert lual.flush()
pid = fork(child)
reap(pid)
gate.set()
join(threads)
"""
    )
    found = written()
    found.pop("blocked", None)
    assert found == {
        "hand": list(range(10)),
        "queue": list(range(50)),
        "child": list(range(50)),
    }


def test_a_fork_of_a_fork_loses_and_doubles_nothing(run_script: Run, written: Written) -> None:
    run_script(
        HEAD
        + """
def child():
    burst("child", 500)
    pid = fork(grandchild)
    burst("child", 500)
    reap(pid)
def grandchild():
    burst("grandchild", 500)
    pid = fork(lambda: burst("great-grandchild", 500))
    reap(pid)
burst("main", 500)
reap(fork(child))
burst("main", 500)
"""
    )
    twice = [*range(500), *range(500)]
    assert written() == {
        "main": twice,
        "child": twice,
        "grandchild": list(range(500)),
        "great-grandchild": list(range(500)),
    }


def test_a_fork_waits_about_a_second_for_a_stalled_output(
    run_script: Run, written: Written, tmp_path: Path
) -> None:
    """The output stalls with its lock held, as a file on a hung disk does."""
    run_script(
        HEAD
        + """
os.mkfifo("pipe")
reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
configure(to_file(), to_file("pipe"), async_batch_size=1_000, max_queue_size=20_000)
from lual.engine.fork_guard import PATIENCE as limit
burst("main", 20_000)  # far more than a pipe holds
while lual.get_stats()["messages_processed"] + lual.get_stats()["in_flight"] < 2_000:
    pass
began = time.monotonic()
def child():
    configure()
    burst("child", 100)
    assert lual.flush()
pid = fork(child)
assert time.monotonic() - began < limit + 1
reap(pid)
os.set_blocking(reader, True)
def drain(i):
    while os.read(reader, 65536):
        pass
threading.Thread(target=drain, args=(0,), daemon=True).start()
assert lual.flush()
"""
    )
    assert written() == {"main": list(range(20_000)), "child": list(range(100))}


def test_a_childs_configuration_waits_for_nobody_of_the_parent(run_script: Run) -> None:
    """Another thread of the parent may be changing the configuration at that moment."""
    run_script(
        HEAD
        + """
gate = threading.Event()
out = Collector(gate)
configure(out.pipeline(), shutdown_timeout=PATIENCE)
burst("main", 60)
out.entered.wait()
changing = start_threads(1, lambda i: lual.config(max_queue_size=77))
while lual.get_stats()["max_queue_size"] != 77:
    pass  # the old queue is being drained now
def child():
    configure()
    lual.logger("any").set_level("error")
    lual.get_config()
    burst("child", 100)
    assert lual.flush()
    lual.async_writer.stop()
    lual.async_writer.start()
    lual.reset_config()
pid = fork(child)
reap(pid)
gate.set()
join(changing)
"""
    )


def test_a_subprocess_with_preexec_fn_leaves_the_parent_in_order(
    run_script: Run, written: Written
) -> None:
    run_script(
        HEAD
        + """
stop = threading.Event()
counts = [0] * 4
def work(i):
    while not stop.is_set():
        log.info("thread%d %d", i, counts[i])
        counts[i] += 1
        time.sleep(0)
threads = start_threads(4, work)
for n in range(5):
    program = [sys.executable, "-S", "-c", ""]
    subprocess.run(program, preexec_fn=lambda: log.info("lost 0"), check=True)
stop.set()
join(threads)
burst("main", 100)
"""
    )
    found = written()
    found.pop("lost", None)  # in the queue of a process that became another program
    assert found.pop("main") == list(range(100))
    assert len(found) == 4
    for numbers in found.values():
        assert numbers == list(range(len(numbers)))


def test_a_childs_statistics_are_its_own(run_script: Run) -> None:
    run_script(
        HEAD
        + """
from lual.backend import BackendConfig
gate = threading.Event()
out = Collector(gate)
configure(out.pipeline(), async_batch_size=10, max_queue_size=100)
burst("main", 10)
out.entered.wait()
burst("main", 20)
before = check()
assert before["inherited_discarded"] == 0
def child():
    first = check()
    assert first["pid"] == os.getpid() != before["pid"]
    assert first["epoch"] > before["epoch"]
    assert first["inherited_discarded"] == 30
    for name in MONOTONE:
        assert first[name] == 0, (name, first)
    assert first["queue_size"] == first["in_flight"] == 0
    gate.set()
    burst("child", 7)
    assert lual.flush()
    after = check()
    assert after["messages_submitted"] == after["messages_processed"] == 7
    assert after["inherited_discarded"] == 30
    assert after["state"] == "running"
    assert out.texts == [f"child {n}" for n in range(7)]
reap(fork(child))
assert check()["epoch"] == before["epoch"]
gate.set()
assert lual.flush()
assert check()["messages_processed"] == 30
"""
    )


@pytest.mark.parametrize("state", ["stopped", "synchronous"])
def test_a_child_of_a_program_that_logs_inline_logs_inline(
    run_script: Run, written: Written, state: str
) -> None:
    do = "lual.shutdown()" if state == "stopped" else "configure(async_enabled=False)"
    run_script(
        HEAD
        + f"""
{do}
busy = threading.Barrier(5)
def work(i):
    busy.wait()
    burst(f"thread{{i}}", 1_000)
threads = start_threads(4, work)
busy.wait()
pid = fork(lambda: burst("child", 1_000))
join(threads)
reap(pid)
"""
    )
    assert written() == {
        "child": list(range(1_000)),
        **{f"thread{i}": list(range(1_000)) for i in range(4)},
    }


def test_a_rotated_file_with_forked_children_keeps_every_line(
    run_script: Run, written: Written, tmp_path: Path
) -> None:
    run_script(
        HEAD
        + """
configure(to_file(max_bytes=20_000, backups=100), max_queue_size=ROOMY)
burst("main", 100)
children = [fork(lambda: burst(f"child{i}", 1_000)) for i in range(4)]
burst("more", 5_000)
reap(*children)
""",
    )
    files = sorted(
        (p.name for p in tmp_path.glob("app.log*")),
        key=lambda name: -int(name.removeprefix("app.log").lstrip(".") or 0),
    )
    assert len(files) > 2
    found = written(*files)
    # A child that holds an older file for a moment may write behind a rotation.
    assert {who: sorted(numbers) for who, numbers in found.items()} == {
        "main": list(range(100)),
        "more": list(range(5_000)),
        **{f"child{i}": list(range(1_000)) for i in range(4)},
    }
    assert found["more"] == list(range(5_000))


def test_children_forked_in_a_signal_handler_lose_nothing(
    run_script: Run, written: Written
) -> None:
    """The handler interrupts logging calls, with any of lual's locks held."""
    run_script(
        HEAD
        + """
children = []
def handler(*_):
    if len(children) < 10:
        name = f"child{len(children)}"
        pid = os.fork()
        if pid == 0:
            burst(name, 100)
            sys.exit(0)  # through the call that was interrupted
        children.append(pid)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.01)
n = 0
while len(children) < 10:
    log.info("main %d", n)
    n += 1
reap(*children)
"""
    )
    found = written()
    main = found.pop("main")
    assert main == list(range(len(main)))
    assert found == {f"child{i}": list(range(100)) for i in range(10)}
