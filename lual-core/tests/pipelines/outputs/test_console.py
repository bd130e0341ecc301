from __future__ import annotations

import copy
import io
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lual.errors import ConfigError
from lual.pipelines.outputs.console import console

RED = "\x1b[31mred\x1b[0m"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Batch(list[Any]):
    """A batch like lual's own, whose texts are at hand."""

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.texts = list(texts)


@pytest.fixture(autouse=True)
def _no_colour_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def test_a_batch_is_one_write() -> None:
    writes: list[str] = []

    class Stream:
        def write(self, text: str) -> None:
            writes.append(text)

    console(Stream()).write([("a", None), ("b", None)])
    assert writes == ["a\nb\n"]


def test_texts_are_taken_from_the_batch_where_it_has_them() -> None:
    stream = io.StringIO()
    console(stream).write(Batch("a", "b"))
    assert stream.getvalue() == "a\nb\n"


def test_an_empty_batch_writes_nothing() -> None:
    stream = io.StringIO()
    console(stream).write([])
    assert stream.getvalue() == ""


def test_standard_error_is_the_one_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    output = console()
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    output.write([("a", None)])
    monkeypatch.setattr(sys, "stderr", second)
    output.write([("b", None)])
    assert (first.getvalue(), second.getvalue()) == ("a\n", "b\n")


def test_without_standard_error_records_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    output = console()
    output.write([("a", None)])
    output.flush()
    output.close()


def test_a_closed_stream_fails_the_batch() -> None:
    stream = io.StringIO()
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        console(stream).write([("a", None)])


def test_a_stream_that_fails_only_when_flushed_fails_the_batch() -> None:
    class Stream:
        def write(self, text: str) -> None:
            pass

        def flush(self) -> None:
            raise OSError("No space left")

    with pytest.raises(OSError, match="No space"):
        console(Stream()).write([("a", None)])


def test_the_stream_is_flushed_after_each_write() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")
    console(stream).write([("a", None)])
    assert raw.getvalue() == b"a\n"


def test_close_leaves_the_stream_open() -> None:
    stream = io.StringIO()
    console(stream).close()
    assert not stream.closed


def test_what_can_not_be_written_to_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"write method, got 'stderr'"):
        console("stderr")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stream", "variables", "coloured"),
    [
        (Terminal, {}, True),
        (io.StringIO, {}, False),
        (Terminal, {"NO_COLOR": "1"}, False),
        (Terminal, {"NO_COLOR": ""}, True),
        (io.StringIO, {"FORCE_COLOR": "1"}, True),
        (io.StringIO, {"FORCE_COLOR": ""}, False),
        (Terminal, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_terminals_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
    stream: Callable[[], io.StringIO],
    variables: dict[str, str],
    coloured: bool,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    target = stream()
    console(target).write([(RED, None)])
    assert target.getvalue() == (f"{RED}\n" if coloured else "red\n")


def test_a_stream_that_can_not_tell_is_no_terminal() -> None:
    writes: list[str] = []

    class Stream:
        def write(self, text: str) -> None:
            writes.append(text)

    console(Stream()).write([(RED, None)])
    assert writes == ["red\n"]


def test_what_the_stream_can_not_encode_is_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    console(stream).write([("plain", None), ("f\u00fcr \u20ac \ud800", None)])
    assert raw.getvalue() == b"plain\nf\\xfcr \\u20ac \\ud800\n"


def test_a_write_in_a_signal_handler_tears_no_line() -> None:
    output: Any = None

    class Stream:
        def __init__(self) -> None:
            self.got = ""

        def write(self, text: str) -> None:
            half = len(text) // 2
            self.got += text[:half]
            if "outer" in text:
                signal.raise_signal(signal.SIGINT)
            self.got += text[half:]

    stream = Stream()
    output = console(stream)
    before = signal.signal(signal.SIGINT, lambda *_: output.write([("nested", None)]))
    try:
        output.write([("outer", None)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert stream.got == "outer\nnested\n"


def test_a_flush_in_a_signal_handler_does_not_enter_the_stream_again() -> None:
    entered: list[str] = []

    class Stream:
        def write(self, text: str) -> None:
            entered.append("write begins")
            output.flush()
            entered.append("write ends")

        def flush(self) -> None:
            entered.append("flush")

    output = console(Stream())
    output.write([("a", None)])
    assert entered == ["write begins", "write ends", "flush"]


def test_a_print_that_a_signal_handler_interrupts_costs_no_line(tmp_path: Path) -> None:
    path = tmp_path / "console"

    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            if b"printed" in bytes(data):
                signal.raise_signal(signal.SIGINT)
            return super().write(data) or 0

    stream = io.TextIOWrapper(io.BufferedWriter(Raw(path, "w")), encoding="utf-8")
    output = console(stream)
    before = signal.signal(signal.SIGINT, lambda *_: output.write([("logged", None)]))
    try:
        stream.write("printed\n")
        stream.flush()
    finally:
        signal.signal(signal.SIGINT, before)
    stream.close()
    assert sorted(path.read_text().splitlines()) == ["logged", "printed"]


def test_another_runtime_error_of_the_stream_fails_the_batch() -> None:
    class Stream:
        def write(self, text: str) -> None:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        console(Stream()).write([("a", None)])


def test_lines_of_several_threads_stay_whole() -> None:
    class Slow:
        """Would mix the lines of two writers that are in it at once."""

        def __init__(self) -> None:
            self.got: list[str] = []

        def write(self, text: str) -> None:
            for character in text:
                self.got.append(character)

    stream = Slow()
    output = console(stream)
    barrier = threading.Barrier(8)

    def log(number: int) -> None:
        barrier.wait()
        for n in range(100):
            output.write([(f"{number}:{n}:" + "x" * 50, None)])

    threads = [threading.Thread(target=log, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = "".join(stream.got).splitlines()
    assert sorted(lines) == sorted(f"{t}:{n}:" + "x" * 50 for t in range(8) for n in range(100))


def test_a_child_replaces_the_lock() -> None:
    output = console()
    lock = output.fork_lock
    output.after_fork_in_child()
    assert output.fork_lock is not lock


@pytest.mark.parametrize("name", ["stderr", "stdout"])
def test_a_copy_writes_to_the_stream_of_the_same_name(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    packed = pickle.dumps(console(getattr(sys, name)))
    there = io.StringIO()
    monkeypatch.setattr(sys, name, there)
    pickle.loads(packed).write([("a", None)])
    assert there.getvalue() == "a\n"


def test_a_copy_without_a_stream_follows_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    output = copy.copy(console())
    there = io.StringIO()
    monkeypatch.setattr(sys, "stderr", there)
    output.write([("a", None)])
    assert there.getvalue() == "a\n"


def test_another_stream_can_not_be_pickled() -> None:
    with pytest.raises(TypeError, match="only standard error and standard output"):
        pickle.dumps(console(io.StringIO()))


def test_the_repr_names_the_stream() -> None:
    assert repr(console()) == "ConsoleOutput()"
    stream = io.StringIO()
    assert repr(console(stream)) == f"ConsoleOutput({stream!r})"
