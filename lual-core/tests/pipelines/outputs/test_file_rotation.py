from __future__ import annotations

import fcntl
import gzip
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lual.pipelines.outputs import backups as backups_module
from lual.pipelines.outputs.file import FileOutput, file

DAY = 86400.0


class Clock:
    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., FileOutput]:
    """Makes an output on `app.log`."""

    def make(clock: Clock | None = None, **settings: Any) -> FileOutput:
        made = file(tmp_path / "app.log", **settings).settings
        return FileOutput(made, _now=clock or Clock())

    return make


def write(output: FileOutput, *texts: str) -> None:
    output.write([(text, None) for text in texts])


def contents(folder: Path) -> dict[str, str]:
    """Returns what stands in each file, packed ones unpacked."""
    return {
        path.name: (
            gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        )
        .decode()
        .replace("\n", ";")
        for path in folder.iterdir()
        if path.is_file()
    }


Make = Callable[..., FileOutput]


class TestBySize:
    def test_a_line_that_goes_beyond_the_limit_begins_a_new_file(
        self, make: Make, tmp_path: Path
    ) -> None:
        output = make(max_bytes=6)
        write(output, "aa")
        write(output, "bb")
        write(output, "cc")
        assert contents(tmp_path) == {"app.log": "cc;", "app.log.1": "aa;bb;"}

    def test_a_batch_is_split_at_the_right_line(self, make: Make, tmp_path: Path) -> None:
        write(make(max_bytes=6), "aa", "bb", "cc", "d", "e", "f", "gg")
        assert contents(tmp_path) == {
            "app.log": "gg;",
            "app.log.1": "e;f;",
            "app.log.2": "cc;d;",
            "app.log.3": "aa;bb;",
        }

    def test_a_line_longer_than_the_limit_has_a_file_of_its_own(
        self, make: Make, tmp_path: Path
    ) -> None:
        write(make(max_bytes=6), "a", "loooooong", "b", "c")
        assert contents(tmp_path) == {
            "app.log": "b;c;",
            "app.log.1": "loooooong;",
            "app.log.2": "a;",
        }

    def test_a_long_first_line_does_not_put_an_empty_file_aside(
        self, make: Make, tmp_path: Path
    ) -> None:
        write(make(max_bytes=6), "loooooong")
        assert contents(tmp_path) == {"app.log": "loooooong;"}

    def test_bytes_count_and_not_characters(self, make: Make, tmp_path: Path) -> None:
        write(make(max_bytes=6), "€", "€")
        assert contents(tmp_path) == {"app.log": "€;", "app.log.1": "€;"}

    def test_what_was_in_the_file_counts(self, make: Make, tmp_path: Path) -> None:
        (tmp_path / "app.log").write_text("1234\n")
        write(make(max_bytes=6), "a")
        assert contents(tmp_path) == {"app.log": "a;", "app.log.1": "1234;"}

    def test_a_file_that_was_emptied_from_outside_fills_up_again(
        self, make: Make, tmp_path: Path
    ) -> None:
        output = make(max_bytes=6)
        write(output, "aa")
        os.truncate(tmp_path / "app.log", 0)
        write(output, "b")
        write(output, "cc")
        assert contents(tmp_path) == {"app.log": "b;cc;"}

    def test_the_oldest_backup_is_removed(self, make: Make, tmp_path: Path) -> None:
        write(make(max_bytes=2, backups=2), "a", "b", "c", "d")
        assert contents(tmp_path) == {"app.log": "d;", "app.log.1": "c;", "app.log.2": "b;"}

    def test_without_backups_a_full_file_is_removed(self, make: Make, tmp_path: Path) -> None:
        write(make(max_bytes=4, backups=0), "a", "b", "c")
        assert contents(tmp_path) == {"app.log": "c;"}

    def test_the_new_file_has_the_mode(self, make: Make, tmp_path: Path) -> None:
        write(make(max_bytes=2, mode=0o600), "a", "b")
        assert (tmp_path / "app.log").stat().st_mode & 0o777 == 0o600

    def test_the_target_of_a_symbolic_link_is_rotated_where_it_lies(
        self, make: Make, tmp_path: Path
    ) -> None:
        (tmp_path / "far").mkdir()
        (tmp_path / "app.log").symlink_to(tmp_path / "far" / "real.log")
        write(make(max_bytes=2), "a", "b")
        assert contents(tmp_path / "far") == {"real.log": "b;", "real.log.1": "a;"}
        assert (tmp_path / "app.log").is_symlink()

    def test_a_file_that_somebody_else_moved_is_not_moved_again(
        self, make: Make, tmp_path: Path
    ) -> None:
        output = make(max_bytes=4)
        write(output, "aaa")
        (tmp_path / "app.log").rename(tmp_path / "theirs")
        (tmp_path / "app.log").write_text("x\n")
        write(output, "b")
        assert contents(tmp_path) == {"app.log": "x;b;", "theirs": "aaa;"}


