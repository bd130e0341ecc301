from __future__ import annotations

import fcntl
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lual.pipelines.outputs.file import file

pytestmark = pytest.mark.processes

#: What the programs share: `child` runs a function in a forked child, as lual's fork
#: guard does; `go` and `wait` let the two take turns.
COMMON = """
import os, sys, threading
from lual.pipelines.outputs.file import file

def write(*texts):
    output.write([(text, None) for text in texts])

def gate():
    r, w = os.pipe()
    return (lambda: os.write(w, b".")), (lambda: os.read(r, 1))

def child(run):
    output.fork_lock.acquire()
    pid = os.fork()
    if pid:
        output.fork_lock.release()
        return pid
    code = 1
    try:
        output.after_fork_in_child()
        run()
        code = 0
    finally:
        os._exit(code)

def join(*pids):
    for pid in pids:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def contents(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text().replace("\n", ";") for p in folder.iterdir()}


Run = Callable[..., str]


def test_a_child_follows_the_parents_rotation(run_script: Run, tmp_path: Path) -> None:
    run_script(
        COMMON
        + """
output = file("app.log", max_bytes=20)
write("parent 1")
started, wait_started = gate()
rotated, wait_rotated = gate()
def run():
    write("child 1")
    started()
    wait_rotated()
    write("child 2")
pid = child(run)
wait_started()
write("parent 2")
rotated()
join(pid)
"""
    )
    assert contents(tmp_path) == {
        "app.log": "parent 2;child 2;",
        "app.log.1": "parent 1;child 1;",
    }


def test_a_child_never_rotates(run_script: Run, tmp_path: Path) -> None:
    run_script(
        COMMON
        + """
output = file("app.log", max_bytes=4, when=1)
write("a")
join(child(lambda: write("b", "c", "d", "e")))
"""
    )
    assert contents(tmp_path) == {"app.log": "a;b;c;d;e;"}


def test_a_grandchild_never_rotates(run_script: Run, tmp_path: Path) -> None:
    run_script(
        COMMON
        + """
output = file("app.log", max_bytes=4)
write("a")
join(child(lambda: join(child(lambda: write("b", "c", "d", "e")))))
"""
    )
    assert contents(tmp_path) == {"app.log": "a;b;c;d;e;"}


def test_what_children_wrote_counts(run_script: Run, tmp_path: Path) -> None:
    run_script(
        COMMON
        + """
output = file("app.log", max_bytes=10)
write("a")
join(child(lambda: write("bbb")))
write("c")
write("dd")
"""
    )
    assert contents(tmp_path) == {"app.log": "dd;", "app.log.1": "a;bbb;c;"}


def test_a_child_has_its_own_open_file(run_script: Run, tmp_path: Path) -> None:
    printed = run_script(
        COMMON
        + """
output = file("app.log")
output.open()
def run():
    fds = os.listdir("/proc/self/fd")
    names = {os.path.basename(os.path.realpath(f"/proc/self/fd/{fd}")) for fd in fds}
    print("app.log" in names, flush=True)
    write("child")
    output.close()
join(child(run))
write("parent")
"""
    )
    assert printed == "False\n"
    assert contents(tmp_path) == {"app.log": "child;parent;"}


def test_a_child_creates_a_file_that_was_taken_away(run_script: Run, tmp_path: Path) -> None:
    run_script(
        COMMON
        + """
output = file("app.log")
write("a")
def run():
    write("b")
    os.rename("app.log", "moved")
    write("c")
join(child(run))
"""
    )
    assert contents(tmp_path) == {"app.log": "c;", "moved": "a;b;"}


def test_a_lock_that_another_thread_held_does_not_stop_the_child(
    run_script: Run, tmp_path: Path
) -> None:
    run_script(
        COMMON
        + """
output = file("app.log")
held, wait_held = gate()
release, wait_release = gate()
def hold():
    with output.fork_lock:
        held()
        wait_release()
thread = threading.Thread(target=hold)
thread.start()
wait_held()
pid = os.fork()
if not pid:
    try:
        output.after_fork_in_child()
        write("child")
    finally:
        os._exit(0)
join(pid)
release()
thread.join()
""",
        PYTHONWARNINGS="ignore::DeprecationWarning",
    )
    assert contents(tmp_path) == {"app.log": "child;"}


@pytest.mark.parametrize("compress", ["gzip", None])
def test_no_line_is_lost_doubled_or_torn_while_children_write_and_the_parent_rotates(
    run_script: Run, tmp_path: Path, compress: str | None
) -> None:
    run_script(
        COMMON
        + f"""
output = file("app.log", max_bytes=2000, backups=1000, compress={compress!r})
output.open()
def log(name):
    for n in range(300):
        write(f"{{name}}:{{n}}:a", f"{{name}}:{{n}}:b")
pids = [child(lambda: log(f"child {{k}}")) for k in range(4)]
log("parent")
join(*pids)
"""
    )
    text = b"".join(
        gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes()
        for p in tmp_path.iterdir()
    )
    names = ["parent", *(f"child {k}" for k in range(4))]
    assert sorted(text.decode().splitlines()) == sorted(
        f"{name}:{n}:{part}" for name in names for n in range(300) for part in "ab"
    )
    assert len(list(tmp_path.iterdir())) > 3


def test_a_child_leaves_a_file_that_the_parent_is_about_to_compress(
    run_script: Run, tmp_path: Path
) -> None:
    run_script(
        COMMON
        + """
import fcntl
output = file("app.log")
write("a")
def run():
    write("b")
    with open("app.log") as parent:
        fcntl.flock(parent, fcntl.LOCK_EX)
        os.rename("app.log", "app.log.1")
        write("c")
join(child(run))
"""
    )
    assert contents(tmp_path) == {"app.log": "c;", "app.log.1": "a;b;"}


def test_a_lock_that_nobody_gives_back_does_not_hang_a_child(
    run_script: Run, tmp_path: Path
) -> None:
    run_script(
        COMMON
        + """
import fcntl
output = file("app.log")
write("a")
with open("app.log") as other:
    fcntl.flock(other, fcntl.LOCK_EX)
    join(child(lambda: write("b")))
"""
    )
    assert contents(tmp_path) == {"app.log": "a;b;"}


def test_a_process_without_children_takes_no_file_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(fcntl, "flock", lambda *args: calls.append(args))
    output = file(tmp_path / "app.log", max_bytes=4, reopen=True)
    output.write([(text, None) for text in "abc"])
    assert calls == []
    assert sorted(os.listdir(tmp_path)) == ["app.log", "app.log.1"]
