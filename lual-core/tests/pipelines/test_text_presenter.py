import os
import pickle
import re
import sys
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lual.context import Scope
from lual.errors import ConfigError
from lual.pipelines.color import color
from lual.pipelines.escape import escape
from lual.pipelines.text import text
from lual.pipelines.timestamps import UTC
from lual.record import NamedRoute, Record

any_text = st.text(st.characters(), max_size=30)
nasty_text = st.text(st.sampled_from('\n\r\x1b\x85\u2028\u202e\ud800\t a=" \\{}%s'), max_size=12)
texts = any_text | nasty_text
values = st.one_of(texts, st.integers(), st.floats(), st.none(), st.binary(), st.lists(texts))


@pytest.fixture
def problems(monkeypatch):
    seen = []
    monkeypatch.setattr("lual.reports.problem", lambda kind, message: seen.append((kind, message)))
    return seen


def raw_of(template, *args, logger="app", fields=None, context=None, extra=None, level=20):
    scope = Scope(context, 0) if context is not None else None
    route = NamedRoute(logger)
    thread = (7, "Main")
    return (level, 3, route, 1_500_000, template, args, None, 0, thread, scope, fields, extra)


def present(template, *args, layout="{message}", **how):
    presenter = text(layout, UTC)
    raw = raw_of(template, *args, **how)
    (line,) = presenter.many([raw])
    assert presenter(Record(raw)) == line
    return line


class TestLayout:
    def test_the_default_shows_time_level_logger_and_message(self):
        (line,) = text(timezone=UTC).many([raw_of("hi %s", "there")])
        assert line == "1970-01-01T00:00:00.001500+00:00 INFO [app] hi there"

    def test_specifications_pad_and_cut(self):
        layout = "{level:<8}|{logger:>5}|{message:.3}|{seq:04d}"
        assert present("abcdef", layout=layout) == "INFO    |  app|abc|0003"

    def test_a_specification_may_fill_with_a_quote(self):
        assert present("m", layout="{level:'<6}{message:\"<3}") == "INFO''m\"\""

    def test_literals_may_hold_quotes_backslashes_and_braces(self):
        layout = "{{'\"\\n\\N{{x}}{message}}}"
        assert present("m", layout=layout) == "{'\"\\n\\N{x}m}"

    def test_every_placeholder_shows_its_attribute(self):
        def caller():
            return sys._getframe()

        frame = caller()
        raw = list(raw_of("m", extra={"task_name": "T"}))
        raw[6], raw[7] = frame.f_code, frame.f_lasti
        layout = "{file}|{line}|{function}|{module}|{thread}|{task}|{process}|{seq}"
        line = text(layout).many([tuple(raw)])[0]
        expected = [
            frame.f_code.co_filename,
            str(frame.f_lineno),
            "caller",
            "test_text_presenter",
            "Main",
            "T",
            str(os.getpid()),
            "3",
        ]
        assert line.split("|") == expected

    def test_what_a_record_lacks_is_a_dash(self):
        assert present("m", layout="{task}|{task:>3}|{exception}|") == "-|  -||"

    def test_a_value_that_fits_no_specification_is_shown_anyway(self):
        record = Record.build("m", line="somewhere")
        assert text("{line:05d}")(record) == "somewhere"

    def test_attributes_that_were_replaced_win(self):
        record = Record.build("m", level=20).replace(
            level_name="LOUD", thread_name="t9", process_id=1, context={"c": 1}, seq=8
        )
        assert text("{level} {thread} {process} {seq}")(record) == "LOUD t9 1 8 c=1"

    def test_a_time_format_is_used(self):
        assert text("{time}", UTC, "%M:%S.%f").many([raw_of("m")]) == ["00:00.001500"]

    def test_a_time_may_be_padded(self):
        line = text("{time:>34}|", UTC).many([raw_of("m")])[0]
        assert line == "  1970-01-01T00:00:00.001500+00:00|"

    def test_a_batch_may_span_seconds_in_any_order(self):
        raws = [(*raw_of("m")[:3], s * 10**9, *raw_of("m")[4:]) for s in (5, 5, 4, 6)]
        lines = text("{time}", UTC, "%S").many(raws)
        assert lines == ["05", "05", "04", "06"]
        assert [line[17:19] for line in text("{time}", UTC).many(raws)] == lines

    @pytest.mark.parametrize(
        ("layout", "reason"),
        [
            ("{mesage}", "unknown placeholder '{mesage}'.*did you mean 'message'"),
            ("{}", "unknown placeholder"),
            ("{message.upper}", "unknown placeholder"),
            ("{message[0]}", "unknown placeholder"),
            ("{message!r}", "conversions such as '!r'"),
            ("{level:<8d}", "'<8d' can't be used"),
            ("{line:s}", "'s' can't be used"),
            ("{time:%H:%M}", "use time_format"),
            ("{level:<9999999999}", "widths end at 999"),
            ("{message", "single '{' at 0"),
            ("message}", "single '}' at 7"),
            (None, "layout must be a str"),
            (b"{message}", "layout must be a str"),
        ],
    )
    @pytest.mark.parametrize("factory", [text, color])
    def test_a_bad_layout_is_an_error_at_creation(self, factory, layout, reason):
        with pytest.raises(ConfigError, match=reason):
            factory(layout)

    def test_escape_must_be_a_bool(self):
        with pytest.raises(ConfigError, match="escape must be True or False"):
            text(escape="no")


