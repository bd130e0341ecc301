"""`lual conformance` and `lual_conformance.check`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from lual_conformance import check
from lual_conformance.cli import check_backend, conformance
from lual_conformance.registry import load_rules

PERFECT = "lual_conformance.reference.threads:plugin"
BROKEN = "lual_conformance.zoo.plugins:FlushIgnoresInflight"
QUICK = ("--rule", "5.1,5.6")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(*arguments):
    return CliRunner().invoke(conformance, list(map(str, arguments)))


def test_a_run_shows_each_rule_and_the_verdict():
    done = call("run", PERFECT, *QUICK)
    assert "5.1   passed" in done.output
    assert "PARTIAL at level standard" in done.output
    assert done.exit_code == 1


def test_a_part_is_enough_where_it_is_asked_for():
    assert call("run", PERFECT, *QUICK, "--require", "partial").exit_code == 0


def test_a_broken_backend_is_told_which_rule_it_breaks_and_why():
    done = call("run", BROKEN, *QUICK, "--require", "partial")
    assert done.exit_code == 1
    assert "5.1   FAILED" in done.output
    assert "observed:  flush returned while a record was still inside the output" in done.output
    assert "NONCONFORMANT" in done.output


def test_quiet_shows_only_what_is_not_kept():
    output = call("run", BROKEN, *QUICK, "--quiet").output
    assert "5.1   FAILED" in output
    assert "5.6   passed" not in output


def test_json_is_the_report_and_nothing_else():
    made = json.loads(call("run", BROKEN, *QUICK, "--json", "--seed", 7).output)
    assert (made["verdict"], made["seed"]) == ("nonconformant", 7)
    assert made["backend"]["name"] == BROKEN


@pytest.mark.parametrize("suffix", ["json", "md", "xml"])
def test_a_report_is_written_in_the_form_of_its_suffix(tmp_path, suffix):
    path = tmp_path / "made" / f"report.{suffix}"
    call("run", BROKEN, *QUICK, "--report", path)
    assert "flush returned while a record was still inside" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nobody"), "no installed package offers the backend 'nobody'"),
        (("run", PERFECT, "--rule", "77.*"), "no rule matches '77.*'"),
        (("run", PERFECT, "--profile", "cor"), "the profiles are core"),
        (("run", PERFECT, "--option", "x"), "is KEY=VALUE"),
        (("run", PERFECT, "--report", "r.yaml"), ".json, .md or .xml"),
        (("run", PERFECT, "--known-failures", "absent.toml"), "can't be read"),
    ],
)
def test_what_cannot_be_run_is_refused_with_status_2(arguments, message):
    done = call(*arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_a_failure_in_the_file_of_known_failures_is_excused(tmp_path):
    path = tmp_path / "known.toml"
    path.write_text(
        '[[known_failures]]\nrule = "5.1"\nreason = "r"\nissue = "i"\nexpires = 2099-01-31\n'
    )
    done = call("run", BROKEN, *QUICK, "--known-failures", path, "--require", "partial")
    assert done.exit_code == 0
    assert "5.1   known failure" in done.output


def test_the_rules_are_listed_in_three_forms():
    listed = call("rules").output
    book = call("rules", "--format", "md").output
    data = json.loads(call("rules", "--format", "json").output)
    assert [row["id"] for row in data] == list(load_rules())
    for rule in load_rules().values():
        assert rule.promise in listed
        assert rule.promise in book


def test_two_reports_are_compared(tmp_path):
    for name, backend in (("old", PERFECT), ("new", BROKEN)):
        call("run", backend, *QUICK, "--report", tmp_path / f"{name}.json")
    done = call("diff", tmp_path / "old.json", tmp_path / "new.json")
    assert done.exit_code == 1
    assert "worse 5.1" in done.output
    assert call("diff", tmp_path / "old.json", tmp_path / "old.json").exit_code == 0
    (change,) = json.loads(
        call("diff", tmp_path / "old.json", tmp_path / "new.json", "--json").output
    )
    assert (change["id"], change["is_worse"]) == ("5.1", True)


def test_what_is_no_report_is_not_compared(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    done = call("diff", tmp_path / "a.json", tmp_path / "a.json")
    assert done.exit_code == 2
    assert "no reports" in done.output


def test_a_short_check_has_an_exit_status(capsys):
    assert check_backend(PERFECT, "smoke", as_json=False) == 0
    assert "CONFORMANT at level smoke" in capsys.readouterr().out
    assert check_backend("nobody", "smoke", as_json=False) == 2


def test_check_says_nothing_of_a_backend_that_keeps_the_rules():
    check(PERFECT, rules=("5.1", "5.6"))


def test_check_raises_with_the_rule_that_is_broken():
    with pytest.raises(AssertionError, match=r"5\.1   FAILED"):
        check(BROKEN, rules=("5.1", "5.6"))


@pytest.mark.processes
def test_the_package_runs_as_a_program(tmp_path):
    command = [sys.executable, "-m", "lual_conformance", "run", PERFECT, *QUICK, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert json.loads(done.stdout)["verdict"] == "partial"


@pytest.mark.processes
def test_the_self_test_is_green_for_a_mutant_that_is_found():
    command = [sys.executable, "-m", "lual_conformance", "selftest", "FlushIgnoresInflight"]
    done = subprocess.run([*command, "--rules", "5.*"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ok" in done.stderr


@pytest.mark.processes
def test_importing_the_kit_loads_nothing_heavy():
    code = "import sys, lual_conformance.pytest_plugin\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert {"lual", "hypothesis", "click", "attrs", "lual_conformance.runner"} & loaded == set()
