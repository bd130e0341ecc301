import asyncio
import functools
import io
import pickle
import sys

import pytest

from lual.errors import BatchWriteError, ConfigError, UnsupportedError
from lual.pipelines.batch import Batch
from lual.pipelines.color import color
from lual.pipelines.json_lines import json
from lual.pipelines.pipeline import is_async_output, pipeline
from lual.pipelines.running import ALL_TAKEN, NONE_WANTED
from lual.pipelines.text import text
from lual.record import NamedRoute, Record

PLAIN = text("{message}")


@pytest.fixture
def problems(monkeypatch):
    seen = []
    monkeypatch.setattr("lual.reports.problem", lambda kind, message: seen.append((kind, message)))
    return seen


def raw_of(message, level=20):
    route = NamedRoute("app.db")
    return (level, None, route, 0, message, (), None, 0, (1, "M"), None, None, None)


RAWS = [raw_of("m0"), raw_of("m1", 40), raw_of("m2")]


class Collecting:
    """An output that keeps what it was given."""

    def __init__(self):
        self.batches = []

    def write(self, batch):
        self.batches.append(list(batch.texts))

    @property
    def texts(self):
        return [text for batch in self.batches for text in batch]


class Failing:
    """An output that raises what it is told to."""

    def __init__(self, error):
        self.error = error
        self.calls = 0

    def write(self, batch):
        self.calls += 1
        raise self.error

    def __repr__(self):
        return "failing()"


def drop_level_40(record):
    return record.level != 40


class TestSelection:
    def test_every_output_gets_one_write_of_all_texts(self):
        outputs = [Collecting(), Collecting()]
        assert pipeline(presenter=PLAIN, outputs=outputs).run(RAWS) is ALL_TAKEN
        assert [output.batches for output in outputs] == [[["m0", "m1", "m2"]]] * 2

    def test_a_plain_callable_gets_text_and_record_one_by_one(self):
        seen = []
        p = pipeline(presenter=PLAIN, outputs=[lambda text, record: seen.append((text, record))])
        assert p.run(RAWS) is ALL_TAKEN
        assert [text for text, _ in seen] == ["m0", "m1", "m2"]
        assert [record.level for _, record in seen] == [20, 40, 20]

    def test_records_below_the_level_arent_wanted(self):
        output = Collecting()
        result = pipeline("error", presenter=PLAIN, outputs=[output]).run(RAWS)
        assert (list(result.wanted), result.failed, result.output_errors) == ([1], {}, 0)
        assert output.texts == ["m1"]

    def test_a_level_that_all_reach_costs_nothing(self):
        output = Collecting()
        assert pipeline("info", presenter=PLAIN, outputs=[output]).run(RAWS) is ALL_TAKEN

    def test_nothing_is_written_when_nothing_is_wanted(self):
        output = Collecting()
        assert pipeline("critical", outputs=[output]).run(RAWS) is NONE_WANTED
        assert pipeline(filters=[lambda r: False], outputs=[output]).run(RAWS).wanted == []
        assert output.batches == []

    def test_nothing_of_nothing_is_all(self):
        p = pipeline("info", filters=[drop_level_40], outputs=[Collecting()])
        assert p.run([]) is ALL_TAKEN

    def test_filters_see_what_the_level_let_through_and_all_must_agree(self):
        output, seen = Collecting(), []

        def note(record):
            seen.append(record.message)
            return True

        p = pipeline("info", filters=[drop_level_40, note], presenter=PLAIN, outputs=[output])
        result = p.run([raw_of("low", 10), *RAWS])
        assert (result.wanted, result.failed) == ([1, 3], {})
        assert seen == output.texts == ["m0", "m2"]

    def test_transformers_replace_records_in_order(self):
        output, records = Collecting(), []
        p = pipeline(
            transformers=[
                lambda r: r.replace(message=r.message + "+"),
                lambda r: None,
                lambda r: r.replace(message=r.message + "*"),
            ],
            presenter=PLAIN,
            outputs=[output, lambda text, record: records.append(record.message)],
        )
        assert p.run(RAWS) is ALL_TAKEN
        assert output.texts == records == ["m0+*", "m1+*", "m2+*"]

    def test_a_presenter_without_many_is_called_for_each_record(self):
        output = Collecting()
        p = pipeline(presenter=lambda record: record.message.upper(), outputs=[output])
        assert p.run(RAWS) is ALL_TAKEN
        assert output.batches == [["M0", "M1", "M2"]]


