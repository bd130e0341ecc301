"""A backend that was just begun is a sound distribution, and keeps what it claims."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import lual.cli.new_backend as module
from lual.backend import BackendConfig, WorkItem
from lual.cli import main
from lual.cli.new_backend import check_name, compatible
from lual.engine.backend_check import content_problems

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILES = [
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "src/lual_backend_my_own/__init__.py",
    "src/lual_backend_my_own/plugin.py",
    "src/lual_backend_my_own/py.typed",
    "tests/test_conformance.py",
]

#: Seconds for what must come; only a fault waits that long.
PATIENCE = 10.0


@pytest.fixture
def new(capsys, tmp_path, monkeypatch):
    """Runs `lual backends new` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def new(*arguments):
        status = main(["backends", "new", *map(str, arguments)])
        return status, *capsys.readouterr()

    return new


def files_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


class TestFiles:
    def test_all_of_a_distribution_is_written(self, new, tmp_path):
        assert new("my-own")[0] == 0
        assert files_in(tmp_path / "lual-backend-my-own") == FILES
        assert [path.name for path in tmp_path.iterdir()] == ["lual-backend-my-own"]

    def test_no_placeholder_is_left(self, new, tmp_path):
        new("my-own")
        folder = tmp_path / "lual-backend-my-own"
        assert [path for path in FILES if "$" in (folder / path).read_text()] == []

    def test_every_template_is_used(self):
        folder = Path(module.__file__).parent / "templates" / "backend"
        assert sorted(path.name for path in folder.iterdir()) == sorted(module._FILES.values())

    def test_the_entry_point_leads_to_the_plugin(self, new, tmp_path):
        new("my-own")
        folder = tmp_path / "lual-backend-my-own"
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        assert project["name"] == "lual-backend-my-own"
        assert project["entry-points"]["lual.backends"] == {"my-own": "lual_backend_my_own.plugin"}
        assert "lual-conformance" in project["optional-dependencies"]["test"]

    def test_the_test_asks_the_kit_for_the_backend_by_its_name(self, new, tmp_path):
        new("my-own")
        test = (tmp_path / "lual-backend-my-own/tests/test_conformance.py").read_text()
        assert 'check("my-own")' in test
        readme = (tmp_path / "lual-backend-my-own/README.md").read_text()
        assert "pytest --lual-conformance --lual-backend my-own" in readme

    @pytest.mark.parametrize(
        ("installed_core", "requirement"),
        [
            ("0.1.0", "lual-core>=0.1.0,<0.2"),
            ("0.9.3rc1", "lual-core>=0.9.3rc1,<0.10"),
            ("1.4.2", "lual-core>=1.4.2,<2"),
            ("2.0.dev7+local", "lual-core>=2.0.dev7,<3"),
            ("3", "lual-core>=3,<4"),
        ],
    )
    def test_it_needs_this_core_and_compatible_ones(self, installed_core, requirement):
        assert compatible(installed_core) == requirement

    def test_it_needs_the_core_that_is_installed(self, new, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "version", {"lual-core": "0.8.5"}.__getitem__)
        new("my-own")
        settings = (tmp_path / "lual-backend-my-own/pyproject.toml").read_text()
        assert tomllib.loads(settings)["project"]["dependencies"] == ["lual-core>=0.8.5,<0.9"]

    # The longest and the shortest name: both change where lines end.
    @pytest.mark.parametrize("name", ["a", "abcdefghijklmnopqrstuvwxyz-123"])
    @pytest.mark.processes
    def test_ruff_has_nothing_to_say(self, new, tmp_path, name):
        pytest.importorskip("ruff")
        assert new(name)[0] == 0
        for command in (
            ["check", "--select=ALL", "--ignore=CPY,INP,D1,D203,D213,D4", "--no-cache"],
            ["format", "--diff", "--no-cache"],
        ):
            asked = [sys.executable, "-m", "ruff", *command, "--isolated", "."]
            done = subprocess.run(asked, cwd=tmp_path / f"lual-backend-{name}", check=False)
            assert done.returncode == 0

    @pytest.mark.processes
    @pytest.mark.timeout(120)
    def test_mypy_has_nothing_to_say(self, new, tmp_path):
        pytest.importorskip("mypy")
        new("my-own")
        asked = [sys.executable, "-m", "mypy", "--strict", "--cache-dir=/dev/null", "src"]
        folder = tmp_path / "lual-backend-my-own"
        done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


