"""`config` and its kin: check everything, open everything, then change everything.

Guarantees:
    * nothing is half applied: what can fail (parsing, opening outputs, starting a backend)
      happens before the first change, and is undone if something later fails;
    * calls from several threads are serialised;
    * a change while running loses nothing: each record keeps the pipelines that were in
      force when it was logged, and these are closed only after it is written.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lual import loggers, reports
from lual.configuration.settings import Settings, build_settings, check_names
from lual.engine.writer import writer
from lual.errors import ConfigError, did_you_mean
from lual.levels import NOTSET, parse_level
from lual.loggers import Logger, get_logger
from lual.pipelines.outputs.file import check_no_conflict
from lual.pipelines.parse import parse_pipeline
from lual.pipelines.pipeline import Pipeline, is_async_output

_LOGGER_KEYS = ("level", "propagate", "pipelines")


class _InForce:
    """What the application said so far."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.given: dict[str, Any] = {}
        self.settings = Settings()
        self.loggers: dict[str, dict[str, Any]] = {}


_in_force = _InForce()


def config(mapping: Mapping[str, Any] | None = None, /, **settings: Any) -> None:
    """Changes the settings named, and leaves the others as they are.

    Args:
        mapping: Settings by name, for instance read from a file.
        **settings: Settings by name; they win over `mapping`. `pipelines` is replaced as
            a whole; `loggers` maps names to `level`, `propagate` and `pipelines`.

    Raises:
        ConfigError: A setting is unknown or can't be used, an output can't be opened, or
            the backend can't be had. Nothing was changed then.

    Blocks: while the queue in use is drained, if another takes its place: at most
        `shutdown_timeout`.
    Threads: any thread; calls are serialised.
    """
    given = {**(mapping or {}), **settings}
    check_names(given)
    with _in_force.lock:
        _apply(given)


def _apply(given: Mapping[str, Any]) -> None:
    wanted = {**_in_force.given, **given}
    new = build_settings(wanted)
    changes = _parse_loggers(given.get("loggers", {}))
    if "pipelines" in given:
        changes.setdefault(loggers.ROOT_NAME, {})["pipelines"] = _parse_pipelines(
            given["pipelines"], "pipelines"
        )
    if "level" in given:
        changes.setdefault(loggers.ROOT_NAME, {})["level"] = new.level
    before = pipelines_in_use()
    after = _after(changes)
    check_no_conflict(output for each in after for output in each.outputs)
    opened = _open(after, before)
    try:
        line = _line_for(new, changes)
        _check_async_outputs(line, after)
    except BaseException:
        _close(opened)
        raise
    _in_force.given = wanted
    _in_force.settings = new
    for name, change in changes.items():
        loggers.change(get_logger(name), **change)
        _in_force.loggers.setdefault(name, {}).update(change)
    engine = writer()
    keeps = line is engine.line and line is not None
    if keeps:
        engine.settings = new
    else:
        engine.switch(new, line)
    _retire(before)


def _line_for(new: Settings, changes: Mapping[str, Any]) -> Any:
    """Returns the line that serves the new settings: the one in use, a new one, or None."""
    engine = writer()
    if not new.async_enabled:
        return None
    root = changes.get(loggers.ROOT_NAME, {})
    in_use = engine.line
    if in_use is not None and engine.state in ("RUNNING", "DEGRADED"):
        elsewhere = in_use.info.capabilities.get("worker") == "process"
        moved = elsewhere and "pipelines" in root
        if not moved and not new.needs_another_line(in_use.settings):  # type: ignore[arg-type]
            return in_use
    from lual.engine.line import build_line  # asynchronous logging only: pluggy, attrs

    return build_line(engine, new, root.get("pipelines", engine.root_pipelines()))


def _parse_pipelines(value: Any, where: str) -> tuple[Pipeline, ...]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise ConfigError(f"{where} must be a list of pipelines, got {value!r}")
    return tuple(parse_pipeline(item, f"{where}[{i}]") for i, item in enumerate(value))


def _parse_loggers(value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"loggers must map names to their settings, got {value!r}")
    return {name: parse_logger_settings(name, given) for name, given in value.items()}


def parse_logger_settings(name: str, given: Any) -> dict[str, Any]:
    """Returns what `loggers.change` takes, checked.

    Raises:
        ConfigError: A key is unknown, or a value can't be used.
    """
    where = f"loggers[{name!r}]"
    if not isinstance(name, str) or not all(name.split(".")):
        raise ConfigError(f"{where}: a logger's name has no empty parts, as in 'app.db'")
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} must be a mapping, got {given!r}")
    change: dict[str, Any] = {}
    for key, value in given.items():
        if key == "level":
            change["level"] = parse_level(value, f"{where}.level")
        elif key == "propagate":
            if not isinstance(value, bool):
                raise ConfigError(f"{where}.propagate must be True or False, got {value!r}")
            change["propagate"] = value
        elif key == "pipelines":
            change["pipelines"] = _parse_pipelines(value, f"{where}.pipelines")
        else:
            hint = did_you_mean(key, _LOGGER_KEYS)
            raise ConfigError(f"{where} has no {key!r}; it has: {', '.join(_LOGGER_KEYS)}{hint}")
    return change