class TestIsolation:
    def test_a_filter_that_raises_fails_its_record_alone(self, problems):
        def picky(record):
            if record.level == 40:
                raise ValueError("no\n40")
            return record.message != "m2"

        output = Collecting()
        result = pipeline(filters=[picky], presenter=PLAIN, outputs=[output]).run(RAWS)
        assert output.texts == ["m0"]
        assert list(result.wanted) == [0, 1]
        assert {i: str(e) for i, e in result.failed.items()} == {1: "no\n40"}
        assert result.output_errors == 1
        ((kind, message),) = problems
        assert kind == "filter"
        assert "picky raised ValueError: no\\n40 on a record of logger 'app.db': 'm1'" in message

    def test_a_transformer_that_raises_fails_its_record_alone(self, problems):
        def redact(record):
            if record.level == 40:
                raise KeyError("secret")

        output = Collecting()
        p = pipeline(transformers=[redact], presenter=PLAIN, outputs=[output])
        result = p.run(RAWS)
        assert output.texts == ["m0", "m2"]
        assert (result.wanted, list(result.failed), result.output_errors) == (None, [1], 1)
        assert [kind for kind, _ in problems] == ["transformer"]

    def test_a_transformer_that_returns_something_else_fails_the_record(self, problems):
        p = pipeline(transformers=[lambda r: "text"], outputs=[Collecting()])
        result = p.run(RAWS[:1])
        assert isinstance(result.failed[0], TypeError)
        assert "must return a Record or None, not 'text'" in problems[0][1]

    def test_a_presenter_that_raises_fails_its_record_alone(self, problems):
        output = Collecting()

        def present(record):
            return 7 if record.message == "m0" else record.message[: 1 / (record.level != 40)]

        result = pipeline(presenter=present, outputs=[output]).run(RAWS)
        assert output.texts == []
        assert {i: type(e) for i, e in result.failed.items()} == {
            0: TypeError,
            1: ZeroDivisionError,
            2: TypeError,
        }
        assert [kind for kind, _ in problems] == ["presenter"] * 3

    @pytest.mark.parametrize("answer", [ValueError("no"), ["too few"], 7, iter(())])
    def test_a_many_that_fails_is_made_up_for_one_by_one(self, answer):
        class Presenter:
            def many(self, raws):
                if isinstance(answer, Exception):
                    raise answer
                return answer

            def __call__(self, record):
                return record.message

        output = Collecting()
        assert pipeline(presenter=Presenter(), outputs=[output]).run(RAWS) is ALL_TAKEN
        assert output.texts == ["m0", "m1", "m2"]

    def test_a_failing_output_stops_no_other(self, problems):
        first, last = Collecting(), Collecting()
        failing = Failing(OSError(28, "No space left on device"))
        result = pipeline(presenter=PLAIN, outputs=[first, failing, last]).run(RAWS)
        assert first.texts == last.texts == ["m0", "m1", "m2"]
        assert (result.wanted, result.failed, result.output_errors) == (None, {}, 3)
        assert problems == [
            (
                "output",
                "the output failing() raised OSError: [Errno 28] No space left on device "
                "on 3 records, the first of logger 'app.db': 'm0'",
            )
        ]

    def test_a_record_that_no_output_took_has_failed(self, problems):
        errors = [ValueError("first"), ValueError("second")]
        result = pipeline(outputs=[Failing(error) for error in errors]).run(RAWS)
        assert result.failed == dict.fromkeys(range(3), errors[0])
        assert (result.wanted, result.output_errors, len(problems)) == (None, 6, 2)

    def test_a_partial_failure_concerns_the_named_records(self, problems):
        reason = OSError("full")
        p = pipeline("info", outputs=[Failing(BatchWriteError({1: reason}))])
        result = p.run([raw_of("low", 10), *RAWS])
        assert (result.wanted, result.failed, result.output_errors) == ([1, 2, 3], {2: reason}, 1)
        assert "OSError: full on a record of logger 'app.db': 'm1'" in problems[0][1]

    def test_outputs_that_fail_on_different_records_fail_none(self, problems):
        outputs = [Failing(BatchWriteError({i: OSError(str(i))})) for i in (0, 1)]
        result = pipeline(outputs=outputs).run(RAWS)
        assert (result.failed, result.output_errors) == ({}, 2)

    @pytest.mark.parametrize("errors", [{}, {99: OSError("x")}])
    @pytest.mark.usefixtures("problems")
    def test_a_partial_failure_that_names_no_record_is_a_whole_one(self, errors):
        result = pipeline(outputs=[Failing(BatchWriteError(errors))]).run(RAWS)
        assert list(result.failed) == [0, 1, 2]

    def test_a_plain_callable_fails_per_record(self, problems):
        seen = []

        def choosy(text, record):
            if record.level == 40:
                raise ValueError("not that")
            seen.append(text)

        result = pipeline(presenter=PLAIN, outputs=[choosy]).run(RAWS)
        assert seen == ["m0", "m2"]
        assert (list(result.failed), result.output_errors) == ([1], 1)
        assert [kind for kind, _ in problems] == ["output"]
        assert "choosy raised ValueError: not that" in problems[0][1]

    def test_positions_survive_every_step(self, problems):
        def fail_on(name):
            def part(record):
                if record.message == name:
                    raise ValueError(name)
                return True

            return part

        p = pipeline(
            "info",
            filters=[lambda r: r.message != "skip", fail_on("filter")],
            transformers=[lambda r: fail_on("transformer")(r) and None],
            presenter=lambda r: fail_on("presenter")(r) and r.message,
            outputs=[lambda t, r: fail_on("output")(r) and None],
        )
        names = ["low", "filter", "skip", "transformer", "ok", "presenter", "output"]
        result = p.run([raw_of(name, 10 if name == "low" else 20) for name in names])
        assert {names[i]: str(e) for i, e in result.failed.items()} == {
            name: name for name in ("filter", "transformer", "presenter", "output")
        }
        assert list(result.wanted) == [1, 3, 4, 5, 6]
        assert result.output_errors == len(problems) == 4

    def test_a_report_quotes_only_the_start_of_a_message(self, problems):
        pipeline(outputs=[Failing(OSError("x"))]).run([raw_of("y" * 500)])
        assert problems[0][1].endswith(f"'{'y' * 80}...'")

    @pytest.mark.parametrize(
        "interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
    )
    @pytest.mark.parametrize("place", ["filters", "transformers", "presenter", "outputs", "call"])
    def test_an_interrupt_goes_on_to_the_caller(self, interrupt, place, problems):
        def part(*_):
            raise interrupt

        parts = {"outputs": [Collecting()]}
        if place == "outputs":
            parts["outputs"] = [Failing(interrupt())]
        elif place == "call":
            parts["outputs"] = [part]
        else:
            parts[place] = part if place == "presenter" else [part]
        with pytest.raises(interrupt):
            pipeline(**parts).run(RAWS)
        assert problems == []

    def test_an_async_output_that_nobody_awaits_is_an_error(self, problems):
        async def write_later(text, record):
            raise AssertionError("never runs")

        class Later:
            async def write(self, batch):
                raise AssertionError("never runs")

        for output in (write_later, Later()):
            result = pipeline(outputs=[output]).run(RAWS[:1])
            assert isinstance(result.failed[0], UnsupportedError)
        assert "is async def" in problems[0][1]

    def test_an_output_may_answer_anything_else(self):
        assert pipeline(outputs=[lambda text, record: 17]).run(RAWS) is ALL_TAKEN


