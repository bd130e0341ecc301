from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lual

PARTS = """
import lual
written = []

def output(text, record):
    written.append(text)

def shout(record):
    return record.replace(message=record.message.upper())

def quiet(record):
    return "quiet" not in record.message

class Group:
    @staticmethod
    def present(record):
        return f"<{record.message}>"
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns what the module `toml_parts` got; it can be named in a file."""
    (tmp_path / "toml_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("toml_parts", None)
    import toml_parts

    return toml_parts.written


def load(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lual.toml"
    path.write_text(text)
    lual.load_config(path)


def test_settings_stand_in_the_file_by_name(tmp_path: Path) -> None:
    load(tmp_path, 'level = "debug"\nmax_queue_size = 77\nflush_timeout = 2.5\n')
    config = lual.get_config()
    assert (config["level"], config["max_queue_size"], config["flush_timeout"]) == (10, 77, 2.5)


def test_pipelines_are_tables(tmp_path: Path, capsys: Any) -> None:
    log_file = tmp_path / "app.log"
    load(
        tmp_path,
        f"""
        level = "info"
        [[pipelines]]
        level = "error"
        presenter = {{type = "text", layout = "{{level}}: {{message}}"}}
        outputs = ["console"]
        [[pipelines]]
        presenter = "json"
        outputs = [{{type = "file", path = {str(log_file)!r}, backups = 2}}]
        """,
    )
    lual.logger("toml").info("one")
    lual.logger("toml").error("two")
    assert capsys.readouterr().err == "ERROR: two\n"
    assert [line[-17:] for line in log_file.read_text().splitlines()] == [
        '"message": "one"}',
        '"message": "two"}',
    ]


def test_loggers_are_tables_with_a_quoted_name(tmp_path: Path, written: list[str]) -> None:
    load(
        tmp_path,
        """
        pipelines = []
        [loggers."app.db"]
        level = "debug"
        propagate = false
        [[loggers."app.db".pipelines]]
        presenter = {type = "text", layout = "{message}"}
        outputs = ["toml_parts:output"]
        """,
    )
    lual.logger("app.db").debug("x")
    lual.logger("app").error("y")
    assert written == ["x"]
    assert lual.logger("app.db").propagate is False


def test_callables_are_named_by_module_and_name(tmp_path: Path, written: list[str]) -> None:
    load(
        tmp_path,
        """
        [[pipelines]]
        filters = ["toml_parts:quiet"]
        transformers = ["toml_parts:shout"]
        presenter = "toml_parts:Group.present"
        outputs = ["toml_parts:output"]
        """,
    )
    lual.logger("toml").error("quiet now")
    lual.logger("toml").error("loud")
    assert written == ["<LOUD>"]


def test_a_backend_stands_in_the_file(tmp_path: Path, backend: str) -> None:
    load(
        tmp_path,
        f"""
        async_enabled = true
        backend = "{backend}"
        [backend_options]
        colour = "red"
        """,
    )
    assert lual.get_stats()["state"] == "running"
    assert lual.get_config()["backend_options"] == {"colour": "red"}


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('level = "info"')
    lual.load_config(str(tmp_path / "a.toml"))
    assert lual.get_config()["level"] == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('levl = "info"', "'levl'; did you mean 'level'"),
        ("level = 2.5", r"got 2\.5"),
        ("level = ", "no valid TOML"),
        ('level = "\xff"', None),
        ("[loggers.app.db]\nlevel = 'info'", "quote the whole name"),
        ("[[pipelines]]\noutputs = ['toml_missing:output']", "no module 'toml_missing'"),
        ("[[pipelines]]\noutputs = [{path = 'x'}]", "no 'type'"),
        ("[[pipelines]]\noutputs = [{type = 'file'}]", "lacks 'path'"),
    ],
)
def test_an_error_names_the_file(tmp_path: Path, text: str, message: str | None) -> None:
    path = tmp_path / "lual.toml"
    path.write_bytes(text.encode("latin-1"))
    before = lual.get_config()
    with pytest.raises(lual.ConfigError, match=message) as caught:
        lual.load_config(path)
    assert str(path) in str(caught.value)
    assert lual.get_config() == before


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_can_not_be_read_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(lual.ConfigError, match="can't be read") as caught:
        lual.load_config(tmp_path / name)
    assert str(tmp_path) in str(caught.value)


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=15,
        check=True,
    )


@pytest.mark.processes
class TestEnvironment:
    def test_lual_config_configures_without_code(self, tmp_path: Path) -> None:
        path = tmp_path / "lual.toml"
        path.write_text(
            'level = "info"\n[[pipelines]]\n'
            'presenter = {type = "text", layout = "> {message}"}\noutputs = ["console"]\n'
        )
        done = run("import lual; lual.logger('app').info('x')", LUAL_CONFIG=str(path))
        assert done.stderr == "> x\n"

    def test_lual_config_that_is_wrong_is_reported_and_the_program_runs(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "lual.toml"
        path.write_text("levl = 1\n")
        done = run("import lual; print('ran')", LUAL_CONFIG=str(path))
        assert done.stdout == "ran\n"
        assert done.stderr.count("\n") == 1
        assert str(path) in done.stderr
        assert "did you mean 'level'" in done.stderr

    def test_code_may_change_what_lual_config_said(self, tmp_path: Path) -> None:
        path = tmp_path / "lual.toml"
        path.write_text('level = "error"\nflush_timeout = 2.0\n')
        done = run(
            "import lual; lual.config(level='debug'); c = lual.get_config();"
            "print(c['level'], c['flush_timeout'])",
            LUAL_CONFIG=str(path),
        )
        assert done.stdout == "10 2.0\n"

    def test_lual_backend_chooses_the_backend(self, backends: str) -> None:
        folder = os.path.dirname(importlib.import_module(backends).__file__ or "")
        code = (
            f"import sys; sys.path.append({folder!r})\n"
            "import lual; lual.config(async_enabled=True); print(lual.get_stats()['backend'])"
        )
        assert run(code, LUAL_BACKEND=f"{backends}:threads").stdout == f"{backends}:threads\n"

    def test_lual_backend_that_does_not_exist_is_named_in_the_error(self) -> None:
        code = (
            "import lual\ntry: lual.config(async_enabled=True)\n"
            "except lual.ConfigError as error: print(error)"
        )
        assert (
            "'nonesuch', which LUAL_BACKEND asks for" in run(code, LUAL_BACKEND="nonesuch").stdout
        )

    def test_a_backend_in_the_code_wins_over_lual_backend(self, backend: str) -> None:
        code = (
            "import lual\ntry: lual.config(async_enabled=True, backend='alsonone')\n"
            "except lual.ConfigError as error: print(error)"
        )
        assert "'alsonone'" in run(code, LUAL_BACKEND="nonesuch").stdout
