"""The record: one event, immutable, as filters, transformers, presenters and outputs see it.

A logging call builds one tuple of what it captured (its places are named below) and
nothing else; a `Record` is a view that works out an attribute when it is first read, on
the thread that reads it. So the caller pays for capturing, and only for that.

Guarantees:
    * what a record shows was captured at the call (see `lual.snapshot`);
    * reading one never raises because of what the application logged.
Assumes: the raw tuple and everything in it is never changed after the call.
"""

from __future__ import annotations

import os
import sys
from types import CodeType
from typing import TYPE_CHECKING, Any, Protocol

from lual import reports
from lual.levels import level_name
from lual.snapshot import format_message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from traceback import TracebackException

# Places in the raw tuple. The first two are those of every WorkItem.
LEVEL = 0
SEQ = 1
ROUTE = 2  # has `name`, `logger` and `pipelines`: see Route
TIME_NS = 3  # epoch
MESSAGE = 4  # template, or the text itself if ARGS is ()
ARGS = 5
CODE = 6  # code object of the caller, or None
LASTI = 7  # its last instruction, from which the line follows
THREAD = 8  # (ident, name)
SCOPE = 9  # lual.context.Scope or None
FIELDS = 10  # dict or None
EXTRA = 11  # dict of further attributes by name, or None


class Route(Protocol):
    """Where a record goes: fixed at the call, so that later changes don't reach back."""

    name: str
    logger: Any
    pipelines: tuple[Any, ...]


class NamedRoute:
    """The route of a record that was built by hand: a name and nothing else."""

    __slots__ = ("logger", "name", "pipelines")

    def __init__(self, name: str) -> None:
        self.name = name
        self.logger: Any = None
        self.pipelines: tuple[Any, ...] = ()


_lines: dict[tuple[CodeType, int], int] = {}

#: More places than this in one program means generated code: then start over.
_MAX_LINES = 20_000


def line_of(code: CodeType, lasti: int) -> int:
    """Returns the source line of an instruction; looked up once per place."""
    line = _lines.get((code, lasti))
    if line is None:
        line = code.co_firstlineno
        for start, end, number in code.co_lines():
            if start <= lasti < end and number is not None:
                line = number
        if len(_lines) >= _MAX_LINES:
            _lines.clear()
        _lines[code, lasti] = line
    return line


def message_of(raw: Sequence[Any]) -> str:
    """Returns the message with its arguments; a misfit is reported and described in it."""
    if not raw[ARGS]:
        return raw[MESSAGE]  # type: ignore[no-any-return]
    text, error = format_message(raw[MESSAGE], raw[ARGS])
    if error is not None:
        reports.problem(
            "format", f"a message of logger {raw[ROUTE].name!r} doesn't fit its arguments: {text}"
        )
    return text


def _code(record: Record) -> CodeType | None:
    return record.raw[CODE]  # type: ignore[no-any-return]


def _module(record: Record) -> str:
    stem = os.path.basename(record.file)
    return stem[:-3] if stem.endswith(".py") else stem


def _process_name(record: Record) -> str:
    # multiprocessing is asked only if the application uses it.
    processes = sys.modules.get("multiprocessing.process")
    return processes.current_process().name if processes is not None else "MainProcess"


def _context(record: Record) -> Mapping[str, Any]:
    scope = record.raw[SCOPE]
    return _copy(scope.fields) if scope is not None else {}


def _copy(fields: Any) -> Any:
    """Returns fields that whoever reads them may change without harm to anybody else."""
    if fields is None:
        return {}
    # A transformer may have put anything in their place.
    return dict(fields) if isinstance(fields, dict) else fields


def _line(record: Record) -> int:
    code = _code(record)
    return line_of(code, record.raw[LASTI]) if code is not None else 0


