"""What the tests of discovery and of the program share: distributions made for one test."""

from __future__ import annotations

import importlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent

# With `sys.path` narrowed, what isn't imported by then can't be any more.
import attrs  # noqa: F401
import click.testing  # noqa: F401
import importlib_metadata  # noqa: F401
import pluggy  # noqa: F401
import pytest
import zipp  # noqa: F401

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
