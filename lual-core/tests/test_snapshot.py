from __future__ import annotations

import datetime
import decimal
import fractions
import ipaddress
import uuid
from typing import Any

import pytest

import lual
from lual.snapshot import is_plain, snapshot_value


class Mutable:
    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Mutable({self.text})"


class Raising:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Interrupting:
    def __str__(self) -> str:
        raise KeyboardInterrupt

    __repr__ = __str__


@pytest.mark.parametrize(
    "value",
    [
        1,
        1.5,
        "text",
        True,
        None,
        b"bytes",
        1j,
        datetime.date(2026, 1, 2),
        datetime.timedelta(1),
        decimal.Decimal("1.10"),
        fractions.Fraction(1, 3),
        uuid.UUID(int=5),
        ipaddress.ip_address("10.0.0.1"),
        ipaddress.ip_address("::1"),
        datetime.datetime(2026, 1, 2, 3, 4),
        datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.timezone.utc),
        datetime.time(3, 4),
    ],
)
def test_values_of_immutable_standard_types_are_kept(value: Any) -> None:
    assert snapshot_value(value) is value


def test_a_subclass_of_a_plain_type_is_not_plain() -> None:
    assert not is_plain(type("Text", (str,), {}))
    assert not is_plain(type("Decimal", (decimal.Decimal,), {"__module__": "decimal"}))


def test_a_time_in_a_zone_of_the_application_is_rendered() -> None:
    class Zone(datetime.tzinfo):
        def utcoffset(self, when: Any) -> datetime.timedelta:
            return datetime.timedelta(0)

    assert isinstance(snapshot_value(datetime.datetime(2026, 1, 2, tzinfo=Zone())), str)


def test_containers_of_plain_data_are_copied() -> None:
    given = {"ids": [1, (2, 3)], 4: {"deep": None}}
    copy = snapshot_value(given)
    given["ids"].append(9)  # type: ignore[attr-defined]
    assert copy == {"ids": [1, [2, 3]], "4": {"deep": None}}


def test_other_objects_are_rendered_by_their_repr() -> None:
    assert snapshot_value([Mutable("x")]) == ["Mutable(x)"]


def test_a_container_that_holds_itself_is_rendered() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert "[...]" in str(snapshot_value(loop))


def test_a_value_whose_repr_raises_is_shown_as_what_it_raised() -> None:
    assert snapshot_value(Raising()) == "<Raising, whose repr raised ValueError: no text>"


class TestACall:
    def test_shows_a_mutable_argument_as_it_was(self, plugged: Any, gate: Any) -> None:
        memory = plugged()
        items, thing = [1], Mutable("before")
        lual.logger("snapshot").info("%s %s", items, thing)
        items.append(2)
        thing.text = "after"
        gate.let_pass()
        assert lual.flush()
        assert memory.texts[-1] == "[1] before"

    def test_shows_a_mutable_field_as_it_was(self, plugged: Any, gate: Any) -> None:
        memory = plugged()
        items, thing = {"a": [1]}, Mutable("before")
        lual.logger("snapshot").info("x", items=items, thing=thing)
        items["a"].append(2)
        thing.text = "after"
        gate.let_pass()
        assert lual.flush()
        assert memory.last.fields == {"items": {"a": [1]}, "thing": "Mutable(before)"}

    def test_shows_a_bound_field_as_it_was(self, recorded: Any) -> None:
        items = [1]
        log = lual.logger("snapshot").bind(items=items)
        lual.bind_context(others=items)
        items.append(2)
        log.info("x")
        assert recorded.last.fields == {"items": [1]}
        assert recorded.last.context == {"others": [1]}

    def test_shows_a_mutable_message_as_it_was(self, plugged: Any, gate: Any) -> None:
        memory = plugged()
        message = Mutable("before")
        lual.logger("snapshot").info(message)
        message.text = "after"
        gate.let_pass()
        assert lual.flush()
        assert memory.texts[-1] == "before"

    def test_keeps_plain_arguments_and_presents_them_later(self, recorded: Any) -> None:
        lual.logger("snapshot").info("%s has %d", "disk", 3)
        assert recorded.last.message_format == "%s has %d"
        assert recorded.last.args == ("disk", 3)

    def test_keeps_the_template_of_a_message_formatted_at_the_call(self, recorded: Any) -> None:
        lual.logger("snapshot").info("got %s", [1])
        assert recorded.last.message == "got [1]"
        assert recorded.last.message_format == "got %s"

    def test_keeps_no_argument_alive(self, recorded: Any) -> None:
        import weakref

        thing = Mutable("x")
        alive = weakref.ref(thing)
        lual.logger("snapshot").info("%s", thing, thing=thing)
        del thing
        assert alive() is None

    def test_fills_named_places_from_a_single_mapping(self, recorded: Any) -> None:
        lual.logger("snapshot").info("%(who)s logs", {"who": "ann"})
        lual.logger("snapshot").info("empty: %s", {})
        assert recorded.texts == ["ann logs", "empty: {}"]

    def test_a_percent_sign_without_arguments_is_a_percent_sign(self, recorded: Any) -> None:
        lual.logger("snapshot").info("100 %")
        assert recorded.texts == ["100 %"]

    def test_asks_no_argument_whether_it_is_true(self, recorded: Any) -> None:
        class Array:
            def __bool__(self) -> bool:
                raise ValueError("ambiguous")

            def __str__(self) -> str:
                return "array"

        lual.logger("snapshot").info("%s", Array())
        assert recorded.texts == ["array"]