class TestByTime:
    def test_a_period_that_is_over_begins_a_new_file(self, make: Make, tmp_path: Path) -> None:
        clock = Clock(1000)
        output = make(clock, when=100)
        write(output, "a")
        clock.now = 1099.9
        write(output, "b")
        clock.now = 1100
        write(output, "c")
        assert contents(tmp_path) == {"app.log": "c;", "app.log.1": "a;b;"}

    def test_a_period_without_records_makes_no_file(self, make: Make, tmp_path: Path) -> None:
        clock = Clock(1000)
        output = make(clock, when=100)
        output.open()
        clock.now = 5000
        write(output, "a")
        clock.now = 5099
        write(output, "b")
        assert contents(tmp_path) == {"app.log": "a;b;"}

    def test_a_file_of_an_earlier_period_is_rotated_when_opened(
        self, make: Make, tmp_path: Path
    ) -> None:
        (tmp_path / "app.log").write_text("old\n")
        os.utime(tmp_path / "app.log", (1050, 1050))
        make(Clock(1100), when=100).open()
        assert contents(tmp_path) == {"app.log": "", "app.log.1": "old;"}

    def test_a_file_of_the_same_period_is_written_on(self, make: Make, tmp_path: Path) -> None:
        (tmp_path / "app.log").write_text("old\n")
        os.utime(tmp_path / "app.log", (1050, 1050))
        clock = Clock(1099)
        output = make(clock, when=100)
        write(output, "a")
        clock.now = 1100
        write(output, "b")
        assert contents(tmp_path) == {"app.log": "b;", "app.log.1": "old;a;"}

    def test_new_settings_do_not_forget_the_period(self, make: Make, tmp_path: Path) -> None:
        make(Clock(1000), when=100).open()
        write(make(Clock(1000), when=100), "a")
        os.utime(tmp_path / "app.log", (1000, 1000))
        make(Clock(1100), when=100, backups=7).open()
        assert contents(tmp_path) == {"app.log": "", "app.log.1": "a;"}

    def test_size_and_time_combine(self, make: Make, tmp_path: Path) -> None:
        clock = Clock(1000)
        output = make(clock, when=100, max_bytes=4)
        write(output, "a", "b", "c")
        clock.now = 1100
        write(output, "d")
        assert contents(tmp_path) == {"app.log": "d;", "app.log.1": "c;", "app.log.2": "a;b;"}

    def test_a_clock_set_right_by_a_little_begins_no_second_file(
        self, make: Make, tmp_path: Path
    ) -> None:
        clock = Clock(1000)
        output = make(clock, when=100)
        write(output, "a")
        clock.now = 1101
        write(output, "b")
        clock.now = 1099
        write(output, "c")
        clock.now = 1102
        write(output, "d")
        assert contents(tmp_path) == {"app.log": "b;c;d;", "app.log.1": "a;"}

    def test_a_clock_that_was_wrong_by_years_does_not_stop_rotation(
        self, make: Make, tmp_path: Path
    ) -> None:
        clock = Clock(4_000_000_000)
        output = make(clock, when=DAY)
        write(output, "a")
        clock.now = 10 * DAY
        write(output, "b")
        clock.now = 11 * DAY
        write(output, "c")
        assert contents(tmp_path) == {"app.log": "c;", "app.log.1": "a;b;"}

    @pytest.mark.processes
    def test_days_end_at_local_midnight_also_when_clocks_change(
        self, run_script: Callable[..., str], tmp_path: Path
    ) -> None:
        run_script(
            "import time\n"
            "from lual.pipelines.outputs.file import FileOutput, file\n"
            "def at(text): return time.mktime(time.strptime(text, '%Y-%m-%d %H:%M:%S'))\n"
            "now = at('2024-10-27 00:00:00')\n"
            "output = FileOutput(file('app.log', when='daily').settings, _now=lambda: now)\n"
            "for text in ('2024-10-27 00:00:00', '2024-10-27 23:59:59', '2024-10-28 00:00:00'):\n"
            "    now = at(text)\n"
            "    output.write([(text[5:], None)])\n",
            TZ="CET-1CEST,M3.5.0,M10.5.0/3",
        )
        assert contents(tmp_path) == {
            "app.log": "10-28 00:00:00;",
            "app.log.1": "10-27 00:00:00;10-27 23:59:59;",
        }


