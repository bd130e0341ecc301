"""Pipelines as plain mappings: what TOML, and code that prefers data, configure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lual.errors import ConfigError, did_you_mean
from lual.levels import NOTSET
from lual.pipelines.checks import checked, listed
from lual.pipelines.pipeline import Pipeline

_KEYS = ("level", "filters", "transformers", "presenter", "outputs")

#: Module and function by name; imported when a configuration names them.
PRESENTERS = {
    "text": ("lual.pipelines.text", "text"),
    "json": ("lual.pipelines.json_lines", "json"),
    "color": ("lual.pipelines.color", "color"),
}
OUTPUTS = {
    "console": ("lual.pipelines.outputs.console", "console"),
    "file": ("lual.pipelines.outputs.file", "file"),
}


def parse_pipeline(value: Pipeline | Mapping[str, Any], where: str) -> Pipeline:
    """Returns the pipeline that a configuration describes.

    Args:
        value: A finished pipeline, or a mapping with any of the keys `level`, `filters`,
            `transformers`, `presenter`, `outputs`. A presenter may be `"json"` or
            `{"type": "text", "layout": ...}`, an output `"console"` or
            `{"type": "file", "path": ...}`, and any part an object, or
            `"package.module:name"`.
        where: What errors call the value, such as `pipelines[1]`.

    Raises:
        ConfigError: Something in it can't be used; the message names the place.
    """
    if isinstance(value, Pipeline):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{where} must be lual.pipeline(...) or a mapping with {', '.join(_KEYS)}, "
            f"got {value!r}"
        )
    for key in value:
        if key not in _KEYS:
            raise ConfigError(
                f"{where} has the unknown key {key!r}; use {', '.join(_KEYS)}"
                f"{did_you_mean(key, _KEYS)}"
            )
    presenter = value.get("presenter")
    if presenter is not None:
        presenter = _made(presenter, PRESENTERS, f"{where}.presenter")
    return Pipeline(
        *checked(
            where,
            value.get("level", NOTSET),
            _callables(value.get("filters", ()), f"{where}.filters"),
            _callables(value.get("transformers", ()), f"{where}.transformers"),
            presenter,
            [
                _made(output, OUTPUTS, f"{where}.outputs[{index}]")
                for index, output in enumerate(listed(f"{where}.outputs", value.get("outputs", ())))
            ],
        )
    )


def import_object(path: str, where: str) -> Any:
    """Returns what `"package.module:name"` names; the name may have dots.

    Args:
        path: The import string.
        where: What errors call the value.

    Raises:
        ConfigError: The string has another form, the module can't be imported, or it has
            no such name.
    """
    module_name, _, name = path.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *name.split("."))):
        raise ConfigError(f"{where} is {path!r}; name an object as 'package.module:name'")
    from importlib import import_module  # only configurations with import strings need it

    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        why = "" if missing == module_name else f", which {module_name!r} is in or imports"
        raise ConfigError(
            f"{where} is {path!r}, but there is no module {missing!r}{why}; install it, or "
            "make it importable (is its folder on sys.path?)"
        ) from error
    except Exception as error:  # a module runs any code when it is imported
        raise ConfigError(
            f"{where} is {path!r}, but importing {module_name!r} raised "
            f"{type(error).__name__}: {error}"
        ) from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise ConfigError(
                f"{where} is {path!r}, but {module_name!r} has no {name!r}"
                f"{did_you_mean(part, dir(found))}"
            ) from error
    return found


def _callables(parts: Any, where: str) -> list[Any]:
    return [
        import_object(part, f"{where}[{index}]") if isinstance(part, str) else part
        for index, part in enumerate(listed(where, parts))
    ]


def _made(value: Any, factories: Mapping[str, tuple[str, str]], where: str) -> Any:
    """Returns the presenter or output that a value of a configuration stands for."""
    if isinstance(value, str):
        if ":" in value:
            return import_object(value, where)
        return _call(_factory(value, factories, where), {}, where)
    if not isinstance(value, Mapping):
        return value
    settings = dict(value)
    if "type" not in settings:
        raise ConfigError(f"{where} has no 'type'; use one of {', '.join(factories)}")
    return _call(_factory(settings.pop("type"), factories, where), settings, where)


def _factory(kind: Any, factories: Mapping[str, tuple[str, str]], where: str) -> Callable[..., Any]:
    if not isinstance(kind, str) or kind not in factories:
        raise ConfigError(
            f"{where} has the unknown type {kind!r}; use one of {', '.join(factories)}, or "
            f"'package.module:name'{did_you_mean(kind, factories)}"
        )
    from importlib import import_module  # outputs are loaded by those who use them

    module, name = factories[kind]
    factory: Callable[..., Any] = getattr(import_module(module), name)
    return factory


def _call(factory: Callable[..., Any], settings: dict[str, Any], where: str) -> Any:
    """Returns what the factory makes, once the names of the settings have been checked."""
    from inspect import Parameter, signature  # slow to import, and mappings alone need it

    parameters = signature(factory).parameters
    for name in settings:
        if name not in parameters:
            raise ConfigError(
                f"{where} has the unknown setting {name!r}; {factory.__name__} takes "
                f"{', '.join(parameters)}{did_you_mean(name, parameters)}"
            )
    for name, parameter in parameters.items():
        if parameter.default is Parameter.empty and name not in settings:
            raise ConfigError(
                f"{where} lacks {name!r}; write {{type = {factory.__name__!r}, {name} = ...}}"
            )
    try:
        return factory(**settings)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    except (TypeError, ValueError, OSError) as error:
        raise ConfigError(
            f"{where}: {factory.__name__} can't be made of {settings!r}: {error}"
        ) from error
