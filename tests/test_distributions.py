"""What each distribution declares is what it ships and uses."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
from email.parser import HeaderParser
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = sorted(path.parent for path in ROOT.glob("*/pyproject.toml"))

#: Packages of the standard library that 3.10 lacks: code asks for the version first.
LATER_STDLIB = {"tomllib"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


def packages(folder: Path) -> list[Path]:
    """Returns the import packages of a distribution."""
    return sorted(path.parent for path in folder.glob("src/*/__init__.py"))


def declared(folder: Path) -> set[str]:
    """Returns the normalised names of the distributions it depends on."""
    names = (re.match(r"[\w.-]+", line) for line in project(folder)["dependencies"])
    return {normal(name[0]) for name in names if name}


def optional(folder: Path) -> set[str]:
    """Returns the normalised names of what its extras bring."""
    extras = project(folder).get("optional-dependencies", {})
    lines = [line for extra in extras.values() for line in extra]
    return {normal(name[0]) for line in lines if (name := re.match(r"[\w.-]+", line))}


def imported(folder: Path) -> set[str]:
    """Returns the top names of all that its shipped code imports, anywhere in it."""
    names: set[str] = set()
    for path in folder.glob("src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    return {name.partition(".")[0] for name in names}


def providers() -> dict[str, set[str]]:
    """Returns by import name the distributions that provide it, the workspace's included."""
    known = {name: set(map(normal, who)) for name, who in packages_distributions().items()}
    for folder in FOLDERS:
        for package in packages(folder):
            known[package.name] = {normal(project(folder)["name"])}
    return known


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_every_declared_dependency_is_imported_by_shipped_code(folder):
    known = providers()
    # One that isn't installed here, tomli on a newer Python say, is known by its own name.
    used = set().union(*(known.get(name, {normal(name)}) for name in imported(folder)))
    assert (declared(folder) | optional(folder)) - used == set()


def test_every_import_of_shipped_code_is_declared(folder):
    known = providers()
    own = {package.name for package in packages(folder)}
    foreign = imported(folder) - own - set(sys.stdlib_module_names) - LATER_STDLIB
    offered = declared(folder) | optional(folder)
    assert {n for n in foreign if not known.get(n, {normal(n)}) & offered} == set()


def test_every_package_is_marked_as_typed(folder):
    assert packages(folder)
    assert [p.name for p in packages(folder) if not (p / "py.typed").exists()] == []


def test_all_versions_are_in_lock_step():
    assert len({project(folder)["version"] for folder in FOLDERS}) == 1


def test_a_distribution_pins_those_of_the_workspace_to_its_own_version(folder):
    ours = {normal(project(other)["name"]) for other in FOLDERS}
    version = project(folder)["version"]
    pins = [line for line in project(folder)["dependencies"] if normal(line.split("=")[0]) in ours]
    assert [pin for pin in pins if not pin.endswith(f"=={version}")] == []


def test_the_licence_of_a_distribution_is_that_of_the_workspace(folder):
    assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def build(folder: Path, kind: str, target: Path) -> Path:
    """Returns the file that the build of an `sdist` or a `wheel` made."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = (path for path in target.iterdir() if path.suffix in (".gz", ".whl"))
    return made


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ZipFile]:
    """The wheel of each distribution by the folder's name, built from its unpacked sdist."""
    built = {}
    for folder in FOLDERS:
        target = tmp_path_factory.mktemp(folder.name)
        with tarfile.open(build(folder, "sdist", target / "sdist")) as archive:
            # By hand: what 3.12 and later ask for, 3.10.0 doesn't know.
            for member in archive.getmembers():
                path = target / "unpacked" / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.extractfile(member).read())
        (unpacked,) = (target / "unpacked").iterdir()
        built[folder.name] = ZipFile(build(unpacked, "wheel", target / "wheel"))
    return built


@pytest.mark.processes
def test_a_wheel_holds_every_file_of_the_sources(folder, wheels):
    sources = folder / "src"
    ours = {
        path.relative_to(sources).as_posix()
        for path in sources.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = {name for name in wheels[folder.name].namelist() if ".dist-info/" not in name}
    assert shipped == ours


@pytest.mark.processes
def test_a_wheel_says_what_the_distribution_is(folder, wheels):
    wheel = wheels[folder.name]
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    metadata = HeaderParser().parsestr(wheel.read(name).decode())
    assert normal(metadata["Name"]) == normal(project(folder)["name"])
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata["Summary"]
    assert metadata["Keywords"]
    assert metadata.get_payload().startswith("# ")
