"""The settings of a file output, checked."""

from __future__ import annotations

import math
import os
import re
from typing import Any, NamedTuple

from lual.errors import ConfigError, did_you_mean
from lual.pipelines.outputs.when import NAMES

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)

_UNITS = {
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}


class FileSettings(NamedTuple):
    """What `file` was called with, once checked.

    Args:
        path: Absolute.
        max_bytes: Size in bytes from which on a file is full, or None.
        backups: How many full files are kept.
        when: `hourly`, `daily`, `weekly`, seconds, or None.
        compress: `gzip` or None.
        reopen: Whether another program may move the file.
        mode: Permissions of a file that is created.
        encoding: Name of the codec.
    """

    path: str
    max_bytes: int | None
    backups: int
    when: str | float | None
    compress: str | None
    reopen: bool
    mode: int
    encoding: str

    def __repr__(self) -> str:
        named = (f"{n}={oct(v) if n == 'mode' else repr(v)}" for n, v in self._named())
        return f"{self.path!r}, {', '.join(named)}"

    def differences(self, other: FileSettings) -> str:
        """Returns the settings in which the two differ, for an error.

        Args:
            other: The settings of another output on the same path.
        """
        pairs = zip(self._named(), other._named(), strict=True)
        return ", ".join(f"{n}={a!r} and {n}={b!r}" for (n, a), (_, b) in pairs if a != b)

    def _named(self) -> list[tuple[str, Any]]:
        return list(zip(self._fields, self, strict=True))[1:]


def check_settings(
    path: Any,
    max_bytes: Any,
    backups: Any,
    when: Any,
    compress: Any,
    reopen: Any,
    mode: Any,
    encoding: Any,
) -> FileSettings:
    """Returns the settings in their normal form; each is described at `file`.

    Raises:
        ConfigError: One of them can't be used; the message says which and why.
    """
    if not isinstance(reopen, bool):
        raise ConfigError(f"reopen of file() must be True or False, got {reopen!r}")
    return FileSettings(
        path=_path(path),
        max_bytes=_max_bytes(max_bytes),
        backups=_backups(backups),
        when=_when(when),
        compress=_compress(compress),
        reopen=reopen,
        mode=_mode(mode),
        encoding=_encoding(encoding),
    )


def _path(path: Any) -> str:
    try:
        text = os.fspath(path)
    except TypeError:
        text = None
    if not isinstance(text, str) or not text or "\0" in text:
        raise ConfigError(f"path of file() must be the name of a file, got {path!r}")
    if text.endswith((os.sep, os.altsep or os.sep)):
        raise ConfigError(f"path of file() is {text!r}, which is a folder; add the file's name")
    try:
        return os.path.abspath(text)
    except OSError as error:
        raise ConfigError(
            f"path of file() is {text!r}, and the current folder can't be found "
            f"({error.strerror}); give an absolute path"
        ) from error


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _max_bytes(value: Any) -> int | None:
    if value is None:
        return None
    size = value
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        unit = _UNITS.get(match[2].lower()) if match else None
        size = int(float(match[1]) * unit) if match and unit else None
    if not _is_int(size) or size < 1:
        raise ConfigError(
            f"max_bytes of file() must be at least 1 byte, as an int or as text like "
            f"'10 MB' or '512 KiB', got {value!r}; leave it out for files without a limit"
        )
    return int(size)


def _backups(value: Any) -> int:
    if not _is_int(value) or value < 0:
        raise ConfigError(
            f"backups of file() must be 0 or more files to keep, as an int, got {value!r}"
        )
    return int(value)


def _when(value: Any) -> str | float | None:
    if value is None:
        return None
    if isinstance(value, str):
        name = value.strip().lower()
        if name in NAMES:
            return name
        raise ConfigError(
            f"when of file() must be {', '.join(NAMES)} or a number of seconds, "
            f"got {value!r}{did_you_mean(value, NAMES)}"
        )
    is_number = _is_int(value) or isinstance(value, float)
    if not is_number or not math.isfinite(value) or value < 1:
        raise ConfigError(
            f"when of file() must be {', '.join(NAMES)} or a number of seconds from 1 on, "
            f"got {value!r}"
        )
    return float(value)


def _compress(value: Any) -> str | None:
    if value is None:
        return None
    if value in ("gzip", "gz"):
        return "gzip"
    raise ConfigError(f"compress of file() must be 'gzip' or None, got {value!r}")


def _mode(value: Any) -> int:
    if not _is_int(value) or not 0 <= value <= 0o777:
        got = f"{value!r} ({oct(value)})" if _is_int(value) else repr(value)
        raise ConfigError(
            f"mode of file() must be permissions from 0o200 to 0o777, as an int like 0o640, "
            f"got {got}"
        )
    if not value & 0o200:
        raise ConfigError(
            f"mode of file() is {oct(value)}, with which the file's own owner can't write to "
            "it; add 0o200"
        )
    return int(value)


def _encoding(value: Any) -> str:
    import codecs

    try:
        name = codecs.lookup(value).name
        mark = "".encode(name)
        "\n".encode(name)
    except (LookupError, TypeError, ValueError) as error:
        raise ConfigError(
            f"encoding of file() must be the name of a text encoding like 'utf-8', "
            f"got {value!r} ({error})"
        ) from error
    if mark:
        raise ConfigError(
            f"encoding of file() is {value!r}, which puts a byte-order mark before every "
            f"piece of text; use 'utf-8', or an encoding that names its order like 'utf-16-le'"
        )
    return name
