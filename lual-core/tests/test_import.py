from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

HEAVY = ("pluggy", "importlib_metadata", "importlib.metadata", "click", "attr", "attrs")
FOREIGN = ("logging", "asyncio", "multiprocessing", "json", "inspect", "datetime", "socket", "gzip")

BACKENDS_LOOKED_FOR = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event in (
    "open", "os.listdir", "os.scandir") else None)
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded_after(code: str, names: tuple[str, ...]) -> list[str]:
    """Returns which of the modules a fresh interpreter has loaded only because of `code`."""
    # Editable installs load some of them at start-up; those are no fault of lual's.
    return run(
        f"import sys; before = set(sys.modules); names = {names!r}\n{code}\n"
        "print(*[n for n in names if n in sys.modules and n not in before])"
    ).split()


@pytest.mark.parametrize("name", [*HEAVY, *FOREIGN])
def test_import_lual_loads_no_plugin_machinery_and_nothing_slow(name: str) -> None:
    code = f"for n in list(sys.modules):\n  if n.split('.')[0] == {name!r}: del sys.modules[n]\n"
    code += "before = set(sys.modules)\nimport lual"
    assert loaded_after(code, (name,)) == []


LOGGING = """
import lual
log = lual.logger("app")
log.warning("disk %s is %d %% full", "sda1", 93, mount="/")
log.bind(a=1).error("x")
log.log("info", "y")
lual.bind_context(request=1)
log.critical("z")
lual.flush()
lual.get_stats()
lual.shutdown()
"""


def test_synchronous_logging_loads_no_plugin_machinery_either() -> None:
    assert loaded_after(LOGGING, (*HEAVY, "asyncio", "logging", "multiprocessing")) == []


def test_synchronous_configuration_loads_no_plugin_machinery() -> None:
    code = "import lual; lual.config(level='info', async_enabled=False)\nlual.logger().info('x')"
    heavy = ("pluggy", "importlib_metadata", "importlib.metadata", "click", "logging", "asyncio")
    assert loaded_after(code, heavy) == []


def test_synchronous_logging_looks_for_no_backend() -> None:
    code = BACKENDS_LOOKED_FOR + LOGGING + "print(*[p for p in opened if 'entry_points' in p])"
    assert run(code) == ""


def test_a_message_goes_to_standard_error_without_any_configuration() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOGGING], capture_output=True, text=True, timeout=15, check=True
    )
    first = done.stderr.splitlines()[0]
    assert first.endswith("WARNING [app] disk sda1 is 93 % full mount=/")
    assert done.stdout == ""
