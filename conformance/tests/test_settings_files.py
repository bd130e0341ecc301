"""What a project and a command line may say of a run."""

from __future__ import annotations

import datetime

import pytest

from lual_conformance.known import KnownFailures, KnownFailuresError
from lual_conformance.options import Asked, OptionError, chosen_backends, run_settings
from lual_conformance.project import Project, ProjectError, read_project
from lual_conformance.settings import SCALE_VARIABLE, default_scale

TODAY = datetime.date(2026, 11, 23)


def entry(**changes):
    row = {"rule": "5.3", "reason": "no deadline", "issue": "#1", "expires": "2027-01-31"}
    return {key: value for key, value in {**row, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reason": None}, "lacks reason"),
        ({"expires": None}, "lacks expires"),
        ({"expires": "soon"}, "must be a date like 2027-01-31, got 'soon'"),
        ({"expires": "2026-11-22"}, "has expired on 2026-11-22"),
        ({"rule": "77.1"}, "there is no such rule"),
        ({"isue": "#2"}, r"has \['isue'\]; nothing reads that"),
    ],
)
def test_a_known_failure_that_says_too_little_is_an_error(changes, message):
    with pytest.raises(KnownFailuresError, match=message):
        KnownFailures.of([entry(**changes)], TODAY)


def test_a_known_failure_is_excused_on_its_last_day():
    known = KnownFailures.of([entry(expires=TODAY)], TODAY)
    assert known.entry("5.3") is not None


@pytest.fixture
def write(tmp_path):
    def write(text, name="pyproject.toml"):
        (tmp_path / name).write_text(text)
        return tmp_path

    return write


def test_a_project_offers_the_backends_of_its_entry_points(write):
    folder = write('[project]\nname="x"\n[project.entry-points."lual.backends"]\nmine = "m"\n')
    assert read_project(folder).backends == ("mine",)


def test_a_folder_without_a_project_says_nothing(tmp_path):
    said = read_project(tmp_path)
    assert (said.backends, said.distribution, said.modes) == ((), None, {})


def test_known_failures_stand_in_the_project_file(write):
    folder = write(
        '[[tool.lual.conformance.known_failures]]\nrule = "5.3"\nreason = "r"\n'
        'issue = "i"\nexpires = 2099-01-31\n'
    )
    assert read_project(folder).known.entry("5.3").reason == "r"


def test_known_failures_stand_in_a_file_of_their_own(write):
    text = '[[known_failures]]\nrule = "5.3"\nreason = "r"\nissue = "i"\nexpires = 2099-01-31\n'
    assert read_project(write(text, "lual-conformance.toml")).known.entry("5.3") is not None


def test_a_key_that_nothing_reads_is_an_error(write):
    with pytest.raises(ProjectError, match=r"has \['known_failurs'\]"):
        read_project(write("[tool.lual.conformance]\nknown_failurs = []\n"))


def test_a_file_that_cannot_be_read_is_an_error(write):
    with pytest.raises(ProjectError, match="can't be read"):
        read_project(write("[tool"))


@pytest.mark.parametrize("value", ["0", "true", '"2"', "-1"])
def test_a_timeout_scale_must_be_a_positive_number(write, value):
    with pytest.raises(ProjectError, match="above 0"):
        read_project(write(f"[tool.lual.conformance]\ntimeout_scale = {value}\n"))


def test_a_mode_of_the_project_brings_its_options(write):
    folder = write(
        '[[tool.lual.conformance.modes]]\nname = "durable"\noptions = {fsync = true, a = 1}\n'
    )
    settings = run_settings(Asked(mode="durable", options=["a=2"]), read_project(folder))
    assert (settings.mode, settings.options) == ("durable", {"fsync": True, "a": 2})


def test_options_of_the_backend_are_json_or_text():
    settings = run_settings(Asked(options=["a=1", "b=true", "c=x", "d=[1]"]), Project())
    assert settings.options == {"a": 1, "b": True, "c": "x", "d": [1]}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Asked(options=["a"]), "is KEY=VALUE, got 'a'"),
        (Asked(rules=["77.*"]), "no rule matches '77"),
        (Asked(profiles=["cores"]), "the profiles are core, .*; got 'cores'"),
        (Asked(scale=0.0), "above 0"),
        (Asked(level="fast"), "must be one of smoke, standard, full, stress"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(asked, message):
    with pytest.raises(OptionError, match=message):
        run_settings(asked, Project())


def test_patterns_may_be_listed_with_commas():
    settings = run_settings(Asked(rules=["5.1, 5.3", "5.5"]), Project())
    assert settings.rules == ("5.1", "5.3", "5.5")


def test_a_run_has_a_seed_even_if_none_is_asked_for():
    assert len({run_settings(Asked(), Project()).seed for _ in range(5)}) > 1
    assert run_settings(Asked(seed=7), Project()).seed == 7


def test_backends_are_those_asked_for_else_the_projects_own():
    project = Project(backends=("mine",))
    assert chosen_backends([], project, ["mine", "threads"]) == ["mine"]
    assert chosen_backends(["threads"], project, ["mine", "threads"]) == ["threads"]
    assert chosen_backends(["all", "mine"], project, ["mine", "threads"]) == ["mine", "threads"]


def test_no_backend_at_all_is_an_error_that_names_those_installed():
    with pytest.raises(OptionError, match=r"installed: a, b"):
        chosen_backends([], Project(), ["a", "b"])


def test_the_environment_lengthens_watchdogs(monkeypatch):
    monkeypatch.setenv(SCALE_VARIABLE, "2.5")
    assert default_scale() == 2.5
    monkeypatch.setenv(SCALE_VARIABLE, "-1")
    with pytest.raises(ValueError, match="above 0"):
        default_scale()


def test_many_workers_lengthen_watchdogs(monkeypatch):
    monkeypatch.delenv(SCALE_VARIABLE, raising=False)
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    assert default_scale() == 4.0
