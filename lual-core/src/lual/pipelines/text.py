"""The text presenter: one line a record, by a layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lual.errors import ConfigError
from lual.pipelines.compiling import compile_layout
from lual.pipelines.timestamps import LOCAL_TIME, TimeText

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lual.record import Record

DEFAULT_LAYOUT = "{time} {level} [{logger}] {message}"


class TextPresenter:
    """Presents records as text; made by `lual.text`.

    Attributes:
        many: Presents raw records, which is quicker than one record at a time.

    Threads: any thread may call.
    """

    __slots__ = ("_settings", "many")

    many: Callable[[Sequence[Sequence[Any]]], list[str]]

    def __init__(self, layout: str, timezone: str, time_format: str | None, escape: bool) -> None:
        self._settings: tuple[Any, ...] = (layout, timezone, time_format, escape)
        clock = TimeText(timezone, time_format)
        self.many = compile_layout(layout, clock, escaped=checked_switch("escape", escape))

    def __call__(self, record: Record) -> str:
        """Returns the record's text."""
        return self.many((record.raw,))[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._settings

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._settings == other._settings

    def __hash__(self) -> int:
        return hash(self._settings[0])

    def __repr__(self) -> str:
        layout, timezone, time_format, escape = self._settings
        return (
            f"lual.text(layout={layout!r}, timezone={timezone!r}, "
            f"time_format={time_format!r}, escape={escape!r})"
        )


def checked_switch(setting: str, value: object) -> bool:
    """Returns the value if it is a bool.

    Raises:
        ConfigError: It is anything else.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{setting} must be True or False, got {value!r}")
    return value


def text(
    layout: str = DEFAULT_LAYOUT,
    timezone: str = LOCAL_TIME,
    time_format: str | None = None,
    escape: bool = True,
) -> TextPresenter:
    r"""Returns a presenter of readable lines.

    Fields that the layout doesn't place follow as `key=value`, an exception and a stack on
    further lines that are indented by four spaces.

    Args:
        layout: Text with the placeholders `time level logger message fields exception file
            line function module thread task process seq`, each optionally with a format
            specification such as `{level:<8}`; `{{` is a brace. `thread` and `task` are
            names, `process` is the id.
        timezone: `lual.LOCAL_TIME`, or `lual.UTC`, which ends ISO times in `+00:00`.
        time_format: A strftime format, with `%f` for microseconds; None is ISO 8601 with
            microseconds.
        escape: Whether control characters in what a record brings are made visible, so
            that nothing a user sends can forge a line or drive a terminal.

    Raises:
        ConfigError: A value can't be used; the message says which, and what can.

    Threads: any thread may use the presenter.

    >>> from lual.record import Record
    >>> text("{level:<5}|{message}")(Record.build("a\nb", level=20, fields={"user": "x y"}))
    'INFO |a\\nb user="x y"'
    """
    return TextPresenter(layout, timezone, time_format, escape)
