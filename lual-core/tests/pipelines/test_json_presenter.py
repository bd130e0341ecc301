import decimal
import enum
import json as stdlib_json
import math
import pickle
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lual.context import Scope
from lual.errors import ConfigError
from lual.pipelines.escape import escape
from lual.pipelines.json_lines import json
from lual.pipelines.timestamps import LOCAL_TIME
from lual.record import NamedRoute, Record

texts = st.text(st.characters(), max_size=30) | st.text(
    st.sampled_from('\n\r\x1b\x7f\x85\u2028\u202e\ud800\t a=" \\{}%s'), max_size=12
)
leaves = st.one_of(texts, st.integers(), st.floats(), st.none(), st.booleans(), st.binary())
keys = st.one_of(texts, st.integers(), st.none(), st.sampled_from(["level", "level_", "stack"]))
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def raw_of(template, *args, logger="app", fields=None, context=None, extra=None):
    scope = Scope(context, 0) if context is not None else None
    route = NamedRoute(logger)
    return (20, 3, route, 1_500_000, template, args, None, 0, (7, "Main"), scope, fields, extra)


def line_of(*args, **how):
    (line,) = json().many([raw_of(*args, **how)])
    return line


def read(*args, **how):
    return stdlib_json.loads(line_of(*args, **how))


def test_a_line_has_four_members_in_order():
    assert line_of("hi %s", "you") == (
        '{"timestamp": "1970-01-01T00:00:00.001500+00:00", "level": "INFO", '
        '"logger": "app", "message": "hi you"}'
    )


def test_presenting_a_record_is_presenting_its_raw():
    raw = raw_of("m", fields={"a": 1})
    assert json()(Record(raw)) == json().many([raw])[0]


def test_local_times_carry_no_offset():
    line = json(timezone=LOCAL_TIME).many([raw_of("m")])[0]
    assert stdlib_json.loads(line)["timestamp"][26:] == ""


def test_context_and_fields_follow_flat_and_fields_win():
    found = read("m", context={"a": 1, "b": 1}, fields={"b": 2, "c": [1, {"d": None}]})
    assert list(found)[4:] == ["a", "b", "c"]
    assert (found["b"], found["c"]) == (2, [1, {"d": None}])


@pytest.mark.parametrize("name", ["timestamp", "level", "logger", "message", "exception", "stack"])
def test_a_field_that_collides_gets_an_underscore(name):
    assert read("m", fields={name: "mine"})[f"{name}_"] == "mine"


def test_underscores_are_added_until_the_name_is_free():
    found = read("m", fields={"level": 1, "level_": 2, "level__": 3})
    assert (found["level"], found["level___"], found["level_"], found["level__"]) == (
        "INFO",
        1,
        2,
        3,
    )


def test_names_that_arent_strings_become_strings_of_their_own():
    found = read("m", fields={1: "int", "1": "str", "deep": {2: "int", "2": "str"}})
    assert (found["1"], found["1_"]) == ("str", "int")
    assert found["deep"] == {"2": "str", "2_": "int"}


class Color(enum.IntEnum):
    RED = 3


class Word(str):
    __slots__ = ()

    def __str__(self):
        raise ValueError("no")


class Broken:
    def __repr__(self):
        raise RuntimeError("broken\n")


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (1.5, 1.5),
        (10**30, 10**30),
        (True, True),
        (None, None),
        ((1, 2), [1, 2]),
        ({3}, "{3}"),
        (b"\x00a", "b'\\x00a'"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Color.RED, 3),
        (Word("w"), "w"),
        (int, "<class 'int'>"),
        (1j, "1j"),
    ],
    ids=repr,
)
def test_a_value_is_carried_or_rendered(value, carried):
    assert read("m", fields={"value": value})["value"] == carried


def test_a_value_whose_repr_raises_is_described():
    found = read("m", fields={"value": Broken()})["value"]
    assert found == "<Broken, whose repr raised RuntimeError: broken\n>"


def test_an_int_of_too_many_digits_is_described():
    assert isinstance(read("m", fields={"n": 10**10_000})["n"], (str, int))


def test_a_cycle_is_rendered_where_it_closes():
    cycle = [1]
    cycle.append(cycle)
    assert read("m", fields={"value": cycle})["value"] == [1, "[1, [...]]"]