class Opened:
    """An output that notes what it is told."""

    def __init__(self, log, name, error=None, at=None):
        self.log, self.name, self.error, self.at = log, name, error, at

    def _tell(self, verb):
        self.log.append((verb, self.name))
        if self.at == verb:
            raise self.error

    def open(self):
        self._tell("open")

    def write(self, batch):
        pass

    def flush(self):
        self._tell("flush")

    def close(self):
        self._tell("close")

    def __repr__(self):
        return f"opened({self.name!r})"


class TestLifecycle:
    def test_outputs_are_opened_flushed_and_closed_in_order(self):
        log = []
        p = pipeline(outputs=[Opened(log, 1), Collecting(), Opened(log, 2), lambda t, r: None])
        p.open()
        p.flush()
        p.close()
        assert log == [(verb, n) for verb in ("open", "flush", "close") for n in (1, 2)]

    def test_a_failed_open_closes_those_before_it(self):
        log = []
        error = PermissionError(13, "Permission denied", "/srv/app.log")
        p = pipeline(outputs=[Opened(log, 1), Opened(log, 2, error, "open"), Opened(log, 3)])
        with pytest.raises(ConfigError) as caught:
            p.open()
        assert str(caught.value) == (
            "the output opened(2) can't be opened: Permission denied: '/srv/app.log'"
        )
        assert caught.value.__cause__ is error
        assert log == [("open", 1), ("open", 2), ("close", 1)]

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (OSError("no path"), "opened: no path"),
            (ConfigError("mode is 9"), "opened: mode is 9"),
            (ValueError("x\ny"), "opened: ValueError: x\\\\ny"),
        ],
    )
    def test_whatever_open_raises_names_the_output(self, error, reason):
        with pytest.raises(ConfigError, match=rf"output opened\(1\) can't be {reason}"):
            pipeline(outputs=[Opened([], 1, error, "open")]).open()

    def test_an_interrupted_open_closes_those_before_it(self):
        log = []
        p = pipeline(outputs=[Opened(log, 1), Opened(log, 2, KeyboardInterrupt(), "open")])
        with pytest.raises(KeyboardInterrupt):
            p.open()
        assert log[-1] == ("close", 1)

    @pytest.mark.parametrize("verb", ["flush", "close"])
    def test_an_error_of_one_output_is_reported_and_the_others_told(self, verb, problems):
        log = []
        p = pipeline(outputs=[Opened(log, 1, OSError("gone"), verb), Opened(log, 2)])
        getattr(p, verb)()
        assert log == [(verb, 1), (verb, 2)]
        assert problems == [("output", f"{verb} of the output opened(1) raised OSError: gone")]


