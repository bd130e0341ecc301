from __future__ import annotations

import json
import math

import pytest

import lual
from lual.cli.demo_input import Line, read_lines
from lual.cli.log_files import log_files, read_log
from lual.cli.replay import Plan, Thinned, percentiles, replay
from lual.levels import ERROR, INFO, WARNING
from lual.record import Record

LINES = [
    Line("INFO shop: %s 100 % \x1b[2J", INFO, "shop"),
    Line("not UTF-8: \udcff", WARNING, "shop.import"),
    Line("", ERROR, "line"),
]


@pytest.fixture
def run(tmp_path, capsys):
    """Returns a function that replays and returns run, notes and entries of the log."""

    def run(**changes):
        plan = Plan("threads", 2, 9, 0, LINES, tmp_path)._replace(**changes)
        counts = []
        found = replay(plan, counts.append)
        notes = (tmp_path / "notes.jsonl").read_text().splitlines()
        entries = [line.entry for line in read_log(log_files(tmp_path / "demo.log"))]
        return found, [json.loads(note) for note in notes], entries

    return run


def test_the_records_are_shared_out_in_turn(run):
    _, notes, _ = run(threads=2, records=9)
    assert [(note["producer"], note["number"]) for note in notes] == [
        *(("p1", number) for number in range(1, 6)),
        *(("p2", number) for number in range(1, 5)),
    ]
    texts = {(note["producer"], note["number"]): note["text"] for note in notes}
    assert [texts["p1", 1], texts["p2", 1], texts["p1", 2]] == [line.text for line in LINES]


def test_the_log_has_what_was_noted_whatever_the_text(run):
    _, notes, entries = run()
    names = ("producer", "number", "level", "logger")
    noted = [tuple(note[n] for n in (*names, "text")) for note in notes]
    logged = [tuple(entry[n] for n in (*names, "message")) for entry in entries]
    assert sorted(logged) == sorted(noted)


def test_loggers_are_named_after_producer_and_component(run):
    _, notes, _ = run()
    assert {note["logger"] for note in notes if note["producer"] == "p2"} == {
        "demo.p2.shop",
        "demo.p2.shop.import",
        "demo.p2.line",
    }


def test_more_threads_than_records_is_fine(run):
    found, notes, entries = run(threads=5, records=2)
    assert found["replay"]["produced"] == len(notes) == len(entries) == 2


def test_a_rate_is_not_exceeded(run):
    found, _, _ = run(records=11, rate=1000)
    assert found["replay"]["seconds"] >= 0.010


def test_the_statistics_are_of_the_run_alone(run):
    lual.logger("elsewhere").warning("counted before the run")
    found, _, _ = run()
    assert found["statistics"]["messages_submitted"] == 9
    assert found["statistics"]["state"] == "stopped"


def test_every_call_is_measured(run):
    found, _, _ = run()
    values = [found["latency_ns"][name] for name in ("p50", "p90", "p99", "p99.9", "max")]
    assert values == sorted(values)
    assert values[0] > 0


def test_the_file_is_rotated_and_nothing_is_removed(run, tmp_path):
    lines = read_lines([b"INFO shop: %d\n" % number for number in range(1000)])
    _, notes, entries = run(lines=lines, records=1000)
    assert len(log_files(tmp_path / "demo.log")) > 4
    assert len(entries) == len(notes) == 1000


def test_overflow_is_counted_and_reported_in_the_log(run):
    found, notes, entries = run(records=40_000)
    dropped = found["statistics"]["messages_dropped"]
    reported = [e["dropped_total"] for e in entries if e["logger"] == "lual.engine"]
    assert sum(reported) == dropped == len(notes) - (len(entries) - len(reported))


def test_lual_has_its_defaults_again(run):
    run()
    assert not lual.get_config()["async_enabled"]
    assert lual.logger("demo").level == lual.NOTSET


def test_an_unknown_backend_leaves_lual_with_its_defaults(run):
    with pytest.raises(lual.ConfigError, match="nix"):
        run(backend="nix")
    assert not lual.get_config()["async_enabled"]


def test_progress_is_told_up_to_the_last_record(tmp_path, capsys):
    counts = []
    replay(Plan("threads", 3, 10, 0, LINES, tmp_path), counts.append)
    assert counts[-1] == 10


def test_what_progress_raises_ends_the_run(tmp_path, capsys):
    def interrupt(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(Plan("threads", 2, 100_000, 1, LINES, tmp_path), interrupt)
    assert not lual.get_config()["async_enabled"]


def test_few_of_many_warnings_reach_the_console(tmp_path, capsys):
    line = Line("WARNING shop: x", WARNING, "shop")
    replay(Plan("threads", 2, 1000, 0, [line], tmp_path), lambda count: None)
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 40


def test_all_of_few_warnings_reach_the_console_escaped(tmp_path, capsys):
    line = Line("WARNING shop: \x1b[2J", WARNING, "shop")
    replay(Plan("threads", 1, 3, 0, [line], tmp_path), lambda count: None)
    shown = capsys.readouterr().err
    assert shown.count("\\x1b[2J") == 3
    assert "\x1b" not in shown


def test_thinning_lets_all_of_the_engine_through():
    thinned = Thinned(100)
    own = [Record.build("x", logger_name="lual.engine") for _ in range(3)]
    others = [Record.build("x", logger_name="demo.p1") for _ in range(200)]
    assert [thinned(record) for record in own] == [True] * 3
    assert sum(map(thinned, others)) == 2


@pytest.mark.parametrize("count", [1, 2, 9, 10, 999, 1000, 1001])
def test_at_least_its_share_of_the_samples_is_no_greater_than_a_percentile(count):
    samples = [(7 * n) % 1009 for n in range(count)]
    found = percentiles(samples)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1)):
        below = sum(sample <= found[name] for sample in samples)
        assert below >= math.floor(share * count)
        assert found[name] in samples
    assert found["max"] == max(samples)


def test_percentiles_are_of_the_nearest_rank():
    assert percentiles(range(1, 11)) == {"p50": 5, "p90": 9, "p99": 10, "p99.9": 10, "max": 10}
