"""Chapter 9, third part: how a program ends, and what becomes of its log."""

from __future__ import annotations

import multiprocessing
import re
import signal

from lual_conformance.harness.kit import Kit
from lual_conformance.harness.program import Program
from lual_conformance.outcomes import expect
from lual_conformance.registry import rule

#: More than one record, fewer than a batch: they all wait when the program ends.
_NAMES = ("one", "two", "three")


def _expect_end(program: Program, status: int, *names: str) -> None:
    """Checks how a program has ended, and that each of these records was written once."""
    found = program.child.status()
    what = program.child.description()
    lost = program.lost(*names)
    expect(not lost, f"the program ended with {found}, and {lost} were never written; {what}")
    expect(found == status, f"the exit status was {found} instead of {status}; {what}")


@rule(
    "9.6",
    "When a program ends without a call to lual, what it logged is written, and its exit "
    "status is unchanged.",
    hint="stop is called at exit: let it drain, start no thread, and keep no program alive",
    needs=("exit_flush",),
    assumes=("9.1", "9.4"),
    processes=True,
)
def what_was_logged_is_written_when_the_program_ends(kit: Kit) -> None:
    with (
        Program(kit, "exits:ends", names=_NAMES, how="return") as returning,
        Program(kit, "exits:ends", names=_NAMES, how="exit") as exiting,
    ):
        _expect_end(returning, 0, *_NAMES)
        _expect_end(exiting, 3, *_NAMES)


@rule(
    "9.7",
    "A program whose output stalls ends within `shutdown_timeout`, says on stderr how much "
    "was lost, and keeps its exit status.",
    hint="nothing of the backend's may be waited for at exit but within stop's own timeout",
    needs=("exit_flush", "isolates_slow_outputs"),
    assumes=("5.4", "9.2", "9.6"),
    processes=True,
)
def a_stalled_output_does_not_keep_a_program_alive(kit: Kit) -> None:
    names = [f"behind {n}" for n in range(7)]
    with Program(kit, "exits:stalls", shutdown_timeout=0.3, names=names) as program:
        status = program.child.status()
        printed = program.child.stderr
        is_exact = kit.capabilities.get("dispatch_concurrency", 1) == 1 and kit.claims(
            "worker:thread"
        )
        number = "7" if is_exact else "[1-9][0-9]*"
        told = re.search(rf"(?<![\d.]){number}(?![\d.]*\d)", printed)
        expect(told, f"7 records were lost at exit, and stderr was: {printed.strip() or 'empty'}")
        expect(status == 3, f"the exit status was {status} instead of 3; stderr was: {printed}")


@rule(
    "9.8",
    "Records logged while the program ends, by threads that outlive the main one, by exit "
    "handlers and by finalisers, raise nothing and are written.",
    hint="submit must not need a new thread, which 3.12 refuses; own handlers end nothing",
    needs=("exit_flush",),
    assumes=("9.6",),
    processes=True,
)
def what_is_logged_while_the_interpreter_ends_is_written(kit: Kit) -> None:
    late = ("thread", "handler, registered first", "handler, registered last", "finaliser")
    with Program(kit, "exits:logs_while_ending") as program:
        program.child.status()
        printed = program.child.stderr
        raised = "Traceback" in printed or "Exception ignored" in printed
        expect(not raised, f"logging while the interpreter ends raised: {printed.strip()}")
        _expect_end(program, 0, "main", *late)


@rule(
    "9.9",
    "With `install_signal_flush`, SIGTERM writes out the log, and the process still dies of it.",
    hint="a backend handles no signals; stop and flush may be called by a handler",
    needs=("exit_flush",),
    assumes=("9.6",),
    processes=True,
)
def sigterm_writes_the_log_and_still_ends_the_process(kit: Kit) -> None:
    with Program(kit, "exits:awaits_signal", names=_NAMES) as program:
        program.child.until("ready")
        program.child.kill(signal.SIGTERM)
        _expect_end(program, -signal.SIGTERM, *_NAMES)


@rule(
    "9.10",
    "An uncaught exception in the main thread loses no record, and the exit status stays 1.",
    hint="nothing of the backend's may end the process, or take its crash for a reason to drop",
    needs=("exit_flush",),
    assumes=("9.6",),
    processes=True,
)
def an_uncaught_exception_loses_nothing(kit: Kit) -> None:
    with Program(kit, "exits:ends", names=_NAMES, how="raise") as program:
        _expect_end(program, 1, *_NAMES)
        printed = program.child.stderr
        expect("RuntimeError" in printed, f"the exception was never printed: {printed.strip()}")


@rule(
    "9.17",
    "Children of `multiprocessing` write what they logged when they end.",
    hint="in such a child no atexit handler runs before Python 3.13; lual calls stop itself",
    needs=("exit_flush",),
    assumes=("9.6", "10.1", "10.3"),
    processes=True,
)
def children_of_multiprocessing_write_what_they_logged(kit: Kit) -> None:
    methods = multiprocessing.get_all_start_methods()
    if not kit.claims("fork:reinit|disable"):
        methods = [method for method in methods if method == "spawn"]
    if kit.settings.level in ("smoke", "standard"):
        methods = methods[:1]  # the others start interpreters, which takes a second
    names = [f"{method} {n}" for method in methods for n in (1, 2)]
    with Program(kit, "exits:has_workers", methods=methods) as program:
        _expect_end(program, 0, "main", *names)
        ended = program.child.lines()
        wrong = [line for line in ended if not line.endswith(" 0")]
        expect(not wrong, f"children of multiprocessing ended with another status than 0: {wrong}")
