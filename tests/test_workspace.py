"""The files that hold the workspace together agree with one another."""

from __future__ import annotations

import fnmatch
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = sorted(path.parent for path in ROOT.glob("*/pyproject.toml"))


def test_every_distribution_is_a_member_of_the_workspace():
    members = SETTINGS["tool"]["uv"]["workspace"]["members"]
    outside = [f.name for f in FOLDERS if not any(fnmatch.fnmatch(f.name, m) for m in members)]
    assert outside == []


def test_the_imports_of_every_distribution_are_checked():
    packages = {path.parent.name for f in FOLDERS for path in f.glob("src/*/__init__.py")}
    backends = {name for name in packages if name.startswith("lual_backend_")}
    checks = SETTINGS["tool"]["importlinter"]
    forbidden = [check for check in checks["contracts"] if check["type"] == "forbidden"]
    assert set(checks["root_packages"]) == packages
    assert backends <= {m for c in forbidden for m in c["source_modules"]}
    assert backends <= {m for c in forbidden for m in c["forbidden_modules"]}


def test_the_root_builds_nothing():
    assert {"project", "build-system"} & SETTINGS.keys() == set()


def test_git_tracks_no_lock_file_and_nothing_that_was_built():
    if shutil.which("git") is None:
        pytest.skip("git isn't installed")
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("git doesn't know this folder")
    built = ("uv.lock", "*.pyc", "*.egg-info/*", "*/dist/*", ".venv*")
    tracked = listing.stdout.splitlines()
    assert [name for name in tracked if any(fnmatch.fnmatch(name, b) for b in built)] == []


def test_git_ignores_the_lock_file():
    assert "uv.lock" in (ROOT / ".gitignore").read_text().splitlines()


def test_continuous_integration_runs_the_one_command():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert 'exec python3 dev.py test "$@"' in script.read_text()
