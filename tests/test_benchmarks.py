"""The benchmarks run, and give figures only for runs in which every line arrived."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
LINE = b"2026-01-01T00:00:00.123456 INFO app.db user %d logged in from %s in 12.5 ms\n"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, FOLDER / "run.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def asked(program: str, *arguments: str | Path) -> object:
    """Returns what a program that can import the benchmarks' modules prints as JSON."""
    command = [sys.executable, "-c", f"import json, sys\n{program}", *arguments]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def verdict(path: Path, expected: dict[str, int], *, numbered: bool = False) -> object:
    program = (
        "from pathlib import Path; from line import judge\n"
        "print(json.dumps(judge(Path(sys.argv[1]), json.loads(sys.argv[2]),"
        " numbered=json.loads(sys.argv[3]))._asdict()))"
    )
    return asked(program, path, json.dumps(expected), json.dumps(numbered))


@pytest.mark.processes
@pytest.mark.parametrize("scenario", ["T1", "T2", "T3", "T4", "T5", "T5s", "T6", "T12"])
def test_a_scenario_gives_each_peer_a_figure(scenario, tmp_path):
    target = tmp_path / "figures.json"
    done = run("--scenarios", scenario, "--rounds", "1", "--records", "40", "--json", target)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(target.read_text())["scenarios"][scenario]
    assert [name for name, peer in found["peers"].items() if peer["troubles"]] == []
    assert {"std", "lual-threads"} <= found["peers"].keys()
    assert all(isinstance(peer["median"], (int, float)) for peer in found["peers"].values())


@pytest.mark.processes
@pytest.mark.parametrize("scenario", ["T8", "T9", "T10"])
def test_lual_loses_no_line(scenario):
    program = (
        "import runs; from scenarios import SCENARIOS\n"
        "print(json.dumps(runs.run(SCENARIOS[sys.argv[1]], 'lual-threads', 200).trouble()))"
    )
    assert asked(program, scenario) == ""


@pytest.mark.processes
def test_an_unknown_scenario_is_an_error_that_names_the_known_ones():
    done = run("--scenarios", "T1,T99")
    assert done.returncode == 2
    assert "T99" in done.stderr
    assert "T12" in done.stderr


@pytest.mark.processes
def test_a_run_that_hangs_is_ended_and_has_no_figure():
    program = (
        "import runs; from scenarios import SCENARIOS\n"
        "stuck = SCENARIOS['T5']._replace(limit=0.0)\n"
        "run = runs.run(stuck, 'lual-threads', 10)\n"
        "print(json.dumps([run.value, run.trouble()]))"
    )
    value, trouble = asked(program)
    assert value is None
    assert trouble.startswith("hangs")


@pytest.mark.processes
def test_a_missing_line_is_lost(tmp_path):
    path = tmp_path / "app.log"
    path.write_bytes(LINE % (42, b"a"))
    assert verdict(path, {"a": 3}) == {"lost": 2, "doubled": 0, "torn": 0}


@pytest.mark.processes
def test_a_doubled_line_does_not_make_up_for_a_lost_one(tmp_path):
    path = tmp_path / "app.log"
    path.write_bytes(LINE % (0, b"a") * 2)
    assert verdict(path, {"a": 2}, numbered=True) == {"lost": 1, "doubled": 1, "torn": 0}


@pytest.mark.processes
def test_a_line_that_was_cut_off_is_torn(tmp_path):
    path = tmp_path / "app.log"
    path.write_bytes((LINE % (42, b"a"))[:-1])
    assert verdict(path, {"a": 1}) == {"lost": 1, "doubled": 0, "torn": 1}
