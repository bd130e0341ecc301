from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lual.errors import BatchWriteError
from lual.pipelines.outputs.file import file

#: Takes pairs of a size limit and a batch; prints the indices that failed of each batch.
LIMITED = """
import resource, sys
from lual.errors import BatchWriteError
from lual.pipelines.outputs.file import file
output = file("app.log")
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for limit, texts in zip(sys.argv[1::2], sys.argv[2::2]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), most))
    try:
        output.write([(text, None) for text in texts.split(",")])
        failed = {}
    except BatchWriteError as error:
        failed = error.errors
    print(*sorted(failed) or "-", end=";")
"""

#: Fills a file system, makes room, and writes on; prints the indices that were taken.
FILLED = """
import os
from lual.errors import BatchWriteError
from lual.pipelines.outputs.file import file
os.makedirs("disk", exist_ok=True)
with open("disk/ballast", "wb") as ballast:
    ballast.write(bytes(8192))
output = file("disk/app.log")
number = 0
def log():
    global number
    batch = [(f"{number + n}:" + "x" * (n * 37 % 300), None) for n in range(20)]
    try:
        output.write(batch)
        failed = {}
    except BatchWriteError as error:
        failed = error.errors
    taken = [number + n for n in range(20) if n not in failed]
    number += 20
    print(*taken, *(f"!{type(e).__name__}{e.errno}" for e in set(failed.values())))
for _ in range(10):
    log()
os.unlink("disk/ballast")
log()
print("file")
print(open("disk/app.log").read(), end="")
"""

TMPFS = (
    "unshare",
    "-rm",
    "sh",
    "-c",
    'mkdir -p disk && mount -t tmpfs -o size=20k none disk && exec "$@"',
    "sh",
)


@pytest.fixture
def limited(run_script: Callable[..., str], tmp_path: Path) -> Callable[..., tuple[str, str]]:
    def run(*steps: int | str) -> tuple[str, str]:
        printed = run_script(LIMITED, *map(str, steps))
        return printed.rstrip(";"), (tmp_path / "app.log").read_text()

    return run


@pytest.mark.processes
class TestLimited:
    """The limit for the size of a file stands for a full disk."""

    def test_the_record_that_does_not_fit_fails_and_the_next_has_a_line_of_its_own(
        self, limited: Callable[..., tuple[str, str]]
    ) -> None:
        assert limited(7, "aa,bb,cc", 100, "dd") == ("2;-", "aa\nbb\nc\ndd\n")

    def test_a_file_that_is_full_between_two_lines_gets_no_empty_one(
        self, limited: Callable[..., tuple[str, str]]
    ) -> None:
        assert limited(6, "aa,bb,cc", 6, "dd,ee", 100, "ff") == ("2;0 1;-", "aa\nbb\nff\n")

    def test_records_behind_the_one_that_was_cut_off_fail_by_themselves(
        self, limited: Callable[..., tuple[str, str]]
    ) -> None:
        assert limited(5, "aa,bbbb,c,d", 100, "e") == ("1 2 3;-", "aa\nbb\ne\n")

    def test_a_line_that_was_cut_off_costs_only_one_newline(
        self, limited: Callable[..., tuple[str, str]]
    ) -> None:
        steps = (4, "aa,bb", 4, "cc", 5, "dd", 100, "ee")
        assert limited(*steps) == ("1;0;0;-", "aa\nb\nee\n")


def disks() -> list[object]:
    """Returns ways to a small disk: a tmpfs where that is allowed."""
    trial = [*TMPFS[:-2], "mount -t tmpfs -o size=20k none /tmp"]
    try:
        allowed = subprocess.run(trial, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        allowed = False
    return [pytest.param(TMPFS, id="tmpfs")] if allowed else []


LIMIT = ("sh", "-c", 'ulimit -f 24 && exec "$@"', "sh")


@pytest.mark.processes
@pytest.mark.parametrize("before", [pytest.param(LIMIT, id="ulimit"), *disks()])
def test_what_was_taken_is_in_the_file_once_and_what_was_not_is_not(
    run_script: Callable[..., str], before: tuple[str, ...]
) -> None:
    told, _, text = run_script(FILLED, before=before).partition("file\n")
    assert f"!OSError{errno.ENOSPC}" in told or f"!OSError{errno.EFBIG}" in told
    taken = [int(n) for n in told.split() if not n.startswith("!")]
    whole = [f"{n}:" + "x" * (n % 20 * 37 % 300) for n in taken]
    lines = text.splitlines()
    assert [line for line in lines if line in whole] == whole
    assert "" not in lines


def test_shorter_records_behind_one_that_does_not_fit_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def write(fd: int, data: bytes) -> int:
        if len(data) > 4:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(BatchWriteError) as caught:
        file(tmp_path / "app.log").write([("a", None), ("looong", None), ("b", None)])
    assert {i: e.errno for i, e in caught.value.errors.items() if isinstance(e, OSError)} == {
        1: errno.EDQUOT
    }
    assert (tmp_path / "app.log").read_text() == "a\nb\n"


def test_a_split_batch_names_the_records_by_their_place_in_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def write(fd: int, data: bytes) -> int:
        if b"bad" in bytes(data):
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    output = file(tmp_path / "app.log", max_bytes=8)
    with pytest.raises(BatchWriteError) as caught:
        output.write([(text, None) for text in ("aaa", "bbb", "ccc", "bad", "ddd")])
    assert sorted(caught.value.errors) == [3]
    lines = [(tmp_path / name).read_text() for name in sorted(os.listdir(tmp_path))]
    assert sorted("".join(lines).split()) == ["aaa", "bbb", "ccc", "ddd"]


def test_a_full_device_fails_each_record() -> None:
    with pytest.raises(BatchWriteError) as caught:
        file("/dev/full").write([("a", None), ("b", None)])
    assert sorted(caught.value.errors) == [0, 1]
    assert "No space left" in str(caught.value)
