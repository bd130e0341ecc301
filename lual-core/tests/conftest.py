"""What the tests of lual-core share: distributions made for one test, a backend, outputs.

Every test leaves lual as it found it: nothing configured, nothing queued, nothing counted.
"""

from __future__ import annotations

import importlib
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

# With `sys.path` narrowed, what isn't imported by then can't be any more.
import attrs  # noqa: F401
import click.testing  # noqa: F401
import importlib_metadata  # noqa: F401
import pluggy  # noqa: F401
import pytest
import zipp  # noqa: F401

import lual

PLUGIN = """
from lual.backend import BackendInfo, ConfigError, hookimpl

class Backend:
    def submit(self, work_item): return False
    def flush(self, timeout=None): return True
    def start(self, dispatch_func=None): pass
    def stop(self, timeout=None): return True
    def get_stats(self): return {}
    def reset(self): pass

@hookimpl
def lual_backend_info():
    return <info>

@hookimpl
def lual_create_backend(config):
    <create>
"""


class Installed:
    """Distributions on a `sys.path` that holds nothing else but the standard library.

    Args:
        folder: Where they are installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        distribution: str,
        entry_points: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        modules: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Path:
        """Installs a distribution that offers backends, and returns its metadata's folder."""
        place = self.metadata(distribution, version=version, folder=folder)
        lines = [f"{name} = {value}" for name, value in (entry_points or {}).items()]
        (place / "entry_points.txt").write_text("\n".join(["[lual.backends]", *lines, ""]))
        for name, source in (modules or {}).items():
            self.module(name, source, folder=folder)
        return place

    def metadata(
        self, distribution: str, *, version: str = "1.0", folder: Path | None = None
    ) -> Path:
        """Makes a distribution without any entry point."""
        place = self.leftover(distribution, version=version, folder=folder)
        text = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (place / "METADATA").write_text(text)
        return place

    def leftover(
        self, distribution: str, *, version: str = "1.0", folder: Path | None = None
    ) -> Path:
        """Makes the empty folder that a failed uninstall leaves."""
        name = f"{distribution.replace('-', '_')}-{version}.dist-info"
        place = (folder or self.folder) / name
        place.mkdir(parents=True)
        importlib.invalidate_caches()
        return place

    def module(self, name: str, source: str, *, folder: Path | None = None) -> None:
        """Writes a module that can be imported."""
        ((folder or self.folder) / f"{name}.py").write_text(dedent(source))
        importlib.invalidate_caches()

    def plugin(
        self,
        info: str = "BackendInfo(name=NAME, version='1', capabilities={'worker': 'none'})",
        create: str = "return Backend()",
    ) -> str:
        """Returns the source of a plugin; NAME stands for the entry point's name."""
        return PLUGIN.replace("<info>", info).replace("<create>", create)

    def backend(
        self,
        name: str,
        source: str | None = None,
        *,
        distribution: str | None = None,
        version: str = "1.0",
    ) -> None:
        """Installs a backend, which is sound unless `source` is another plugin."""
        owner = distribution or f"lual-{name}"
        module = f"fake_{owner.replace('-', '_')}"
        text = f"NAME = {name!r}\n" + dedent(self.plugin() if source is None else source)
        self.add(owner, {name: module}, version=version, modules={module: text})


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    """Returns what is installed: nothing, until the test adds something."""
    folder = tmp_path / "installed"
    folder.mkdir()
    paths = sysconfig.get_paths()
    standard = {paths["stdlib"], paths["platstdlib"]}
    kept = [p for p in sys.path if p in standard or Path(p).name == "lib-dynload"]
    monkeypatch.setattr(sys, "path", [str(folder), *kept])
    monkeypatch.delenv("LUAL_BACKEND", raising=False)
    before = set(sys.modules)
    yield Installed(folder)
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None) or ""
        if name not in before and place.startswith(str(tmp_path)):
            del sys.modules[name]


#: Seconds that a gate, or who waits for one, holds out before the test fails.
PATIENCE = 10.0

