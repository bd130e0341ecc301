"""The runner: order, premises, watchdogs, and whose fault it is."""

from __future__ import annotations

import datetime
import threading

import pytest

from lual_conformance import runner
from lual_conformance.known import KnownFailure, KnownFailures
from lual_conformance.outcomes import Blocked, NotApplicable, NotSupported, expect
from lual_conformance.registry import Rule, in_order, load_rules, select
from lual_conformance.runner import Run, planned
from lual_conformance.settings import RunSettings
from lual_conformance.target import Target

QUICK = RunSettings(watchdog=0.3, glance=0.01, scale=1.0)


@pytest.fixture(scope="module")
def target() -> Target:
    return Target.find("lual_conformance.reference.threads:plugin")


def make(id, check, **settings):
    return Rule(id=id, promise="It works.", check=check, hint="everything", **settings)


def fail(kit):
    expect(False, "it was broken")


def succeed(kit):
    return None


def run_one(target, check, settings=QUICK, **rule):
    return Run(target, settings).one(make("99.1", check, **rule))


def test_a_violation_fails_the_rule_with_what_was_observed(target):
    result = run_one(target, fail)
    assert (result.outcome, result.message) == ("failed", "it was broken")


def test_a_failure_tells_the_counters_and_the_stacks(target):
    def check(kit):
        kit.running().submit("a")
        expect(False, "it was broken")

    details = run_one(target, check).details
    assert "counters: " in details
    assert "thread MainThread" not in details
    assert "ref-worker" in details


def test_a_fault_of_the_check_is_an_error_and_no_failure(target):
    def check(kit):
        raise KeyError("kit")

    result = run_one(target, check)
    assert result.outcome == "error"
    assert "KeyError" in result.message
    assert "in check" in result.details


def test_what_a_call_of_the_backend_raises_fails_the_rule(target):
    def check(kit):
        system = kit.running()
        system.backend.stop = lambda timeout: 1 / 0
        system.stop(1.0)

    result = run_one(target, check)
    assert result.outcome == "failed"
    assert result.message.startswith("stop(1) raised ZeroDivisionError")


def test_a_call_that_hangs_fails_the_rule_and_is_named(target):
    gate = threading.Event()

    def check(kit):
        system = kit.running()
        system.backend.flush = lambda timeout: gate.wait()
        system.flush(2.0)

    try:
        result = run_one(target, check)
    finally:
        gate.set()
    assert (result.outcome, result.message) == ("failed", "flush(2) had not returned after 0.3 s")


def test_a_check_that_never_ends_is_an_error(target, monkeypatch):
    monkeypatch.setattr(runner, "_LONGEST", 0.001)
    gate = threading.Event()
    try:
        result = run_one(target, lambda kit: gate.wait())
    finally:
        gate.set()
    assert result.outcome == "error"
    assert "has not ended" in result.message


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NotApplicable("no fork here"), "not_applicable"),
        (NotSupported("fork"), "not_supported"),
        (Blocked("nothing moves"), "blocked"),
    ],
)
def test_a_check_may_end_without_a_judgement(target, error, outcome):
    def check(kit):
        raise error

    result = run_one(target, check)
    assert (result.outcome, result.message) == (outcome, str(error))


def test_strict_env_makes_a_rule_that_cannot_be_checked_fail(target):
    def check(kit):
        kit.not_applicable("no fork here")

    strict = RunSettings(watchdog=0.3, scale=1.0, strict_env=True)
    assert run_one(target, check, strict).outcome == "failed"


def test_a_rule_whose_capability_is_lacking_is_not_run(target):
    result = run_one(target, fail, needs=("event_loop",))
    assert (result.outcome, result.message) == ("not_supported", "event_loop")


def test_a_rule_whose_premise_failed_is_blocked_and_names_it(target):
    run = Run(target, QUICK)
    run.all([make("99.1", fail), make("99.2", fail, assumes=("99.1",))])
    result = run.results["99.2"]
    assert (result.outcome, result.by) == ("blocked", ("99.1",))


