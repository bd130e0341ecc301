from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

import lual
from lual.reports import Reporter, describe


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def reporter(time: Time) -> Reporter:
    return Reporter(now=time)


class TestStandardError:
    def test_the_first_of_a_kind_is_printed_at_once(self, reporter: Reporter, capsys: Any) -> None:
        reporter.problem("disk", "the disk is full")
        assert capsys.readouterr().err == "lual: the disk is full\n"

    def test_further_ones_wait_for_five_seconds(
        self, reporter: Reporter, time: Time, capsys: Any
    ) -> None:
        for _ in range(4):
            reporter.problem("disk", "full")
        time.now += 4.9
        reporter.problem("disk", "full")
        assert capsys.readouterr().err == "lual: full\n"
        time.now += 0.1
        reporter.problem("disk", "still full")
        assert capsys.readouterr().err == "lual: still full (+4 more of this kind)\n"

    def test_the_count_begins_anew_after_each_line(
        self, reporter: Reporter, time: Time, capsys: Any
    ) -> None:
        for _ in range(2):
            reporter.problem("disk", "full")
        time.now += 5
        reporter.problem("disk", "full")
        time.now += 5
        reporter.problem("disk", "full")
        assert capsys.readouterr().err.splitlines()[-1] == "lual: full"

    def test_kinds_are_limited_apart(self, reporter: Reporter, capsys: Any) -> None:
        reporter.problem("disk", "full")
        reporter.problem("network", "down")
        assert capsys.readouterr().err == "lual: full\nlual: down\n"

    def test_a_problem_is_one_line_that_drives_no_terminal(
        self, reporter: Reporter, capsys: Any
    ) -> None:
        reporter.problem("x", "a\nlual: forged\x1b[31m\x07\u2028end")
        assert capsys.readouterr().err == ("lual: a\\nlual: forged\\x1b[31m\\x07\\u2028end\n")

    def test_is_found_at_the_time_of_the_problem(
        self, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import io

        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        reporter.problem("x", "here")
        assert stream.getvalue() == "lual: here\n"

    def test_may_be_missing_or_broken(
        self, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stderr", None)
        reporter.problem("x", "nobody reads this")
        monkeypatch.setattr(sys, "stderr", object())
        reporter.problem("y", "nor this")
        assert reporter.counts == {"x": 1, "y": 1}


class TestHandler:
    def test_gets_every_message_alone(self, reporter: Reporter, capsys: Any) -> None:
        got: list[str] = []
        reporter.set_handler(got.append)
        for _ in range(3):
            reporter.problem("disk", "full")
        assert got == ["full"] * 3
        assert capsys.readouterr().err == ""

    def test_none_restores_standard_error(self, reporter: Reporter, capsys: Any) -> None:
        reporter.set_handler(print)
        reporter.set_handler(None)
        reporter.problem("disk", "full")
        assert capsys.readouterr().err == "lual: full\n"

    def test_that_can_not_be_called_is_refused(self, reporter: Reporter) -> None:
        with pytest.raises(TypeError, match="got 5"):
            reporter.set_handler(5)  # type: ignore[arg-type]

    def test_that_raises_changes_nothing_and_is_printed(
        self, reporter: Reporter, capsys: Any
    ) -> None:
        def broken(message: str) -> None:
            raise ValueError("broken handler")

        reporter.set_handler(broken)
        reporter.problem("disk", "full")
        printed = capsys.readouterr().err
        assert "broken handler" in printed
        assert "full" in printed

    def test_that_causes_a_problem_is_not_called_for_it(self, reporter: Reporter) -> None:
        got: list[str] = []

        def handler(message: str) -> None:
            got.append(message)
            reporter.problem("nested", "again")

        reporter.set_handler(handler)
        reporter.problem("disk", "full")
        assert got == ["full"]
        assert reporter.counts == {"disk": 1, "nested": 1}

    def test_of_one_thread_does_not_silence_another(self, reporter: Reporter) -> None:
        got: list[str] = []

        def handler(message: str) -> None:
            got.append(message)
            if message == "outer":
                thread = threading.Thread(target=reporter.problem, args=("x", "other thread"))
                thread.start()
                thread.join()

        reporter.set_handler(handler)
        reporter.problem("x", "outer")
        assert got == ["outer", "other thread"]

    def test_lets_a_keyboard_interrupt_go_on_and_works_afterwards(self, reporter: Reporter) -> None:
        got: list[str] = []

        def handler(message: str) -> None:
            got.append(message)
            if len(got) == 1:
                raise KeyboardInterrupt

        reporter.set_handler(handler)
        with pytest.raises(KeyboardInterrupt):
            reporter.problem("x", "one")
        reporter.problem("x", "two")
        assert got == ["one", "two"]


def test_the_last_error_says_when_what_and_of_which_kind(reporter: Reporter) -> None:
    assert reporter.last_error is None
    reporter.problem("disk", "full")
    assert reporter.last_error is not None
    assert set(reporter.last_error) == {"time", "kind", "message"}
    assert (reporter.last_error["kind"], reporter.last_error["message"]) == ("disk", "full")


def test_problems_of_the_application_reach_the_handler_and_the_statistics(
    recorded: Any, problems: list[str]
) -> None:
    lual.logger("reports").log("nolevel", "x")
    assert len(problems) == 1
    assert lual.get_stats()["last_error"]["message"] == problems[0]
    assert lual.get_stats()["extra"]["problems"] == {"level": 1}


def test_a_handler_may_log(recorded: Any) -> None:
    lual.set_error_handler(lambda message: lual.logger("handler").error("seen"))
    lual.logger("reports").log("nolevel", "x")
    assert sorted(recorded.messages) == ["seen", "x"]


def test_an_exception_is_described_by_kind_and_text() -> None:
    assert describe(ValueError("bad")) == "ValueError: bad"
    assert describe(ValueError()) == "ValueError"


def test_an_exception_without_a_text_to_be_had_is_described_too() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert describe(Mute()) == "Mute: its text can't be had"
