from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.processes

Run = Callable[..., Any]
Written = Callable[..., dict[str, list[int]]]

#: 20,000 records into a queue that holds them, and nobody flushes (T8).
BURST = """
import sys, threading
from program import *
configure(max_queue_size=ROOMY)
"""


@pytest.mark.parametrize(
    ("ending", "status", "stderr"),
    [
        ("", 0, r""),
        ("sys.exit()", 0, r""),
        ("sys.exit(3)", 3, r""),
        ("sys.exit('as text')", 1, r"as text\n"),
        ("raise ValueError('the program gave up')", 1, r".*ValueError: the program gave up\n"),
        ("raise KeyboardInterrupt", -2, r".*KeyboardInterrupt\n"),
    ],
    ids=["return", "exit", "exit 3", "exit text", "exception", "interrupt"],
)
def test_nothing_is_lost_however_the_program_ends(
    run_script: Run, written: Written, ending: str, status: int, stderr: str
) -> None:
    ended = run_script(BURST + f"burst('main', 20_000)\n{ending}\n", status=status, err=False)
    assert re.fullmatch(stderr, ended.err, re.DOTALL), ended.err
    assert written() == {"main": list(range(20_000))}


def test_nothing_is_lost_under_block_with_a_small_queue(run_script: Run, written: Written) -> None:
    run_script(
        """
from program import *
configure(max_queue_size=500, overflow_strategy="block", block_timeout=PATIENCE)
burst("main", 20_000)
"""
    )
    assert written() == {"main": list(range(20_000))}


def test_nothing_is_lost_of_a_thread_that_ends_after_main(
    run_script: Run, written: Written
) -> None:
    run_script(
        BURST
        + """
def last():
    threading.main_thread().join()
    burst("last", 20_000)
threading.Thread(target=last).start()
burst("main", 100)
"""
    )
    assert written() == {"main": list(range(100)), "last": list(range(20_000))}


def test_daemon_threads_that_log_on_lose_nothing_they_logged_before(
    run_script: Run, written: Written
) -> None:
    run_script(
        BURST
        + """
import itertools
started = threading.Semaphore(0)
def forever(i):
    for n in itertools.count():
        log.info("daemon%d %d", i, n)
        if n == 500:
            started.release()
for i in range(4):
    threading.Thread(target=forever, args=(i,), daemon=True).start()
for i in range(4):
    started.acquire()
burst("main", 1_000)
"""
    )
    found = written()
    assert found.pop("main") == list(range(1_000))
    assert len(found) == 4
    for numbers in found.values():
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > 500


def test_exit_handlers_may_log_whenever_they_were_registered(
    run_script: Run, written: Written
) -> None:
    run_script(
        """
import atexit
atexit.register(lambda: burst("registered before", 100))
from program import *
atexit.register(lambda: burst("registered after", 100))
configure(max_queue_size=ROOMY)
burst("main", 1_000)
"""
    )
    assert written() == {
        "main": list(range(1_000)),
        "registered after": list(range(100)),
        "registered before": list(range(100)),
    }


@pytest.mark.parametrize(
    "place",
    [
        "late = Late()",
        "early.late = Late()",
        "gc.disable(); late = Late(); late.itself = late; del late",
    ],
    ids=["main module", "module imported before lual", "cycle"],
)
def test_finalizers_may_log_while_the_interpreter_ends(
    run_script: Run, written: Written, place: str
) -> None:
    run_script(
        "import colorsys as early"
        + BURST
        + f"""
import gc
class Late:
    def __del__(self, log=log):
        log.info("late 0")
{place}
burst("main", 1_000)
"""
    )
    assert written() == {"main": list(range(1_000)), "late": [0]}


