#!/usr/bin/env python3
"""The one development command; it needs Python 3.10 and a package index, nothing else.

    python3 dev.py test [ARGS]    all that continuous integration runs; ARGS go to pytest
    python3 dev.py full [ARGS]    the same on every interpreter found, and the long runs
    python3 dev.py quick [ARGS]   unit tests alone
    python3 dev.py demo [ARGS]    `lual demo` with the core and the backends installed
    python3 dev.py bench [ARGS]   benchmarks/run.py

Options stand before the command: --python PATH takes another interpreter than the one that
runs this file; --all-pythons (also after `test`) tests on 3.10 to 3.13, as far as found.

The environment is the folder .venv (.venv-3.10 and so on for further interpreters). It is
made anew when a pyproject.toml, the interpreter or the place of the checkout has changed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent
OLDEST = (3, 10)
VERSIONS = ("3.10", "3.11", "3.12", "3.13")

#: Where a uv goes if no environment can be made without one.
BOOTSTRAP = ROOT / ".venv-bootstrap"

#: Seconds for `test` on one interpreter: it ends by itself before a 20 minute limit does it.
TEST_LIMIT = 18 * 60.0

#: Seconds for one installation; nobody measured how slow a network may be.
INSTALL_LIMIT = 600.0


class Problem(Exception):
    """Something that the user must put right; its text is all that is shown."""


class Result(NamedTuple):
    """How one step ended."""

    step: str
    outcome: str
    seconds: float


# What other programs left in the environment must not reach ours.
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_ADDOPTS")


def environ(folder: Path) -> dict[str, str]:
    """Returns the variables for programs that run in the environment `folder`."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    path = os.pathsep.join((str(folder / "bin"), kept.get("PATH", os.defpath)))
    return {**kept, "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def distributions(pattern: str = "*") -> list[Path]:
    """Returns the folders of the workspace's distributions."""
    return sorted(path.parent for path in ROOT.glob(f"{pattern}/pyproject.toml"))


def identify(python: str) -> tuple[str, str] | None:
    """Returns version and real path of an interpreter, None if it doesn't run."""
    code = "import os, sys; print(*sys.version_info[:3], sep='.'); print(sys.executable)"
    try:
        asked = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version, path = asked.stdout.splitlines()
    # The real path: a shim would choose again, and an environment may be about to go.
    return version, os.path.realpath(path)


def find_python(version: str) -> str | None:
    """Returns the real path of an interpreter of that minor version, None if there is none."""
    pyenv = Path.home() / ".pyenv" / "versions"
    candidates = [shutil.which(f"python{version}")]
    # Free-threaded builds end in a letter: they are another interpreter.
    for folder in sorted(pyenv.glob(f"{version}.*[0-9]"), reverse=True):
        candidates.append(str(folder / "bin" / f"python{version}"))
    for candidate in filter(None, candidates):
        known = identify(candidate)
        if known and known[0].startswith(f"{version}."):
            return known[1]
    return None


def succeeds(folder: Path, *command: str | Path) -> bool:
    """Runs an installation command in the root folder, and tells whether it worked."""
    try:
        status = subprocess.run(
            [str(part) for part in command], cwd=ROOT, env=environ(folder), timeout=INSTALL_LIMIT
        ).returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return False
    return status == 0


def make_environment(python: str, folder: Path) -> None:
    """Makes an empty environment, with a uv in it or beside it if one can be had."""
    shutil.rmtree(folder, ignore_errors=True)
    probe = "from importlib.util import find_spec; raise SystemExit(not find_spec('ensurepip'))"
    if succeeds(folder, python, "-c", probe):
        if not succeeds(folder, python, "-m", "venv", folder):
            raise Problem(f"{python} -m venv {folder} failed; the reason stands above")
        succeeds(folder, folder / "bin" / "python", "-m", "pip", "install", "--quiet", "uv")
        return
    # Debian may have Python without ensurepip; its pip does install into a separate folder.
    pip = (python, "-m", "pip", "install", "--quiet", "--upgrade", "--target", BOOTSTRAP, "uv")
    make = (BOOTSTRAP / "bin" / "uv", "venv", "--quiet", "--python", python, folder)
    if not (succeeds(folder, *pip) and succeeds(folder, *make)):
        raise Problem(f"{python} can't make environments; on Debian: apt-get install python3-venv")


def install(folder: Path, *, tests: bool) -> None:
    """Installs the distributions, with `tests` also all that testing them takes."""
    python = folder / "bin" / "python"
    wanted = [part for d in distributions("*" if tests else "lual-*") for part in ("-e", d)]
    wanted += ["--group", "dev"] if tests else []
    for uv in (folder / "bin" / "uv", BOOTSTRAP / "bin" / "uv"):
        if uv.exists() and succeeds(
            folder, uv, "pip", "install", "--quiet", "--python", python, *wanted
        ):
            return
    print("dev.py: uv can't install the packages, pip tries", file=sys.stderr)
    pip = (python, "-m", "pip", "install", "--quiet")
    # Dependency groups came with pip 25.1.
    newer = not tests or succeeds(folder, *pip, "--upgrade", "pip>=25.1")
    if not (newer and succeeds(folder, *pip, *wanted)):
        raise Problem("the packages can't be installed; is a package index in reach?")


def provide(python: str, folder: Path, *, tests: bool) -> Path:
    """Returns the interpreter of an up-to-date environment, which is made if need be.

    Args:
        python: The interpreter to make it from.
        folder: Where it is.
        tests: Whether it must have what testing takes.
    """
    known = identify(python)
    if known is None:
        raise Problem(f"{python!r} doesn't run; --python takes the path of an interpreter")
    version, real = known
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        raise Problem(f"lual needs Python 3.10 or newer; {python} is {version}")
    settings = [d / "pyproject.toml" for d in (ROOT, *distributions())]
    described = "\0".join((str(ROOT), version, real, *(path.read_text() for path in settings)))
    digest = hashlib.sha256(described.encode()).hexdigest()
    stamp, inside = folder / "made-for", folder / "bin" / "python"
    made_for = stamp.read_text().split() if stamp.exists() and inside.exists() else ["nothing"]
    if made_for[0] == digest and (not tests or "tests" in made_for):
        return inside
    print(f"Making the environment {folder.name} with Python {version} ...", flush=True)
    if made_for[0] != digest:
        make_environment(real, folder)
    install(folder, tests=tests)
    stamp.write_text(f"{digest} {'tests' if tests else 'run'}\n")
    return inside


def run_step(name: str, command: Sequence[str | Path], folder: Path, deadline: float) -> Result:
    """Runs one step in a process group of its own, which ends with it.

    Args:
        name: For the header and the summary.
        command: What to run in the root folder.
        folder: The environment.
        deadline: Monotonic seconds at which the step is ended.
    """
    print(f"\n=== {name}", flush=True)
    started = time.monotonic()
    # Settings of the developer's own programs must not decide about a test.
    variables = {k: v for k, v in environ(folder).items() if not k.startswith("LUAL_")}
    arguments = [str(part) for part in command]
    with subprocess.Popen(arguments, cwd=ROOT, env=variables, start_new_session=True) as process:
        try:
            status = process.wait(timeout=max(0.0, deadline - started))
            outcome = "passed" if status == 0 else f"FAILED, exit status {status}"
        except subprocess.TimeoutExpired:
            outcome = "FAILED, out of time"
        finally:
            with contextlib.suppress(ProcessLookupError):  # nothing was left behind
                os.killpg(process.pid, signal.SIGKILL)
    result = Result(name, outcome, time.monotonic() - started)
    print(f"\n--- {name}: {outcome}, {result.seconds:.1f} s", flush=True)
    return result


def steps(
    python: Path, *, checks: bool, slow: bool, extra: Sequence[str]
) -> Iterator[tuple[str, list[str | Path]]]:
    """Yields name and command of each step on one interpreter; the tests come last.

    Args:
        python: Of the environment.
        checks: Whether to check the sources too, which one interpreter does for all.
        slow: Whether slow tests run.
        extra: Further arguments for the tests.
    """
    pytest: list[str | Path] = [python, "-m", "pytest", "--hypothesis-profile=ci"]
    if checks:
        yield "lint", [python, "-m", "ruff", "check", "."]
        yield "types", [python, "-m", "mypy"]
        yield "layers", [python.with_name("lint-imports"), "--no-logo"]
        yield "zoo", [python, "-m", "lual_conformance.zoo"]
    if checks and slow:
        again = ["--thorough", "--repeat", "5"]
        yield "zoo, again", [python, "-m", "lual_conformance.zoo", *again]
        for what in ("reports", "calm"):
            yield what, [python, ROOT / "conformance" / "publish.py", what]
    for backend in (d.name.rpartition("-")[2] for d in distributions("lual-backend-*")):
        kit: list[str | Path] = [python, "-m", "lual_conformance", "run", backend, "--quiet"]
        yield f"conformance {backend}", [*kit, "--level", "full" if slow else "standard"]
    documents = [path for path in (ROOT / "README.md", ROOT / "docs") if path.exists()]
    documents += [path for d in distributions() for path in (d / "README.md", d / "src")]
    yield "docs", [*pytest, "--doctest-modules", *documents]
    folders = [path for d in (*distributions(), ROOT) if (path := d / "tests").exists()]
    marks = [] if slow else ["-m", "not slow"]
    yield "tests", [*pytest, "-n", "2", "--dist", "loadgroup", *marks, *folders, *extra]


def test(python: str, *, all_pythons: bool, slow: bool, extra: Sequence[str]) -> int:
    """Runs every step, also after one that failed, and returns the exit status."""
    minor = (identify(python) or ("", ""))[0].rpartition(".")[0]
    others = [v for v in VERSIONS if v != minor] if all_pythons else []
    deadline = time.monotonic() + (TEST_LIMIT if not (others or slow) else float("inf"))
    results = []
    for version in [*others, ""]:  # the chosen one last: its closing line ends the run
        label, folder = f" {version}" if version else "", f".venv-{version}" if version else ".venv"
        found = find_python(version) if version else python
        if found is None:
            results.append(Result(f"tests{label}", "skipped: no such interpreter found", 0.0))
            continue
        started = time.monotonic()
        try:
            inside = provide(found, ROOT / folder, tests=True)
        except Problem as problem:
            print(f"dev.py: {problem}", file=sys.stderr)
            results.append(Result(f"environment{label}", "FAILED", time.monotonic() - started))
            continue
        results.append(Result(f"environment{label}", "passed", time.monotonic() - started))
        for name, command in steps(inside, checks=not version, slow=slow, extra=extra):
            results.append(run_step(name + label, command, ROOT / folder, deadline))
    print("\n=== summary")
    for result in results:
        print(f"{result.step:<22}{result.seconds:>8.1f} s  {result.outcome}")
    return 1 if any(result.outcome.startswith("FAILED") for result in results) else 0


def unit_tests(arguments: Sequence[str]) -> list[str | Path]:
    """Returns the arguments of pytest for all unit tests, or for those that are named."""
    named = any(Path(argument.partition("::")[0]).exists() for argument in arguments)
    folders = [] if named else [d / "tests" for d in distributions() if (d / "tests").exists()]
    return ["-m", "pytest", "-m", "not slow and not processes", *folders, *arguments]


def main() -> int:
    """Does what the command line asks for and returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="dev.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--python", default=sys.executable, help=argparse.SUPPRESS)
    parser.add_argument("--all-pythons", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("command", choices=["test", "full", "quick", "demo", "bench"])
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    full, rest, folder = options.command == "full", options.rest, ROOT / ".venv"
    if full or options.command == "test":
        all_pythons = full or options.all_pythons or "--all-pythons" in rest
        extra = [argument for argument in rest if argument != "--all-pythons"]
        return test(options.python, all_pythons=all_pythons, slow=full, extra=extra)
    python = provide(options.python, folder, tests=options.command != "demo")
    command = {
        "quick": [python, *unit_tests(rest)],
        "demo": [folder / "bin" / "lual", "demo", *rest],
        "bench": [python, ROOT / "benchmarks" / "run.py", *rest],
    }[options.command]
    sys.stdout.flush()
    # It replaces this program: terminal, signals and exit status are its own.
    os.execve(command[0], [str(part) for part in command], environ(folder))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a running step ends too
    try:
        sys.exit(main())
    except Problem as problem:
        sys.exit(f"dev.py: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
