"""Begins a new backend: a whole distribution, written from the templates in this package.

A template is the file as it will be, with the placeholders of `string.Template`: `$name` (the
backend's), `$distribution`, `$module`, `$kind` (its class) and `$core` (the range of lual-core
that it needs). Its own name ends in `.tmpl`, so that no tool takes it for what it describes.

Guarantees:
    * nothing that exists is overwritten;
    * a distribution is written as a whole or not at all.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

from importlib_metadata import PackageNotFoundError, version

from lual.engine.discovery import FIRST_PARTY
from lual.engine.scan import PREFIX

#: The files of a distribution, and the template of each.
_FILES = {
    "pyproject.toml": "pyproject.toml.tmpl",
    "README.md": "README.md.tmpl",
    ".gitignore": "gitignore.tmpl",
    "src/$module/__init__.py": "__init__.py.tmpl",
    "src/$module/plugin.py": "plugin.py.tmpl",
    "src/$module/py.typed": "py.typed.tmpl",
    "tests/test_conformance.py": "test_conformance.py.tmpl",
}

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

#: Letters of the longest name; beyond it, lines of the plugin get longer than 88.
_LONGEST = 30

#: Names that a reader takes for lual's own; `BaseBackend` is what the plugin inherits from.
_RESERVED = (*FIRST_PARTY, "base")


class RefusedError(Exception):
    """The distribution can't be written; the text says why, and what to do."""


def check_name(name: str) -> None:
    """Refuses a name that makes no entry point, module, class and distribution.

    Raises:
        RefusedError: Names what is allowed, and a name that is near.
    """
    if name in _RESERVED:
        raise RefusedError(f"the name {name!r} is lual's own; choose another, such as 'my-{name}'")
    if _NAME.fullmatch(name) and len(name) <= _LONGEST and not name.startswith(PREFIX):
        return
    near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-").removeprefix(PREFIX)
    usable = _NAME.fullmatch(near) and len(near) <= _LONGEST and near not in _RESERVED
    raise RefusedError(
        f"the name {name!r} can't be used; it must begin with a letter and have lower-case "
        f"letters, digits and single dashes, {_LONGEST} characters at most, without "
        f"{PREFIX!r} before it" + (f"; try {near!r}" if usable else "")
    )


def write_distribution(name: str, parent: Path) -> tuple[Path, list[str]]:
    """Writes the distribution of a new backend, and returns its folder and files.

    Args:
        name: The backend's.
        parent: Gets the folder `lual-backend-NAME`; made if it isn't there.

    Raises:
        RefusedError: The name can't be used, or the folder can't be made or exists.
    """
    check_name(name)
    words = _words(name)
    folder = parent / words["distribution"]
    texts = {_filled(path, words): _text(template, words) for path, template in _FILES.items()}
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise RefusedError(
            f"{folder} exists, and nothing is overwritten; remove it, or name another place "
            "with --path"
        ) from None
    except OSError as error:
        raise RefusedError(f"{folder} can't be made: {error}; name another with --path") from error
    try:
        for path, text in texts.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
    except BaseException as error:  # half a distribution would be in the way of the next try
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise RefusedError(f"{folder} can't be written: {error}") from error
        raise
    return folder, list(texts)


def _words(name: str) -> dict[str, str]:
    distribution = PREFIX + name
    return {
        "name": name,
        "distribution": distribution,
        "module": distribution.replace("-", "_"),
        "kind": "".join(part.capitalize() for part in name.split("-")) + "Backend",
        "core": _needed_core(),
    }


def _text(template: str, words: Mapping[str, str]) -> str:
    source = files("lual.cli") / "templates" / "backend" / template
    return _filled(source.read_text(encoding="utf-8"), words)


def _filled(text: str, words: Mapping[str, str]) -> str:
    return Template(text).substitute(words)


def _needed_core() -> str:
    """Returns the requirement of the installed lual-core, up to the next that may break."""
    try:
        installed = version("lual-core")
    except PackageNotFoundError:
        raise RefusedError(
            "lual-core runs without being installed, so it isn't known which versions of it "
            "the backend needs; install it first"
        ) from None
    return compatible(installed)


def compatible(installed: str) -> str:
    """Returns the requirement that allows a version of lual-core and its compatible successors.

    Args:
        installed: The version, which may be a pre-release or have a local part.
    """
    public = installed.partition("+")[0]
    major, minor = (*map(int, re.findall(r"\d+", public)[:2]), 0)[:2]
    # Before 1.0, a minor version may break what was.
    following = f"0.{minor + 1}" if major == 0 else f"{major + 1}"
    return f"lual-core>={public},<{following}"