class TestMessage:
    def test_a_mapping_fills_named_places(self):
        assert present("%(a)s-%(b)d", {"a": 1, "b": 2}) == "1-2"

    def test_a_percent_sign_without_arguments_is_itself(self):
        assert present("100 %") == "100 %"

    def test_a_misfit_shows_template_arguments_and_reason(self, problems):
        line = present("%d items", "x\n")
        assert line.startswith("%d items | arguments: ('x\\n',) | TypeError: ")
        assert {kind for kind, _ in problems} == {"format"}

    def test_an_argument_that_raises_shows_what_it_raised(self, problems):
        class Broken:
            def __str__(self):
                raise ValueError("no\ntext")

        assert "whose str raised ValueError: no\\ntext" in present("got %s", Broken())
        assert problems

    @pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
    def test_an_interrupt_out_of_an_argument_goes_on(self, interrupt):
        class Interrupting:
            def __str__(self):
                raise interrupt

        with pytest.raises(interrupt):
            text().many([raw_of("%s", Interrupting())])


class TestFields:
    def test_fields_follow_the_layout_as_words(self):
        assert present("m", fields={"user": 42, "ok": True, "x": None, "f": 1.5}) == (
            "m user=42 ok=True x=None f=1.5"
        )

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ("a b", '"a b"'),
            ("x admin=1", '"x admin=1"'),
            ("a=b", '"a=b"'),
            ("it's", '"it\'s"'),
            ('say "x"', '"say \\"x\\""'),
            ("a\nb", '"a\\nb"'),
            ("a\\nb", '"a\\\\nb"'),
            ("\u2028", '"\\u2028"'),
            ("", '""'),
            ("/var/log/x-1.log", "/var/log/x-1.log"),
            ([1, 2], '"[1, 2]"'),
        ],
    )
    def test_a_value_that_is_no_single_word_is_quoted(self, value, shown):
        assert present("m", fields={"key": value}) == f"m key={shown}"

    def test_a_key_that_is_no_name_is_quoted(self):
        assert present("m", fields={"a b=c": 1, 7: 2}) == 'm "a b=c"=1 7=2'

    def test_fields_of_the_record_win_over_the_context(self):
        line = present("m", fields={"b": 2, "c": 3}, context={"a": 1, "b": 1})
        assert line == "m a=1 b=2 c=3"

    def test_fields_that_the_layout_places_dont_follow(self):
        assert present("m", layout="<{fields}> {message}", fields={"a": 1}) == "<a=1> m"

    def test_an_int_of_too_many_digits_is_described(self):
        line = present("m", fields={"n": 10**10_000})
        assert line.startswith("m n=")
        assert "\n" not in line

    def test_fields_that_are_no_mapping_are_shown(self):
        assert text("{message}")(Record.build("m", fields=[1])) == "m fields=[1]"


class TestExceptions:
    def captured(self, message):
        try:
            raise ValueError(message)
        except ValueError as error:
            return traceback.TracebackException.from_exception(error)

    def test_a_traceback_follows_on_indented_lines(self):
        lines = present("m", extra={"exception": self.captured("boom")}).split("\n")
        assert lines[0] == "m"
        assert lines[1] == "    Traceback (most recent call last):"
        assert lines[-1] == "    ValueError: boom"

    def test_no_line_of_a_message_reaches_column_0(self):
        forged = self.captured("x\n2024-01-01 INFO [app] forged\r\x1b[2J\u2028z")
        lines = present("m", extra={"exception": forged}).split("\n")
        assert all(line.startswith("    ") for line in lines[1:])
        assert lines[-1] == "    2024-01-01 INFO [app] forged\\r\\x1b[2J\\u2028z"

    def test_an_exception_that_the_layout_places_stays_on_the_line(self):
        layout = "{message} <{exception}>"
        line = present("m", layout=layout, extra={"exception": "A\n  B\n"})
        assert line == "m <A\\n  B>"

    def test_finished_text_and_a_stack_are_indented(self):
        extra = {"exception": "A\nB\n", "stack": "File x\n  code\n"}
        assert present("m", extra=extra) == "m\n    A\n    B\n    File x\n      code"

    def test_fields_stand_before_the_exception(self):
        assert present("m", fields={"a": 1}, extra={"exception": "E"}) == "m a=1\n    E"

    def test_an_exception_object_shows_its_traceback(self):
        record = Record.build("m").replace(exception=ValueError("v"))
        assert text("{message}")(record) == "m\n    ValueError: v"

    def test_an_exception_that_cant_be_shown_is_described(self):
        class Broken:
            def format(self):
                raise RuntimeError("no")

            def __repr__(self):
                return "<broken>"

        assert present("m", extra={"exception": Broken()}) == "m\n    <broken>"

    def test_records_without_exception_get_no_further_line(self):
        assert present("m", extra={"task_name": "T", "exception": None, "stack": None}) == "m"


