"""Reading settings from a TOML file."""

from __future__ import annotations

import os
import sys
from typing import Any

from lual.errors import ConfigError


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the content of a TOML file.

    Raises:
        ConfigError: The file can't be read, or is no TOML; the message says where.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(
            f"the configuration file {os.fspath(path)!r} can't be read: {error.strerror}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{os.fspath(path)} is no valid TOML: {error}") from error
