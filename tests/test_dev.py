"""The development command: environments are current, and no step hides another's failure."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The command as a module, with an empty folder for the workspace."""
    spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "dev", module)
    spec.loader.exec_module(module)
    tmp_path.joinpath("pyproject.toml").write_text("")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


@pytest.fixture
def made(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `provide` did, in place of the real environments."""
    done = []

    def make_environment(python: str, folder: Path) -> None:
        done.append("made")
        (folder / "bin").mkdir(parents=True, exist_ok=True)
        (folder / "bin" / "python").touch()

    def install(folder: Path, *, tests: bool) -> None:
        done.append("installed for tests" if tests else "installed")

    monkeypatch.setattr(dev, "make_environment", make_environment)
    monkeypatch.setattr(dev, "install", install)
    return done


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


class TestProvide:
    def test_a_current_environment_is_kept(self, dev, made):
        dev.provide(sys.executable, dev.ROOT / ".venv", tests=True)
        made.clear()
        dev.provide(sys.executable, dev.ROOT / ".venv", tests=True)
        dev.provide(sys.executable, dev.ROOT / ".venv", tests=False)
        assert made == []

    def test_a_changed_setting_makes_it_anew(self, dev, made):
        dev.provide(sys.executable, dev.ROOT / ".venv", tests=False)
        made.clear()
        (dev.ROOT / "pyproject.toml").write_text("# changed")
        dev.provide(sys.executable, dev.ROOT / ".venv", tests=False)
        assert made == ["made", "installed"]

    def test_what_testing_takes_is_added_to_a_current_one(self, dev, made):
        dev.provide(sys.executable, dev.ROOT / ".venv", tests=False)
        made.clear()
        dev.provide(sys.executable, dev.ROOT / ".venv", tests=True)
        assert made == ["installed for tests"]

    def test_an_environment_whose_interpreter_is_gone_is_made_anew(self, dev, made):
        inside = dev.provide(sys.executable, dev.ROOT / ".venv", tests=False)
        made.clear()
        inside.unlink()
        dev.provide(sys.executable, dev.ROOT / ".venv", tests=False)
        assert made == ["made", "installed"]

    def test_an_interrupted_installation_is_repeated(self, dev, made, monkeypatch):
        def interrupted(folder: Path, *, tests: bool) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(dev, "install", interrupted)
            with pytest.raises(KeyboardInterrupt):
                dev.provide(sys.executable, dev.ROOT / ".venv", tests=False)
        made.clear()
        dev.provide(sys.executable, dev.ROOT / ".venv", tests=False)
        assert made == ["made", "installed"]

    def test_an_interpreter_that_is_too_old_is_named(self, dev, made):
        old = executable(dev.ROOT / "old", "echo 3.9.18; echo /usr/bin/python3.9")
        with pytest.raises(dev.Problem, match=r"3\.10 or newer; .*old is 3\.9\.18"):
            dev.provide(str(old), dev.ROOT / ".venv", tests=False)

    def test_an_interpreter_that_does_not_run_is_named(self, dev, made):
        with pytest.raises(dev.Problem, match="'no-such-python' doesn't run"):
            dev.provide("no-such-python", dev.ROOT / ".venv", tests=False)


class TestFindPython:
    def test_a_shim_is_resolved_to_the_interpreter_behind_it(self, dev, monkeypatch):
        shim = executable(dev.ROOT / "shims" / "python3.97", "echo 3.97.1; echo /opt/python3.97")
        monkeypatch.setenv("PATH", str(shim.parent))
        assert dev.find_python("3.97") == "/opt/python3.97"

    def test_a_shim_without_an_interpreter_leads_on_to_the_installed_ones(self, dev, monkeypatch):
        shim = executable(dev.ROOT / "shims" / "python3.97", "exit 127")
        real = executable(
            dev.ROOT / ".pyenv/versions/3.97.2/bin/python3.97", "echo 3.97.2; echo /opt/installed"
        )
        free_threaded = real.parents[2] / "3.97.3t" / "bin" / "python3.97"
        executable(free_threaded, "echo 3.97.3; echo /opt/free-threaded")
        monkeypatch.setenv("PATH", str(shim.parent))
        monkeypatch.setenv("HOME", str(dev.ROOT))
        assert dev.find_python("3.97") == "/opt/installed"

    def test_a_version_that_is_nowhere_is_none(self, dev, monkeypatch):
        monkeypatch.setenv("HOME", str(dev.ROOT))
        assert dev.find_python("3.97") is None


@pytest.mark.processes
class TestRunStep:
    def run(self, dev: ModuleType, code: str, seconds: float = 60.0) -> str:
        command = [sys.executable, "-c", code]
        return dev.run_step("step", command, dev.ROOT, time.monotonic() + seconds).outcome

    def test_a_step_passes_with_status_0_alone(self, dev):
        assert self.run(dev, "pass") == "passed"
        assert self.run(dev, "raise SystemExit(3)") == "FAILED, exit status 3"

    def test_a_step_that_runs_out_of_time_fails(self, dev):
        assert self.run(dev, "import signal; signal.pause()", 0.1) == "FAILED, out of time"

    def test_the_variables_of_a_developer_reach_no_step(self, dev, monkeypatch):
        for name in ("LUAL_CONFIG", "PYTHONPATH", "PYTEST_ADDOPTS"):
            monkeypatch.setenv(name, "mine")
        assert self.run(dev, "import os; assert 'mine' not in os.environ.values()") == "passed"


class TestTest:
    @pytest.fixture(autouse=True)
    def _two_steps(self, dev, monkeypatch):
        monkeypatch.setattr(dev, "provide", lambda python, folder, tests: Path(python))
        self.outcomes = {"lint": "passed", "tests": "passed"}
        monkeypatch.setattr(dev, "steps", lambda *_, **__: [(n, []) for n in self.outcomes])
        monkeypatch.setattr(
            dev, "run_step", lambda name, *_: dev.Result(name, self.outcomes[name.split()[0]], 0.0)
        )

    def test_every_step_runs_after_one_that_failed(self, dev, capsys):
        self.outcomes["lint"] = "FAILED, exit status 1"
        assert dev.test(sys.executable, all_pythons=False, slow=False, extra=[]) == 1
        summary = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert [(line[0], line[3]) for line in summary if len(line) > 3] == [
            ("environment", "passed"),
            ("lint", "FAILED,"),
            ("tests", "passed"),
        ]

    def test_the_status_is_0_if_every_step_passed(self, dev):
        assert dev.test(sys.executable, all_pythons=False, slow=False, extra=[]) == 0

    def test_an_interpreter_that_is_missing_is_reported(self, dev, capsys, monkeypatch):
        monkeypatch.setattr(dev, "find_python", lambda version: None)
        assert dev.test(sys.executable, all_pythons=True, slow=False, extra=[]) == 0
        assert capsys.readouterr().out.count("skipped: no such interpreter found") == 3

    def test_an_environment_that_can_not_be_made_fails(self, dev, capsys, monkeypatch):
        def provide(python: str, folder: Path, *, tests: bool) -> Path:
            raise dev.Problem("no index")

        monkeypatch.setattr(dev, "provide", provide)
        assert dev.test(sys.executable, all_pythons=False, slow=False, extra=[]) == 1
        assert "dev.py: no index" in capsys.readouterr().err


@pytest.mark.processes
def test_an_unknown_command_is_answered_with_the_known_ones():
    asked = subprocess.run(
        [sys.executable, ROOT / "dev.py", "tset"], capture_output=True, text=True
    )
    assert asked.returncode == 2
    assert "choose from" in asked.stderr
