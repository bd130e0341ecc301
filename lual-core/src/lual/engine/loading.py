"""Importing a backend's plugin, checking it, and building the backend.

Guarantees:
    * whatever a plugin does when it is imported or called, the caller gets a `ConfigError`
      that names the owner, with the cause chained; only `KeyboardInterrupt`, and a
      `ConfigError` by which a backend refuses an option, go on as they are;
    * no plugin is called but the one: each is registered with a pluggy manager of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from lual import reports
from lual.errors import (
    BrokenBackendError,
    ConfigError,
    IncompatibleBackendError,
    UnavailableBackendError,
)

if TYPE_CHECKING:
    from lual.backend.contract import Backend, BackendConfig, BackendInfo
    from lual.engine.plugin_check import CheckedPlugin
    from lual.engine.scan import Candidate

_REFERENCE = re.compile(r"(?P<module>\w+(\.\w+)*)(\s*:\s*(?P<attribute>\w+(\.\w+)*))?(\s*\[.*\])?")

#: Notes about newer contracts that were given: each is, once in a process.
_told: set[tuple[Candidate, str]] = set()

_T = TypeVar("_T")


class LoadedBackend(NamedTuple):
    """A plugin that was imported, checked and asked for its info.

    Args:
        candidate: Where it comes from.
        info: What it says of itself.
        create: Its hook `lual_create_backend`, unguarded; the engine uses `loading.create`.
        faults: Its hook `lual_backend_faults`, called with a backend; None if it has none.
    """

    candidate: Candidate
    info: BackendInfo
    create: Callable[[BackendConfig], Any]
    faults: Callable[[Backend], Any] | None

    @property
    def name(self) -> str:
        """The backend's name, or the reference it was named by."""
        return self.candidate.name


class OpenedPlugin(NamedTuple):
    """A plugin that was imported and asked for its info, but not judged.

    Args:
        candidate: Where it comes from.
        info: None if it couldn't be had.
        problems: A sentence with a code for each breach of the plugin contract.
        hooks: pluggy's callers; they reach the sound hooks of this plugin alone.
    """

    candidate: Candidate
    info: BackendInfo | None
    problems: list[str]
    hooks: Any


def load(candidate: Candidate) -> LoadedBackend:
    """Imports and checks a backend's plugin, and asks it what the backend is.

    Args:
        candidate: From `discovery.resolve`.

    Raises:
        BrokenBackendError: It can't be imported, or breaks the plugin contract.
        IncompatibleBackendError: It is made for another major version of the contract.
        UnavailableBackendError: It says that it can't work here.

    Blocks: as long as the plugin takes.
    """
    opened = open_plugin(candidate)
    info, note = judge(opened)
    if note and (candidate, note) not in _told:
        _told.add((candidate, note))
        reports.problem("backend", f"{candidate} {note}")
    hooks = opened.hooks

    def ask_faults(backend: Backend) -> Any:
        return _answer(hooks.lual_backend_faults(backend=backend))

    return LoadedBackend(
        candidate,
        info,
        lambda config: _answer(hooks.lual_create_backend(config=config)),
        ask_faults if _has_faults(hooks) else None,
    )


def create(loaded: LoadedBackend, config: BackendConfig) -> Backend:
    """Builds a backend, and makes sure that it can be called as the contract says.

    Args:
        loaded: From `load`.
        config: What it is built from.

    Raises:
        ConfigError: The backend refuses an option.
        BrokenBackendError: It can't be built, or lacks a call of the contract.

    Blocks: as long as the plugin takes.
    """
    from lual.engine.backend_check import backend_problems

    candidate = loaded.candidate
    backend = _guarded(candidate, "can't be built", lambda: loaded.create(config), ConfigError)
    problems = _guarded(candidate, "can't be checked", lambda: backend_problems(backend))
    if problems:
        raise _breach(candidate, problems)
    return cast("Backend", backend)


def open_plugin(candidate: Candidate) -> OpenedPlugin:
    """Imports a backend's plugin and asks it what the backend is, judging nothing.

    Args:
        candidate: From `discovery.resolve`.

    Raises:
        BrokenBackendError: It can't be imported, or raised when it was asked.

    Blocks: as long as the plugin takes.
    """
    from lual.engine.backend_check import info_problems, name_problems
    from lual.engine.plugin_check import check_plugin

    plugin = _import(candidate)
    checked = _guarded(candidate, "can't be checked", lambda: check_plugin(plugin))
    hooks = _guarded(candidate, "is refused by pluggy", lambda: _register(checked))
    if not checked.implements("lual_backend_info"):
        return OpenedPlugin(candidate, None, checked.problems, hooks)
    ask = "fails in lual_backend_info"
    answer = _guarded(candidate, ask, lambda: _answer(hooks.lual_backend_info()))
    wrong = info_problems(answer)
    if wrong:
        return OpenedPlugin(candidate, None, checked.problems + wrong, hooks)
    info = cast("BackendInfo", answer)
    if candidate.distribution is not None:
        wrong = name_problems(info, candidate.name)
    return OpenedPlugin(candidate, info, checked.problems + wrong, hooks)


