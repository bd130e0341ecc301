from __future__ import annotations

import gzip

import pytest

from lual.cli.log_files import log_files, read_log


@pytest.fixture
def log(tmp_path):
    return tmp_path / "demo.log"


def read(log):
    return list(read_log(log_files(log)))


def test_files_come_oldest_first_packed_or_not(log):
    for name in ("demo.log", "demo.log.1", "demo.log.2.gz", "demo.log.10.gz"):
        (log.parent / name).touch()
    names = [path.name for path in log_files(log)]
    assert names == ["demo.log.10.gz", "demo.log.2.gz", "demo.log.1", "demo.log"]


def test_other_files_are_passed_over(log):
    for name in ("demo.log.gz.tmp", "demo.log.1.gz.tmp", "xdemo.log", "demo.log.x", "demo-log"):
        (log.parent / name).touch()
    assert log_files(log) == []


def test_packed_lines_are_read_like_plain_ones(log):
    (log.parent / "demo.log.1.gz").write_bytes(gzip.compress(b'{"n": 1}\n'))
    log.write_bytes(b'{"n": 2}\n')
    assert [(line.place, line.entry) for line in read(log)] == [
        ("demo.log.1.gz, line 1", {"n": 1}),
        ("demo.log, line 1", {"n": 2}),
    ]


@pytest.mark.parametrize(
    "line",
    [b'{"n": 1}', b'{"n": \n', b"\n", b"[]\n", b"\xff\n", b"\0\0\0\n", b"[" * 100_000 + b"\n"],
)
def test_a_torn_line_has_a_problem_and_no_entry(log, line):
    log.write_bytes(line)
    (found,) = read(log)
    assert found.entry is None
    assert found.problem


@pytest.mark.parametrize(
    "harm",
    [lambda d: d[:-9], lambda d: b"xx" + d, lambda d: d[:30] + d[40:]],
    ids=["cut off", "no gzip", "a hole"],
)
def test_a_packed_file_that_is_damaged_ends_with_a_problem(log, harm):
    packed = gzip.compress(b"".join(b'{"number": %d}\n' % n for n in range(1000)))
    (log.parent / "demo.log.1.gz").write_bytes(harm(packed))
    log.write_bytes(b'{"n": 1}\n')
    *_, before, last = read(log)
    assert (before.entry, last.entry) == (None, {"n": 1})
    assert before.problem
