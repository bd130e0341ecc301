"""Chapter 10: what a backend does in a process that forks, and in the fork."""

from __future__ import annotations

import os
from collections import Counter

from lual_conformance.harness.kit import Kit
from lual_conformance.harness.program import Program
from lual_conformance.outcomes import expect
from lual_conformance.registry import rule

_NEEDS = ("fork:reinit|disable", "!worker:event_loop")


def _check_platform(kit: Kit) -> None:
    if not hasattr(os, "fork"):
        kit.not_applicable("this platform has no os.fork")


def _expect_ended(program: Program, child: str, status: int = 0) -> None:
    """Checks how a forked child has ended, by what its parent reports of it."""
    reported = [
        line.removeprefix(child) for line in program.child.lines() if line.startswith(child + " ")
    ]
    what = program.child.description()
    expect(reported, f"the program never got beyond its fork; {what}")
    expect(reported[0] != " hung", f"the {child} never ended, or its log never did; {what}")
    expect(reported[0] == f" {status}", f"the {child} ended with{reported[0]}; {what}")


def _expect_once(program: Program, *names: str) -> None:
    """Checks that each of these records was written, by nobody a second time."""
    counts = Counter(program.written())
    wrong = {name: counts[name] for name in names if counts[name] != 1}
    expect(not wrong, f"records of before the fork were written that often: {wrong}")


@rule(
    "10.1",
    "A process forked while another thread is inside `submit` can log, or is refused, and ends.",
    hint="a lock that was held at the fork stays locked in the child: keep none in the class",
    needs=_NEEDS,
    assumes=("3.1", "9.1"),
    processes=True,
)
def a_fork_in_the_middle_of_a_submit_can_log(kit: Kit) -> None:
    _check_platform(kit)
    with Program(kit, "forks:forks_inside_submit") as program:
        _expect_ended(program, "child")
        if kit.claims("fork:reinit"):
            lost = program.lost("child 1", "child 2")
            expect(not lost, f"the forked process logged {lost}, which were never written")


@rule(
    "10.2",
    "Records accepted before a fork are written once, by the parent.",
    hint="the child owns nothing of what waited at the fork: keep it in the object, not outside",
    needs=_NEEDS,
    assumes=("4.1", "9.1", "10.3"),
    processes=True,
)
def what_waited_at_the_fork_is_written_once(kit: Kit) -> None:
    _check_platform(kit)
    with Program(kit, "forks:forks_with_records_waiting") as program:
        _expect_parents_records(kit, program)


def _expect_parents_records(kit: Kit, program: Program) -> None:
    """Checks that the five records of before a fork were written once, and by whom."""
    status = program.child.status()
    expect(status == 0, f"the parent ended with {status}; {program.child.description()}")
    _expect_once(program, *(f"before {n}" for n in range(5)))
    if not kit.is_process:
        others = [
            line.message
            for line in program.lines()
            if line.pid != program.child.pid and line.message.startswith("before")
        ]
        expect(not others, f"the child wrote records of its parent's: {others}")


@rule(
    "10.3",
    "A fork changes nothing for the parent: its worker, its queue and its counters go on.",
    hint="what the hooks of os.register_at_fork do to the parent, and what both sides share",
    needs=_NEEDS,
    assumes=("5.1", "8.2", "9.1"),
    processes=True,
)
def a_fork_changes_nothing_for_the_parent(kit: Kit) -> None:
    _check_platform(kit)
    names = [f"{when} {n}" for when in ("before", "waiting", "after") for n in range(3)]
    with Program(kit, "forks:forks_and_goes_on") as program:
        lines = program.child.lines()
        what = program.child.description()
        expect("flushed True" in lines, f"after a fork, the parent's flush found no end; {what}")
        lost = program.lost(*names)
        expect(not lost, f"after a fork, the parent flushed and had not written {lost}; {what}")
        submitted, processed, failed, dropped = (int(line.split()[1]) for line in lines[1:5])
        fits = submitted == processed >= len(names) and not failed and not dropped
        expect(fits, f"9 records were written; the parent's counters say: {lines[1:5]}")


@rule(
    "10.4",
    "A forked process that exits writes its own records, and runs nothing of its parent's.",
    hint="an atexit handler of the backend's own is inherited: it must look at the process id",
    needs=(*_NEEDS, "exit_flush"),
    assumes=("9.6", "10.1", "10.2"),
    processes=True,
)
def the_exit_of_a_fork_is_its_own(kit: Kit) -> None:
    _check_platform(kit)
    endless = 2 * kit.child_patience  # so that who waits for a parent's worker is seen to
    with Program(kit, "forks:forks_children_that_exit", shutdown_timeout=endless) as program:
        _expect_ended(program, "silent", 4)
        _expect_ended(program, "talking", 4)
        _expect_parents_records(kit, program)
        if kit.claims("fork:reinit"):
            lost = program.lost("child 1", "child 2")
            expect(not lost, f"the forked process exited, and {lost} were never written")


@rule(
    "10.5",
    "Hooks at a fork neither log nor wait: a storm of forks beside busy threads and a stalled "
    "output ends, loses nothing, doubles nothing and adds nothing.",
    hint="what the hooks of os.register_at_fork do: no log call, no lock held during an output",
    needs=_NEEDS,
    assumes=("3.5", "5.4", "10.1", "10.2", "10.3"),
    processes=True,
    stochastic=True,
)
def a_storm_of_forks_neither_logs_nor_hangs(kit: Kit) -> None:
    _check_platform(kit)
    most = 50 if kit.settings.level in ("full", "stress") else 10
    children = 3 if kit.is_process else most
    asked = {"children": children, "records": 100, "stall": kit.isolates}
    with Program(kit, "forks:forks_often", **asked) as program:
        if kit.isolates:
            program.child.until("forked")
            program.open_gate()
        names = [f"child {n}" for n in range(children)]
        if kit.isolates:
            names.append("child of the stalled")
        for name in names:
            _expect_ended(program, name)
        names += [f"thread {t} {n}" for t in range(2) for n in range(100)]
        lost = program.lost(*names) if kit.claims("fork:reinit") else []
        expect(not lost, f"{len(lost)} records were lost around forks: {lost[:5]}")
        counts = Counter(program.written())
        strange = sorted(set(counts) - {*names, "inside stalling"})
        expect(not strange, f"something logged at a fork: {strange[:5]}")
        doubled = [name for name, count in counts.items() if count > 1]
        expect(not doubled, f"records were written more than once around forks: {doubled[:5]}")
