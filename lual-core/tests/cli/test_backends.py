from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lual.cli import COMMANDS, main

KEYS = [
    "name",
    "status",
    "reason",
    "version",
    "distribution",
    "entry_point",
    "contract",
    "summary",
    "capabilities",
    "is_default",
]


@pytest.fixture
def run(capsys):
    def run(*arguments):
        status = main(arguments)
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def listed(run):
    """Returns what `lual backends list --json` tells."""

    def listed(*arguments):
        status, out, err = run("backends", "list", "--json", *arguments)
        assert (status, err) == (0, "")
        return json.loads(out)

    return listed


@pytest.fixture
def row(listed):
    """Returns the only row of the list."""

    def row(*arguments):
        (row,) = listed(*arguments)["backends"]
        return row

    return row


class TestJson:
    def test_it_has_the_promised_shape(self, installed, listed):
        installed.backend("quiet", version="2.5")
        assert listed() == {
            "default": "quiet",
            "default_reason": "it is the only one installed",
            "backends": [
                {
                    "name": "quiet",
                    "status": "ok",
                    "reason": None,
                    "version": "2.5",
                    "distribution": "lual-quiet",
                    "entry_point": "fake_lual_quiet",
                    "contract": "1.0",
                    "summary": "",
                    "capabilities": {"worker": "none"},
                    "is_default": True,
                }
            ],
            "unreadable": [],
        }

    def test_nothing_installed_names_the_command(self, installed, listed):
        found = listed()
        assert (found["default"], found["backends"]) == (None, [])
        assert "pip install lual-backend-threads" in found["default_reason"]

    def test_a_row_of_any_status_has_the_same_keys(self, installed, listed):
        installed.backend("broken", "1 / 0")
        installed.backend("ok")
        installed.backend("twice", distribution="a-dist")
        installed.backend("twice", distribution="b-dist")
        installed.leftover("lual-ok", version="0.9")
        rows = listed()["backends"]
        assert [(row["name"], row["status"]) for row in rows] == [
            ("broken", "broken"),
            ("ok", "ok"),
            ("ok", "stale"),
            ("twice", "ambiguous"),
            ("twice", "ambiguous"),
        ]
        assert all(list(row) == KEYS for row in rows)

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ("1 / 0", "can't be imported: ZeroDivisionError: division by zero"),
            ("raise SystemExit(3)", "can't be imported: SystemExit: 3"),
            ("", "P8 lual_backend_info() is missing from the module fake_lual_odd"),
        ],
    )
    def test_a_broken_one_stays_in_the_list_with_its_reason(self, installed, row, source, reason):
        installed.backend("odd", source)
        found = row()
        assert (found["status"], found["distribution"]) == ("broken", "lual-odd")
        assert reason in found["reason"]

    def test_a_broken_one_hides_no_other(self, installed, listed):
        installed.backend("a", "raise SystemExit")
        installed.backend("b")
        installed.backend("c", "raise BaseException")
        statuses = {row["name"]: row["status"] for row in listed()["backends"]}
        assert statuses == {"a": "broken", "b": "ok", "c": "broken"}

    def test_an_unavailable_one_is_listed_with_what_it_claims(self, installed, row):
        info = (
            "BackendInfo(name=NAME, version='1', summary='s', available=False, "
            "unavailable_reason='no shm', capabilities={'worker': 'process'})"
        )
        installed.backend("mem", installed.plugin(info))
        found = row()
        assert (found["status"], found["reason"]) == ("unavailable", "can't work here: no shm")
        assert (found["contract"], found["summary"]) == ("1.0", "s")
        assert found["capabilities"] == {"worker": "process"}

    def test_an_incompatible_one_is_listed_with_its_contract(self, installed, row):
        info = "BackendInfo(name=NAME, version='1', contract=(2, 0))"
        installed.backend("redis", installed.plugin(info))
        found = row()
        assert (found["status"], found["contract"]) == ("incompatible", "2.0")

    def test_a_newer_minor_is_ok_with_a_note(self, installed, row):
        info = "BackendInfo(name=NAME, version='1', contract=(1, 99))"
        installed.backend("newer", installed.plugin(info))
        found = row()
        assert found["status"] == "ok"
        assert found["reason"] == "is made for contract 1.99, this lual-core has 1.0"

    def test_two_that_claim_a_name_are_both_shown_and_neither_is_loaded(self, installed, listed):
        installed.backend("twice", "raise AssertionError", distribution="a-dist")
        installed.backend("twice", "raise AssertionError", distribution="b-dist", version="2")
        rows = listed()["backends"]
        assert [(row["distribution"], row["version"]) for row in rows] == [
            ("a-dist", "1.0"),
            ("b-dist", "2"),
        ]
        assert all("a-dist 1.0" in row["reason"] for row in rows)
        assert not any(row["is_default"] for row in rows)
        assert not {"fake_a_dist", "fake_b_dist"} & sys.modules.keys()

    def test_unreadable_metadata_of_another_package_is_listed(self, installed, listed):
        place = installed.add("foo")
        (place / "entry_points.txt").write_text("[console_scripts]\nnonsense\n")
        assert listed()["unreadable"] == [
            {
                "distribution": "foo 1.0",
                "file": str(place / "entry_points.txt"),
                "line": 2,
                "reason": "neither a [group] nor `name = value`",
            }
        ]

    def test_what_a_plugin_prints_stays_out_of_it(self, installed, row):
        source = "import sys\nprint('hello')\nprint('there', file=sys.stderr)\n"
        installed.backend("chatty", source + installed.plugin())
        assert row("--verbose")["printed"] == "hello\nthere\n"

    def test_verbose_adds_the_details(self, installed, row):
        place = installed.add("lual-odd", {"odd": "lual_odd"}, modules={"lual_odd": "1 / 0"})
        found = row("--verbose")
        assert list(found) == [*KEYS, "path", "load_ms", "printed", "traceback"]
        assert found["path"] == str(place)
        assert found["load_ms"] >= 0
        first, own, *_ = found["traceback"].splitlines()
        assert first.startswith("Traceback")
        assert "lual_odd.py" in own  # not the frames of lual and of the import system

    def test_any_capability_becomes_plain_data(self, installed, row):
        capabilities = "{'overflow': {'block', 'drop_newest'}, 'worker': object(), 'buffer': 1}"
        info = f"BackendInfo(name=NAME, version='1', capabilities={capabilities})"
        installed.backend("odd", installed.plugin(info))
        assert row()["capabilities"] == {
            "overflow": ["block", "drop_newest"],
            "worker": "<object>",
            "buffer": 1,
        }

    def test_a_plugin_named_by_the_environment_is_listed_too(self, installed, listed, monkeypatch):
        monkeypatch.setenv("LUAL_BACKEND", "by_hand:plugin")
        installed.module("by_hand", f"NAME = 'x'\n{installed.plugin()}\nimport by_hand as plugin")
        found = listed()
        assert found["default"] == "by_hand:plugin"
        assert [(r["name"], r["is_default"]) for r in found["backends"]] == [
            ("by_hand:plugin", True)
        ]

    def test_an_unknown_name_in_the_environment_is_told(self, installed, listed, monkeypatch):
        installed.backend("quiet")
        monkeypatch.setenv("LUAL_BACKEND", "quite")
        found = listed()
        assert found["default"] == "quite"
        assert "did you mean 'quiet'?" in found["default_reason"]


