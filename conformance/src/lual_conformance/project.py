"""What a project says of its own conformance runs, in its `pyproject.toml`.

    [tool.lual.conformance]
    timeout_scale = 2.0                # this backend starts slowly

    [[tool.lual.conformance.modes]]    # --lual-mode durable
    name = "durable"
    options = { fsync = true }

    [[tool.lual.conformance.known_failures]]
    rule = "6.5"
    reason = "the broker has no deadline for a put"
    issue = "https://example.org/issues/12"
    expires = 2027-01-31

The same tables, without the prefix, may stand in a file of their own.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from lual_conformance.known import KnownFailures, KnownFailuresError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Read where there is no table in the project's `pyproject.toml`.
OWN_FILE = "lual-conformance.toml"

_KEYS = ("known_failures", "modes", "timeout_scale")


class ProjectError(ValueError):
    """A project's settings for the kit can't be used; the message says which and why."""


@attrs.frozen(kw_only=True)
class Project:
    """A project's own settings.

    Args:
        backends: The backends that it provides.
        distribution: Its name, if it says so.
        known: Failures that it excuses.
        modes: Options by label.
        timeout_scale: Multiplies watchdogs.
    """

    backends: tuple[str, ...] = ()
    distribution: str | None = None
    known: KnownFailures = attrs.field(factory=KnownFailures)
    modes: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    timeout_scale: float = 1.0


def read_project(folder: Path, known_file: Path | None = None) -> Project:
    """Reads the settings of the project in a folder.

    Args:
        folder: With the `pyproject.toml`, if there is one.
        known_file: Takes the place of the project's own settings for the kit.

    Raises:
        ProjectError: A file can't be read, or what it says can't be used.
    """
    data = _read(folder / "pyproject.toml") if (folder / "pyproject.toml").exists() else {}
    table = data.get("tool", {}).get("lual", {}).get("conformance")
    if known_file is None and table is None and (folder / OWN_FILE).exists():
        known_file = folder / OWN_FILE
    if known_file is not None:
        table = _read(known_file)
        table = table.get("tool", {}).get("lual", {}).get("conformance", table)
    table = table or {}
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise ProjectError(f"tool.lual.conformance has {unknown}; it may have {list(_KEYS)}")
    project = data.get("project", {})
    try:
        known = KnownFailures.of(table.get("known_failures", ()), datetime.date.today())
    except KnownFailuresError as error:
        raise ProjectError(str(error)) from error
    return Project(
        backends=tuple(project.get("entry-points", {}).get("lual.backends", ())),
        distribution=project.get("name"),
        known=known,
        modes=_modes(table.get("modes", ())),
        timeout_scale=_scale(table.get("timeout_scale", 1.0)),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProjectError(f"{path} can't be read: {error}") from error


def _modes(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    modes: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if not isinstance(row.get("name"), str) or set(row) - {"name", "options"}:
            raise ProjectError(f"a mode has a name and options, nothing else; got {dict(row)}")
        modes[row["name"]] = dict(row.get("options", {}))
    return modes


def _scale(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
        raise ProjectError(f"timeout_scale must be a number above 0, got {value!r}")
    return float(value)