def _after(changes: Mapping[str, Mapping[str, Any]]) -> list[Pipeline]:
    """Returns the pipelines that all loggers will have once the changes are made."""
    found = [p for change in changes.values() for p in change.get("pipelines", ())]
    for name, logger in loggers.all_loggers().items():
        if "pipelines" not in changes.get(name, {}):
            found += logger.pipelines
    return found


def pipelines_in_use() -> dict[Pipeline, None]:
    """Returns the pipelines of all loggers, in order, each once."""
    return {p: None for logger in loggers.all_loggers().values() for p in logger.pipelines}


def _open(wanted: Sequence[Pipeline], already: Mapping[Pipeline, None]) -> list[Pipeline]:
    opened: list[Pipeline] = []
    try:
        for candidate in wanted:
            if candidate not in already and candidate not in opened:
                candidate.open()
                opened.append(candidate)
    except BaseException:
        _close(opened)
        raise
    return opened


def _close(pipelines: Iterable[Pipeline]) -> None:
    for closing in pipelines:
        closing.close()


def _check_async_outputs(line: Any, pipelines: Iterable[Pipeline]) -> None:
    if line is not None and line.supports_async_outputs():
        return
    for each in pipelines:
        for output in each.outputs:
            if is_async_output(output):
                why = f"the backend {line.name!r}" if line is not None else "synchronous logging"
                raise ConfigError(
                    f"output {output!r} is an async def, which {why} can't await; "
                    "use the backend 'coroutines', or make it a plain function"
                )


def _retire(before: Mapping[Pipeline, None]) -> None:
    """Closes the pipelines that nobody uses any more, once their records are written."""
    after = pipelines_in_use()
    gone = [p for p in before if p not in after]
    if not gone:
        return
    if not writer().flush(_in_force.settings.shutdown_timeout):
        reports.problem(
            "config", "outputs that are not in use any more stay open: their records took too long"
        )
        return
    _close(gone)


def get_config() -> dict[str, Any]:
    """Returns the settings in force by name; a copy, which `config` takes again."""
    with _in_force.lock:
        import attrs

        found: dict[str, Any] = attrs.asdict(_in_force.settings)
        found["pipelines"] = list(loggers.root().pipelines)
        found["level"] = loggers.root().effective_level
        found["loggers"] = {
            name: {
                "level": logger.level,
                "propagate": logger.propagate,
                "pipelines": list(logger.pipelines),
            }
            for name, logger in loggers.all_loggers().items()
            if name != loggers.ROOT_NAME
            and (logger.level != NOTSET or not logger.propagate or logger.pipelines)
        }
        return found


def reset_config() -> None:
    """Goes back to the defaults: synchronous, the root at WARNING with text on the console.

    Levels, pipelines and propagation of all loggers, custom levels, command-line verbosity
    and live level are forgotten too; what is queued is written first.

    Blocks: at most `shutdown_timeout`.
    """
    from lual.configuration import live_level, verbosity

    with _in_force.lock:
        live_level.turn_off()
        verbosity.forget()
        before = pipelines_in_use()
        _in_force.given = {}
        _in_force.settings = Settings()
        _in_force.loggers = {}
        for name, logger in loggers.all_loggers().items():
            is_root = name == loggers.ROOT_NAME
            loggers.change(
                logger,
                level=_in_force.settings.level if is_root else NOTSET,
                propagate=True,
                pipelines=loggers.default_pipelines() if is_root else (),
            )
        loggers.set_levels({})
        writer().switch(_in_force.settings, None)
        _retire(before)


def load_config(path: str | os.PathLike[str]) -> None:
    """Applies the settings of a TOML file.

    Args:
        path: The file; its keys are the settings' names.

    Raises:
        ConfigError: The file can't be read, is no TOML, or has a setting that can't be
            used; the message names the file. Nothing was changed then.
    """
    from lual.configuration.toml_file import read_toml

    data = read_toml(path)
    try:
        config(data)
    except ConfigError as error:
        raise type(error)(f"{os.fspath(path)}: {error}") from error


def configure_logger(logger: Logger, given: Mapping[str, Any]) -> None:
    """Applies settings of one logger.

    Args:
        logger: Any logger, the root included.
        given: `level`, `propagate`, `pipelines`.

    Raises:
        ConfigError: A setting is unknown or can't be used; nothing was changed.
    """
    if logger is loggers.root():
        moved = {key: value for key, value in given.items() if key in ("level", "pipelines")}
        parse_logger_settings(loggers.ROOT_NAME, {k: given[k] for k in given.keys() - moved})
        config(moved)
    else:
        config(loggers={logger.name: given})
