from __future__ import annotations

import os
import pickle
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lual.errors import BatchWriteError, ConfigError
from lual.pipelines.outputs.file import FileOutput, file


class Batch(list[Any]):
    """A batch like lual's own, whose texts are at hand."""

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.texts = list(texts)


def write(output: FileOutput, *texts: str) -> None:
    output.write([(text, None) for text in texts])


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is handed to `os.write`."""
    seen: list[bytes] = []
    real = os.write

    def watched(fd: int, data: bytes) -> int:
        seen.append(bytes(data))
        return real(fd, data)

    monkeypatch.setattr(os, "write", watched)
    return seen


class TestWrite:
    def test_a_batch_is_one_system_call(self, tmp_path: Path, writes: list[bytes]) -> None:
        write(file(tmp_path / "app.log"), "a", "b")
        assert writes == [b"a\nb\n"]

    def test_a_batch_is_one_system_call_below_the_limit_too(
        self, tmp_path: Path, writes: list[bytes]
    ) -> None:
        write(file(tmp_path / "app.log", max_bytes=4), "a", "b")
        assert writes == [b"a\nb\n"]

    def test_texts_are_taken_from_the_batch_where_it_has_them(self, tmp_path: Path) -> None:
        file(tmp_path / "app.log").write(Batch("a", "b"))
        assert (tmp_path / "app.log").read_text() == "a\nb\n"

    def test_an_empty_batch_does_not_even_open_the_file(self, tmp_path: Path) -> None:
        file(tmp_path / "app.log").write([])
        assert not (tmp_path / "app.log").exists()

    def test_lines_are_appended_to_what_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "app.log").write_text("before\n")
        write(file(tmp_path / "app.log"), "after")
        assert (tmp_path / "app.log").read_text() == "before\nafter\n"

    def test_lines_begin_below_one_that_an_earlier_process_left_cut_off(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "app.log").write_text("cut o")
        write(file(tmp_path / "app.log"), "whole")
        assert (tmp_path / "app.log").read_text() == "cut o\nwhole\n"

    def test_a_write_is_in_the_file_before_any_flush_or_close(self, tmp_path: Path) -> None:
        output = file(tmp_path / "app.log")
        write(output, "a")
        assert (tmp_path / "app.log").read_text() == "a\n"
        output.flush()
        assert (tmp_path / "app.log").read_text() == "a\n"

    def test_a_write_after_close_opens_the_file_again(self, tmp_path: Path) -> None:
        output = file(tmp_path / "app.log")
        write(output, "a")
        output.close()
        output.close()
        write(output, "b")
        assert (tmp_path / "app.log").read_text() == "a\nb\n"

    def test_a_short_write_goes_on_where_it_stopped(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:2]))
        write(file(tmp_path / "app.log"), "abc", "defg")
        assert (tmp_path / "app.log").read_bytes() == b"abc\ndefg\n"

    def test_a_file_that_takes_nothing_fails_instead_of_looping(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.write
        sizes = iter([1, 0, 0])
        monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[: next(sizes)]))
        with pytest.raises(BatchWriteError, match="took nothing"):
            write(file(tmp_path / "app.log"), "abc")

    @pytest.mark.parametrize(
        ("encoding", "data"),
        [
            ("utf-8", "é€\n".encode() + b"\\ud800\n"),
            ("ascii", b"\\xe9\\u20ac\n\\ud800\n"),
            ("cp1252", b"\xe9\x80\n\\ud800\n"),
            ("utf-16-le", "é€\n\\ud800\n".encode("utf-16-le")),
        ],
    )
    def test_what_the_encoding_lacks_is_escaped(
        self, tmp_path: Path, encoding: str, data: bytes
    ) -> None:
        write(file(tmp_path / "app.log", encoding=encoding), "é€", "\ud800")
        assert (tmp_path / "app.log").read_bytes() == data

    def test_descriptors_that_the_application_closed_cost_no_line(self, tmp_path: Path) -> None:
        output = file(tmp_path / "app.log")
        write(output, "a")
        top = os.dup(0)
        os.close(top)
        for fd in range(3, top):
            if os.path.realpath(f"/proc/self/fd/{fd}") == str(tmp_path / "app.log"):
                os.close(fd)
        write(output, "b", "c")
        assert (tmp_path / "app.log").read_text() == "a\nb\nc\n"

    def test_lines_of_several_threads_stay_whole(self, tmp_path: Path) -> None:
        outputs = [file(tmp_path / "app.log", max_bytes=20_000, backups=100) for _ in range(2)]
        barrier = threading.Barrier(8)

        def log(number: int) -> None:
            barrier.wait()
            for n in range(200):
                write(outputs[number % 2], *(f"{number}:{n}:{k}:" + "x" * 40 for k in range(5)))

        threads = [threading.Thread(target=log, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = [line for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
        assert sorted(lines) == sorted(
            f"{t}:{n}:{k}:" + "x" * 40 for t in range(8) for n in range(200) for k in range(5)
        )
        assert all(path.stat().st_size <= 20_000 for path in tmp_path.iterdir())

    def test_a_write_in_a_signal_handler_tears_no_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output = file(tmp_path / "app.log")
        real = os.write

        def interrupted(fd: int, data: bytes) -> int:
            done = real(fd, data[:3])
            if bytes(data).startswith(b"outer"):
                signal.raise_signal(signal.SIGINT)
            return done

        monkeypatch.setattr(os, "write", interrupted)
        before = signal.signal(signal.SIGINT, lambda *_: write(output, "nested 1", "nested 2"))
        try:
            write(output, "outer 1", "outer 2")
        finally:
            signal.signal(signal.SIGINT, before)
        assert (tmp_path / "app.log").read_text() == "outer 1\nouter 2\nnested 1\nnested 2\n"

    def test_a_write_that_ctrl_c_breaks_off_tears_no_later_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output = file(tmp_path / "app.log")
        real = os.write

        def interrupted(fd: int, data: bytes) -> int:
            real(fd, data[:3])
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", interrupted)
            with pytest.raises(KeyboardInterrupt):
                write(output, "outer")
        write(output, "next")
        assert (tmp_path / "app.log").read_text() == "out\nnext\n"


class TestOpen:
    def test_missing_folders_are_created(self, tmp_path: Path) -> None:
        file(tmp_path / "a" / "b" / "app.log").open()
        assert (tmp_path / "a" / "b" / "app.log").read_text() == ""

    def test_making_an_output_creates_nothing(self, tmp_path: Path) -> None:
        file(tmp_path / "a" / "app.log")
        assert not (tmp_path / "a").exists()

    @pytest.mark.parametrize("umask", [0o077, 0o000])
    def test_a_new_file_has_the_mode_whatever_the_umask(self, tmp_path: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            file(tmp_path / "app.log", mode=0o664).open()
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "app.log").stat().st_mode) == 0o664

    def test_the_mode_of_an_existing_file_stays(self, tmp_path: Path) -> None:
        (tmp_path / "app.log").touch()
        (tmp_path / "app.log").chmod(0o600)
        file(tmp_path / "app.log", mode=0o644).open()
        assert stat.S_IMODE((tmp_path / "app.log").stat().st_mode) == 0o600

    def test_a_folder_is_an_error_that_names_the_path(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"path of file\(\) is '.*', .*Is a directory"):
            file(tmp_path).open()

    def test_a_file_among_the_parents_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        with pytest.raises(ConfigError, match="Not a directory"):
            file(tmp_path / "a" / "app.log").open()

    def test_an_unwritable_place_is_an_error(self) -> None:
        with pytest.raises(ConfigError, match="can't be written to"):
            file("/proc/lual/app.log").open()

    def test_a_fifo_without_a_reader_is_an_error_at_once(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(ConfigError, match="No such device"):
            file(tmp_path / "fifo").open()

    def test_a_fifo_gets_lines_and_is_never_rotated(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        try:
            output = file(tmp_path / "fifo", max_bytes=1, when=1)
            output.open()
            write(output, "a", "b")
            write(output, "c")
            assert os.read(reader, 100) == b"a\nb\nc\n"
        finally:
            os.close(reader)
        assert os.listdir(tmp_path) == ["fifo"]

    def test_a_fifo_is_opened_again_once_a_new_reader_came(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        output = file(tmp_path / "fifo")
        output.open()
        os.close(reader)
        with pytest.raises(BatchWriteError):
            write(output, "nobody listens")
        reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        try:
            write(output, "a")
            assert os.read(reader, 100) == b"a\n"
        finally:
            os.close(reader)

    def test_a_device_gets_lines_and_is_never_rotated(self) -> None:
        output = file("/dev/null", max_bytes=1, when=1, reopen=True)
        output.open()
        write(output, "a", "b")
        output.close()
        assert not os.path.exists("/dev/null.1")

    @pytest.mark.processes
    def test_the_file_behind_standard_output_is_never_rotated(
        self, tmp_path: Path, run_script: Callable[..., str]
    ) -> None:
        run_script(
            "import os, sys\n"
            "from lual.pipelines.outputs.file import file\n"
            "os.dup2(os.open('out', os.O_CREAT | os.O_WRONLY | os.O_APPEND), 1)\n"
            "output = file('/dev/stdout', max_bytes=1)\n"
            "output.write([('a', None), ('b', None)])\n"
        )
        assert os.listdir(tmp_path) == ["out"]
        assert (tmp_path / "out").read_text() == "a\nb\n"

    def test_a_symbolic_link_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "app.log").symlink_to(tmp_path / "elsewhere" / "real.log")
        write(file(tmp_path / "app.log"), "a")
        assert (tmp_path / "elsewhere" / "real.log").read_text() == "a\n"
        assert (tmp_path / "app.log").is_symlink()

    def test_a_place_that_vanished_fails_the_records_and_heals(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        output = file(tmp_path / "a" / "app.log")
        output.open()
        output.close()
        (tmp_path / "a" / "app.log").unlink()
        (tmp_path / "a").rmdir()
        (tmp_path / "a").touch()
        with pytest.raises(BatchWriteError) as caught:
            write(output, "x", "y")
        assert sorted(caught.value.errors) == [0, 1]
        (tmp_path / "a").unlink()
        write(output, "z")
        assert (tmp_path / "a" / "app.log").read_text() == "z\n"

    def test_the_descriptor_is_not_inherited_by_programs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fds: list[int] = []
        real = os.write

        def watched(fd: int, data: bytes) -> int:
            fds.append(fd)
            return real(fd, data)

        monkeypatch.setattr(os, "write", watched)
        write(file(tmp_path / "app.log"), "a")
        assert not os.get_inheritable(fds[0])


class TestReopen:
    def test_a_file_that_was_moved_away_is_created_anew(self, tmp_path: Path) -> None:
        output = file(tmp_path / "app.log", reopen=True)
        write(output, "a")
        (tmp_path / "app.log").rename(tmp_path / "moved")
        write(output, "b")
        assert (tmp_path / "moved").read_text() == "a\n"
        assert (tmp_path / "app.log").read_text() == "b\n"

    def test_a_file_that_was_replaced_is_followed(self, tmp_path: Path) -> None:
        output = file(tmp_path / "app.log", reopen=True)
        write(output, "a")
        (tmp_path / "new").write_text("new\n")
        (tmp_path / "new").replace(tmp_path / "app.log")
        write(output, "b")
        assert (tmp_path / "app.log").read_text() == "new\nb\n"

    def test_without_it_the_moved_file_is_written_on(self, tmp_path: Path) -> None:
        output = file(tmp_path / "app.log")
        write(output, "a")
        (tmp_path / "app.log").rename(tmp_path / "moved")
        write(output, "b")
        assert (tmp_path / "moved").read_text() == "a\nb\n"


class TestSharing:
    def test_outputs_on_one_path_do_not_rotate_under_each_other(self, tmp_path: Path) -> None:
        first, second = (file(tmp_path / "app.log", max_bytes=4, backups=9) for _ in range(2))
        for n in range(3):
            write(first, f"a{n}")
            write(second, f"b{n}")
        files = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert sorted("".join(files.values()).split()) == ["a0", "a1", "a2", "b0", "b1", "b2"]
        assert len(files) == 6

    def test_the_file_stays_open_until_the_last_output_closes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = (file(tmp_path / "app.log") for _ in range(2))
        first.open()
        second.open()
        closed: list[int] = []
        real = os.close

        def close(fd: int) -> None:
            closed.append(fd)
            real(fd)

        monkeypatch.setattr(os, "close", close)
        first.close()
        first.close()
        assert closed == []
        second.close()
        assert len(closed) == 1

    def test_the_settings_of_the_output_opened_last_hold(self, tmp_path: Path) -> None:
        old = file(tmp_path / "app.log")
        old.open()
        new = file(tmp_path / "app.log", max_bytes=2)
        new.open()
        write(old, "a", "b")
        assert (tmp_path / "app.log.1").read_text() == "a\n"

    def test_when_it_is_closed_those_of_the_one_before_hold_again(self, tmp_path: Path) -> None:
        old = file(tmp_path / "app.log")
        old.open()
        new = file(tmp_path / "app.log", max_bytes=2)
        new.open()
        new.close()
        write(old, "a", "b")
        assert (tmp_path / "app.log").read_text() == "a\nb\n"

    def test_a_late_write_to_a_closed_output_does_not_change_the_rules(
        self, tmp_path: Path
    ) -> None:
        old = file(tmp_path / "app.log")
        old.open()
        new = file(tmp_path / "app.log", max_bytes=2)
        new.open()
        old.close()
        write(old, "a", "b")
        assert (tmp_path / "app.log.1").read_text() == "a\n"

    def test_a_failed_open_does_not_count_as_a_user_of_the_file(self, tmp_path: Path) -> None:
        output = file(tmp_path)
        for _ in range(2):
            with pytest.raises(ConfigError):
                output.open()

    def test_outputs_of_one_path_share_the_fork_lock(self, tmp_path: Path) -> None:
        assert file(tmp_path / "a").fork_lock is file(tmp_path / "b" / ".." / "a").fork_lock


def test_a_pickled_copy_has_the_settings_and_is_not_open(tmp_path: Path) -> None:
    output = file(tmp_path / "app.log", max_bytes=100, when="daily", mode=0o600)
    output.open()
    (tmp_path / "app.log").unlink()
    copy = pickle.loads(pickle.dumps(output))
    assert copy == output
    assert not (tmp_path / "app.log").exists()