def test_finalizers_do_not_wait_for_daemon_threads_that_are_frozen(run_script: Run) -> None:
    """By then such a thread holds what it held for good, and the rest is dropped at once."""
    ended = run_script(
        """
import colorsys as early
from program import *
configure(max_queue_size=ROOMY)
class Late:
    # Everything is bound: the module's names are gone by then.
    def __del__(self, log=log, write=os.write):
        for n in range(100):
            log.info("late %d", n)
        write(1, b"done")
early.late = Late()
def forever(i):
    while True:
        log.info("daemon 0")
for i in range(4):
    threading.Thread(target=forever, args=(i,), daemon=True).start()
burst("main", 1_000)
"""
    )
    assert ended.out == "done"


STALL = """
import atexit, time
ending = []
atexit.register(lambda: print("ended within", time.monotonic() - ending[0]))
from program import *
import sys
gate = threading.Event()
out = Collector(gate)
"""


def test_a_stalled_output_holds_up_the_exit_for_no_longer_than_shutdown_timeout(
    run_script: Run,
) -> None:
    ended = run_script(
        STALL
        + """
configure(out.pipeline(), shutdown_timeout=0.3, async_batch_size=10)
burst("main", 110)
out.entered.wait()
ending.append(time.monotonic())
sys.exit(3)
""",
        status=3,
        err=False,
    )
    assert "100 records were dropped" in ended.err
    assert "10 were not finished" in ended.err
    assert float(ended.out.removeprefix("ended within")) < 2


def test_records_logged_behind_a_stalled_output_at_exit_are_dropped_at_once(
    run_script: Run,
) -> None:
    ended = run_script(
        STALL.replace("lambda: print", "lambda: burst('late', 100) or print")
        + """
configure(out.pipeline(), shutdown_timeout=0.3)
burst("main", 50)
out.entered.wait()
ending.append(time.monotonic())
sys.exit(3)
""",
        status=3,
        err=False,
    )
    assert float(ended.out.removeprefix("ended within")) < 2


@pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest", "block"])
def test_a_full_queue_at_exit_is_written(run_script: Run, written: Written, strategy: str) -> None:
    run_script(
        f"""
import atexit
from program import *
gate = threading.Event()
class Gated:
    def __call__(self, text, record):
        gate.wait()
        with open("app.log", "a") as file:
            print(text, file=file)
configure(
    lual.pipeline(presenter=lual.text(layout="{{message}}"), outputs=[Gated()]),
    max_queue_size=100,
    async_batch_size=100,
    async_flush_interval=60,
    overflow_strategy="{strategy}",
)
atexit.register(gate.set)
burst("main", 100)  # a batch
while lual.get_stats()["in_flight"] < 100:
    pass
burst("full", 100)
assert lual.get_stats()["queue_size"] == 100
"""
    )
    assert written() == {"main": list(range(100)), "full": list(range(100))}


MULTIPROCESSING = """
import multiprocessing, os, sys
from program import *

def work(who, count):
    {in_target}
    burst(who, count)

{at_import}
if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    {in_main}
    burst("main", 1_000)
    children = [context.Process(target=work, args=(f"child{{i}}", 1_000)) for i in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0, child
"""

CONFIGURE = "configure(max_queue_size=ROOMY)"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("where", ["at_import", "in_target"])
def test_children_of_multiprocessing_lose_nothing(
    run_script: Run, written: Written, method: str, where: str
) -> None:
    places = {"at_import": "", "in_target": "", "in_main": ""}
    places["at_import" if where == "at_import" else "in_main"] = CONFIGURE
    places[where] = CONFIGURE
    run_script(MULTIPROCESSING.format(method=method, **places))
    assert written() == {
        "main": list(range(1_000)),
        **{f"child{i}": list(range(1_000)) for i in range(3)},
    }


