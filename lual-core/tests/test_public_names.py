from __future__ import annotations

import inspect

import pytest

import lual

FUNCTIONS = [
    "aflush",
    "ashutdown",
    "bind_context",
    "clear_context",
    "color",
    "config",
    "console",
    "file",
    "flush",
    "get_config",
    "get_levels",
    "get_stats",
    "install_signal_flush",
    "json",
    "load_config",
    "logger",
    "pipeline",
    "reset_config",
    "set_command_line_verbosity",
    "set_error_handler",
    "set_levels",
    "set_live_level",
    "shutdown",
    "text",
]
CONSTANTS = ["CRITICAL", "DEBUG", "ERROR", "INFO", "LOCAL_TIME", "NOTSET", "UTC", "WARN", "WARNING"]
CLASSES = ["ConfigError", "Logger", "Pipeline", "Record"]
FACADE = ["flush", "get_stats", "is_enabled", "reset", "set_error_handler", "start", "stop"]
METHODS = [
    "debug",
    "info",
    "warning",
    "warn",
    "error",
    "critical",
    "exception",
    "log",
    "is_enabled_for",
    "bind",
    "set_level",
    "set_propagate",
    "add_pipeline",
    "name",
    "level",
    "effective_level",
    "parent",
    "adebug",
    "ainfo",
    "awarning",
    "awarn",
    "aerror",
    "acritical",
    "aexception",
    "alog",
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_of_the_contract_exists(name: str) -> None:
    assert callable(getattr(lual, name))


@pytest.mark.parametrize("name", [*CONSTANTS, *CLASSES])
def test_every_constant_and_class_exists(name: str) -> None:
    assert hasattr(lual, name)


@pytest.mark.parametrize("name", FACADE)
def test_the_facade_of_the_asynchronous_layer_has_every_call(name: str) -> None:
    assert callable(getattr(lual.async_writer, name))


@pytest.mark.parametrize("name", METHODS)
def test_a_logger_has_every_name_of_the_contract(name: str) -> None:
    assert hasattr(lual.logger("names"), name)


def test_what_is_not_built_yet_does_not_exist() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'syslog'"):
        _ = lual.syslog  # type: ignore[attr-defined]


def test_all_lists_exactly_the_public_names() -> None:
    assert sorted(lual.__all__) == sorted([*FUNCTIONS, *CONSTANTS, *CLASSES, "async_writer"])


def test_dir_shows_names_that_are_loaded_later() -> None:
    assert set(lual.__all__) <= set(dir(lual))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_says_what_it_does(name: str) -> None:
    first, *_ = (inspect.getdoc(getattr(lual, name)) or "").splitlines()
    assert first.endswith(".")


def test_no_module_has_the_name_of_a_public_function() -> None:
    """Importing one would replace the function."""
    import lual.configuration.apply
    import lual.engine.awaiting
    import lual.pipelines.color
    import lual.pipelines.json_lines
    import lual.pipelines.outputs.console
    import lual.pipelines.outputs.file
    import lual.pipelines.text

    assert not [name for name in FUNCTIONS if inspect.ismodule(getattr(lual, name))]


def test_the_async_writer_shares_the_error_handler_and_the_calls() -> None:
    assert lual.flush is lual.async_writer.flush
    assert lual.shutdown is lual.async_writer.stop
    assert lual.get_stats is lual.async_writer.get_stats
    assert lual.set_error_handler is lual.async_writer.set_error_handler
