"""The colour presenter: text whose level is coloured for a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from lual.errors import ConfigError, did_you_mean
from lual.levels import BUILT_IN
from lual.pipelines.compiling import compile_layout
from lual.pipelines.text import DEFAULT_LAYOUT, TextPresenter, checked_switch
from lual.pipelines.timestamps import LOCAL_TIME, TimeText

if TYPE_CHECKING:
    from lual.pipelines.compiling import Paint

#: SGR parameters by name; several names may be combined, as in "bold red".
COLORS: Final[Mapping[str, str]] = {
    "default": "39",
    "black": "30",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "white": "37",
    "gray": "90",
    "bright_red": "91",
    "bright_green": "92",
    "bright_yellow": "93",
    "bright_blue": "94",
    "bright_magenta": "95",
    "bright_cyan": "96",
    "bright_white": "97",
    "bold": "1",
    "dim": "2",
    "italic": "3",
    "underline": "4",
    "reverse": "7",
}

#: What a level without a colour of its own takes from the nearest built-in one below it.
DEFAULT_LEVEL_COLORS: Final[Mapping[str, str]] = {
    "NOTSET": "default",
    "DEBUG": "cyan",
    "INFO": "green",
    "WARNING": "yellow",
    "ERROR": "red",
    "CRITICAL": "bold red",
}

_SGR = re.compile(r"(?:\x1b\[)?(\d{1,3}(?:;\d{1,3})*)m?")


class ColorPresenter(TextPresenter):
    """Presents records as text with the colour of their level; made by `lual.color`.

    Threads: any thread may call.
    """

    __slots__ = ()

    def __init__(
        self,
        layout: str,
        timezone: str,
        time_format: str | None,
        level_colors: Mapping[str, str] | None,
        escape: bool,
    ) -> None:
        colors = None if level_colors is None else _checked(level_colors)
        self._settings: tuple[Any, ...] = (layout, timezone, time_format, colors, escape)
        self.many = compile_layout(
            layout,
            TimeText(timezone, time_format),
            escaped=checked_switch("escape", escape),
            paint=_paint_by({**DEFAULT_LEVEL_COLORS, **(colors or {})}),
        )

    def __repr__(self) -> str:
        layout, timezone, time_format, level_colors, escape = self._settings
        return (
            f"lual.color(layout={layout!r}, timezone={timezone!r}, time_format={time_format!r}, "
            f"level_colors={level_colors!r}, escape={escape!r})"
        )


def _checked(level_colors: object) -> dict[str, str]:
    """Returns the colours by level name in capitals, once each has been read."""
    if not isinstance(level_colors, Mapping):
        raise ConfigError(
            f"level_colors must map level names to colours, such as {{'info': 'green'}}, "
            f"got {level_colors!r}"
        )
    colors = {}
    for level, color in level_colors.items():
        # Custom levels may be set later, so any name is accepted.
        if not isinstance(level, str):
            raise ConfigError(f"level_colors must be keyed by level names, got {level!r}")
        _sgr(level, color)
        name = level.upper()
        colors["WARNING" if name == "WARN" else name] = color
    return colors


def _sgr(level: str, color: object) -> str:
    """Returns the SGR parameters of a colour given by names or as parameters."""
    if isinstance(color, str):
        parameters = _SGR.fullmatch(color)
        if parameters:
            return parameters[1]
        words = color.lower().split()
        unknown = [word for word in words if word not in COLORS]
        if words and not unknown:
            return ";".join(COLORS[word] for word in words)
        hint = did_you_mean(unknown[0], COLORS) if unknown else ""
    else:
        hint = ""
    raise ConfigError(
        f"level_colors[{level!r}] is {color!r}, which is no colour; use "
        f"{', '.join(COLORS)}, several of them as in 'bold red', or SGR parameters such as "
        f"'1;31'{hint}"
    )


def _paint_by(colors: Mapping[str, str]) -> Paint:
    """Returns the function from a level to the characters that turn its colour on."""
    by_name = {level: f"\x1b[{_sgr(level, color)}m" for level, color in colors.items()}
    steps = [(value, by_name[name.upper()]) for name, value in BUILT_IN.items()]
    steps.reverse()

    def paint(level: int, name: str) -> str:
        found = by_name.get(name)
        if found is None:
            found = next((start for value, start in steps if value <= level), steps[-1][1])
        return found

    return paint


def color(
    layout: str = DEFAULT_LAYOUT,
    timezone: str = LOCAL_TIME,
    time_format: str | None = None,
    level_colors: Mapping[str, str] | None = None,
    escape: bool = True,
) -> ColorPresenter:
    r"""Returns a presenter like `lual.text` that colours each level by ANSI sequences.

    The level is coloured where the layout places it; in a layout without it, the line is.

    Args:
        layout: As for `lual.text`.
        timezone: As for `lual.text`.
        time_format: As for `lual.text`.
        level_colors: Level name, in any case, to a colour name such as `"bold red"` or SGR
            parameters such as `"1;31"`; levels not named keep their default.
        escape: As for `lual.text`; the colours themselves are never escaped.

    Raises:
        ConfigError: A value can't be used; the message says which, and what can.

    Threads: any thread may use the presenter.

    >>> from lual.record import Record
    >>> color("{level} {message}")(Record.build("hot", level=30))
    '\x1b[33mWARNING\x1b[0m hot'
    """
    return ColorPresenter(layout, timezone, time_format, level_colors, escape)
