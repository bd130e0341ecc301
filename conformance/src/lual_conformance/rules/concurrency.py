"""Chapter 11: what holds whatever several threads, or one, do in whatever order."""

from __future__ import annotations

import sys
import sysconfig
import time

from lual_conformance.harness.kit import Kit
from lual_conformance.harness.parallel import Program, settle, switching_all_the_time
from lual_conformance.registry import rule

#: Programs at each level; `stress` goes on until its time is up.
_PROGRAMS = {"standard": 24, "full": 150, "stress": 150}

#: What the threads of a program call; who comes twice is called twice as often.
_KINDS = (
    ("submit", "submit", "submit", "flush", "get_stats"),
    ("submit", "submit", "start", "start", "stop"),
    ("submit", "submit", "start", "stop", "reset"),
    ("submit", "submit", "submit", "start", "start", "stop", "flush", "reset", "get_stats"),
)

#: Sequences of calls at each level.
_SEQUENCES = {"standard": 60, "full": 400, "stress": 2000}

#: Seconds at `stress`, if the run itself has no limit.
_STRESS_SECONDS = 30.0


def _up_to(chapter: int, last: int, *without: int) -> tuple[str, ...]:
    return tuple(f"{chapter}.{n}" for n in range(1, last + 1) if n not in without)


#: Everything that other rules look at more closely, one thing at a time.
_BASICS = (
    *_up_to(2, 11),
    *_up_to(3, 8),
    *_up_to(4, 14, 8),
    *_up_to(5, 13),
    *_up_to(6, 12, 9),
    *_up_to(7, 10, 6, 7),
    *_up_to(8, 8, 7),
    *_up_to(9, 16, 6, 7, 8, 9, 10),
)


@rule(
    "11.1",
    "Any interleaving of `start`, `submit`, `flush`, `stop`, `reset` and `get_stats` from "
    "several threads ends without a deadlock or an exception, and conserves records.",
    hint="the order in which locks are taken, and what happens between a look and the deed",
    assumes=_BASICS,
    stochastic=True,
)
def parallel_calls_end_and_conserve_records(kit: Kit) -> None:
    began = time.monotonic()
    least = _PROGRAMS.get(kit.settings.level, 0)
    budget = kit.settings.time_budget or _STRESS_SECONDS
    for number in range(10**9):
        in_time = kit.settings.level == "stress" and time.monotonic() - began < budget
        if number >= least and not in_time:
            break
        _run_program(kit, number)


def _run_program(kit: Kit, number: int) -> None:
    kinds = _KINDS[number % len(_KINDS)]
    if kit.is_process or not kit.claims("restartable"):  # a process takes long to start
        kinds = _KINDS[0]
    resets = "reset" in kinds
    program = Program(kit, threads=4, length=8, kinds=kinds)
    with switching_all_the_time():
        program.run()
    program.expect_conservation()
    if resets:
        settle(program.system)
    else:
        program.expect_counted()
    program.system.end()


@rule(
    "11.2",
    "A backend that says so works on an interpreter without the global lock.",
    hint="what only that lock made atomic",
    needs=("free_threaded",),
    must=False,  # no mutant can prove it: what it runs is all the other rules
    assumes=("11.1",),
)
def it_works_without_the_global_interpreter_lock(kit: Kit) -> None:
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        kit.not_applicable("this interpreter has a global lock")
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        kit.not_applicable("the global lock is on; PYTHON_GIL=0 turns it off")
    kit.note("all other rules were checked without the global lock")


@rule(
    "11.3",
    "Any sequence of calls does to a backend what it does to a queue and some counters.",
    hint="the calls that the message lists, in that order, are all it takes",
    needs=(
        "clock:injected",
        "worker:thread|cooperative",
        "ordering:fifo",
        "restartable",
        "!buffer",
    ),
    assumes=(*_BASICS, "11.1"),
)
def any_sequence_of_calls_behaves_as_the_sequential_model(kit: Kit) -> None:
    if kit.capabilities.get("dispatch_concurrency", 1) != 1:
        kit.not_supported("a dispatch_concurrency of 1")
    if not set(kit.capabilities.get("overflow", ())) - {"block"}:
        kit.not_supported("an overflow strategy that drops")
    if not (kit.is_cooperative or kit.isolates):
        kit.not_supported("isolates_slow_outputs")
    try:
        from lual_conformance import model
    except ImportError as missing:
        kit.not_applicable(f"{missing}; pip install lual-conformance[model]")
    model.compare(kit, _SEQUENCES.get(kit.settings.level, 60))