class TestCompress:
    def test_backups_are_packed(self, make: Make, tmp_path: Path) -> None:
        write(make(max_bytes=2, backups=2, compress="gzip"), "a", "b", "c", "d")
        assert contents(tmp_path) == {"app.log": "d;", "app.log.1.gz": "c;", "app.log.2.gz": "b;"}

    def test_a_packed_backup_keeps_mode_and_time(self, make: Make, tmp_path: Path) -> None:
        output = make(max_bytes=2, compress="gz", mode=0o600)
        write(output, "a")
        os.utime(tmp_path / "app.log", (1000, 1000))
        write(output, "b")
        found = (tmp_path / "app.log.1.gz").stat()
        assert (found.st_mode & 0o777, found.st_mtime) == (0o600, 1000)

    def test_plain_and_packed_backups_move_together(self, make: Make, tmp_path: Path) -> None:
        (tmp_path / "app.log.1").write_text("plain\n")
        (tmp_path / "app.log.2.gz").write_bytes(gzip.compress(b"packed\n"))
        write(make(max_bytes=2, backups=3), "a", "b")
        assert contents(tmp_path) == {
            "app.log": "b;",
            "app.log.1": "a;",
            "app.log.2": "plain;",
            "app.log.3.gz": "packed;",
        }

    def test_a_failure_is_reported_and_leaves_the_plain_backup(
        self, make: Make, tmp_path: Path, problems: list[str]
    ) -> None:
        (tmp_path / "app.log.1.gz.tmp").mkdir()
        write(make(max_bytes=2, compress="gzip"), "a", "b")
        assert contents(tmp_path) == {"app.log": "b;", "app.log.1": "a;"}
        (problem,) = problems
        assert "stays uncompressed" in problem

    def test_a_full_disk_leaves_the_plain_backup_and_nothing_else(
        self,
        make: Make,
        tmp_path: Path,
        problems: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def full(fd: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        write(make(max_bytes=2, compress="gzip"), "a", "b")
        assert contents(tmp_path) == {"app.log": "b;", "app.log.1": "a;"}
        assert "No space left" in problems[0]

    def test_a_file_that_a_child_still_writes_to_stays_uncompressed(
        self,
        make: Make,
        tmp_path: Path,
        problems: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(backups_module, "WAIT_FOR_WRITERS", 0.0)
        output = make(max_bytes=2, compress="gzip")
        write(output, "a")
        with open(tmp_path / "app.log") as child:
            fcntl.flock(child, fcntl.LOCK_SH)
            write(output, "b")
        assert contents(tmp_path) == {"app.log": "b;", "app.log.1": "a;"}
        assert "a forked child is still writing to it" in problems[0]

    def test_it_waits_for_a_child_that_writes(
        self, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output = make(max_bytes=2, compress="gzip")
        write(output, "a")
        with open(tmp_path / "app.log") as child:
            fcntl.flock(child, fcntl.LOCK_SH)
            monkeypatch.setattr(time, "sleep", lambda _: fcntl.flock(child, fcntl.LOCK_UN))
            write(output, "b")
        assert contents(tmp_path) == {"app.log": "b;", "app.log.1.gz": "a;"}


class TestFailure:
    @pytest.fixture
    def stuck(self, tmp_path: Path) -> Path:
        """A folder that stands where the oldest backup goes."""
        (tmp_path / "app.log.1").mkdir()
        (tmp_path / "app.log.1" / "x").touch()
        return tmp_path / "app.log.1"

    def test_writing_goes_on_in_the_same_file(
        self, make: Make, tmp_path: Path, stuck: Path, problems: list[str]
    ) -> None:
        output = make(max_bytes=2, backups=1)
        write(output, "a", "b", "c")
        write(output, "d")
        assert contents(tmp_path) == {"app.log": "a;b;c;d;"}

    def test_it_is_reported_once_and_tried_again_later(
        self, make: Make, tmp_path: Path, stuck: Path, problems: list[str]
    ) -> None:
        clock = Clock()
        output = make(clock, max_bytes=2, backups=1)
        for text in "abcd":
            write(output, text)
        assert len(problems) == 1
        assert str(tmp_path / "app.log") in problems[0]
        clock.now += 60
        write(output, "e")
        assert len(problems) == 2

    def test_it_heals(self, make: Make, tmp_path: Path, stuck: Path, problems: list[str]) -> None:
        clock = Clock()
        output = make(clock, max_bytes=2, backups=1)
        write(output, "a", "b")
        (stuck / "x").unlink()
        stuck.rmdir()
        clock.now += 60
        write(output, "c")
        assert contents(tmp_path) == {"app.log": "c;", "app.log.1": "a;b;"}

    def test_a_failed_rotation_by_time_is_tried_again(
        self, make: Make, tmp_path: Path, stuck: Path, problems: list[str]
    ) -> None:
        clock = Clock(1000)
        output = make(clock, when=1000, backups=1)
        write(output, "a")
        clock.now = 2000
        write(output, "b")
        (stuck / "x").unlink()
        stuck.rmdir()
        clock.now = 2060
        write(output, "c")
        assert contents(tmp_path) == {"app.log": "c;", "app.log.1": "a;b;"}

    def test_a_failed_rotation_at_opening_is_tried_again(
        self, make: Make, tmp_path: Path, stuck: Path, problems: list[str]
    ) -> None:
        (tmp_path / "app.log").write_text("old\n")
        os.utime(tmp_path / "app.log", (1050, 1050))
        clock = Clock(1100)
        output = make(clock, when=100, backups=1)
        output.open()
        assert len(problems) == 1
        (stuck / "x").unlink()
        stuck.rmdir()
        clock.now = 1160
        write(output, "a")
        assert contents(tmp_path) == {"app.log": "a;", "app.log.1": "old;"}

    def test_repeated_failures_do_not_eat_up_the_backups(
        self, make: Make, tmp_path: Path, problems: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in (1, 2, 3):
            (tmp_path / f"app.log.{number}").write_text(f"{number}\n")
        real = os.rename

        def rename(source: str, target: str) -> None:
            if source.endswith("app.log.1"):
                raise PermissionError(13, "Permission denied")
            real(source, target)

        monkeypatch.setattr(os, "rename", rename)
        clock = Clock()
        output = make(clock, max_bytes=2, backups=3)
        for _ in range(4):
            write(output, "a")
            clock.now += 60
        assert contents(tmp_path) == {
            "app.log": "a;a;a;a;",
            "app.log.1": "1;",
            "app.log.3": "2;",
        }

    def test_a_new_file_that_can_not_be_opened_leaves_the_old_one_in_place(
        self, make: Make, tmp_path: Path, problems: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output = make(max_bytes=2)
        write(output, "a")

        def open_(*_: object) -> int:
            raise OSError(24, "Too many open files")

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", open_)
            write(output, "b")
        assert contents(tmp_path) == {"app.log": "a;b;"}
        assert "Too many open files" in problems[0]
