"""Checking the parts of a pipeline before anything is made of them."""

from __future__ import annotations

import io
from typing import Any

from lual.errors import ConfigError
from lual.levels import parse_level
from lual.pipelines.text import text

#: Where the factories live that one may forget to call, as in `outputs=[lual.console]`.
_OWN = "lual.pipelines."


def checked(
    where: str, level: Any, filters: Any, transformers: Any, presenter: Any, outputs: Any
) -> tuple[int, tuple[Any, ...], tuple[Any, ...], Any, tuple[Any, ...]]:
    """Returns the settings of a pipeline as `Pipeline` takes them.

    Args:
        where: What errors call the pipeline, such as `pipelines[1]`.
        level: As for `lual.pipeline`, and so are the others.
        filters: See there.
        transformers: See there.
        presenter: See there.
        outputs: See there.

    Raises:
        ConfigError: One of them can't be used.
    """
    number = parse_level(level, f"{where}.level")
    for name, parts in (("filters", filters), ("transformers", transformers)):
        for index, part in enumerate(listed(f"{where}.{name}", parts)):
            check_callable(f"{where}.{name}[{index}]", part, "with one record")
    if presenter is None:
        presenter = text()
    check_presenter(f"{where}.presenter", presenter)
    if not listed(f"{where}.outputs", outputs):
        raise ConfigError(
            f"{where}.outputs is empty; name at least one output, such as lual.console()"
        )
    for index, output in enumerate(outputs):
        check_output(f"{where}.outputs[{index}]", output)
    return number, tuple(filters), tuple(transformers), presenter, tuple(outputs)


def listed(where: str, parts: Any) -> list[Any] | tuple[Any, ...]:
    """Returns a list or tuple as it is.

    Raises:
        ConfigError: It is anything else; a single part needs brackets around it.
    """
    if not isinstance(parts, (list, tuple)):
        hint = f"; write [{parts!r}] for a single one" if parts is not None else ""
        raise ConfigError(f"{where} must be a list, got {parts!r}{hint}")
    return parts


def check_callable(where: str, part: Any, called: str) -> None:
    """Raises `ConfigError` unless the part can be called."""
    if not callable(part):
        raise ConfigError(
            f"{where} must be callable {called}, got {part!r} ({type(part).__name__})"
        )


def check_presenter(where: str, presenter: Any) -> None:
    """Raises `ConfigError` unless the value can present records."""
    check_callable(where, presenter, "with one record, such as lual.text()")
    _check_not_a_factory(where, presenter)


def check_output(where: str, output: Any) -> None:
    """Raises `ConfigError` unless the value can be an output."""
    if isinstance(output, io.IOBase):
        raise ConfigError(
            f"{where} is the stream {output!r}, which is no output; use lual.console(stream), "
            "or lual.file(path) for a file"
        )
    if isinstance(output, type):
        raise ConfigError(f"{where} is the class {output.__qualname__}; pass an instance of it")
    _check_not_a_factory(where, output)
    if not callable(getattr(output, "write", None)) and not callable(output):
        raise ConfigError(
            f"{where} must be a callable (text, record) or an object with write(batch), "
            f"got {output!r} ({type(output).__name__})"
        )


def _check_not_a_factory(where: str, part: Any) -> None:
    if str(getattr(part, "__module__", "")).startswith(_OWN) and hasattr(part, "__code__"):
        name = part.__name__
        raise ConfigError(f"{where} is the function lual.{name}; call it: lual.{name}(...)")
