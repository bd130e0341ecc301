"""Reports: verdicts, their forms, and what changed between two."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from importlib.resources import files

import jsonschema
import pytest

from lual_conformance import report as reports
from lual_conformance.comparison import compare
from lual_conformance.outcomes import OUTCOMES, Result
from lual_conformance.registry import load_rules
from lual_conformance.settings import RunSettings
from lual_conformance.target import Target
from lual_conformance.verdict import satisfies, verdict

STANDARD = [rule for rule in load_rules().values() if rule.runs_at("standard")]
MUST = next(rule for rule in STANDARD if rule.must)
SHOULD = next(rule for rule in STANDARD if not rule.must)


@pytest.fixture(scope="module")
def target() -> Target:
    return Target.find("lual_conformance.reference.threads:plugin")


def results(**changes):
    """Returns a result for each rule, passed but for those changed."""
    found = {rule.id: Result(id=rule.id, outcome="passed", ms=1.0) for rule in STANDARD}
    for result in changes.values():
        found[result.id] = result
    return found


def report(target, finished=True, settings=None, **changes):
    settings = settings or RunSettings(seed=7)
    return reports.build(target, settings, results(**changes), finished=finished)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("passed", "conformant"),
        ("not_supported", "conformant"),
        ("not_applicable", "conformant"),
        ("failed", "nonconformant"),
        ("unexpected_pass", "nonconformant"),
        ("error", "incomplete"),
        ("blocked", "incomplete"),
        ("known_failure", "partial"),
        ("skipped_by_user", "partial"),
        ("not_run", "partial"),
    ],
)
def test_one_must_decides_the_verdict(outcome, expected):
    found = results(changed=Result(id=MUST.id, outcome=outcome))
    assert verdict(STANDARD, found, restricted=False) == expected


@pytest.mark.parametrize("outcome", ["failed", "blocked", "not_run", "known_failure"])
def test_a_should_changes_no_verdict(outcome):
    found = results(changed=Result(id=SHOULD.id, outcome=outcome))
    assert verdict(STANDARD, found, restricted=False) == "conformant"


def test_a_choice_of_rules_proves_a_part_at_most():
    assert verdict(STANDARD, results(), restricted=True) == "partial"


def test_no_rule_at_all_proves_nothing():
    assert verdict([], {}, restricted=False) == "incomplete"


def test_a_failure_weighs_more_than_an_error():
    found = results(
        a=Result(id=MUST.id, outcome="error"), b=Result(id=STANDARD[-1].id, outcome="failed")
    )
    last_must = [rule for rule in STANDARD if rule.must][-1]
    found[last_must.id] = Result(id=last_must.id, outcome="failed")
    assert verdict(STANDARD, found, restricted=False) == "nonconformant"


def test_partial_is_enough_where_it_is_asked_for():
    assert satisfies("partial", "partial")
    assert satisfies("conformant", "partial")
    assert not satisfies("partial", "conformant")
    assert not satisfies("incomplete", "partial")


def test_an_interrupted_run_is_incomplete(target):
    made = reports.build(target, RunSettings(), {}, finished=False)
    assert made["verdict"] == "incomplete"
    assert {row["outcome"] for row in made["rules"]} == {"not_run"}


def test_a_report_follows_its_schema(target):
    schema = json.loads(files("lual_conformance").joinpath("schema/report-1.json").read_text())
    made = report(
        target,
        a=Result(id=MUST.id, outcome="failed", message="it was broken", details="all of it"),
        b=Result(id=SHOULD.id, outcome="blocked", by=(MUST.id,), notes=("a note",)),
    )
    jsonschema.validate(json.loads(json.dumps(made)), schema)
    outcomes = schema["properties"]["rules"]["items"]["properties"]["outcome"]["enum"]
    assert set(outcomes) == set(OUTCOMES)


def test_a_failed_rule_says_what_was_seen_what_is_promised_and_where_to_look(target):
    made = report(target, a=Result(id=MUST.id, outcome="failed", message="it was broken"))
    text = "\n".join(reports.lines(made, passed=False))
    assert MUST.id in text
    assert "it was broken" in text
    assert MUST.promise in text
    assert MUST.hint in text
    assert "NONCONFORMANT" in text


def test_each_rule_has_a_line(target):
    lines = list(reports.lines(report(target)))
    for rule in STANDARD:
        assert any(line.split()[:2] == [rule.id, "passed"] for line in lines)


def test_a_report_as_markdown_names_every_rule_and_the_failure(target):
    made = report(target, a=Result(id=MUST.id, outcome="failed", message="a | b"))
    page = reports.render("r.md", [made])
    assert f"## {MUST.id} {MUST.title}: failed" in page
    assert "a \\| b" in page
    assert all(f"| {rule.id} |" in page for rule in STANDARD)


def test_a_report_as_junit_counts_and_escapes(target):
    made = report(
        target,
        a=Result(id=MUST.id, outcome="failed", message="\x1b[31m <red>"),
        b=Result(id=SHOULD.id, outcome="not_supported", message="fork"),
    )
    suite = ET.fromstring(reports.render("r.xml", [made])).find("testsuite")
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "1")
    assert int(suite.get("tests")) == len(STANDARD)
    assert "<red>" in suite.find(".//failure").get("message")


def test_a_report_file_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"\.json, \.md or \.xml"):
        reports.check_suffix("report.yaml")


def test_the_command_that_repeats_a_run_stands_in_its_report(target):
    settings = RunSettings(seed=7, level="full", options={"a": 1})
    again = reports.reproduce(target.name, settings)
    assert f"--lual-backend {target.name}" in again
    assert "--lual-level full" in again
    assert "--lual-backend-option a=1" in again
    assert "--lual-seed 7" in again


def test_a_rule_that_got_worse_is_told(target):
    worse = report(target, a=Result(id=MUST.id, outcome="failed", message="it was broken"))
    (change,) = compare(report(target), worse)
    assert change.is_worse
    assert "passed -> failed" in str(change)
    (change,) = compare(worse, report(target))
    assert not change.is_worse


def test_a_proof_that_is_gone_is_worse(target):
    gone = report(target, a=Result(id=MUST.id, outcome="skipped_by_user"))
    (change,) = compare(report(target), gone)
    assert change.is_worse


def test_the_rule_book_has_a_section_for_every_rule():
    from lual_conformance.markdown import rule_book

    page = rule_book(load_rules().values())
    for rule in load_rules().values():
        assert f"### {rule.id} {rule.title}\n\n{rule.promise}" in page