def test_what_builds_on_a_blocked_rule_is_blocked_too(target):
    run = Run(target, QUICK)
    run.all(
        [
            make("99.1", fail),
            make("99.2", succeed, assumes=("99.1",)),
            make("99.3", succeed, assumes=("99.2",)),
        ]
    )
    assert run.results["99.3"].outcome == "blocked"


def test_a_premise_that_is_not_supported_blocks_nothing(target):
    run = Run(target, QUICK)
    run.all(
        [
            make("99.1", fail, needs=("event_loop",)),
            make("99.2", succeed, assumes=("99.1",)),
        ]
    )
    assert run.results["99.2"].outcome == "passed"


def test_premises_that_were_not_run_are_run_first(target):
    rules = load_rules()
    rule = next(rule for rule in rules.values() if rule.assumes and not rule.processes)
    run = Run(target, RunSettings())
    run.one(rule)
    assert set(rule.assumes) <= set(run.results)


def test_rules_come_after_their_premises():
    rules = [make("99.1", succeed, assumes=("99.2",)), make("99.2", succeed)]
    assert [rule.id for rule in in_order(rules)] == ["99.2", "99.1"]


def test_a_spent_time_budget_leaves_rules_unrun(target):
    result = run_one(target, fail, RunSettings(time_budget=0.0))
    assert result.outcome == "not_run"


def test_a_profile_that_was_not_asked_for_is_skipped(target):
    result = run_one(target, fail, RunSettings(profiles=("fork",)))
    assert result.outcome == "skipped_by_user"


ENTRY = KnownFailure(rule="99.1", reason="hard", issue="#1", expires=datetime.date(2099, 1, 1))


def test_a_known_failure_is_excused(target):
    run = Run(target, QUICK, KnownFailures([ENTRY]))
    assert run.one(make("99.1", fail)).outcome == "known_failure"


def test_a_known_failure_that_passes_is_told(target):
    run = Run(target, QUICK, KnownFailures([ENTRY]))
    assert run.one(make("99.1", succeed)).outcome == "unexpected_pass"


@pytest.mark.parametrize(("check", "word"), [(fail, "failed it was broken"), (succeed, "passed")])
def test_a_provisional_rule_is_reported_and_judges_nothing(target, check, word):
    result = run_one(target, check, provisional=True)
    assert (result.outcome, result.message) == ("provisional", word)


def test_a_rule_that_needs_luck_is_tried_several_times_at_full(target):
    tries = []
    settings = RunSettings(level="full", watchdog=5.0)
    run_one(target, lambda kit: tries.append(kit), settings, stochastic=True)
    assert len(tries) == 3


def test_a_rule_is_run_once_however_often_it_is_a_premise(target):
    tries = []
    run = Run(target, QUICK)
    rule = make("99.1", lambda kit: tries.append(kit))
    run.all([rule, make("99.2", succeed, assumes=("99.1",)), rule])
    assert len(tries) == 1


def test_notes_change_no_outcome(target):
    result = run_one(target, lambda kit: kit.note("undeclared: fork"))
    assert (result.outcome, result.notes) == ("passed", ("undeclared: fork",))


def test_nothing_of_a_check_outlives_it(target):
    def check(kit):
        kit.running().hold()

    before = set(threading.enumerate())
    run_one(target, check, RunSettings(watchdog=5.0))
    for thread in set(threading.enumerate()) - before:
        thread.join(5.0)
    assert set(threading.enumerate()) - before == set()


def test_each_level_runs_what_the_one_below_runs():
    ids = [
        {rule.id for rule in planned(RunSettings(level=level))}
        for level in ("smoke", "standard", "full", "stress")
    ]
    assert ids[0]
    assert ids[0] < ids[1] <= ids[2] <= ids[3]


def test_a_pattern_that_matches_no_rule_is_refused():
    with pytest.raises(ValueError, match="no rule matches '77"):
        select(load_rules().values(), ["77.*"])