class TestOutput:
    def test_it_tells_what_was_written_and_what_comes_next(self, new):
        _, out, err = new("my-own")
        assert err == ""
        written, following = out.split("\n\nNext:\n")
        first, *paths = written.splitlines()
        assert first == "Wrote the backend my-own into lual-backend-my-own:"
        assert sorted(path.strip() for path in paths) == FILES
        assert [line.strip() for line in following.splitlines()] == [
            "pip install -e './lual-backend-my-own[test]'",
            "lual backends info my-own",
            "lual backends check my-own",
        ]

    def test_another_folder_is_made_and_named(self, new, tmp_path):
        place = tmp_path / "an own" / "place"
        status, out, _ = new("my-own", "--path", place)
        assert status == 0
        assert files_in(place / "lual-backend-my-own") == FILES
        assert f"pip install -e '{place}/lual-backend-my-own[test]'" in out


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "cure"),
        [
            ("threads", "choose another, such as 'my-threads'"),
            ("coroutines", "choose another, such as 'my-coroutines'"),
            ("mp", "choose another, such as 'my-mp'"),
            ("base", "choose another, such as 'my-base'"),
            ("Kafka", "try 'kafka'"),
            ("my_own", "try 'my-own'"),
            ("my own", "try 'my-own'"),
            ("a--b", "try 'a-b'"),
            ("a-", "try 'a'"),
            ("lual-backend-kafka", "try 'kafka'"),
            ("../kafka", "try 'kafka'"),
            ("kafka\n", "try 'kafka'"),
            ("2fast", "must begin with a letter"),
            ("", "must begin with a letter"),
            ("größe", "lower-case letters, digits"),
            ("a" * 31, "30 characters at most"),
        ],
    )
    def test_a_name_that_cannot_be_used_is_refused_with_a_cure(self, new, tmp_path, name, cure):
        status, out, err = new(name)
        assert (status, out) == (2, "")
        assert cure in err
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["LUAL-BACKEND-MP", "Threads", "2fast", "a" * 31])
    def test_no_name_is_proposed_that_would_be_refused(self, name):
        with pytest.raises(module.RefusedError) as refused:
            check_name(name)
        assert "try" not in str(refused.value)

    @pytest.mark.parametrize("kind", ["folder", "file", "link"])
    def test_nothing_that_exists_is_overwritten(self, new, tmp_path, kind):
        there = tmp_path / "lual-backend-my-own"
        if kind == "folder":
            there.mkdir()
        elif kind == "file":
            there.write_text("mine")
        else:
            there.symlink_to("nowhere")
        status, out, err = new("my-own")
        assert (status, out) == (2, "")
        assert "lual-backend-my-own exists" in err
        assert "--path" in err
        assert files_in(tmp_path) == (["lual-backend-my-own"] if kind == "file" else [])

    def test_a_place_that_is_no_folder_is_refused(self, new, tmp_path):
        (tmp_path / "file").touch()
        status, out, err = new("my-own", "--path", tmp_path / "file" / "below")
        assert (status, out) == (2, "")
        assert "can't be made" in err

    @pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
    def test_what_was_begun_is_taken_away_again(self, new, tmp_path, monkeypatch, error):
        def fail(path: Path, data: bytes) -> None:
            if path.name == "plugin.py":
                raise error
            path.touch()

        monkeypatch.setattr(Path, "write_bytes", fail)
        status, out, err = new("my-own")
        assert (status, out) == (2 if isinstance(error, OSError) else 1, "")
        assert ("disk full" in err) is isinstance(error, OSError)
        assert list(tmp_path.iterdir()) == []

    def test_a_core_that_is_not_installed_is_told(self, installed, new, tmp_path):
        status, out, err = new("my-own", "--path", tmp_path / "place")
        assert (status, out) == (2, "")
        assert "lual-core runs without being installed" in err
        assert not (tmp_path / "place").exists()