class AsyncCallable:
    async def __call__(self, text, record):
        pass


class AsyncWriting:
    async def write(self, batch):
        pass


async def async_function(text, record):
    pass


class TestIsAsyncOutput:
    @pytest.mark.parametrize(
        "output",
        [
            async_function,
            AsyncCallable(),
            AsyncWriting(),
            AsyncCallable().__call__,
            functools.partial(async_function, "x"),
            functools.partial(AsyncCallable()),
        ],
        ids=["function", "callable", "write", "method", "partial", "partial-object"],
    )
    def test_async_ones_are(self, output):
        assert is_async_output(output)

    @pytest.mark.parametrize(
        "output",
        [print, Collecting(), lambda t, r: None, functools.partial(print), [].append],
        ids=["builtin", "write", "lambda", "partial", "method"],
    )
    def test_others_arent(self, output):
        assert not is_async_output(output)


class TestFactory:
    def test_the_defaults_are_notset_and_text(self):
        p = pipeline(outputs=[Collecting()])
        assert (p.level, p.filters, p.transformers, p.presenter) == (0, (), (), text())

    @pytest.mark.parametrize("level", ["Warning", "warn", 30])
    def test_levels_are_names_or_numbers(self, level):
        assert pipeline(level, outputs=[print]).level == 30

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"level": "lod"}, r"pipeline\.level is 'lod', which is no level"),
            ({"filters": drop_level_40}, r"pipeline\.filters must be a list, .*write \["),
            ({"filters": [drop_level_40, 3]}, r"pipeline\.filters\[1\] must be callable"),
            ({"filters": "abc"}, r"pipeline\.filters must be a list"),
            ({"transformers": ["upper"]}, r"pipeline\.transformers\[0\] must be callable"),
            ({"presenter": "json"}, r"pipeline\.presenter must be callable.*got 'json'"),
            ({"presenter": json}, r"is the function lual\.json; call it: lual\.json"),
            ({"presenter": color}, r"is the function lual\.color"),
            ({"outputs": []}, r"pipeline\.outputs is empty; name at least one"),
            ({"outputs": print}, r"pipeline\.outputs must be a list"),
            ({"outputs": None}, r"pipeline\.outputs must be a list, got None$"),
            ({"outputs": io.StringIO()}, r"pipeline\.outputs must be a list"),
            ({"outputs": ["console"]}, r"pipeline\.outputs\[0\] must be a callable"),
            ({"outputs": [print, io.StringIO()]}, r"outputs\[1\] is the stream .*lual\.console"),
            ({"outputs": [Collecting]}, r"is the class Collecting; pass an instance"),
        ],
    )
    def test_a_part_that_cant_be_used_is_an_error(self, settings, reason):
        with pytest.raises(ConfigError, match=reason):
            pipeline(**{"outputs": [print], **settings})

    def test_standard_error_itself_is_no_output(self):
        with pytest.raises(ConfigError, match=r"use lual\.console\(stream\)"):
            pipeline(outputs=[sys.stderr])

    def test_a_forgotten_call_of_an_output_factory_is_an_error(self):
        from lual.pipelines.outputs.console import console

        with pytest.raises(ConfigError, match=r"is the function lual\.console; call it"):
            pipeline(outputs=[console])


