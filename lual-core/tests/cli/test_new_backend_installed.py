"""A backend that was just begun works where it is installed, unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from lual.cli import main

CORE = Path(__file__).resolve().parents[2]
KIT = CORE.parent / "conformance"

#: Logs through the backend, and says which thread wrote what.
PROGRAM = """
import json, sys, threading
import lual

written = []
lual.config(
    level="info",
    async_enabled=True,
    backend=sys.argv[1],
    async_flush_interval=1000,
    pipelines=[
        lual.pipeline(
            presenter=lual.text("{message}"),
            outputs=[lambda text, record: written.append((text, threading.current_thread().name))],
        )
    ],
)
for number in range(120):
    lual.logger("app").info("record %d", number)
assert lual.flush()
print(json.dumps([lual.get_stats()["backend"], written]))
"""


class Environment:
    """A virtual environment with the third-party packages of this one, and none of lual's.

    Args:
        folder: Where it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.python = folder / "bin" / "python"
        command = [sys.executable, "-m", "venv", "--without-pip", folder]
        subprocess.run(command, check=True, capture_output=True)
        self._packages = Path(
            self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        )
        for package in third_party_packages():
            (self._packages / package.name).symlink_to(package)

    def install(self, source: Path, target: Path) -> None:
        """Builds the wheel of a distribution and installs it.

        Args:
            source: The distribution's folder.
            target: For the wheel.
        """
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target]
        done = subprocess.run(build, cwd=source, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (wheel,) = target.glob("*.whl")
        # All that installing a wheel without programs and data takes.
        ZipFile(wheel).extractall(self._packages)

    def run(self, *arguments: str) -> str:
        """Runs its interpreter, unmoved by the developer's variables; returns the output."""
        command = [self.python, "-I", *arguments]
        variables = {k: v for k, v in os.environ.items() if not k.startswith("LUAL_")}
        done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def third_party_packages() -> Iterator[Path]:
    """Yields what is installed here, without the workspace and what only points elsewhere."""
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for path in Path(folder).iterdir():
            ours = path.name.lower().startswith(("lual", "_lual", "__editable__"))
            if not ours and path.suffix != ".pth" and path.name != "__pycache__":
                yield path


def assert_conformant(environment: Environment, name: str) -> None:
    """Lets the conformance kit, in a process of its own, judge the backend."""
    environment.run("-m", "lual_conformance", "run", name)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with lual-core and a backend that was just begun, both from wheels."""
    folder = tmp_path_factory.mktemp("begun")
    assert main(["backends", "new", "my-own", "--path", str(folder)]) == 0
    environment = Environment(folder / "environment")
    environment.install(CORE, folder / "core-wheel")
    environment.install(folder / "lual-backend-my-own", folder / "own-wheel")
    return environment


@pytest.mark.processes
@pytest.mark.timeout(180)
class TestInstalled:
    def test_it_is_listed_and_is_the_default(self, environment):
        found = json.loads(environment.run("-m", "lual", "backends", "list", "--json"))
        assert found["default"] == "my-own"
        (row,) = found["backends"]
        assert (row["name"], row["status"], row["reason"]) == ("my-own", "ok", None)
        assert (row["distribution"], row["version"]) == ("lual-backend-my-own", "0.1.0")

    def test_its_details_are_shown(self, environment):
        shown = environment.run("-m", "lual", "backends", "info", "my-own")
        assert shown.startswith("my-own  ok\n")
        assert "lual_backend_my_own.plugin" in shown

    def test_records_arrive_through_it(self, environment):
        backend, written = json.loads(environment.run("-c", PROGRAM, "my-own"))
        assert backend == "my-own"
        assert written == [[f"record {n}", "lual-my-own"] for n in range(120)]

    def test_the_installed_core_begins_another(self, environment, tmp_path):
        environment.run("-m", "lual", "backends", "new", "other", "--path", str(tmp_path))
        assert (tmp_path / "lual-backend-other" / "src/lual_backend_other/plugin.py").exists()

    def test_the_conformance_kit_is_content(self, environment, tmp_path):
        environment.install(KIT, tmp_path)
        assert_conformant(environment, "my-own")
