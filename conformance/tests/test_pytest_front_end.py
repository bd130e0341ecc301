"""`pytest --lual-conformance`, in projects of strangers."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

PERFECT = "lual_conformance.reference.threads:plugin"
BROKEN = "lual_conformance.zoo.plugins:FlushIgnoresInflight"
RULES = "--lual-rule=5.1,5.5,5.6"


@pytest.fixture
def project(pytester, monkeypatch):
    """Returns a function that runs pytest in a project with a test of its own."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makepyfile(test_own="def test_own():\n    pass\n")

    def run(*arguments, backend=PERFECT, rules=RULES):
        named = [f"--lual-backend={backend}"] if backend else []
        chosen = [rules] if rules else []
        return pytester.runpytest_subprocess(
            "--lual-conformance", *named, *chosen, "-p", "no:cacheprovider", *arguments
        )

    return run


def test_only_the_kit_runs_unless_told_otherwise(project):
    done = project("--lual-require=partial")
    done.assert_outcomes(passed=3)
    assert done.ret == 0


def test_the_projects_own_tests_run_beside_it_if_asked_for(project):
    project("--lual-with-own-tests").assert_outcomes(passed=4)


def test_named_paths_are_kept(project):
    project("test_own.py").assert_outcomes(passed=4)


def test_without_the_switch_nothing_changes(pytester):
    pytester.makepyfile(test_own="def test_own():\n    pass\n")
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=1)
    assert "lual-conformance:" not in done.stdout.str()


def test_a_broken_rule_is_named_with_what_was_seen_and_where_to_look(project):
    done = project(backend=BROKEN)
    done.assert_outcomes(failed=1, passed=1, skipped=1)
    assert done.ret == 1
    done.stdout.fnmatch_lines(
        [
            "*5.1   FAILED*",
            "*observed:  flush returned while a record was still inside the output",
            "*contract:  `flush` returns True only after*",
            "*look at:   *",
            "*5.5   blocked*it builds on 5.1",
            "*NONCONFORMANT at level standard",
        ]
    )


def test_a_failure_shows_no_traceback_through_the_kit(project):
    assert "runner.py" not in project(backend=BROKEN).stdout.str().split("counters:")[0]


def test_outcomes_have_their_own_words(project):
    done = project("-v", backend=BROKEN)
    done.stdout.fnmatch_lines(
        ["lual-conformance::*::5-flush::test_5_1 FAILED*", "*::test_5_5 BLOCKED*"]
    )


@pytest.mark.parametrize("options", [("-n2",), ("-n2", "--dist", "loadfile")])
def test_it_runs_in_parallel_with_one_report(project, pytester, options):
    done = project(*options, "--lual-conformance-report=r.json", "--lual-seed=7", backend=BROKEN)
    done.assert_outcomes(failed=1, passed=1, skipped=1)
    made = json.loads((pytester.path / "r.json").read_text())
    assert (made["verdict"], made["seed"]) == ("nonconformant", 7)
    assert {row["id"]: row["outcome"] for row in made["rules"] if row["id"] == "5.1"} == {
        "5.1": "failed"
    }


def test_rules_are_chosen_by_keyword(project):
    project("-k", "5.6").assert_outcomes(passed=1, deselected=2)
    project("-k", "test_5_6").assert_outcomes(passed=1, deselected=2)


def test_a_chosen_rule_is_blocked_by_a_premise_that_was_not_chosen(project):
    done = project("-k", "5.5", backend=BROKEN)
    done.assert_outcomes(skipped=1, deselected=2)


def test_rules_are_deselected_by_their_id(project):
    id = f"lual-conformance::{PERFECT}::5-flush::test_5_6"
    project("--deselect", id).assert_outcomes(passed=2, deselected=1)


def test_what_was_not_selected_makes_the_verdict_partial(project, pytester):
    project("-k", "5.6", "--lual-conformance-report=r.json")
    made = json.loads((pytester.path / "r.json").read_text())
    assert made["verdict"] == "partial"
    outcomes = {row["id"]: row["outcome"] for row in made["rules"]}
    assert (outcomes["5.1"], outcomes["5.6"]) == ("skipped_by_user", "passed")


def test_it_works_where_warnings_are_errors_and_markers_strict(project, pytester):
    pytester.makeini(
        "[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\n"
    )
    done = project("--lual-require=partial")
    done.assert_outcomes(passed=3)
    assert done.ret == 0