BACKENDS = """
import threading

from lual.backend import BackendInfo, BaseBackend, hookimpl


class ThreadBackend(BaseBackend):
    thread = None

    def start_worker(self):
        self.thread = threading.Thread(target=self.work, name="unit-worker", daemon=True)
        self.thread.start()

    def join_worker(self, timeout):
        thread = self.thread
        if thread is None:
            return True
        if timeout > 0 and thread is not threading.current_thread():
            thread.join(min(timeout, threading.TIMEOUT_MAX))
        return not thread.is_alive()

    def work(self):
        while (items := self.next_batch()) is not None:
            self.run(items)


class NeverStarts(ThreadBackend):
    def start_worker(self):
        raise RuntimeError("no thread can be had today")


class Plugin:
    backend = ThreadBackend
    capabilities = {"worker": "thread", "isolates_slow_outputs": True, "restarts_worker": True}

    @hookimpl
    def lual_backend_info(self):
        return BackendInfo(name="unit", version="1", capabilities=self.capabilities)

    @hookimpl
    def lual_create_backend(self, config):
        config.check_options("colour")
        self.last = self.backend(config)
        return self.last

    @hookimpl
    def lual_backend_faults(self, backend):
        return backend


class Awaiting(Plugin):
    capabilities = {**Plugin.capabilities, "async_outputs": True}


class Broken(Plugin):
    backend = NeverStarts


threads = Plugin()
awaiting = Awaiting()
broken = Broken()
"""


class Memory:
    """An output that keeps what it is given."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, lual.Record]] = []

    def __call__(self, text: str, record: lual.Record) -> None:
        self.pairs.append((text, record))

    @property
    def texts(self) -> list[str]:
        return [text for text, _ in self.pairs]

    @property
    def records(self) -> list[lual.Record]:
        return [record for _, record in self.pairs]

    @property
    def messages(self) -> list[str]:
        return [record.message for record in self.records]

    @property
    def last(self) -> lual.Record:
        return self.pairs[-1][1]


class Gate:
    """An output that holds whoever calls it until the gate is opened."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._entered = threading.Event()

    def __call__(self, text: str, record: lual.Record) -> None:
        self._entered.set()
        assert self._opened.wait(PATIENCE), "nobody opened the gate"

    def wait_until_entered(self) -> None:
        assert self._entered.wait(PATIENCE), "nothing came to the gate"

    def let_pass(self) -> None:
        self._opened.set()


@pytest.fixture(autouse=True)
def _leave_lual_as_it_was() -> Iterator[None]:
    yield
    lual.async_writer.reset()  # first: what waits shall not be written any more
    lual.reset_config()
    lual.async_writer.reset()
    lual.set_error_handler(None)
    lual.clear_context()


@pytest.fixture
def problems() -> list[str]:
    """Returns the messages that the error handler gets."""
    messages: list[str] = []
    lual.set_error_handler(messages.append)
    return messages


@pytest.fixture
def memory() -> Memory:
    """Returns an output that keeps texts and records; it isn't configured yet."""
    return Memory()


@pytest.fixture
def recorded(memory: Memory) -> Memory:
    """Returns an output that gets all records of DEBUG and above, synchronously."""
    lual.config(
        level="debug",
        pipelines=[lual.pipeline(presenter=lual.text("{message}"), outputs=[memory])],
    )
    return memory


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Returns an output that blocks; opened at the end of the test at the latest."""
    gate = Gate()
    yield gate
    gate.let_pass()


@pytest.fixture(scope="session")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Returns the name of an importable module with plugins: threads, awaiting, broken."""
    folder = tmp_path_factory.mktemp("backends")
    (folder / "unit_backends.py").write_text(BACKENDS)
    sys.path.append(str(folder))
    yield "unit_backends"
    sys.path.remove(str(folder))


@pytest.fixture
def backend(backends: str) -> str:
    """Returns what `backend=` takes for a backend with one worker thread."""
    return f"{backends}:threads"


@pytest.fixture
def plugged(backend: str, gate: Gate, memory: Memory) -> Callable[..., Memory]:
    """Returns a function that turns the asynchronous layer on, with its worker held.

    The worker stands in the gate with the record "plug" in its hands; all that is logged
    from then on waits in the queue, until `gate.let_pass()`.
    """

    def plug(**settings: Any) -> Memory:
        lual.config(
            **{
                "level": "debug",
                "async_enabled": True,
                "backend": backend,
                "async_flush_interval": 0,
                "pipelines": [
                    lual.pipeline(presenter=lual.text("{message}"), outputs=[gate, memory])
                ],
                **settings,
            }
        )
        lual.logger("plug").info("plug")
        gate.wait_until_entered()
        return memory

    return plug