def judge(opened: OpenedPlugin) -> tuple[BackendInfo, str | None]:
    """Returns what a plugin says of itself, and a note if it is made for a newer lual.

    Raises:
        BrokenBackendError: It breaks the plugin contract.
        IncompatibleBackendError: It is made for another major version of the contract.
        UnavailableBackendError: It says that it can't work here.
    """
    from lual.backend.contract import CONTRACT
    from lual.engine.backend_check import content_problems, dotted

    candidate, info = opened.candidate, opened.info
    if info is None:
        raise _breach(candidate, opened.problems)
    if info.contract[0] != CONTRACT[0]:
        older = "lual-core" if info.contract > CONTRACT else candidate.distribution
        raise IncompatibleBackendError(
            f"{candidate} needs contract {info.contract[0]}.x, this lual-core has "
            f"{dotted(CONTRACT)}; upgrade {older or 'the backend'}"
        )
    note = None
    problems = opened.problems
    if info.contract > CONTRACT:  # it may rightly say what this contract doesn't know yet
        note = (
            f"is made for contract {dotted(info.contract)}, this lual-core has {dotted(CONTRACT)}"
        )
    else:
        has_faults = _has_faults(opened.hooks)
        problems = problems + _guarded(
            candidate, "can't be checked", lambda: content_problems(info, has_faults=has_faults)
        )
    if problems:
        raise _breach(candidate, problems)
    if not info.available:
        raise UnavailableBackendError(f"{candidate} can't work here: {info.unavailable_reason}")
    return info, note


def _import(candidate: Candidate) -> object:
    match = _REFERENCE.fullmatch(candidate.value.strip())
    if match is None:
        raise BrokenBackendError(
            f"{candidate} can't be imported: {candidate.value!r} must read package.module:plugin"
        )
    try:
        thing: object = importlib.import_module(match["module"])
        for name in (match["attribute"] or "").split("."):
            thing = _member(thing, name) if name else thing
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may even call sys.exit
        hint = _import_hint(candidate, match["module"], error)
        raise BrokenBackendError(
            f"{candidate} can't be imported: {reports.describe(error)}{hint}"
        ) from error
    return thing


def _member(thing: object, name: str) -> object:
    """Returns an attribute; of a package also a module in it, as `package:plugin` may mean."""
    if not hasattr(thing, name) and hasattr(thing, "__path__"):
        inside = f"{getattr(thing, '__name__', '')}.{name}"
        if importlib.util.find_spec(inside) is not None:
            return importlib.import_module(inside)
    return getattr(thing, name)


def _import_hint(candidate: Candidate, module: str, error: BaseException) -> str:
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    missing = error.name.partition(".")[0]
    if missing != module.partition(".")[0]:
        return f"; install what it needs with: pip install {missing}"
    if candidate.distribution is None:
        return "; make sure that it stands on sys.path"
    return f"; reinstall it with: pip install --force-reinstall {candidate.distribution}"


def _register(checked: CheckedPlugin) -> Any:
    """Returns pluggy's callers of the sound hooks, and of nothing else."""
    import pluggy

    from lual.backend import hookspecs

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    # Not the plugin itself: pluggy before 1.7 reads all its properties, and it would
    # refuse the sound hooks for the sake of the others.
    manager.register(
        types.SimpleNamespace(**{hook.attribute: hook.function for hook in checked.hooks})
    )
    return manager.hook


def _has_faults(hooks: Any) -> bool:
    return any(not hook.wrapper for hook in hooks.lual_backend_faults.get_hookimpls())


def _answer(answers: list[Any]) -> Any:
    """Returns the one answer; pluggy leaves out a None."""
    return answers[0] if answers else None


def _guarded(
    candidate: Candidate,
    what: str,
    call: Callable[[], _T],
    passing: type[BaseException] = KeyboardInterrupt,
) -> _T:
    try:
        return call()
    except (KeyboardInterrupt, passing):
        raise
    except BaseException as error:  # foreign code, which may even call sys.exit
        raise BrokenBackendError(f"{candidate} {what}: {reports.describe(error)}") from error


def _breach(candidate: Candidate, problems: list[str]) -> BrokenBackendError:
    listed = "".join(f"\n  {problem}" for problem in problems)
    return BrokenBackendError(f"{candidate} breaks the plugin contract:{listed}")