def test_what_is_nested_too_deep_is_rendered():
    deep = "bottom"
    for _ in range(30):
        deep = [deep]
    found = read("m", fields={"value": deep})["value"]
    for _ in range(10):
        (found,) = found
    assert found == "[" * 20 + "'bottom'" + "]" * 20


def test_nesting_beyond_the_recursion_limit_is_no_error():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert "RecursionError" in line_of("m", fields={"value": deep})


def test_a_container_that_changes_while_it_is_read_is_rendered():
    class Changing(dict):
        def items(self):
            raise RuntimeError("dictionary changed size during iteration")

    assert read("m", fields={"value": Changing(a=1)})["value"] == "{'a': 1}"


def test_an_exception_and_a_stack_are_texts_at_the_end():
    found = read("m", fields={"a": 1}, extra={"exception": "E\n  x\n", "stack": "S\n"})
    assert list(found)[4:] == ["a", "exception", "stack"]
    assert (found["exception"], found["stack"]) == ("E\n  x", "S")


def test_a_record_without_exception_has_no_such_member():
    assert list(read("m", extra={"task_name": "T"})) == ["timestamp", "level", "logger", "message"]


def test_a_misfit_shows_template_arguments_and_reason(monkeypatch):
    kinds = []
    monkeypatch.setattr("lual.reports.problem", lambda kind, message: kinds.append(kind))
    message = read("%d items", "x")["message"]
    assert message.startswith("%d items | arguments: ('x',) | TypeError: ")
    assert kinds == ["format"]


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp_ns": None},
        {"timestamp_ns": 1.5},
        {"timestamp_ns": 10**40},
        {"level": '"x'},
        {"level": []},
        {"level_name": 'a"b'},
        {"level_name": Broken()},
        {"logger_name": None},
        {"logger_name": Broken()},
        {"message": None},
        {"message": Broken()},
        {"fields": [1]},
        {"fields": Broken()},
        {"context": Broken()},
        {"exception": Broken()},
        {"stack": Broken()},
    ],
    ids=lambda changes: "-".join([*changes, *(type(v).__name__ for v in changes.values())]),
)
def test_a_record_of_odd_parts_is_still_one_object(changes):
    line = json()(Record.build("m", logger_name="app", level=20).replace(**changes))
    assert "\n" not in line
    assert list(stdlib_json.loads(line))[:4] == ["timestamp", "level", "logger", "message"]


def test_text_stays_readable_but_for_dangerous_characters():
    line = line_of("naïve ☃ \x7f\x9b\u2028\u202e\ud800")
    assert "naïve ☃ \\u007f\\u009b\\u2028\\u202e\\ud800" in line


@given(texts, st.lists(texts, max_size=2), texts, st.dictionaries(keys, values), texts)
def test_every_record_is_one_harmless_line_of_json(template, args, logger, fields, exception):
    raw = raw_of(template, *args, logger=logger, fields=fields, extra={"exception": exception})
    (line,) = json().many([raw])
    assert escape(line) == line
    assert "\t" not in line

    def unique(pairs):
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    found = stdlib_json.loads(line, object_pairs_hook=unique, parse_constant=pytest.fail)
    assert list(found)[:4] == ["timestamp", "level", "logger", "message"]


@given(st.dictionaries(keys, values))
def test_pretty_says_the_same_over_several_lines(fields):
    raw = raw_of("m\n\u2028", fields=fields)
    pretty = json(pretty=True).many([raw])[0]
    assert pretty.count("\n") >= 5
    assert all(escape(line) == line for line in pretty.split("\n"))
    assert stdlib_json.loads(pretty) == stdlib_json.loads(json().many([raw])[0])


def test_bad_settings_are_errors():
    with pytest.raises(ConfigError, match="pretty must be True or False"):
        json(pretty=1)
    with pytest.raises(ConfigError, match="timezone must be"):
        json(timezone="gmt")


def test_presenters_are_values():
    presenter = json(pretty=True, timezone=LOCAL_TIME)
    copy = pickle.loads(pickle.dumps(presenter))
    assert copy == presenter != json()
    assert hash(copy) == hash(presenter)
    assert repr(presenter) == "lual.json(pretty=True, timezone='local')"
    assert copy.many([raw_of("m")]) == presenter.many([raw_of("m")])