class TestEscaping:
    def test_control_characters_of_any_origin_are_visible(self):
        assert present("a\n%s", "\x1b[2J", layout="[{logger}] {message}", logger="x\r") == (
            "[x\\r] a\\n\\x1b[2J"
        )

    def test_escape_false_leaves_the_message_alone(self):
        presenter = text("{message}", escape=False)
        assert presenter.many([raw_of("a\x1b[1m\nb")]) == ["a\x1b[1m\nb"]

    def test_control_characters_of_the_layout_itself_stay(self):
        assert present("a\nb", layout="{logger}\n\t{message}\x1b[0m") == "app\n\ta\\nb\x1b[0m"

    @given(texts, st.lists(texts, max_size=2), texts, st.dictionaries(texts, values), texts)
    def test_no_record_can_forge_a_line(self, template, args, logger, fields, exception):
        raw = raw_of(template, *args, logger=logger, fields=fields, extra={"exception": exception})
        (line,) = text(timezone=UTC).many([raw])
        first, *rest = line.split("\n")
        assert all(part == escape(part) for part in (first, *rest))
        assert all(part.startswith("    ") for part in rest)

    @given(texts, texts)
    def test_no_value_can_forge_a_key(self, value, other):
        line = present("m", fields={"key": value, "other": other})
        key, other_value = f"{text_of(value)}", f"{text_of(other)}"
        assert line == f"m key={key} other={other_value}"
        for word in (key, other_value):
            assert word.startswith('"') or not set(word) & set("\"'= \n")


def text_of(value):
    return present("", layout="", fields={"key": value}).removeprefix(" key=")


class TestColor:
    def test_the_level_is_coloured_where_it_stands(self):
        (line,) = color("{level:<7} {message}").many([raw_of("m", level=40)])
        assert line == "\x1b[31mERROR  \x1b[0m m"

    def test_a_layout_without_level_is_coloured_as_a_whole(self):
        (line,) = color("{message}!").many([raw_of("m", level=30, fields={"a": 1})])
        assert line == "\x1b[33mm!\x1b[0m a=1"

    @pytest.mark.parametrize(
        ("given_color", "sgr"),
        [("blue", "34"), ("Bold RED", "1;31"), ("38;5;208", "38;5;208"), ("\x1b[1;4m", "1;4")],
    )
    def test_colours_are_names_or_sgr_parameters(self, given_color, sgr):
        presenter = color("{level}", level_colors={"info": given_color})
        assert presenter.many([raw_of("m")]) == [f"\x1b[{sgr}mINFO\x1b[0m"]

    def test_a_custom_level_takes_the_colour_of_the_one_below(self):
        assert color("{level}").many([raw_of("m", level=35)]) == ["\x1b[33mLEVEL 35\x1b[0m"]
        presenter = color("{level}", level_colors={"level 35": "blue", "warn": "red"})
        lines = presenter.many([raw_of("m", level=35), raw_of("m", level=36)])
        assert lines == ["\x1b[34mLEVEL 35\x1b[0m", "\x1b[31mLEVEL 36\x1b[0m"]

    @pytest.mark.parametrize(
        ("colors", "reason"),
        [
            ({"info": "gren"}, "level_colors.'info'. is 'gren'.*did you mean 'green'"),
            ({"info": ""}, "is no colour"),
            ({"info": 31}, "is no colour"),
            ({"info": "\x1b]0;title\x07"}, "is no colour"),
            ({3: "red"}, "keyed by level names"),
            (["red"], "must map level names"),
        ],
    )
    def test_an_unknown_colour_is_an_error(self, colors, reason):
        with pytest.raises(ConfigError, match=reason):
            color(level_colors=colors)

    @given(texts, texts, texts)
    def test_only_its_own_colours_drive_the_terminal(self, message, logger, level):
        extra = {"level_name": level}
        (line,) = color(timezone=UTC).many([raw_of(message, logger=logger, extra=extra)])
        assert line.count("\x1b") == 2
        plain = re.sub("\x1b\\[[0-9;]*m", "", line)
        assert escape(plain) == plain


@pytest.mark.parametrize(
    "presenter",
    [
        text(),
        text("{level} {message}", UTC, "%H", False),
        color(),
        color("{message}", UTC, level_colors={"info": "red"}),
    ],
    ids=repr,
)
class TestAsValues:
    def test_a_pickled_presenter_presents_the_same(self, presenter):
        copy = pickle.loads(pickle.dumps(presenter))
        assert copy == presenter
        assert hash(copy) == hash(presenter)
        assert copy.many([raw_of("m\n")]) == presenter.many([raw_of("m\n")])

    def test_the_repr_makes_an_equal_one(self, presenter):
        import types

        lual = types.SimpleNamespace(text=text, color=color)
        assert eval(repr(presenter), {"lual": lual}) == presenter

    def test_another_layout_or_kind_is_not_equal(self, presenter):
        assert presenter != text("{seq}")
        assert presenter != color("{seq}")
        assert presenter != "{seq}"
