from __future__ import annotations

import gzip
import json

import pytest

from lual.cli.proof import DamagedRunError, prove

STATISTICS = {
    "messages_submitted": 0,
    "messages_failed": 0,
    "messages_dropped": 0,
    "dropped_by_level": {},
    "queue_size": 0,
    "in_flight": 0,
    "output_errors": 0,
}


class StoredRun:
    """What a run of two producers with three records each leaves in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.notes = [
            {
                "producer": producer,
                "number": number,
                "level": "ERROR" if number == 3 else "INFO",
                "logger": f"demo.{producer}.shop",
                "text": f"{producer} says \x1b[2J\udcff {number}",
            }
            for producer in ("p1", "p2")
            for number in (1, 2, 3)
        ]
        self.lines = [self.line(note) for note in self.notes]
        self.statistics = {**STATISTICS, "messages_submitted": len(self.notes)}

    def line(self, note, **changes):
        entry = {"timestamp": "", **note, "message": note["text"], **changes}
        del entry["text"]
        return json.dumps(entry)

    def report_drops(self, **by_level):
        """Has the log itself say that records were dropped."""
        self.lines.append(json.dumps({"logger": "lual.engine", "dropped_by_level": by_level}))

    def drop(self, *indexes):
        """Takes records out of the log, counting and reporting each."""
        by_level = {}
        for index in sorted(indexes, reverse=True):
            del self.lines[index]
            level = self.notes[index]["level"]
            by_level[level] = by_level.get(level, 0) + 1
        self.statistics["dropped_by_level"] = by_level
        self.statistics["messages_dropped"] = len(indexes)
        self.report_drops(**by_level)

    def store(self):
        run = {"settings": {}, "replay": {}, "statistics": self.statistics, "latency_ns": {}}
        (self.folder / "run.json").write_text(json.dumps(run))
        notes = "".join(json.dumps(note) + "\n" for note in self.notes)
        (self.folder / "notes.jsonl").write_text(notes)
        (self.folder / "demo.log").write_text("".join(line + "\n" for line in self.lines))

    def proof(self):
        self.store()
        return prove(self.folder)[1]


@pytest.fixture
def stored(tmp_path):
    return StoredRun(tmp_path)


def test_a_complete_log_is_proved(stored):
    proof = stored.proof()
    assert proof == {
        "ok": True,
        "produced": 6,
        "written": 6,
        "dropped": 0,
        "missing": 0,
        "reported_dropped": 0,
        "drop_reports": 0,
        "duplicated": 0,
        "out_of_order": 0,
        "altered": 0,
        "unknown": 0,
        "torn_lines": 0,
        "files": ["demo.log"],
        "problems": [],
    }


def test_producers_may_be_mixed_in_any_way(stored):
    stored.lines = [stored.lines[index] for index in (3, 0, 1, 4, 2, 5)]
    assert stored.proof()["ok"]


def test_packed_backups_count(stored):
    backup = "".join(line + "\n" for line in stored.lines[:4])
    (stored.folder / "demo.log.1.gz").write_bytes(gzip.compress(backup.encode()))
    stored.lines = stored.lines[4:]
    proof = stored.proof()
    assert (proof["ok"], proof["files"]) == (True, ["demo.log.1.gz", "demo.log"])


def test_a_missing_line_fails_and_is_named(stored):
    del stored.lines[4]
    proof = stored.proof()
    assert (proof["ok"], proof["missing"]) == (False, 1)
    assert proof["problems"] == [
        "producer p2, number 2 (INFO) is missing, and no drop was counted for it"
    ]


def test_a_missing_file_fails(stored):
    stored.store()
    (stored.folder / "demo.log").unlink()
    proof = prove(stored.folder)[1]
    assert (proof["ok"], proof["missing"]) == (False, 6)


def test_drops_that_were_counted_and_reported_are_no_failure(stored):
    stored.drop(0, 2, 4)
    proof = stored.proof()
    assert proof["problems"] == []
    assert (proof["missing"], proof["dropped"], proof["reported_dropped"]) == (3, 3, 3)


def test_a_line_missing_besides_the_drops_fails(stored):
    stored.drop(0)
    del stored.lines[0]
    assert stored.proof()["problems"] == [
        "1 of these INFO records have no counted drop: producer p1, number 1; producer p1, number 2"
    ]


def test_a_line_that_goes_missing_after_the_first_proof_is_named_among_the_drops(stored):
    stored.drop(0, 3)
    assert stored.proof()["ok"]
    del stored.lines[0]
    assert stored.proof()["problems"] == [
        "producer p1, number 2 (INFO) is missing, and no drop was counted for it"
    ]


def test_a_drop_of_another_level_explains_no_missing_line(stored):
    stored.drop(0)
    stored.statistics["dropped_by_level"] = {"ERROR": 1}
    proof = stored.proof()
    assert not proof["ok"]
    assert "1 ERROR records were counted as dropped, but only 0 are missing" in proof["problems"]


def test_more_drops_than_missing_lines_fail(stored):
    stored.drop(0)
    stored.lines.insert(0, stored.line(stored.notes[0]))
    assert stored.proof()["problems"] == [
        "1 INFO records were counted as dropped, but only 0 are missing"
    ]


def test_drops_that_the_log_itself_does_not_report_fail(stored):
    stored.drop(0)
    stored.lines.pop()
    assert [problem[:24] for problem in stored.proof()["problems"]] == ["the log's own reports sa"]


def test_drops_that_the_log_alone_reports_fail(stored):
    stored.report_drops(INFO=2)
    proof = stored.proof()
    assert (proof["ok"], proof["reported_dropped"], proof["drop_reports"]) == (False, 2, 1)


@pytest.mark.parametrize("by_level", [None, {"INFO": "two"}])
def test_a_report_that_is_none_of_lual_fails(stored, by_level):
    entry = {"logger": "lual.engine", "message": "x", "dropped_by_level": by_level}
    stored.lines.append(json.dumps(entry))
    assert stored.proof()["unknown"] == 1


def test_a_line_that_stands_twice_fails(stored):
    stored.lines.append(stored.lines[1])
    proof = stored.proof()
    assert (proof["ok"], proof["duplicated"], proof["missing"]) == (False, 1, 0)
    assert proof["problems"] == [
        "producer p1, number 2 stands in the log again, in demo.log, line 7"
    ]


def test_a_producer_out_of_order_fails(stored):
    stored.lines[0], stored.lines[1] = stored.lines[1], stored.lines[0]
    proof = stored.proof()
    assert (proof["ok"], proof["out_of_order"]) == (False, 1)


@pytest.mark.parametrize("change", [{"message": "other"}, {"level": "DEBUG"}, {"logger": "demo"}])
def test_a_line_with_other_contents_fails(stored, change):
    stored.lines[2] = stored.line(stored.notes[2], **change)
    proof = stored.proof()
    assert (proof["ok"], proof["altered"]) == (False, 1)
    assert "producer p1, number 3" in proof["problems"][0]


@pytest.mark.parametrize(
    "change", [{"number": 77}, {"producer": "p9"}, {"number": "1"}, {"producer": [1]}]
)
def test_a_line_that_nobody_logged_fails(stored, change):
    stored.lines.append(stored.line(stored.notes[0], **change))
    proof = stored.proof()
    assert (proof["ok"], proof["unknown"]) == (False, 1)


def test_a_torn_line_fails(stored):
    stored.lines[5] = stored.lines[5][:20]
    proof = stored.proof()
    assert (proof["ok"], proof["torn_lines"], proof["missing"]) == (False, 1, 1)


def test_a_torn_last_line_fails_although_its_json_is_whole(stored):
    stored.store()
    log = stored.folder / "demo.log"
    log.write_bytes(log.read_bytes()[:-1])
    assert prove(stored.folder)[1]["torn_lines"] == 1


@pytest.mark.parametrize(
    "claim",
    [
        {"messages_submitted": 5},
        {"queue_size": 1},
        {"in_flight": 1},
        {"messages_failed": 1},
        {"output_errors": 1},
    ],
)
def test_statistics_that_disagree_fail(stored, claim):
    stored.statistics.update(claim)
    assert not stored.proof()["ok"]


def test_of_many_problems_of_a_kind_the_first_are_named_and_the_others_counted(stored):
    stored.lines += stored.lines
    proof = stored.proof()
    assert proof["duplicated"] == 6
    assert len(proof["problems"]) == 6
    assert proof["problems"][-1] == "... and 1 more: duplicated"


def test_of_many_missing_records_the_first_are_named_and_the_others_counted(stored):
    for note in stored.notes:
        note["level"] = "INFO"
    stored.lines = []
    problems = stored.proof()["problems"]
    assert len(problems) == 6
    assert problems[-1] == "... and 1 more INFO records"


@pytest.mark.parametrize("name", ["run.json", "notes.jsonl"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"{}\n", b"\xff"])
def test_a_folder_without_a_whole_run_proves_nothing(stored, name, content):
    stored.store()
    if content is None:
        (stored.folder / name).unlink()
    else:
        (stored.folder / name).write_bytes(content)
    if (name, content) == ("notes.jsonl", b""):
        assert not prove(stored.folder)[1]["ok"]
    else:
        with pytest.raises(DamagedRunError, match=name):
            prove(stored.folder)
