"""The rule book and the zoo fit together."""

from __future__ import annotations

import re

import pytest

from lual_conformance.registry import CHAPTERS, LEVELS, load_rules
from lual_conformance.target import Target
from lual_conformance.zoo.registry import load_mutants
from lual_conformance.zoo.run import unguarded_rules

RULES = load_rules()
MUTANTS = load_mutants()

#: What the original design note asks every backend's tests to cover.
SCENARIOS = {
    "Basic work submission and processing",
    "Batch processing triggers",
    "Flush timeout behavior",
    "Error handling and recovery",
    "Statistics reporting",
    "Lifecycle management",
    "Performance under load",
    "Submission overload",
    "Dispatch errors",
    "Flush timeout",
    "Worker recovery",
    "Memory bounds",
    "Statistics accuracy",
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_says_what_is_promised_and_where_to_look(rule):
    assert re.fullmatch(r"[^.!?].*\.", rule.promise, re.DOTALL)
    assert rule.hint
    assert not rule.hint.endswith(".")
    assert rule.level in LEVELS
    assert rule.chapter in CHAPTERS


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_builds_on_rules_that_exist_and_never_on_itself(rule):
    seen, waiting = set(), list(rule.assumes)
    while waiting:
        premise = waiting.pop()
        assert premise in RULES
        if premise not in seen:
            seen.add(premise)
            waiting += RULES[premise].assumes
    assert rule.id not in seen


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_builds_on_nothing_that_runs_less_often(rule):
    order = [LEVELS.index(RULES[premise].level) for premise in rule.assumes]
    assert all(level <= max(LEVELS.index(rule.level), 1) for level in order)


def test_no_two_rules_have_one_title():
    titles = [rule.title for rule in RULES.values()]
    assert sorted(titles) == sorted(set(titles))


def test_every_scenario_of_the_original_design_note_is_a_rule():
    named = {name.strip() for rule in RULES.values() for name in rule.seed.split(";")}
    assert named - {""} == SCENARIOS


def test_every_must_has_a_mutant_that_breaks_it():
    assert unguarded_rules(MUTANTS) == []


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_breaks_rules_that_exist_and_says_how(name):
    mutant = MUTANTS[name]
    assert set(mutant.expect) <= set(RULES)
    assert all(mutant.expect.values())
    assert mutant.summary.endswith(".")


def test_a_mutant_is_found_like_any_backend():
    target = Target.find(MUTANTS["FlushIgnoresInflight"].reference)
    assert target.info.name == "FlushIgnoresInflight"
    assert target.info.summary


#: The defects of the original that the contract must not copy, and who has each here.
ORIGINAL_DEFECTS = {
    "a flush ends after its first batch": "FlushOneBatch",
    "a stop throws away what waits": "StopDiscards",
    "evictions aren't counted": "DropUncounted",
    "block drops the newest record": "BlockIsDropNewest",
    "submitting alone starts no batch": "NoBatchTrigger",
    "a reset replaces the statistics": "ResetDetachesStats",
    "a drop raises where the mapping lacks the key": "SeedStatsRaise",
    "a record without a dispatch function vanishes": "NoDispatchVanishes",
    "the error handler is never called": "CountsInSilence",
}


@pytest.mark.parametrize("name", ORIGINAL_DEFECTS.values(), ids=ORIGINAL_DEFECTS)
def test_a_defect_of_the_original_is_in_the_zoo(name):
    assert name in MUTANTS
