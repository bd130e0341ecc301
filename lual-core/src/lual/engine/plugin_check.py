"""Checking a backend's plugin, before pluggy would ignore or refuse it.

pluggy ignores an undecorated or misspelt hook, names only the first wrong argument, and
treats one with a default differently from version to version. Here everything wrong is
found at once. Each problem has a code that stays the same: P1 undecorated, P2 decorated
for another project, P3 no such hook, P4 wrong argument, P5 argument with a default,
P6 async, P7 wrapper without `yield`, P8 hook missing or doubled, P9 wrong info, P10 wrong
backend (the last two in `backend_check`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from lual.errors import did_you_mean

REQUIRED = ("lual_backend_info", "lual_create_backend")


class Hook(NamedTuple):
    """One function of a plugin that implements, or wraps, a hook.

    Args:
        attribute: Its name in the plugin.
        name: The hook's name.
        function: Bound, if it is a method.
        wraps: It stands around an implementation and is none.
    """

    attribute: str
    name: str
    function: Callable[..., Any]
    wraps: bool

    def __str__(self) -> str:
        return shown(self.attribute, self.function)


class CheckedPlugin(NamedTuple):
    """What a plugin is made of.

    Args:
        hooks: Those that nothing is wrong with.
        problems: A sentence with a code for everything that is wrong.
    """

    hooks: list[Hook]
    problems: list[str]

    def implements(self, name: str) -> bool:
        """Tells whether the hook is there and sound."""
        return any(hook.name == name and not hook.wraps for hook in self.hooks)


def check_plugin(plugin: object) -> CheckedPlugin:
    """Returns the hooks of a plugin and all that is wrong with it.

    Args:
        plugin: A module, or an object or class whose attributes are the hooks.
    """
    return _Check(plugin).result()


class _Check:
    """One look at one plugin."""

    def __init__(self, plugin: object) -> None:
        self._plugin = plugin
        self._specs = _specs()
        self._hooks: list[Hook] = []
        self._problems: list[str] = []
        self._tried: dict[str, str] = {}  # hook: the attribute that is, or seems, meant for it
        self._strays: list[str] = []  # functions named as if they might be hooks

    def result(self) -> CheckedPlugin:
        for name in dir(self._plugin):
            self._look_at(name)
        for name in REQUIRED:
            if name not in self._tried:
                hint = did_you_mean(name, self._strays)
                self._problems.append(f"P8 {name}() is missing from {_named(self._plugin)}{hint}")
        return CheckedPlugin(self._hooks, self._problems)

    def _look_at(self, name: str) -> None:
        function = self._function(name)
        if function is None:
            if name in self._specs:
                self._tried[name] = name
                self._problems.append(f"P1 {name} is no function or method; pluggy ignores it")
            return
        marks = _marks(function)
        if "lual" in marks:
            options = marks["lual"]
            wraps = bool(options.get("wrapper") or options.get("hookwrapper"))
            hook = Hook(name, options.get("specname") or name, function, wraps)
            self._decorated(hook, optional=bool(options.get("optionalhook")))
        elif name.startswith("lual_"):
            self._undecorated(name, function, marks)

    def _function(self, name: str) -> Callable[..., Any] | None:
        static = inspect.getattr_static(self._plugin, name, None)
        # Reading a property could do anything, and pluggy 1.7 takes none for a hook.
        may_be = isinstance(static, (staticmethod, classmethod)) or inspect.isroutine(static)
        if not may_be and (name not in self._specs or isinstance(static, property)):
            return None
        found = getattr(self._plugin, name, None)
        return found if inspect.isroutine(found) else None

    def _undecorated(self, name: str, function: Callable[..., Any], marks: dict[str, Any]) -> None:
        if marks:
            self._problems.append(
                f"P2 {shown(name, function)}: decorated for the pluggy project "
                f"{next(iter(marks))!r}, not 'lual'; decorate it with the hookimpl of lual.backend"
            )
        elif name in self._specs:
            static = inspect.getattr_static(self._plugin, name, None)
            advice = "decorate it with @lual.backend.hookimpl"
            if "lual_impl" in _attributes(static):
                advice = f"put @hookimpl below @{type(static).__name__}"
            self._problems.append(
                f"P1 {shown(name, function)}: named like a hook, but not decorated, "
                f"and pluggy would ignore it; {advice}"
            )
        else:
            self._strays.append(name)
            return
        self._tried[name] = name

    def _decorated(self, hook: Hook, *, optional: bool) -> None:
        spec = self._specs.get(hook.name)
        if spec is None and optional:
            return  # meant for a newer lual-core
        if spec is None:
            hint = did_you_mean(hook.name, self._specs) or f"; it has {', '.join(self._specs)}"
            self._tried |= {name: hook.attribute for name in self._specs if repr(name) in hint}
            self._problems.append(f"P3 {hook}: lual has no such hook{hint}")
            return
        found = list(_hook_problems(hook, spec, of_class=inspect.isclass(self._plugin)))
        if not hook.wraps:
            first = self._tried.setdefault(hook.name, hook.attribute)
            if first != hook.attribute:
                found.append(f"P8 {hook}: {hook.name} is there already, as {first}; remove one")
        self._problems += found
        if not found:
            self._hooks.append(hook)


def _hook_problems(hook: Hook, spec: tuple[str, ...], *, of_class: bool) -> Iterator[str]:
    plain = inspect.unwrap(hook.function)
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        yield (
            f"P6 async {hook}: hooks are called plainly, outside any event loop; "
            "make it a plain function"
        )
    if hook.wraps and not inspect.isgeneratorfunction(plain):
        yield f"P7 {hook}: declared a wrapper, but has no yield; add one, or drop wrapper=True"
    try:
        parameters = inspect.signature(hook.function).parameters.values()
    except (TypeError, ValueError):
        yield f"P4 {hook}: its arguments can't be told; write it as a plain function"
        return
    passes = f"{hook.name} passes ({', '.join(spec)})"
    wrong = [p for p in parameters if p.name not in spec or p.kind in _NOT_BY_POSITION]
    missing = [name for name in spec if name not in {p.name for p in parameters}]
    for parameter in wrong:
        yield f"P4 {hook}: {_argument_problem(parameter, passes, missing, of_class=of_class)}"
    if missing and not wrong:
        yield f"P4 {hook}: lacks an argument; {passes}"
    for parameter in parameters:
        if parameter.default is not parameter.empty and parameter not in wrong:
            yield (
                f"P5 {hook}: the argument {parameter.name!r} has a default; remove it "
                "(pluggy before 1.7 would never pass the argument)"
            )


_NOT_BY_POSITION = (
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)


def _argument_problem(
    parameter: inspect.Parameter, passes: str, missing: list[str], *, of_class: bool
) -> str:
    if parameter.name == "self" and of_class:
        return (
            "the plugin is a class, of which lual makes no instance; "
            "point the entry point at an instance, or make the hook a static method"
        )
    if parameter.kind in _NOT_BY_POSITION:
        return f"{str(parameter).split(':')[0]!r} can't be passed by position; {passes}"
    hint = f"; did you mean {missing[0]!r}?" if len(missing) == 1 else ""
    return f"unknown argument {parameter.name!r}; {passes}{hint}"


def shown(name: str, function: Callable[..., Any]) -> str:
    """Returns a function as its author wrote it, without types, and where it stands."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    place = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
    return f"{name}{bare_signature(function)}{place}"


def bare_signature(function: Callable[..., Any]) -> str:
    """Returns the arguments of a function without their types."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return "(...)"
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


def _specs() -> dict[str, tuple[str, ...]]:
    """Returns the arguments of each hook."""
    from lual.backend import hookspecs  # imports pluggy

    return {
        name: tuple(inspect.signature(function).parameters)
        for name, function in vars(hookspecs).items()
        if "lual_spec" in _attributes(function)
    }


def _marks(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns what pluggy's decorators left on a function, by pluggy project."""
    return {
        name.removesuffix("_impl"): value
        for name, value in _attributes(getattr(function, "__func__", function)).items()
        if name.endswith("_impl") and isinstance(value, dict) and "hookwrapper" in value
    }


def _attributes(thing: object) -> dict[str, Any]:
    found = getattr(thing, "__dict__", None)
    return found if isinstance(found, dict) else {}


def _named(plugin: object) -> str:
    name = getattr(plugin, "__name__", None)
    kind = "the module" if inspect.ismodule(plugin) else "the class"
    return f"{kind} {name}" if name else f"the {type(plugin).__name__} object"
