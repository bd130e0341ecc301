from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lual.errors import ConfigError
from lual.pipelines.outputs.file import check_no_conflict, file


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (1, 1),
        ("1 B", 1),
        ("10 MB", 10_000_000),
        ("512KiB", 512 * 1024),
        ("1.5 gib", 3 * 512 * 1024**2),
        (" 2kb ", 2000),
    ],
)
def test_a_size_is_bytes_or_text_with_a_unit(given: int | str, size: int) -> None:
    assert file("app.log", max_bytes=given).settings.max_bytes == size


@pytest.mark.parametrize(
    ("setting", "value", "hint"),
    [
        ("path", "", "name of a file"),
        ("path", b"app.log", "name of a file"),
        ("path", None, "name of a file"),
        ("path", "a\0b", "name of a file"),
        ("path", "logs/", "folder"),
        ("max_bytes", 0, "at least 1 byte"),
        ("max_bytes", True, "at least 1 byte"),
        ("max_bytes", 1.5, "at least 1 byte"),
        ("max_bytes", "10", "10 MB"),
        ("max_bytes", "10 M", "10 MB"),
        ("max_bytes", "0 MB", "at least 1 byte"),
        ("max_bytes", "ten", "10 MB"),
        ("backups", -1, "0 or more"),
        ("backups", "5", "0 or more"),
        ("backups", True, "0 or more"),
        ("when", "dayly", "did you mean 'daily'?"),
        ("when", 0, "hourly, daily, weekly"),
        ("when", True, "hourly, daily, weekly"),
        ("when", float("nan"), "hourly, daily, weekly"),
        ("when", float("inf"), "hourly, daily, weekly"),
        ("when", [], "hourly, daily, weekly"),
        ("compress", "zip", "'gzip' or None"),
        ("compress", True, "'gzip' or None"),
        ("reopen", "yes", "True or False"),
        ("mode", 640, "0o1200"),
        ("mode", "0640", "0o640"),
        ("mode", True, "0o640"),
        ("mode", 0o440, "owner"),
        ("encoding", "klingon", "text encoding"),
        ("encoding", "rot13", "text encoding"),
        ("encoding", None, "text encoding"),
        ("encoding", "utf-16", "utf-16-le"),
        ("encoding", "utf-8-sig", "byte-order mark"),
    ],
)
def test_an_error_names_the_setting_the_value_and_what_is_allowed(
    setting: str, value: Any, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        file(**{"path": "app.log", setting: value})
    message = str(caught.value)
    assert message.startswith(f"{setting} of file() ")
    assert hint in message
    assert repr(value) in message or oct(value) in message


def test_the_path_is_made_absolute_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    output = file("logs/../app.log")
    monkeypatch.chdir("/")
    assert output.settings.path == str(tmp_path / "app.log")


def test_a_relative_path_needs_a_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="absolute path"):
        file("app.log")


def test_names_of_settings_are_normalised() -> None:
    settings = file("app.log", when=" Daily ", compress="gz", encoding="UTF8").settings
    assert (settings.when, settings.compress, settings.encoding) == ("daily", "gzip", "utf-8")


def test_the_repr_shows_the_settings() -> None:
    assert repr(file("/tmp/app.log", max_bytes="1 kB", when=60)) == (
        "FileOutput('/tmp/app.log', max_bytes=1000, backups=5, when=60.0, compress=None, "
        "reopen=False, mode=0o640, encoding='utf-8')"
    )


def test_outputs_with_the_same_settings_are_equal() -> None:
    assert file("/tmp/a", max_bytes=1000) == file("/tmp/a", max_bytes="1 kB")
    assert hash(file("/tmp/a")) == hash(file("/tmp/a"))


def test_outputs_with_different_settings_are_not_equal() -> None:
    assert file("/tmp/a") != file("/tmp/a", backups=1)
    assert file("/tmp/a") != "/tmp/a"


def test_two_settings_for_one_path_are_a_conflict_that_names_both() -> None:
    with pytest.raises(ConfigError) as caught:
        check_no_conflict([file("/tmp/a", max_bytes=5), print, file("/tmp/a", max_bytes=7)])
    message = str(caught.value)
    assert "'/tmp/a'" in message
    assert "max_bytes=5 and max_bytes=7" in message


def test_the_same_settings_twice_are_no_conflict() -> None:
    check_no_conflict([file("/tmp/a"), file("/tmp/a"), file("/tmp/b", max_bytes=7), print])
