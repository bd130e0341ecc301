"""Chapter 13, the other half: programs whose outputs run in another process, and their end."""

from __future__ import annotations

import multiprocessing
import os
import signal

from lual_conformance.children.processes import ENDED, MAIN
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.process import is_alive, until_gone
from lual_conformance.harness.program import Program
from lual_conformance.outcomes import Blocked, expect
from lual_conformance.registry import rule

_PROCESS = "worker:process"


@rule(
    "13.3",
    "SIGKILL of a program ends its worker process, too.",
    hint="the worker must see its pipe end, and have no copy of the program's own end",
    needs=(_PROCESS,),
    assumes=("5.1", "9.1"),
    processes=True,
)
def no_worker_process_outlives_its_program(kit: Kit) -> None:
    with Program(kit, "processes:logs_and_waits", names=["one", "two"]) as program:
        program.child.until("ready")
        pids = _writers(program)
        program.child.kill(signal.SIGKILL)
        program.child.status()
        orphans = [pid for pid in pids if not until_gone(pid, kit.patience)]
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
        expect(not orphans, f"the worker {orphans} still runs after its program was killed")


def _writers(program: Program) -> set[int]:
    """Returns the processes in which a program's outputs have run, without its own."""
    pids = {line.pid for line in program.lines()} - {program.child.pid}
    if not pids:
        raise Blocked("no output has run in another process than the program's")
    return pids


@rule(
    "13.4",
    "Under each start method of `multiprocessing` that the backend declares it works, also in a "
    "program whose main module has no guard and may not be run twice.",
    hint="start the worker so that it doesn't import the program's main module",
    needs=(_PROCESS, "start_methods"),
    assumes=("5.1",),
    processes=True,
)
def every_declared_start_method_works(kit: Kit) -> None:
    known = multiprocessing.get_all_start_methods()
    names = ["one", "two", "three"]
    for method in kit.capabilities["start_methods"]:
        if method not in known:
            kit.note(f"the start method {method} doesn't exist on this system")
            continue
        place = "processes:runs_script"
        with Program(kit, place, method=method, names=names) as program:
            _expect_run(program, f"with the start method {method}", names)


def _expect_run(program: Program, where: str, names: list[str]) -> None:
    status, what = program.child.status(), program.child.description()
    mains = program.written().count(MAIN)
    expect(mains == 1, f"{where} the program's main module was run {mains} times; {what}")
    expect(status == 0, f"{where} the program ended with status {status}; {what}")
    lost = program.lost(*names)
    expect(not lost, f"{where} {lost} were never written; {what}")
    here = [line.message for line in program.lines() if line.pid == program.child.pid]
    expect(
        here == [MAIN],
        f"{where} {here[1:]} were written by the program's own process; {what}",
    )


@rule(
    "13.8",
    "What an output has begun when the program is killed, it ends.",
    hint="let the worker see the end of its pipe between two records, not inside one",
    must=False,
    needs=(_PROCESS, "isolates_slow_outputs"),
    assumes=("13.3",),
    processes=True,
)
def what_was_begun_is_written_though_the_program_was_killed(kit: Kit) -> None:
    with Program(kit, "processes:stalls_and_waits") as program:
        program.child.until("ready")
        pids = _writers(program)
        program.child.kill(signal.SIGKILL)
        program.child.status()
        kit.becomes_true(lambda: not any(map(is_alive, pids)), kit.glance)

        def is_written() -> bool:
            program.open_gate()
            return not program.lost(ENDED)

        kit.eventually(
            is_written, "the program was killed, and the record inside its output was not written"
        )