@pytest.fixture
def plugin(new, tmp_path, monkeypatch):
    """The plugin of a backend that was just begun, as a module."""
    new("my-own")
    monkeypatch.syspath_prepend(tmp_path / "lual-backend-my-own" / "src")
    yield importlib.import_module("lual_backend_my_own.plugin")
    for name in ("lual_backend_my_own.plugin", "lual_backend_my_own"):
        sys.modules.pop(name, None)


@pytest.fixture
def seen():
    """What was dispatched: each record, and the thread that did it."""
    return []


@pytest.fixture
def backend(plugin):
    backend = plugin.lual_create_backend(BackendConfig(batch_size=5, flush_interval=1000.0))
    yield backend
    backend.reset()


@pytest.fixture
def dispatch(seen):
    return lambda logger, record: seen.append((record, threading.current_thread()))


def submit(backend, *records: object) -> None:
    for record in records:
        assert backend.submit(WorkItem("logger", record, level=20))


class TestBackend:
    def test_its_info_is_what_the_contract_knows(self, plugin):
        info = plugin.lual_backend_info()
        assert (info.name, info.version) == ("my-own", plugin.__version__)
        assert content_problems(info, has_faults=hasattr(plugin, "lual_backend_faults")) == []

    def test_an_option_is_refused(self, plugin):
        with pytest.raises(ValueError, match="'colour'"):
            plugin.lual_create_backend(BackendConfig(options={"colour": 1}))

    def test_records_are_dispatched_in_order_by_one_daemon_thread(self, backend, seen, dispatch):
        backend.start(dispatch)
        submit(backend, *range(23))
        assert backend.flush(timeout=PATIENCE)
        assert [record for record, _ in seen] == list(range(23))
        (thread,) = {thread for _, thread in seen}
        assert (thread.name, thread.daemon) == ("lual-my-own", True)

    def test_it_starts_again_after_a_stop_with_another_thread(self, backend, seen, dispatch):
        for record in ("first", "second"):
            backend.start(dispatch)
            submit(backend, record)
            assert backend.stop(timeout=PATIENCE)
            assert backend.join_worker(0)
        assert [record for record, _ in seen] == ["first", "second"]
        assert len({thread for _, thread in seen}) == 2

    def test_a_lost_worker_is_replaced_and_nothing_is_lost_or_doubled(
        self, plugin, backend, seen, dispatch
    ):
        backend.start(dispatch)
        submit(backend, "before")
        assert backend.flush(timeout=PATIENCE)
        plugin.lual_backend_faults(backend).kill_worker()
        submit(backend, *range(12))
        assert backend.flush(timeout=PATIENCE)
        assert [record for record, _ in seen] == ["before", *range(12)]
        assert backend.get_stats()["worker_restarts"] == 1
        assert len({thread for _, thread in seen}) == 2

    def test_a_thread_that_cannot_be_had_leaves_the_state_as_it_was(
        self, plugin, backend, seen, dispatch, monkeypatch
    ):
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                backend.start(dispatch)
        assert backend.get_stats()["state"] == "new"
        backend.start(dispatch)
        submit(backend, "late")
        assert backend.stop(timeout=PATIENCE)
        assert [record for record, _ in seen] == ["late"]

    def test_a_worker_inside_an_output_has_not_ended(self, backend):
        entered, opened = threading.Event(), threading.Event()

        def hold(logger: object, record: object) -> None:
            entered.set()
            assert opened.wait(PATIENCE)

        backend.start(hold)
        submit(backend, *range(5))
        assert entered.wait(PATIENCE)
        try:
            assert not backend.join_worker(0)
            assert not backend.join_worker(0.01)
        finally:
            opened.set()
        assert backend.stop(timeout=PATIENCE)
        assert backend.join_worker(0)
