"""What `lual backends` tells: a row for each backend, examined in isolation."""

from __future__ import annotations

import contextlib
import importlib
import io
import time
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple

# Loaded beforehand, with pluggy and attrs, so that a plugin's load time is its own.
from lual.backend import BackendInfo, hookspecs  # noqa: F401
from lual.engine import discovery, loading
from lual.engine.backend_check import dotted
from lual.engine.scan import Candidate, Stale, Unreadable
from lual.errors import ConfigError, IncompatibleBackendError, UnavailableBackendError

OK = "ok"


class Details(NamedTuple):
    """What only somebody who looks for the cause wants to know.

    Args:
        path: The folder with the distribution's metadata, None if there is none.
        load_ms: Milliseconds that importing and asking took; None if it wasn't tried.
        printed: What the plugin printed meanwhile.
        traceback: Of the error that made it broken, "" if there was none.
    """

    path: str | None = None
    load_ms: float | None = None
    printed: str = ""
    traceback: str = ""


class Row(NamedTuple):
    """One backend, or one of several that claim a name.

    Args:
        name: The name of the entry point.
        status: `ok`, `unavailable`, `broken`, `incompatible`, `ambiguous` or `stale`.
        reason: Why it isn't ok; if it is, None, or what is odd.
        version: The distribution's.
        distribution: The owner; None for a plugin named by hand.
        entry_point: What it points at.
        contract: Of the contract it was made for, as in "1.0"; None if unknown.
        summary: The backend's own words.
        capabilities: What it claims, as plain data.
        is_default: It is taken if no backend is asked for.
        details: For `--verbose`.
    """

    name: str
    status: str
    reason: str | None
    version: str | None
    distribution: str | None
    entry_point: str | None
    contract: str | None = None
    summary: str = ""
    capabilities: Mapping[str, Any] = {}
    is_default: bool = False
    details: Details = Details()

    def as_json(self, *, verbose: bool) -> dict[str, Any]:
        """Returns the row as a JSON object, with the details if `verbose`."""
        row = self._asdict()
        details = row.pop("details")
        return row | details._asdict() if verbose else row


class Survey(NamedTuple):
    """Everything that `lual backends list` shows.

    Args:
        default: The backend that is taken if none is asked for; None if there is none.
        default_reason: Why that one, or why none.
        rows: By name.
        unreadable: Metadata that couldn't be searched.
    """

    default: str | None
    default_reason: str
    rows: list[Row]
    unreadable: tuple[Unreadable, ...]

    @property
    def is_sound(self) -> bool:
        """Every row is ok, and a default that was asked for is among them."""
        names = [row.name for row in self.rows if row.status == OK]
        return len(names) == len(self.rows) and (self.default is None or self.default in names)


def survey() -> Survey:
    """Finds all installed backends and loads each in isolation."""
    found = discovery.scan()
    default, reason = discovery.default_name()
    rows = [stale_row(stale) for stale in found.stale]
    for name in found.names():
        same = found.named(name)
        if len(same) > 1:
            rows += [ambiguous_row(candidate, same) for candidate in same]
        else:
            rows.append(examine(same[0])._replace(is_default=name == default))
    if default is not None and ":" in default:  # LUAL_BACKEND names a plugin itself
        rows.append(examine(discovery.resolve(default))._replace(is_default=True))
    elif default is not None and default not in found.names():
        try:
            discovery.resolve(None)
        except ConfigError as error:
            reason += f", but {error}"
    rows.sort(key=lambda row: (row.name, row.distribution or "", row.status))
    return Survey(default, reason, rows, found.unreadable)


def examine(candidate: Candidate) -> Row:
    """Loads one backend; whatever it does, the row says so.

    Args:
        candidate: From a scan, or from `discovery.resolve`.
    """
    printed = io.StringIO()
    info: BackendInfo | None = None
    note: str | None = None
    error: ConfigError | None = None
    began = time.perf_counter()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            opened = loading.open_plugin(candidate)
            info = opened.info
            note = loading.judge(opened)[1]
        except ConfigError as failure:
            error = failure
    took = (time.perf_counter() - began) * 1000
    row = _row(
        candidate,
        OK if error is None else _status(error),
        note if error is None else str(error).removeprefix(f"{candidate} "),
    )
    trace = _traceback(error.__cause__ if error is not None else None)
    row = row._replace(details=Details(candidate.path, round(took, 1), printed.getvalue(), trace))
    if info is None:
        return row
    return row._replace(
        version=row.version or info.version,
        contract=dotted(info.contract),
        summary=_plain(info.summary),
        capabilities=_plain(info.capabilities),
    )


def ambiguous_row(candidate: Candidate, same: list[Candidate]) -> Row:
    """Returns the row of one of several that claim a name; none of them is loaded."""
    row = _row(candidate, "ambiguous", discovery.ambiguity(same))
    return row._replace(details=Details(candidate.path))


def stale_row(stale: Stale) -> Row:
    """Returns the row of a left-over folder."""
    reason = f"{stale.path} is left over from an uninstall or upgrade; remove it"
    details = Details(stale.path)
    return Row(
        stale.name, "stale", reason, stale.version, stale.distribution, None, details=details
    )


def _row(candidate: Candidate, status: str, reason: str | None) -> Row:
    return Row(
        candidate.name, status, reason, candidate.version, candidate.distribution, candidate.value
    )


def _traceback(cause: BaseException | None) -> str:
    """Returns the traceback from where the plugin's own code begins."""
    if cause is None:
        return ""
    where: TracebackType | None = cause.__traceback__
    while where is not None and _is_on_the_way(where.tb_frame.f_code.co_filename):
        where = where.tb_next
    return "".join(traceback.format_exception(type(cause), cause, where))


def _is_on_the_way(file: str) -> bool:
    return file in (loading.__file__, importlib.__file__) or file.startswith("<frozen importlib")


def _status(error: ConfigError) -> str:
    if isinstance(error, IncompatibleBackendError):
        return "incompatible"
    return "unavailable" if isinstance(error, UnavailableBackendError) else "broken"


def _plain(value: Any) -> Any:
    """Returns plain data, running nothing of a plugin's own classes."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(_plain, value), key=str)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return f"<{type(value).__name__}>"
