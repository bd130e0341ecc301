"""The settings: names, defaults, units, and what values each may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from lual.backend.queue import STRATEGIES
from lual.errors import ConfigError, did_you_mean
from lual.levels import ERROR, WARNING, parse_level

if TYPE_CHECKING:
    from lual.engine.async_settings import AsyncSettings

AFTER_STOP = ("inline", "drop", "raise")

Attribute = attrs.Attribute  # the name that validators are annotated with


def _fail(name: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(f"{name} must be {allowed}, got {value!r} ({type(value).__name__})")


def _count(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _fail(attribute.name, value, "a whole number of records, 1 or more")


def _seconds(_: object, attribute: Attribute[Any], value: object) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not value >= 0:  # type: ignore[operator]  # NaN fails as well
        raise _fail(attribute.name, value, "0 or more seconds")


def _boolean(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise _fail(attribute.name, value, "True or False")


def _one_of(*allowed: str) -> Callable[[object, Attribute[Any], object], None]:
    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value not in allowed:
            hint = did_you_mean(value, allowed)
            raise ConfigError(
                f"{attribute.name} must be one of {', '.join(allowed)}, got {value!r}{hint}"
            )

    return check


def _optional_name(_: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise _fail(attribute.name, value, "the name of an installed backend, or None")


def _mapping(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _fail(attribute.name, value, "a mapping with string keys")


def _level(value: Any) -> int:
    return parse_level(value, "level")


def _flush_level(value: Any) -> int:
    return parse_level(value, "flush_level")


def _protect_level(value: Any) -> int:
    return parse_level(value, "protect_level")


def _own_copy(value: Any) -> Any:
    """Copies options, so that changing the mapping given changes nothing in force."""
    from copy import deepcopy  # for configurations with options

    return deepcopy(dict(value)) if value and isinstance(value, Mapping) else value


@attrs.frozen(kw_only=True)
class Settings:
    """Everything that `lual.config` takes, but for pipelines and loggers, which are objects.

    Args:
        level: Of the root logger; a name in any case, or an int.
        async_enabled: True hands records to a backend, False writes them in the caller.
        backend: Name of an installed backend, or `"package.module:plugin"`; None chooses.
        async_batch_size: Records per batch.
        async_flush_interval: Seconds that a record may wait for its batch; 0: at once.
        max_queue_size: Records that may wait.
        overflow_strategy: What happens when they are that many.
        flush_level: A record of this level or above wakes the worker at once.
        protect_level: Records of this level or above are dropped last.
        block_timeout: Seconds that a call may wait for room under `block`.
        flush_timeout: Seconds, for `flush()` without a timeout.
        shutdown_timeout: Seconds, for `shutdown()` without one, and at exit.
        after_stop: What becomes of records logged after a stop.
        backend_options: Passed to the backend, which validates them.
    """

    level: int = attrs.field(default=WARNING, converter=_level)
    async_enabled: bool = attrs.field(default=False, validator=_boolean)
    backend: str | None = attrs.field(default=None, validator=_optional_name)
    async_batch_size: int = attrs.field(default=50, validator=_count)
    async_flush_interval: float = attrs.field(default=1.0, validator=_seconds)
    max_queue_size: int = attrs.field(default=10_000, validator=_count)
    overflow_strategy: str = attrs.field(default="drop_oldest", validator=_one_of(*STRATEGIES))
    flush_level: int = attrs.field(default=ERROR, converter=_flush_level)
    protect_level: int = attrs.field(default=ERROR, converter=_protect_level)
    block_timeout: float = attrs.field(default=1.0, validator=_seconds)
    flush_timeout: float = attrs.field(default=5.0, validator=_seconds)
    shutdown_timeout: float = attrs.field(default=5.0, validator=_seconds)
    after_stop: str = attrs.field(default="inline", validator=_one_of(*AFTER_STOP))
    backend_options: dict[str, Any] = attrs.field(
        factory=dict, converter=_own_copy, validator=_mapping
    )

    def needs_another_line(self, other: AsyncSettings) -> bool:
        """Tells whether the asynchronous layer of `other` can't serve these settings."""
        return any(getattr(self, name) != getattr(other, name) for name in OF_THE_LINE)


#: Settings that a running backend can't change under way.
OF_THE_LINE = (
    "backend",
    "async_batch_size",
    "async_flush_interval",
    "max_queue_size",
    "overflow_strategy",
    "flush_level",
    "protect_level",
    "block_timeout",
    "flush_timeout",
    "shutdown_timeout",
    "backend_options",
)

SCALARS = tuple(field.name for field in attrs.fields(Settings))
NAMES = (*SCALARS, "pipelines", "loggers")


def check_names(given: Mapping[str, Any]) -> None:
    """Refuses settings that don't exist.

    Raises:
        ConfigError: Names the unknown one, and the nearest that there is.
    """
    for name in given:
        if name not in NAMES:
            raise ConfigError(
                f"there is no setting {name!r}{did_you_mean(name, NAMES)}; "
                f"the settings are: {', '.join(NAMES)}"
            )


def build_settings(given: Mapping[str, Any]) -> Settings:
    """Returns the settings with every value checked, alone and together.

    Args:
        given: Those that somebody gave; the others have their defaults.

    Raises:
        ConfigError: A value can't be used.
    """
    chosen = {name: value for name, value in given.items() if name in SCALARS}
    settings = Settings(**chosen)
    if settings.async_batch_size > settings.max_queue_size:
        if "async_batch_size" in chosen and "max_queue_size" in chosen:
            raise ConfigError(
                f"async_batch_size ({settings.async_batch_size}) must not exceed "
                f"max_queue_size ({settings.max_queue_size}): such a batch never fills"
            )
        # Only one was given: the queue's capacity counts.
        settings = attrs.evolve(settings, async_batch_size=settings.max_queue_size)
    return settings