class TestAsValues:
    def test_a_pickled_pipeline_runs_the_same(self):
        p = pipeline("info", [drop_level_40], [], json(), [print])
        copy = pickle.loads(pickle.dumps(p))
        assert copy.is_like(p)
        assert copy != p
        output = Collecting()
        again = pipeline(copy.level, copy.filters, presenter=PLAIN, outputs=[output])
        assert list(again.run(RAWS).wanted) == [0, 2]
        assert output.texts == ["m0", "m2"]

    def test_pipelines_of_other_parts_differ(self):
        assert pipeline(outputs=[print]) != pipeline("info", outputs=[print])
        assert pipeline(outputs=[print]) != pipeline(outputs=[repr])
        assert pipeline(outputs=[print]) != "pipeline"

    def test_the_repr_shows_what_isnt_default(self):
        p = pipeline("error", presenter=json(), outputs=[print])
        assert repr(p) == (
            "lual.pipeline(level='ERROR', presenter=lual.json(pretty=False, timezone='utc'), "
            "outputs=[<built-in function print>])"
        )


def test_an_output_may_ask_for_the_records_of_a_batch():
    seen = []

    class Asking:
        def write(self, batch):
            assert isinstance(batch, Batch)
            seen.extend(record for _, record in batch)

    pipeline(outputs=[Asking()]).run(RAWS)
    assert [type(record) for record in seen] == [Record] * 3
    assert [record.message for record in seen] == ["m0", "m1", "m2"]
