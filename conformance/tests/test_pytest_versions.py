"""The pytest front-end works with every pytest that the metadata allows, old ones included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.processes]

SOURCES = [Path(__file__).parents[2] / name / "src" for name in ("lual-core", "conformance")]
NEEDS = ("attrs", "click", "importlib-metadata", "pluggy", "tomli")


@pytest.fixture(params=["7.4.4", "8.0.2", "8.4.2"])
def python(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Returns an interpreter with that pytest, lual and the kit."""
    folder = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    inside = folder / "bin" / "python"
    install = [inside, "-m", "pip", "install", "--quiet", f"pytest=={request.param}", *NEEDS]
    subprocess.run(install, check=True)
    asked = [inside, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout[:-1])
    (packages / "workspace.pth").write_text("".join(f"{source}\n" for source in SOURCES))
    return inside


def run(python: Path, folder: Path, backend: str) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", "pytest", "-p", "lual_conformance.pytest_plugin", "-v"]
    command += ["--strict-markers", "-W", "error", "--lual-conformance", "--lual-rule=5.1,5.5,5.6"]
    command += ["--lual-require=partial", f"--lual-backend={backend}"]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=folder)


def test_a_perfect_and_a_broken_backend_are_told_apart(python, tmp_path):
    perfect = run(python, tmp_path, "lual_conformance.reference.threads:plugin")
    assert perfect.returncode == 0, perfect.stdout
    assert "3 passed" in perfect.stdout
    broken = run(python, tmp_path, "lual_conformance.zoo.plugins:FlushIgnoresInflight")
    assert broken.returncode == 1, broken.stdout
    assert "1 failed, 1 passed, 1 skipped" in broken.stdout
