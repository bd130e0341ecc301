"""The commands that need the conformance kit, with a kit made for the test and without one."""

from __future__ import annotations

import sys

import pytest

from lual.cli import main

INSTALL = (
    "Error: this needs lual-conformance, which isn't installed; "
    "install it with: pip install lual-conformance\n"
)

CLI = """
import click

def check_backend(name, level, as_json):
    print(name, level, as_json)
    return 7

@click.group()
def conformance():
    pass

@conformance.command()
@click.option("--loud", is_flag=True)
def run(loud):
    print("loud" if loud else "quiet")
"""


@pytest.fixture
def run(capsys):
    def run(*arguments):
        status = main(arguments)
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def kit(installed, monkeypatch):
    """Returns a function that installs a kit; until it is called there is none."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "lual_conformance"]:
        monkeypatch.delitem(sys.modules, name)

    def kit(cli=CLI):
        folder = installed.folder / "lual_conformance"
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "cli.py").write_text(cli)

    return kit


class TestWithoutTheKit:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["backends", "check", "threads"],
            ["conformance"],
            ["conformance", "run", "threads", "--level", "smoke"],
            ["conformance", "--help"],
        ],
        ids=" ".join,
    )
    def test_a_command_names_the_install_line(self, kit, run, arguments):
        assert run(*arguments) == (2, "", INSTALL)

    def test_the_help_tells_what_the_command_needs(self, kit, run):
        assert "against the contract (needs lual-conformance)." in run("--help")[1]


class TestWithTheKit:
    def test_the_help_asks_for_nothing(self, kit, run):
        kit(cli="raise AssertionError('imported')")
        assert "against the contract.\n" in run("--help")[1]

    def test_its_commands_are_those_of_the_program(self, kit, run):
        kit()
        assert run("conformance", "run", "--loud") == (0, "loud\n", "")

    @pytest.mark.parametrize(
        ("options", "shown"),
        [
            ([], "mine smoke False\n"),
            (["--level", "full"], "mine full False\n"),
            (["--json"], "mine smoke True\n"),
        ],
    )
    def test_a_check_is_the_kits_and_so_is_the_exit_status(self, kit, run, options, shown):
        kit()
        assert run("backends", "check", "mine", *options) == (7, shown, "")

    def test_an_unknown_level_is_refused(self, kit, run):
        kit()
        status, out, err = run("backends", "check", "mine", "--level", "quick")
        assert (status, out) == (2, "")
        assert "'smoke', 'standard', 'full'" in err

    @pytest.mark.parametrize("command", [["backends", "check", "mine"], ["conformance", "run"]])
    def test_a_module_that_the_kit_itself_lacks_is_no_missing_kit(self, kit, run, command):
        kit(cli="import no_such_module")
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            run(*command)
