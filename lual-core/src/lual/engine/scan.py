"""Looking for backends among the installed distributions, without importing any of them.

Guarantees:
    * metadata that can't be read hides nothing but itself, and is listed;
    * a search is done once in a process for each state of `sys.path`, unless asked anew.
Assumes: nothing of `importlib_metadata` is needed before the first search.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from lual.reports import describe

GROUP = "lual.backends"

#: Distributions of this project's own backends are called so, with the backend's name behind.
PREFIX = "lual-backend-"

_FOLDER = re.compile(r"(?P<name>.+?)(-(?P<version>\d[^-]*))?(-py[\d.]+)?\.(dist|egg)-info")


class Distribution(Protocol):
    """What a search asks of a distribution of `importlib_metadata`."""

    @property
    def metadata(self) -> Any:
        """The headers of its METADATA."""

    def read_text(self, filename: str, /) -> str | None:
        """Returns the text of a metadata file, None if there is no such file."""

    def locate_file(self, path: str, /) -> Any:
        """Returns the path of an installed file."""


class Candidate(NamedTuple):
    """One entry point that offers a backend, or one named by hand.

    Args:
        name: The backend's name.
        value: What to import, `package.module` or `package.module:name`.
        distribution: The owner; None if named by hand.
        version: The owner's version; None if unknown.
        path: The folder with the owner's metadata.
    """

    name: str
    value: str
    distribution: str | None = None
    version: str | None = None
    path: str | None = None

    @property
    def owner(self) -> str:
        """The distribution with its version."""
        return " ".join(part for part in (self.distribution, self.version) if part)

    def __str__(self) -> str:
        if self.distribution is None:
            return f"the backend {self.name!r}"
        return f"the backend {self.name!r} of {self.owner} (entry point {self.value})"


class Unreadable(NamedTuple):
    """Metadata that couldn't be read.

    Args:
        distribution: The owner with its version.
        file: The path of the file.
        line: The first bad one, counted from 1; None if unknown.
        reason: What is wrong.
    """

    distribution: str
    file: str
    line: int | None
    reason: str


class Stale(NamedTuple):
    """A metadata folder left over from an uninstall or upgrade.

    Args:
        name: The backend it belonged to.
        distribution: The former owner.
        version: The former owner's version; None if unknown.
        path: The folder.
    """

    name: str
    distribution: str
    version: str | None
    path: str


class Scan(NamedTuple):
    """What a search found.

    Args:
        candidates: By name, then by distribution.
        unreadable: What couldn't be searched.
        stale: Left-over folders of distributions with backends.
    """

    candidates: tuple[Candidate, ...]
    unreadable: tuple[Unreadable, ...]
    stale: tuple[Stale, ...]

    def named(self, name: str) -> list[Candidate]:
        """Returns the candidates of that name; more than one is a conflict."""
        return [candidate for candidate in self.candidates if candidate.name == name]

    def names(self) -> list[str]:
        """Returns the names on offer, sorted, each once."""
        return sorted({candidate.name for candidate in self.candidates})


_last: tuple[tuple[str, ...], Scan] | None = None


def scan(*, anew: bool = False) -> Scan:
    """Returns the backends that installed distributions offer.

    Args:
        anew: Search also if that was done before with the same `sys.path`.

    Threads: any thread may call; two at once may both search.
    """
    global _last
    key = tuple(entry for entry in sys.path if isinstance(entry, str))  # as import does
    last = _last
    if anew:
        importlib.invalidate_caches()  # else what was installed this second may not be seen
    if anew or last is None or last[0] != key:
        last = _last = (key, _Search(_distributions(key)).result())
    return last[1]


def _distributions(path: Iterable[str]) -> Iterator[Distribution]:
    from importlib_metadata import distributions  # dear, and only backends need it

    # One folder under two names would otherwise be two installations.
    folders: dict[str, str] = {}
    for entry in path:
        folders.setdefault(os.path.realpath(entry), entry)
    yield from distributions(path=list(folders.values()))


class _Search:
    """One pass over the distributions.

    Args:
        distributions: In the order of `sys.path`: the first of a name is in force.
    """

    def __init__(self, distributions: Iterable[Distribution]) -> None:
        self.candidates: list[Candidate] = []
        self.unreadable: list[Unreadable] = []
        self.stale: list[Stale] = []
        self._owners: dict[str, tuple[str, list[str]]] = {}  # project: (folder, backends)
        self._without: list[tuple[str, str, Distribution]] = []  # no entry points at all
        try:
            for distribution in distributions:
                self._read(distribution)
        except Exception as error:  # noqa: BLE001  a foreign finder on sys.meta_path may raise anything
            reason = f"the search ended early: {describe(error)}"
            self.unreadable.append(Unreadable("?", "sys.meta_path", None, reason))
        for project, folder, distribution in self._without:
            self._note_if_left_over(project, folder, distribution)

    def result(self) -> Scan:
        """Returns what was found, in a fixed order."""
        return Scan(
            tuple(sorted(self.candidates, key=lambda found: (found.name, found.owner))),
            tuple(sorted(self.unreadable, key=lambda found: (found.distribution, found.file))),
            tuple(sorted(self.stale, key=lambda found: (found.name, found.path))),
        )

    def _read(self, distribution: Distribution) -> None:
        folder = _folder(distribution)
        file = os.path.join(folder, "entry_points.txt")
        try:
            project = _normalised(_from_folder(folder)[0] or distribution.metadata["Name"])
            text = distribution.read_text("entry_points.txt")
        except Exception as error:  # noqa: BLE001  whatever another package's metadata is made of
            self.unreadable.append(Unreadable(_owner(folder), file, None, describe(error)))
            return
        if text is None:
            self._without.append((project, folder, distribution))
            return
        if project in self._owners:
            self._note_double(project, folder)
            return
        entries, bad_line = _parse(text)
        self._owners[project] = (folder, [name for name, _ in entries])
        if bad_line is not None:
            reason = "neither a [group] nor `name = value`"
            self.unreadable.append(Unreadable(_owner(folder), file, bad_line, reason))
        if entries:
            name, version = _identity(distribution, folder)
            self.candidates += [
                Candidate(entry, value, name, version, folder)
                for entry, value in dict.fromkeys(entries)
            ]

    def _note_double(self, project: str, folder: str) -> None:
        """Notes a second folder beside the first; further down `sys.path` is plain shadowing."""
        first, backends = self._owners[project]
        if os.path.dirname(first) == os.path.dirname(folder):
            name, version = _from_folder(folder)
            self.stale += [Stale(entry, name, version, folder) for entry in backends]

    def _note_if_left_over(self, project: str, folder: str, distribution: Distribution) -> None:
        _, backends = self._owners.get(project, ("", []))
        if not backends and project.startswith(PREFIX):
            backends = [project.removeprefix(PREFIX)]
        if backends and not _has_metadata(distribution):
            name, version = _from_folder(folder)
            self.stale += [Stale(entry, name, version, folder) for entry in backends]


def _parse(text: str) -> tuple[list[tuple[str, str]], int | None]:
    """Returns the entries of the group, and the number of the first line that is none.

    `importlib_metadata` refuses the whole file for one bad line of any group.
    """
    entries = []
    bad_line = group = None
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not (name and equals):
            bad_line = bad_line or number
        elif group == GROUP:
            entries.append((name, value))
    return entries, bad_line


def _folder(distribution: Distribution) -> str:
    # The public interface doesn't tell where the metadata stands.
    place: Any = getattr(distribution, "_path", None)
    return str(place if place is not None else distribution.locate_file(""))


def _from_folder(folder: str) -> tuple[str, str | None]:
    """Returns name and version as the folder's own name tells them, "" if it doesn't."""
    match = _FOLDER.fullmatch(os.path.basename(folder.rstrip(os.sep)))
    return (match["name"].replace("_", "-"), match["version"]) if match else ("", None)


def _owner(folder: str) -> str:
    name, version = _from_folder(folder)
    return " ".join(part for part in (name, version) if part) or folder


def _identity(distribution: Distribution, folder: str) -> tuple[str, str | None]:
    name, version = _from_folder(folder)
    try:
        metadata = distribution.metadata
        return str(metadata["Name"] or name), str(metadata["Version"] or version)
    except Exception:  # noqa: BLE001  the folder's name is enough to tell whose backend it is
        return name or folder, version


def _has_metadata(distribution: Distribution) -> bool:
    try:
        return any(distribution.read_text(file) for file in ("METADATA", "PKG-INFO"))
    except Exception:  # noqa: BLE001  there is something that can't be read: not an empty folder
        return True


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