@pytest.mark.parametrize("mode", ["prepend", "append", "importlib"])
def test_it_works_in_every_import_mode(project, mode):
    project(f"--import-mode={mode}").assert_outcomes(passed=3)


def test_a_file_of_the_same_name_as_a_chapter_does_not_clash(project, pytester):
    pytester.makepyfile(test_flush="def test_mine():\n    pass\n")
    project("--lual-with-own-tests").assert_outcomes(passed=5)


def test_no_fixture_of_the_project_reaches_a_rule(project, pytester):
    pytester.makeconftest(
        "import pytest\n@pytest.fixture(autouse=True)\ndef spoil():\n    raise RuntimeError\n"
    )
    project().assert_outcomes(passed=3)


def test_reports_are_written_in_all_forms(project, pytester):
    names = ("r.json", "r.md", "r.xml")
    project(*(f"--lual-conformance-report={name}" for name in names), backend=BROKEN)
    assert json.loads((pytester.path / "r.json").read_text())["verdict"] == "nonconformant"
    assert "# lual_conformance.zoo" in (pytester.path / "r.md").read_text()
    assert ET.parse(pytester.path / "r.xml").getroot().find("testsuite").get("failures") == "1"


def test_pytests_own_junit_file_has_the_rules(project, pytester):
    project("--junitxml=own.xml", backend=BROKEN)
    suite = ET.parse(pytester.path / "own.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")


def test_a_run_that_stops_at_the_first_failure_is_incomplete(project, pytester):
    project("-x", "--lual-conformance-report=r.json", backend=BROKEN)
    made = json.loads((pytester.path / "r.json").read_text())
    assert made["verdict"] == "incomplete"
    assert "not_run" in {row["outcome"] for row in made["rules"]}


def test_a_known_failure_is_an_expected_failure(project, pytester):
    pytester.makefile(
        ".toml",
        **{
            "lual-conformance": '[[known_failures]]\nrule = "5.1"\nreason = "r"\n'
            'issue = "i"\nexpires = 2099-01-31\n'
        },
    )
    done = project("--lual-require=partial", backend=BROKEN)
    done.assert_outcomes(xfailed=1, passed=1, skipped=1)
    assert done.ret == 0


def test_a_known_failure_that_passes_fails_the_session(project, pytester):
    pytester.makepyprojecttoml(
        '[[tool.lual.conformance.known_failures]]\nrule = "5.1"\nreason = "r"\n'
        'issue = "i"\nexpires = 2099-01-31\n'
    )
    done = project("--lual-require=partial")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*5.1   UNEXPECTED PASS*"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("expires = 2020-01-31", "has expired on 2020-01-31"),
        ("expires = 2099-01-31\nmore = 1", "nothing reads that"),
    ],
)
def test_a_stale_excuse_is_an_error(project, pytester, text, message):
    pytester.makepyprojecttoml(
        '[[tool.lual.conformance.known_failures]]\nrule = "5.1"\nreason = "r"\n'
        f'issue = "i"\n{text}\n'
    )
    done = project()
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"*{message}*"])


def test_the_projects_own_backends_are_the_default(project, pytester):
    pytester.makepyprojecttoml(
        '[project]\nname = "lual-backend-threads"\n'
        '[project.entry-points."lual.backends"]\nthreads = "lual_backend_threads.plugin"\n'
    )
    done = project(backend=None)
    done.stdout.fnmatch_lines(["*lual-conformance: threads *"])
    done.assert_outcomes(passed=3)


def test_without_a_backend_those_installed_are_named(project):
    done = project(backend=None)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*which backend?*installed: *threads*"])


def test_an_unknown_backend_is_a_usage_error(project):
    done = project(backend="threds")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*no installed package offers the backend 'threds'*threads*"])


def test_several_backends_run_in_one_session(project):
    done = project(f"--lual-backend={BROKEN}", "--lual-conformance-report=r.json")
    done.assert_outcomes(passed=4, failed=1, skipped=1)
    done.stdout.fnmatch_lines(["*PARTIAL at level standard", "*NONCONFORMANT at level standard"])


def test_a_spent_budget_leaves_rules_unrun(project):
    project("--lual-time-budget=0").assert_outcomes(skipped=3)


def test_without_autoloaded_plugins_the_kit_is_named_by_hand(project, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    done = project()
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*unrecognized arguments: --lual-conformance*"])
    project("-p", "lual_conformance.pytest_plugin").assert_outcomes(passed=3)
