from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
import weakref
from typing import Any

import pytest

import lual

NAMES = [
    "logger_name",
    "level",
    "level_name",
    "message",
    "message_format",
    "args",
    "fields",
    "context",
    "timestamp",
    "timestamp_ns",
    "file",
    "line",
    "function",
    "module",
    "thread_id",
    "thread_name",
    "task_name",
    "process_id",
    "process_name",
    "exception",
    "stack",
    "seq",
]


def line_here() -> int:
    return sys._getframe(1).f_lineno


@pytest.mark.parametrize("name", NAMES)
def test_a_record_has_every_name_of_the_contract(recorded: Any, name: str) -> None:
    lual.logger("record").info("x")
    assert hasattr(recorded.last, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_record_is_immutable(name: str) -> None:
    record = lual.Record.build("x")
    with pytest.raises(AttributeError, match="immutable"):
        setattr(record, name, 1)
    with pytest.raises(AttributeError, match="immutable"):
        delattr(record, name)


def test_a_record_takes_no_further_attributes() -> None:
    with pytest.raises(AttributeError):
        lual.Record.build("x").colour = "red"  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no 'colour'"):
        _ = lual.Record.build("x").colour  # type: ignore[attr-defined]


def test_a_record_shows_logger_level_and_message(recorded: Any) -> None:
    lual.logger("record.shown").warning("%d %s", 2, "two", extra=1)
    record = recorded.last
    assert (record.logger_name, record.level, record.level_name) == (
        "record.shown",
        30,
        "WARNING",
    )
    assert (record.message, record.message_format, record.args) == ("2 two", "%d %s", (2, "two"))
    assert record.fields == {"extra": 1}


def test_the_time_is_that_of_the_call(plugged: Any, gate: Any) -> None:
    memory = plugged()
    before = time.time_ns()
    lual.logger("record").info("x")
    after = time.time_ns()
    gate.let_pass()
    assert lual.flush()
    assert before <= memory.last.timestamp_ns <= after
    assert memory.last.timestamp == memory.last.timestamp_ns / 1e9


def test_seq_rises_with_every_attempt(recorded: Any) -> None:
    log = lual.logger("record")
    log.info("one")
    log.info("two", field=1)
    first, second = recorded.records
    assert second.seq == first.seq + 1


class TestCaller:
    def test_is_file_line_function_and_module(self, recorded: Any) -> None:
        expected = line_here() + 1
        lual.logger("record").info("x")
        record = recorded.last
        assert record.file == __file__
        assert record.line == expected
        assert record.function == "test_is_file_line_function_and_module"
        assert record.module == "test_record"

    @pytest.mark.parametrize("fields", [{}, {"field": 1}], ids=["plain", "fields"])
    @pytest.mark.parametrize("method", ["info", "exception", "log", "ainfo", "alog", "aexception"])
    def test_is_found_through_every_method(
        self, recorded: Any, method: str, fields: dict[str, int]
    ) -> None:
        call = getattr(lual.logger("record"), method)
        args = ("info", "x") if method.endswith("log") else ("x",)
        expected = line_here() + 1
        call(*args, **fields)
        assert (recorded.last.function, recorded.last.line) == (
            "test_is_found_through_every_method",
            expected,
        )

    def test_is_found_through_a_bound_logger(self, recorded: Any) -> None:
        expected = line_here() + 1
        lual.logger("record").bind(a=1).info("x")
        assert recorded.last.line == expected

    @pytest.mark.parametrize("method", ["info", "exception", "log", "ainfo", "alog", "aexception"])
    def test_stacklevel_names_the_callers_caller(self, recorded: Any, method: str) -> None:
        args = ("info", "x") if method.endswith("log") else ("x",)

        def helper() -> None:
            getattr(lual.logger("record"), method)(*args, stacklevel=2)

        expected = line_here() + 1
        helper()
        assert (recorded.last.function, recorded.last.line) == (
            "test_stacklevel_names_the_callers_caller",
            expected,
        )
        assert recorded.last.fields == {}

    def test_a_stacklevel_beyond_the_stack_names_the_outermost_caller(self, recorded: Any) -> None:
        lual.logger("record").info("x", stacklevel=100_000)
        assert recorded.messages == ["x"]

    def test_a_stacklevel_that_is_no_int_is_reported(
        self, recorded: Any, problems: list[str]
    ) -> None:
        lual.logger("record").info("x", stacklevel="two")
        assert recorded.last.function == "test_a_stacklevel_that_is_no_int_is_reported"
        assert "'two'" in problems[0]

    def test_is_that_of_the_call_also_if_it_is_looked_up_later(
        self, plugged: Any, gate: Any
    ) -> None:
        memory = plugged()
        expected = line_here() + 1
        lual.logger("record").info("x")
        gate.let_pass()
        assert lual.flush()
        assert memory.last.line == expected


class TestThreadTaskAndProcess:
    def test_the_thread_is_that_of_the_call(self, plugged: Any, gate: Any) -> None:
        memory = plugged()
        thread = threading.Thread(target=lual.logger("record").info, args=("x",), name="mine")
        thread.start()
        thread.join()
        gate.let_pass()
        assert lual.flush()
        assert (memory.last.thread_name, memory.last.thread_id) == ("mine", thread.ident)

    @pytest.mark.parametrize("fields", [{}, {"field": 1}], ids=["plain", "fields"])
    def test_a_renamed_thread_has_its_new_name(self, recorded: Any, fields: dict[str, int]) -> None:
        log = lual.logger("record")

        def work() -> None:
            log.info("x", **fields)
            threading.current_thread().name = "renamed"
            log.info("x", **fields)

        thread = threading.Thread(target=work, name="original")
        thread.start()
        thread.join()
        assert [r.thread_name for r in recorded.records] == ["original", "renamed"]

    def test_the_thread_name_stays_that_of_the_call(self, plugged: Any, gate: Any) -> None:
        memory = plugged()
        thread = threading.current_thread()
        before = thread.name
        lual.logger("record").info("x")
        thread.name = "later"
        try:
            gate.let_pass()
            assert lual.flush()
        finally:
            thread.name = before
        assert memory.last.thread_name == before

    def test_outside_a_task_there_is_no_task_name(self, recorded: Any) -> None:
        lual.logger("record").info("x")
        assert recorded.last.task_name is None

    @pytest.mark.parametrize("fields", [{}, {"field": 1}], ids=["plain", "fields"])
    def test_the_task_is_that_of_the_call(self, recorded: Any, fields: dict[str, int]) -> None:
        async def main() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.set_name("collector")
            lual.logger("record").info("x", **fields)
            task.set_name("renamed")

        asyncio.run(main())
        assert recorded.last.task_name == "collector"

    def test_the_process_is_this_one(self, recorded: Any) -> None:
        lual.logger("record").info("x")
        assert (recorded.last.process_id, recorded.last.process_name) == (
            os.getpid(),
            "MainProcess",
        )


def text_of(record: lual.Record) -> str:
    assert record.exception is not None
    return "".join(record.exception.format())


class TestException:
    def test_is_captured_by_exception(self, recorded: Any) -> None:
        try:
            raise ValueError("bad")
        except ValueError:
            lual.logger("record").exception("failed %d", 1, k=2)
        record = recorded.last
        assert (record.level, record.message, record.fields) == (40, "failed 1", {"k": 2})
        assert text_of(record).endswith("ValueError: bad\n")
        assert 'raise ValueError("bad")' in text_of(record)

    @pytest.mark.parametrize("kind", ["flag", "number", "exception", "triple"])
    def test_exc_info_means_what_it_means_in_the_standard_library(
        self, recorded: Any, kind: str
    ) -> None:
        try:
            raise ValueError("bad")
        except ValueError as error:
            given = {"flag": True, "number": 1, "exception": error, "triple": sys.exc_info()}[kind]
            lual.logger("record").info("x", exc_info=given)
        assert "ValueError: bad" in text_of(recorded.last)
        assert recorded.last.fields == {}

    @pytest.mark.parametrize("given", [False, None, 0, True, (None, None, None)], ids=repr)
    def test_without_an_exception_there_is_none(self, recorded: Any, given: Any) -> None:
        lual.logger("record").info("x", exc_info=given)
        assert recorded.last.exception is None

    def test_an_exception_that_is_false_is_an_exception(self, recorded: Any) -> None:
        class Falsy(Exception):
            def __bool__(self) -> bool:
                return False

        lual.logger("record").info("x", exc_info=Falsy("bad"))
        assert "Falsy: bad" in text_of(recorded.last)

    def test_shows_what_it_came_from(self, recorded: Any) -> None:
        try:
            try:
                raise KeyError("first")
            except KeyError as first:
                raise ValueError("second") from first
        except ValueError:
            lual.logger("record").exception("x")
        text = text_of(recorded.last)
        assert "KeyError: 'first'" in text
        assert "direct cause" in text
        assert text.index("first") < text.index("second")

    def test_shows_notes_as_they_were(self, recorded: Any) -> None:
        error = ValueError("bad")
        error.__notes__ = ["early"]  # type: ignore[attr-defined]
        lual.logger("record").info("x", exc_info=error)
        error.__notes__.append("late")  # type: ignore[attr-defined]
        assert "late" not in text_of(recorded.last)
        if sys.version_info >= (3, 11):
            assert "early" in text_of(recorded.last)

    def test_whose_text_raises_is_logged_all_the_same(self, recorded: Any) -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no text")

        try:
            raise Mute
        except Mute:
            lual.logger("record").exception("x")
        assert "Mute" in text_of(recorded.last)

    def test_whose_attributes_raise_is_logged_all_the_same(self, recorded: Any) -> None:
        class Hostile(Exception):
            @property
            def __cause__(self) -> None:  # type: ignore[override]
                raise RuntimeError("no cause")

        lual.logger("record").info("x", exc_info=Hostile("bad"))
        assert "Hostile" in recorded.texts[0]

    def test_which_is_no_exception_at_all_raises_nothing(self, recorded: Any) -> None:
        lual.logger("record").info("x", exc_info=(str, "not an exception", None))
        assert recorded.messages == ["x"]

    def test_keeps_neither_frames_nor_objects_alive(self, recorded: Any) -> None:
        class Thing:
            pass

        class Failure(Exception):
            pass

        def fail() -> tuple[Any, Any]:
            thing = Thing()
            failure = Failure("bad")
            failure.thing = thing  # type: ignore[attr-defined]
            references = weakref.ref(thing), weakref.ref(failure)
            try:
                raise failure
            except Failure:
                lual.logger("record").exception("x", field=thing)
            del failure
            return references

        thing, failure = fail()
        assert (thing(), failure()) == (None, None)
        assert "Failure: bad" in text_of(recorded.last)

    def test_looks_up_no_source_lines_on_the_caller(
        self, plugged: Any, gate: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import linecache

        memory = plugged()
        looked = []
        plain = linecache.getline
        monkeypatch.setattr(
            linecache, "getline", lambda *a, **k: looked.append(a) or plain(*a, **k)
        )
        monkeypatch.setattr(linecache, "getlines", lambda *a, **k: looked.append(a) or [])
        try:
            raise ValueError("bad")
        except ValueError:
            lual.logger("record").exception("x")
        assert looked == []
        gate.let_pass()
        assert lual.flush()
        assert "ValueError: bad" in memory.texts[-1]


class TestStack:
    def test_is_that_of_the_call(self, recorded: Any) -> None:
        lual.logger("record").info("x", stack_info=True)
        assert recorded.last.stack.splitlines()[-1].strip().startswith('lual.logger("record").info')
        assert "test_is_that_of_the_call" in recorded.texts[0]
        assert recorded.last.fields == {}

    def test_is_there_on_request_only(self, recorded: Any) -> None:
        lual.logger("record").info("x", stack_info=False)
        assert recorded.last.stack is None


class TestReplace:
    def test_returns_a_changed_copy(self) -> None:
        record = lual.Record.build("before", fields={"a": 1}, logger_name="app")
        changed = record.replace(message="after", level=40)
        assert (changed.message, changed.level_name, changed.fields) == ("after", "ERROR", {"a": 1})
        assert (record.message, record.level) == ("before", 0)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("logger_name", "other"),
            ("level", 20),
            ("level_name", "LOUD"),
            ("message", "100 %s"),
            ("message_format", "%s"),
            ("args", (1,)),
            ("fields", {"a": 1}),
            ("context", {"b": 2}),
            ("timestamp", 1790000000.123457),
            ("timestamp_ns", 1790000000123456789),
            ("file", "/a/b.py"),
            ("line", 7),
            ("function", "f"),
            ("module", "m"),
            ("thread_id", 8),
            ("thread_name", "t"),
            ("task_name", "k"),
            ("process_id", 9),
            ("process_name", "p"),
            ("exception", traceback.TracebackException(ValueError, ValueError("x"), None)),
            ("stack", "s"),
            ("seq", 10),
        ],
        ids=lambda value: value if isinstance(value, str) and value in NAMES else "",
    )
    def test_replaces_any_name(self, recorded: Any, name: str, value: Any) -> None:
        lual.logger("record").info("x")
        assert getattr(recorded.last.replace(**{name: value}), name) == value

    def test_a_new_message_is_not_formatted_again(self, recorded: Any) -> None:
        lual.logger("record").info("%s", "x")
        changed = recorded.last.replace(message="100 %s")
        assert (changed.message, changed.message_format, changed.args) == ("100 %s", "%s", ("x",))

    def test_seconds_and_nanoseconds_agree(self) -> None:
        record = lual.Record.build("x").replace(timestamp=1.5)
        assert record.timestamp_ns == 1_500_000_000
        assert record.replace(timestamp_ns=2_000_000_000).timestamp == 2.0

    def test_a_new_file_has_its_own_module(self) -> None:
        assert lual.Record.build("x").replace(file="/a/app.py").module == "app"

    def test_refuses_a_name_that_a_record_does_not_have(self) -> None:
        with pytest.raises(TypeError, match="no 'colour'"):
            lual.Record.build("x").replace(colour="red")

    def test_what_a_transformer_replaces_is_what_is_presented(self, memory: Any) -> None:
        lual.config(
            pipelines=[
                lual.pipeline(
                    transformers=[lambda r: r.replace(message="***", fields={"a": 2})],
                    presenter=lual.text("{message}"),
                    outputs=[memory],
                )
            ]
        )
        lual.logger("record").error("secret %s", "word", a=1)
        assert memory.texts == ["*** a=2"]


def test_changing_the_fields_of_a_record_reaches_no_other_pipeline(memory: Any) -> None:
    def spoil(text: str, record: lual.Record) -> None:
        record.fields["a"] = "spoilt"  # type: ignore[index]

    lual.config(pipelines=[lual.pipeline(outputs=[spoil]), lual.pipeline(outputs=[memory])])
    lual.logger("record").error("x", a=1)
    assert memory.last.fields == {"a": 1}


def test_a_record_can_be_built_by_hand() -> None:
    record = lual.Record.build("hello", logger_name="app", level=20, fields={"a": 1})
    assert repr(record) == "<Record None INFO app: 'hello'>"
    assert (record.file, record.line, record.context) == ("", 0, {})
