"""Chapter 3: what `submit` promises where it interrupts lual itself."""

from __future__ import annotations

import signal
import threading

import lual
from lual_conformance.children import submission
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.output import name_of
from lual_conformance.harness.process import Child
from lual_conformance.outcomes import Blocked, Violation, expect
from lual_conformance.registry import rule
from lual_conformance.rules.submission import submitting

#: How the lines of a child begin that tell what went wrong.
_COMPLAINTS = ("lost", "refused", "raised")


@rule(
    "3.6",
    "A record submitted inside an output is queued or refused, never dispatched there, and the "
    "call never deadlocks.",
    hint="submit must know that its own thread is dispatching, and only enqueue then",
    needs=("!worker:process",),
    assumes=("3.1", "3.4"),
)
def a_submit_inside_an_output_only_enqueues(kit: Kit) -> None:
    system = kit.running(batch_size=2)
    output, inside = system.output, list[threading.Thread]()
    inner = [system.item(f"inner {n}", lual.ERROR if n == 4 else lual.INFO) for n in range(6)]
    taken: list[str] = []
    nested: list[str] = []

    def submit_inner() -> None:
        inside.append(threading.current_thread())
        for item in inner:
            if system.backend.submit(item):
                taken.append(name_of(item.record))
        inside.remove(threading.current_thread())

    def look_out(name: str) -> None:
        if threading.current_thread() in inside:
            nested.append(name)

    output.hooks["outer"] = submit_inner
    for item in inner:
        name = name_of(item.record)
        output.hooks[name] = lambda name=name: look_out(name)
    submitting(system, [system.item("outer", lual.ERROR)])
    returned = system.drain(lambda: "outer" in output.done)
    if "outer" not in output.begun:
        raise Blocked("no record could be brought into the output")
    expect(not nested, f"{nested} were dispatched inside the dispatch of another record")
    expect(returned, "a submit inside an output never returned")
    reached = system.drain(lambda: set(taken) <= set(output.begun))
    missing = sorted(set(taken) - set(output.begun))
    expect(reached, f"{missing}, submitted inside an output and taken, never reached it")


@rule(
    "3.9",
    "`submit` is safe from a signal handler that interrupts `submit`, and from finalisers that "
    "the collector runs: it neither deadlocks nor loses the record.",
    hint="a plain Lock, Event, queue.Queue, or Condition over a Lock deadlocks; RLock, deque and "
    "SimpleQueue don't; a guard against re-entry must not swallow the record",
    assumes=("3.1", "3.4", "3.5", "3.6"),
    stochastic=True,
    processes=True,
)
def submit_is_safe_from_signal_handlers_and_finalisers(kit: Kit) -> None:
    if not hasattr(signal, "setitimer"):
        kit.not_applicable("this system has no interval timers")
    # It must give up, and tell, before this process does.
    watchdog = kit.patience / 4
    child = kit.child("submission:interrupted_submits", watchdog=watchdog)
    for kind in submission.KINDS:
        stages = [f"at {n}" for n in range(0, submission.RECORDS, submission.STRIDE)]
        for stage in [*stages, "submitted"]:
            stuck = f"a submit from a {kind} hung, or ended the process"
            _await_stage(child, f"{kind}: {stage}", stuck)
        _await_stage(child, f"{kind}: told", f"after submits from a {kind} nothing was written", 4)
    complaints = [line for line in child.so_far() if line.startswith(_COMPLAINTS)]
    expect(not complaints, "; ".join(complaints))


def _await_stage(child: Child, stage: str, observed: str, tries: int = 1) -> None:
    """Waits until a child has reported a line, some times as long as for a call."""
    for left in reversed(range(tries)):
        try:
            child.until(stage)
            return
        except Violation as stuck:
            if not left:
                raise Violation(f"{observed}: {stuck.observed}") from stuck
