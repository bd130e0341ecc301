from __future__ import annotations

import asyncio
import builtins
import sys
import threading
from typing import Any

import pytest

import lual
from lual.engine.capture import (
    LOCAL,
    CapturedItem,
    _Numbers,
    capture_exception,
    capture_message,
    current_task_name,
    current_thread_pair,
    next_seq,
    outer_frame,
)


@pytest.mark.parametrize("count", [next_seq, _Numbers()], ids=["default", "without the GIL"])
def test_every_attempt_gets_a_number_of_its_own(count: Any) -> None:
    numbers: list[int] = []

    def take() -> None:
        numbers.extend(count() for _ in range(500))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(numbers)) == len(numbers) == 2000


def test_the_thread_is_looked_up_once_as_long_as_it_keeps_its_name() -> None:
    assert current_thread_pair() is current_thread_pair() is LOCAL.who.pair


def test_a_renamed_thread_is_looked_up_again() -> None:
    thread = threading.current_thread()
    before = thread.name
    try:
        thread.name = "renamed"
        assert current_thread_pair() == (thread.ident, "renamed")
    finally:
        thread.name = before
    assert current_thread_pair()[1] == before


def test_a_thread_that_threading_did_not_start_has_a_name_too() -> None:
    import _thread

    found = []
    done = threading.Event()

    def work() -> None:
        found.append(current_thread_pair())
        done.set()

    _thread.start_new_thread(work, ())
    assert done.wait(5)
    assert found[0][1]


def test_without_asyncio_there_is_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asyncio")
    assert current_task_name() is None


def test_a_callback_of_the_loop_has_no_task() -> None:
    found = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: found.append(current_task_name()))
        await asyncio.sleep(0)

    asyncio.run(main())
    assert found == [None]


def test_a_message_of_plain_arguments_is_joined_later() -> None:
    args = (1, "a", None)
    assert capture_message("%s %s %s", args) == ("%s %s %s", args)


def test_a_message_of_other_arguments_is_finished_at_once() -> None:
    assert capture_message("%s %d%%", ([1], 5)) == ("[1] 5%", ())


def test_a_finished_text_with_percent_signs_is_not_formatted_again(recorded: Any) -> None:
    lual.logger("capture").info("%s", ["100 %d"])
    assert recorded.messages == ["['100 %d']"]


def test_outer_frame_counts_from_one() -> None:
    frame = sys._getframe()
    assert outer_frame(frame, 1) is frame
    assert outer_frame(frame, 0) is frame
    assert outer_frame(frame, 2) is frame.f_back


def test_an_exception_is_captured_without_its_frames() -> None:
    try:
        raise ValueError("bad")
    except ValueError as error:
        captured = capture_exception(error)
    assert [part.name for part in captured.stack] == [
        "test_an_exception_is_captured_without_its_frames"
    ]
    assert not any(part.locals for part in captured.stack)


def test_notes_are_copied_through_causes_and_groups() -> None:
    inner, cause = ValueError("inner"), KeyError("cause")
    for error in (inner, cause):
        error.__notes__ = ["early"]  # type: ignore[attr-defined]
    group = getattr(builtins, "ExceptionGroup", lambda text, errors: errors[0])
    outer = group("group", [inner])
    outer.__cause__ = cause
    captured = capture_exception(outer)
    for error in (inner, cause):
        error.__notes__.append("late")  # type: ignore[attr-defined]
    assert "late" not in "".join(captured.format())


def test_notes_of_any_kind_raise_nothing() -> None:
    error = ValueError("bad")
    error.__notes__ = 5  # type: ignore[attr-defined]
    assert "ValueError: bad" in "".join(capture_exception(error).format())


class TestCapturedItem:
    @pytest.fixture
    def item(self, plugged: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Returns what the backend is given for a record."""
        import unit_backends

        plugged()
        given = []
        backend = unit_backends.threads.last
        lual.logger("capture").info("%d", 1, a=2)
        given = backend.queue.extract_batch(1)
        backend.queue.requeue_front(given)
        return given[0]

    def test_has_the_attributes_of_a_work_item(self, item: Any) -> None:
        assert isinstance(item, CapturedItem)
        assert (item.level, item.logger) == (20, lual.logger("capture"))
        assert isinstance(item.seq, int)
        assert item.dispatch_func is None
        assert (item.record.message, item.record.fields) == ("1", {"a": 2})
        assert item.submitted_at == item.record.timestamp

    def test_is_itself_and_no_other(self, item: Any) -> None:
        twin = tuple.__new__(CapturedItem, tuple(item))
        assert item != twin
        assert len({item, twin}) == 2


@pytest.mark.parametrize("fields", [{}, {"a": 1}], ids=["plain", "fields"])
def test_both_ways_of_capturing_see_the_same(recorded: Any, fields: dict[str, int]) -> None:
    lual.logger("capture").info("%s", "x", **fields)
    record = recorded.last
    assert (record.logger_name, record.level, record.message) == ("capture", 20, "x")
    assert record.fields == fields
    assert (record.file, record.function) == (
        __file__,
        "test_both_ways_of_capturing_see_the_same",
    )
    assert record.thread_id == threading.get_ident()
