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
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lual import reports
from lual.configuration.logger_settings import (
    parse_logger_settings,
    parse_loggers,
    parse_pipelines,
)
from lual.configuration.outputs import Outputs
from lual.configuration.settings import (
    OF_THE_LINE,
    SCALARS,
    Settings,
    build_settings,
    check_names,
)
from lual.engine import hierarchy
from lual.engine.writer import writer
from lual.errors import ConfigError
from lual.levels import NOTSET
from lual.loggers import Logger, get_logger, set_levels
from lual.pipelines.outputs.file import check_no_conflict
from lual.pipelines.parse import parse_pipeline
from lual.pipelines.pipeline import Pipeline

if TYPE_CHECKING:
    from lual.engine.line import Line


class _InForce:
    """What the application said so far."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.settings = Settings()
        self.renew_lock()

    def renew_lock(self) -> None:
        """Replaces the lock, in a forked child where its owner may not exist."""
        self.lock = threading.RLock()


_in_force = _InForce()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_force.renew_lock)


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
    if mapping is not None and not isinstance(mapping, Mapping):
        raise ConfigError(
            f"config takes a mapping, or settings by name, got {mapping!r}; "
            "lual.load_config(path) reads a file"
        )
    given = {**(mapping or {}), **settings}
    check_names(given)
    with _in_force.lock:
        _apply(given)


def _apply(given: Mapping[str, Any]) -> None:
    wanted = {**_in_force.given, **{k: v for k, v in given.items() if k in SCALARS}}
    new = build_settings(wanted)
    changes = parse_loggers(given.get("loggers", {}))
    if "pipelines" in given:
        changes.setdefault(hierarchy.ROOT_NAME, {})["pipelines"] = parse_pipelines(
            given["pipelines"], "pipelines"
        )
    if "level" in given:
        changes.setdefault(hierarchy.ROOT_NAME, {})["level"] = new.level
    before = _outputs_in_use()
    after = Outputs(_after(changes))
    check_no_conflict(after)
    added = after.without(before)
    added.open()
    try:
        line = _line_for(new, given, changes)
        _check_or_retire(line, after)
    except BaseException:
        added.close()
        raise
    _in_force.given = wanted
    _in_force.settings = new
    for name, change in changes.items():
        hierarchy.change(get_logger(name), **change)
    engine = writer()
    if line is engine.line:
        engine.settings = new
    else:
        engine.switch(new, line)
    _retire(before)


def _line_for(new: Settings, given: Mapping[str, Any], changes: Mapping[str, Any]) -> Line | None:
    """Returns the line that serves the new settings: the one in use, a new one, or None."""
    engine = writer()
    if not new.async_enabled:
        return None
    root = changes.get(hierarchy.ROOT_NAME, {})
    in_use = engine.line
    if engine.state == "CLOSED":  # the interpreter ends: nobody would drain a new one
        return in_use
    if in_use is not None:
        named = any(name in given for name in ("async_enabled", *OF_THE_LINE))
        if engine.state not in ("RUNNING", "DEGRADED"):
            fits = not named  # what was stopped stays so, unless it is spoken of
        else:
            elsewhere = in_use.info.capabilities.get("worker") == "process"
            moved = elsewhere and "pipelines" in root
            fits = not moved and not new.needs_another_line(in_use.settings)
        if fits:
            return in_use
    from lual.engine.line import build_line  # asynchronous logging only: pluggy, attrs

    return build_line(engine, new, root.get("pipelines", engine.root_pipelines()))


def _check_or_retire(line: Line | None, outputs: Outputs) -> None:
    """Ends a new line again if it can't serve the outputs."""
    try:
        outputs.check_awaited_by(line)
    except BaseException:
        if line is not None and line is not writer().line:
            line.retire()
        raise


def _after(changes: Mapping[str, Mapping[str, Any]]) -> list[Pipeline]:
    """Returns the pipelines that all loggers will have once the changes are made."""
    found = [p for change in changes.values() for p in change.get("pipelines", ())]
    for name, logger in hierarchy.all_loggers().items():
        if "pipelines" not in changes.get(name, {}):
            found += logger.pipelines
    return found


def _outputs_in_use() -> Outputs:
    return Outputs(p for logger in hierarchy.all_loggers().values() for p in logger.pipelines)


def _retire(before: Outputs) -> None:
    """Closes the outputs that nobody uses any more, once their records are written."""
    gone = before.without(_outputs_in_use())
    if not gone:
        return
    if not writer().flush(_in_force.settings.shutdown_timeout):
        reports.problem(
            "config", "outputs that are not in use any more stay open: their records took too long"
        )
        return
    gone.close()


def get_config() -> dict[str, Any]:
    """Returns the settings in force by name; a copy, which `config` takes again."""
    with _in_force.lock:
        import attrs

        found: dict[str, Any] = attrs.asdict(_in_force.settings)
        found["pipelines"] = list(hierarchy.root().pipelines)
        found["level"] = hierarchy.root().effective_level
        found["loggers"] = {
            name: {
                "level": logger.level,
                "propagate": logger.propagate,
                "pipelines": list(logger.pipelines),
            }
            for name, logger in hierarchy.all_loggers().items()
            if name != hierarchy.ROOT_NAME
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
        before = _outputs_in_use()
        _in_force.given = {}
        _in_force.settings = Settings()
        for name, logger in hierarchy.all_loggers().items():
            is_root = name == hierarchy.ROOT_NAME
            hierarchy.change(
                logger,
                level=_in_force.settings.level if is_root else NOTSET,
                propagate=True,
                pipelines=hierarchy.default_pipelines() if is_root else (),
            )
        set_levels({})
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
    if logger is hierarchy.root():
        moved = {key: value for key, value in given.items() if key in ("level", "pipelines")}
        parse_logger_settings(hierarchy.ROOT_NAME, {k: given[k] for k in given.keys() - moved})
        config(moved)
    else:
        config(loggers={logger.name: given})


def add_pipeline(logger: Logger, given: Pipeline | Mapping[str, Any]) -> None:
    """Adds one pipeline to a logger; see `Logger.add_pipeline`."""
    with _in_force.lock:
        parsed = parse_pipeline(given, "pipeline")
        configure_logger(logger, {"pipelines": [*logger.pipelines, parsed]})