_ATTRIBUTES: dict[str, Callable[[Record], Any]] = {
    "logger_name": lambda r: r.raw[ROUTE].name,
    "level": lambda r: r.raw[LEVEL],
    "level_name": lambda r: level_name(r.raw[LEVEL]),
    "message": lambda r: message_of(r.raw),
    "message_format": lambda r: r.raw[MESSAGE],
    "args": lambda r: r.raw[ARGS],
    "fields": lambda r: _copy(r.raw[FIELDS]),
    "context": _context,
    "timestamp": lambda r: r.raw[TIME_NS] / 1e9,
    "timestamp_ns": lambda r: r.raw[TIME_NS],
    "file": lambda r: code.co_filename if (code := _code(r)) is not None else "",
    "line": _line,
    "function": lambda r: code.co_name if (code := _code(r)) is not None else "",
    "module": _module,
    "thread_id": lambda r: r.raw[THREAD][0],
    "thread_name": lambda r: r.raw[THREAD][1],
    "task_name": lambda r: None,
    "process_id": lambda r: os.getpid(),
    "process_name": _process_name,
    "exception": lambda r: None,
    "stack": lambda r: None,
    "seq": lambda r: r.raw[SEQ],
}

#: Names that `replace` writes into the raw tuple itself; the others go to its EXTRA.
_RAW_PLACES = {"level": LEVEL, "seq": SEQ, "timestamp_ns": TIME_NS, "fields": FIELDS}


class Record:
    """One logged event, immutable.

    Attributes are read as plain names: `logger_name level level_name message
    message_format args fields context timestamp timestamp_ns file line function module
    thread_id thread_name task_name process_id process_name exception stack seq`.
    `timestamp` is epoch seconds, `timestamp_ns` epoch nanoseconds, `exception` a
    `traceback.TracebackException` or None, `stack` text or None.

    Args:
        raw: What the call captured.

    Threads: safe to read from any thread.
    """

    __slots__ = ("__weakref__", "raw", *_ATTRIBUTES)

    if TYPE_CHECKING:
        raw: Sequence[Any]
        logger_name: str
        level: int
        level_name: str
        message: str
        message_format: str
        args: tuple[Any, ...]
        fields: Mapping[str, Any]
        context: Mapping[str, Any]
        timestamp: float
        timestamp_ns: int
        file: str
        line: int
        function: str
        module: str
        thread_id: int
        thread_name: str
        task_name: str | None
        process_id: int
        process_name: str
        exception: TracebackException | None
        stack: str | None
        seq: int | None

    def __init__(self, raw: Sequence[Any]) -> None:
        _set_raw(self, raw)

    @classmethod
    def build(cls, message: str, **attributes: Any) -> Record:
        """Returns a record made by hand, for tests and for records from elsewhere.

        Args:
            message: The finished text.
            **attributes: Any of the names above; the others get empty values.

        >>> Record.build("hello", logger_name="app", level=20).level_name
        'INFO'
        """
        raw = (0, None, NamedRoute(""), 0, message, (), None, 0, (0, ""), None, None, None)
        return cls(raw).replace(**attributes)

    def __getattr__(self, name: str) -> Any:
        compute = _ATTRIBUTES.get(name)
        if compute is None:
            raise AttributeError(f"a lual record has no {name!r}")
        extra = self.raw[EXTRA]
        value = extra[name] if extra is not None and name in extra else compute(self)
        object.__setattr__(self, name, value)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a lual record is immutable; use replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a lual record is immutable")

    def replace(self, **changes: Any) -> Record:
        """Returns a copy in which the named attributes have other values.

        A new `message` stands as it is: it is not formatted again.

        Raises:
            TypeError: A record has no attribute of that name.

        >>> Record.build("secret").replace(message="***").message
        '***'
        """
        raw = list(self.raw)
        extra = dict(raw[EXTRA] or ())
        for name, value in changes.items():
            if name not in _ATTRIBUTES:
                raise TypeError(f"a lual record has no {name!r} to replace")
            if name == "message":
                extra.setdefault("message_format", raw[MESSAGE])
                extra.setdefault("args", raw[ARGS])
                raw[MESSAGE], raw[ARGS] = value, ()
            elif name == "logger_name":
                raw[ROUTE] = NamedRoute(value)
            elif name == "timestamp":
                # Both: a float of seconds isn't found again in its nanoseconds.
                raw[TIME_NS] = int(value * 1e9)
                extra["timestamp"] = value
            elif name in _RAW_PLACES:
                raw[_RAW_PLACES[name]] = value
                if name == "timestamp_ns":
                    extra.pop("timestamp", None)
            else:
                extra[name] = value
        raw[EXTRA] = extra or None
        return Record(tuple(raw))

    def __repr__(self) -> str:
        return f"<Record {self.seq} {self.level_name} {self.logger_name}: {self.message!r}>"


_set_raw = Record.__dict__["raw"].__set__