def test_forked_children_of_multiprocessing_need_no_configuration(
    run_script: Run, written: Written
) -> None:
    run_script(MULTIPROCESSING.format(method="fork", in_main=CONFIGURE, at_import="", in_target=""))
    assert written() == {
        "main": list(range(1_000)),
        **{f"child{i}": list(range(1_000)) for i in range(3)},
    }


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("ending", "status"), [("sys.exit(4)", 4), ("raise ValueError", 1)], ids=["exit", "exception"]
)
def test_children_of_multiprocessing_that_fail_lose_nothing(
    run_script: Run, written: Written, method: str, ending: str, status: int
) -> None:
    source = MULTIPROCESSING.format(
        method=method, in_main="", at_import=CONFIGURE, in_target=""
    ).replace("burst(who, count)", f"burst(who, count)\n    {ending}")
    run_script(source.replace("exitcode == 0", f"exitcode == {status}"), err=False)
    assert written() == {
        "main": list(range(1_000)),
        **{f"child{i}": list(range(1_000)) for i in range(3)},
    }


POOL = """
import multiprocessing, concurrent.futures
from program import *
configure(max_queue_size=ROOMY)

def work(i):
    burst(f"task{{i}}", 200)

if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    burst("main", 1_000)
    {use}
"""

POOLS = {
    "Pool": "pool = context.Pool(2); pool.map(work, range(8)); pool.close(); pool.join()",
    "ProcessPoolExecutor": "\n    ".join(
        [
            "with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:",
            "    list(pool.map(work, range(8)))",
        ]
    ),
    "unclosed ProcessPoolExecutor": "\n    ".join(
        [
            "pool = concurrent.futures.ProcessPoolExecutor(2, mp_context=context)",
            "list(pool.map(work, range(8)))",
        ]
    ),
}


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("kind", POOLS)
def test_workers_of_pools_lose_nothing(
    run_script: Run, written: Written, method: str, kind: str
) -> None:
    run_script(POOL.format(method=method, use=POOLS[kind]))
    assert written() == {
        "main": list(range(1_000)),
        **{f"task{i}": list(range(200)) for i in range(8)},
    }


def test_os_exit_loses_what_is_queued_and_nothing_else(run_script: Run, written: Written) -> None:
    run_script(
        """
from program import *
configure(async_batch_size=100, async_flush_interval=60)
burst("written", 200)
assert lual.flush()
burst("queued", 99)
os._exit(7)
""",
        status=7,
    )
    assert written() == {"written": list(range(200))}


SIGTERM = """
import os, signal, sys
from program import *
configure(max_queue_size=1_000_000)
lual.install_signal_flush()
"""


def test_install_signal_flush_drains_before_the_process_dies_of_the_signal(
    run_script: Run, written: Written
) -> None:
    run_script(
        SIGTERM
        + """
burst("main", 5_000)
os.kill(os.getpid(), signal.SIGTERM)
signal.pause()
""",
        status=-15,
    )
    assert written() == {"main": list(range(5_000))}


@pytest.mark.parametrize("function", ["log_at_level", "submit", "enqueue"])
def test_install_signal_flush_drains_also_in_the_middle_of_a_logging_call(
    run_script: Run, written: Written, function: str
) -> None:
    """The call that it interrupts may have to go on before anything can be drained."""
    run_script(
        SIGTERM
        + f"""
configure(max_queue_size=ROOMY, async_batch_size=ROOMY, async_flush_interval=60)
burst("main", 5_000)
def profile(frame, event, arg):
    if event == "call" and frame.f_code.co_name == "{function}":
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGTERM)
sys.setprofile(profile)
log.info("main 5000")
while True:
    signal.pause()
""",
        status=-15,
    )
    found = written()["main"]
    assert found == list(range(len(found)))
    assert len(found) in (5_000, 5_001)  # the last one was not accepted yet, or it was


def test_install_signal_flush_calls_the_handler_that_was_there(
    run_script: Run, written: Written
) -> None:
    ended = run_script(
        SIGTERM.replace(
            "lual.install", "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); lual.install"
        )
        + """
burst("main", 5_000)
os.kill(os.getpid(), signal.SIGTERM)
signal.pause()
""",
        status=5,
    )
    assert ended.out == ""
    assert written() == {"main": list(range(5_000))}