class TestStrict:
    def test_it_is_content_with_sound_backends(self, installed, run):
        installed.backend("quiet")
        assert run("backends", "list", "--strict")[0] == 0

    def test_a_broken_one_is_no_error_unless_asked(self, installed, run):
        installed.backend("odd", "1 / 0")
        assert run("backends", "list")[0] == 0
        assert run("backends", "list", "--strict")[0] == 1

    def test_a_left_over_folder_is_an_error(self, installed, run):
        installed.leftover("lual-backend-mp")
        assert run("backends", "list", "--strict")[0] == 1

    def test_an_unknown_default_is_an_error(self, installed, run, monkeypatch):
        installed.backend("quiet")
        monkeypatch.setenv("LUAL_BACKEND", "zzz")
        assert run("backends", "list", "--strict")[0] == 1


class TestTable:
    def test_it_is_aligned_and_marks_the_default(self, installed, run):
        installed.backend("coroutines", version="0.3.0")
        installed.backend("odd", "1 / 0")
        assert run("backends", "list")[1] == (
            "  NAME        STATUS  CONTRACT  FROM                   WORKER  NOTES\n"
            "* coroutines  ok      1.0       lual-coroutines 0.3.0  none    default\n"
            "  odd         broken  -         lual-odd 1.0           -       "
            "can't be imported: ZeroDivisionError: division by zero\n"
            "\n"
            "Default: coroutines (it is taken wherever it is installed)\n"
        )

    def test_of_several_problems_the_first_is_shown_and_the_others_counted(self, installed, run):
        installed.backend("odd", "def lual_backend_info(): ...")
        row = run("backends", "list")[1].splitlines()[1]
        assert "P1 lual_backend_info()" in row
        assert row.endswith("(+1 more)")

    def test_nothing_installed_is_one_line(self, installed, run):
        assert run("backends", "list")[1] == (
            "No default: no backend is installed; "
            "install one with: pip install lual-backend-threads\n"
        )

    def test_unreadable_metadata_is_told_below(self, installed, run):
        place = installed.add("foo")
        (place / "entry_points.txt").write_text("[console_scripts]\nnonsense\n")
        assert run("backends", "list")[1].splitlines()[-1] == (
            f"Could not read the entry points of foo 1.0: {place}/entry_points.txt, line 2: "
            "neither a [group] nor `name = value`"
        )

    def test_verbose_tells_where_it_comes_from_and_why_it_fails(self, installed, run):
        installed.backend("odd", "print('a word')\n1 / 0")
        lines = [line.strip() for line in run("backends", "list", "--verbose")[1].splitlines()]
        assert "entry point:   fake_lual_odd" in lines
        assert lines[lines.index("printed:") + 1] == "a word"
        assert "ZeroDivisionError: division by zero" in lines[lines.index("traceback:") :]

    def test_nothing_of_a_plugin_drives_the_terminal(self, installed, run):
        installed.backend("odd", r"raise RuntimeError('\x1b[31mred\nforged')")
        out = run("backends", "list")[1]
        assert "\x1b" not in out

    def test_a_pipe_gets_no_colours_and_one_line_a_row(self, installed, run):
        installed.backend("odd", f"raise RuntimeError({'long words ' * 50!r})")
        out = run("backends", "list")[1]
        assert "\x1b" not in out
        assert len(out.splitlines()) == 4

    def test_a_terminal_gets_colours_and_notes_that_fit(self, installed, run, monkeypatch):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.delenv("NO_COLOR", raising=False)
        installed.backend("odd", f"raise RuntimeError({'long words ' * 50!r})")
        out = run("backends", "list")[1]
        assert "\x1b[31mbroken" in out
        note = out.splitlines()[2]
        assert note.startswith(" " * 48)
        assert len(note) <= 100

    def test_no_color_is_honoured_on_a_terminal(self, installed, run, monkeypatch):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("NO_COLOR", "1")
        installed.backend("quiet")
        assert "\x1b" not in run("backends", "list")[1]