class TestAMessageThatDoesNotFit:
    def test_is_written_as_template_arguments_and_reason(
        self, recorded: Any, problems: list[str]
    ) -> None:
        lual.logger("snapshot").info("%d and %d", 1)
        assert "%d and %d" in recorded.texts[0]
        assert "(1,)" in recorded.texts[0]
        assert "not enough arguments" in recorded.texts[0]

    def test_is_reported_with_its_logger(self, recorded: Any, problems: list[str]) -> None:
        lual.logger("snapshot").info("%d", "word")
        assert len(problems) == 1
        assert "'snapshot'" in problems[0]

    def test_is_written_too_if_it_was_formatted_at_the_call(
        self, recorded: Any, problems: list[str]
    ) -> None:
        lual.logger("snapshot").info("%d of %s", [1], Mutable("x"))
        assert "%d of %s | arguments: ([1], Mutable(x))" in recorded.texts[0]
        assert len(problems) == 1

    def test_fails_no_record(self, recorded: Any, problems: list[str]) -> None:
        lual.logger("snapshot").info("%d", "word")
        assert lual.get_stats()["messages_failed"] == 0
        assert lual.get_stats()["messages_processed"] == 1


class TestAnArgumentWhoseTextRaises:
    def test_is_written_as_what_it_raised(self, recorded: Any, problems: list[str]) -> None:
        lual.logger("snapshot").info("%s, %s", "good", Raising())
        assert recorded.texts == ["good, <Raising, whose str raised ValueError: no text>"]
        assert len(problems) == 1

    def test_is_written_as_what_it_raised_in_a_mapping(
        self, recorded: Any, problems: list[str]
    ) -> None:
        lual.logger("snapshot").info("%(a)s %(b)s", {"a": "good", "b": Raising()})
        assert recorded.texts == ["good <Raising, whose str raised ValueError: no text>"]

    def test_is_written_as_what_it_raised_as_the_message(self, recorded: Any) -> None:
        lual.logger("snapshot").info(Raising())
        assert recorded.texts == ["<Raising, whose str raised ValueError: no text>"]

    def test_is_written_as_what_it_raised_as_a_field(self, recorded: Any) -> None:
        lual.logger("snapshot").info("x", bad=Raising())
        assert recorded.last.fields == {"bad": "<Raising, whose repr raised ValueError: no text>"}

    @pytest.mark.parametrize("how", ["argument", "message", "field"])
    def test_lets_a_keyboard_interrupt_go_on(self, recorded: Any, how: str) -> None:
        log = lual.logger("snapshot")
        value = Interrupting()
        calls = {
            "argument": lambda: log.info("%s", value),
            "message": lambda: log.info(value),
            "field": lambda: log.info("x", field=value),
        }
        with pytest.raises(KeyboardInterrupt):
            calls[how]()
        log.info("next")
        assert recorded.messages == ["next"]