class TestInfo:
    def test_it_shows_what_is_known(self, installed, run):
        installed.backend("quiet")
        status, out, err = run("backends", "info", "quiet")
        assert (status, err) == (0, "")
        lines = out.splitlines()
        assert lines[:2] == ["quiet  ok", "  taken if no backend is asked for"]
        assert "  worker:        none" in lines

    def test_json_is_the_row_of_the_list(self, installed, run, row):
        installed.backend("quiet")
        assert json.loads(run("backends", "info", "quiet", "--json")[1]) == row()

    def test_all_problems_of_a_broken_one_are_shown(self, installed, run):
        installed.backend("odd", "")
        out = run("backends", "info", "odd")[1]
        assert out.splitlines()[0] == "odd  broken"
        assert "P8 lual_backend_info()" in out
        assert "P8 lual_create_backend()" in out

    def test_a_plugin_may_be_named_by_hand(self, installed, run):
        installed.module("by_hand", f"NAME = 'x'\n{installed.plugin()}\nimport by_hand as plugin")
        assert run("backends", "info", "by_hand:plugin")[1].startswith("by_hand:plugin  ok\n")

    def test_an_unknown_name_is_an_error_on_stderr(self, installed, run):
        installed.backend("quiet")
        assert run("backends", "info", "quite") == (
            2,
            "",
            "no installed package offers the backend 'quite'; did you mean 'quiet'? "
            "(installed: quiet)\n",
        )

    def test_a_name_that_two_claim_is_an_error_too(self, installed, run):
        installed.backend("twice", distribution="a-dist")
        installed.backend("twice", distribution="b-dist")
        status, out, err = run("backends", "info", "twice")
        assert (status, out) == (2, "")
        assert "a-dist 1.0" in err


class TestProgram:
    def test_help_lists_every_command_without_importing_one(self, run, monkeypatch):
        for name, command in COMMANDS.items():
            monkeypatch.setitem(COMMANDS, name, command._replace(place="no.such.module:it"))
        status, out, _ = run("--help")
        assert status == 0
        for name, command in COMMANDS.items():
            assert name in out
            assert command.help.split()[0] in out

    def test_an_unknown_command_is_a_usage_error(self, run):
        status, out, err = run("bakends")
        assert (status, out) == (2, "")
        assert "No such command 'bakends'" in err

    def test_the_version_is_told(self, run):
        status, out, _ = run("--version")
        assert status == 0
        assert out.startswith("lual")

    @pytest.mark.processes
    def test_the_module_is_the_same_program(self):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        program = [sys.executable, "-m", "lual", "backends", "info", "no-such-backend"]
        run = subprocess.run(program, capture_output=True, text=True, env=environment, check=False)
        assert run.returncode == 2
        assert run.stderr.startswith("no installed package offers the backend 'no-such-backend'")
