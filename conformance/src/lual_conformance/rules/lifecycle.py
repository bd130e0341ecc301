"""Chapter 2: start, stop, and the states between."""

from __future__ import annotations

from functools import partial
from typing import Any

import lual
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.resources import Resources
from lual_conformance.harness.system import System
from lual_conformance.outcomes import Blocked, expect
from lual_conformance.registry import rule

#: A full batch, as systems are set up.
BATCH = ("1", "2", "3", "4", "5")


@rule(
    "2.1",
    "`start` while running changes nothing but the dispatch function; it never makes a second "
    "worker.",
    hint="start: what it does when the state is running",
    assumes=("3.3",),
    stochastic=True,
)
def starting_twice_changes_nothing(kit: Kit) -> None:
    usual, twice = (_written(kit, starts) for starts in (1, 3))
    for when in usual:
        expect(
            twice[when] == usual[when],
            f"{when}, a backend that was started again has written {twice[when]}, one that "
            f"wasn't {usual[when]}",
        )
    if kit.isolates:
        _expect_one_worker(kit)


def _written(kit: Kit, starts: int) -> dict[str, list[str]]:
    """Returns what is written of a batch in the middle of which it is started again."""
    system = kit.running()
    system.submit("1", "2")
    before = system.get_stats()
    for _ in range(starts - 1):
        system.start()
    after = system.get_stats()
    for key in ("state", "messages_dropped", "messages_submitted"):
        expect(
            before.get(key) == after.get(key),
            f"a second start changed {key} from {before.get(key)!r} to {after.get(key)!r}",
        )
    half = list(system.output.begun)
    system.submit("3", "4", "5")
    system.push(lambda: len(system.output.begun) >= len(BATCH))
    return {"half a batch submitted": half, "a batch submitted": sorted(system.output.begun)}


def _expect_one_worker(kit: Kit) -> None:
    allowed = int(kit.capabilities.get("dispatch_concurrency", 1))
    twice = _busy_workers(kit, 2)
    if twice > allowed:
        usual = _busy_workers(kit, 1)
        expect(
            twice <= usual,
            f"after a second start {twice} records were inside the output at once, not {usual}",
        )


def _busy_workers(kit: Kit, starts: int) -> int:
    """Returns how many records get into a closed output, after so many starts."""
    system = kit.system(batch_size=1)
    for _ in range(starts):
        system.start()
    system.output.close()
    allowed = int(kit.capabilities.get("dispatch_concurrency", 1))
    system.submit(*(str(n) for n in range(allowed + 2)))
    system.output.has_begun(allowed + 1, kit.glance)
    return len(system.output.begun)


@rule(
    "2.2",
    "`stop` is idempotent and legal before `start`: on a new or a stopped backend it is True and "
    "changes nothing.",
    hint="stop: what it does in every state",
    assumes=("2.8", "3.1"),
)
def stopping_what_does_not_run_changes_nothing(kit: Kit) -> None:
    system = kit.system()
    for _ in range(2):
        answer = system.stop()
        expect(answer is True, f"stop on a new backend returned {answer!r}")
    expect(system.state == "new", f"stop on a new backend made its state {system.state!r}")
    system.start()
    taken = system.submit(*BATCH)
    expect(
        all(taken) and system.push(lambda: len(system.output.done) == len(BATCH)),
        f"started after a stop that came first, submit answered {taken}, and "
        f"{system.output.done} was written",
    )
    system.stop()
    before = _all_that_shows(system)
    for timeout in (1.0, 0.0, None):
        system.stop(timeout)
        after = _all_that_shows(system)
        changed = [
            f"{key}: {before[key]!r} -> {after[key]!r}"
            for key in before
            if before[key] != after[key]
        ]
        expect(not changed, f"a stop of what was stopped changed {', '.join(changed)}")


def _all_that_shows(system: System) -> dict[str, Any]:
    """Returns what can be seen of a backend that rests."""
    stats = system.get_stats()
    keys = ("state", "messages_submitted", "messages_processed", "messages_dropped")
    return {
        **{key: stats.get(key) for key in keys},
        "reports": list(system.errors),
        "output": list(system.output.begun),
    }


@rule(
    "2.3",
    "`submit` before `start` returns False, counts nothing, and starts nothing.",
    hint="submit: it must look at the state before anything else",
)
def nothing_is_taken_before_start(kit: Kit) -> None:
    system = kit.system(flush_interval=kit.seconds(1.0))
    _expect_refusal(kit, system, "before start")
    system.start()
    system.deliver("first")
    expect(
        set(system.output.begun) == {"first"},
        f"after start {system.output.begun} was written; all but 'first' had been refused",
    )


@rule(
    "2.4",
    "`submit` after `stop` returns False, counts nothing, and does not bring the worker back.",
    hint="submit: only start may bring a stopped backend back",
    assumes=("2.8", "3.4"),
)
def nothing_is_taken_after_stop(kit: Kit) -> None:
    system = kit.running(flush_interval=kit.seconds(1.0))
    system.deliver(*BATCH)
    system.stop()
    _expect_refusal(kit, system, "after stop")
    system.flush()
    expect(system.state == "stopped", f"flush after stop made the state {system.state!r}")
    expect(
        set(system.output.begun) == set(BATCH),
        f"{system.output.begun} was written; only {BATCH} came before stop",
    )


def _expect_refusal(kit: Kit, system: System, when: str) -> None:
    """Submits what would move a running backend, and looks at what it moves."""
    state, begun = system.state, len(system.output.begun)
    counted = system.get_stats().get("messages_submitted", 0)
    dropped = system.get_stats().get("messages_dropped", 0)
    resources = Resources.now()
    answers = system.submit(*(f"{when} {n}" for n in range(6)))
    answers += system.submit(f"urgent {when}", level=lual.CRITICAL)
    expect(not any(answers), f"submit {when} answered {answers}")
    system.advance(kit.seconds(1.5))
    expect(system.state == state, f"submit {when} made the state {system.state!r}")
    started = Resources.now()
    new = [*started.threads_since(resources), *started.processes_since(resources)]
    expect(not new, f"submit {when} started {new}")
    stats = system.get_stats()
    taken = stats.get("messages_submitted", 0) - counted
    taken += stats.get("messages_dropped", 0) - dropped
    expect(not taken, f"submit {when} counted {taken} records that it refused")
    expect(
        len(system.output.begun) == begun,
        f"{system.output.begun[begun:]} was submitted {when}, and written",
    )


@rule(
    "2.5",
    "`start` after a successful `stop` works again, with the last dispatch function if it is "
    "given none.",
    hint="start: it must make all anew that stop has ended",
    needs=("restartable",),
    assumes=("2.8", "4.5"),
    seed="Lifecycle management",
    level="smoke",
)
def a_stopped_backend_starts_again(kit: Kit) -> None:
    system = kit.running()
    for cycle in range(3):
        names = [f"cycle {cycle}: {n}" for n in range(5)]
        answers = system.submit(*names)
        expect(all(answers), f"started {cycle + 1} times, submit answered {answers}")
        wanted = (cycle + 1) * len(names)
        written = kit.becomes_true(partial(_has_written, system, wanted), kit.patience)
        expect(
            written,
            f"started {cycle + 1} times, a full batch was submitted, and "
            f"{system.output.done[cycle * 5 :]} written",
        )
        if not system.stop():
            raise Blocked("stop answered False with nothing left to do")
        system.start(None if cycle else system.output)
        expect(system.state == "running", f"started again, its state is {system.state!r}")


def _has_written(system: System, count: int) -> bool:
    return len(system.output.done) >= count


@rule(
    "2.8",
    "`get_stats()['state']` is new, running, stopping, stopped, and new again after `reset`; "
    "nothing else changes it.",
    hint="get_stats: the state, in these four words",
    assumes=("8.4",),
)
def the_state_follows_the_calls(kit: Kit) -> None:
    system = kit.system()
    _expect_state(system, "new", "created")
    system.start()
    _expect_state(system, "running", "started")
    system.deliver("a")
    system.flush(0.0)
    _expect_state(system, "running", "used")
    _stop_and_look(system)
    _expect_state(system, "stopped", "stopped")
    system.reset()
    _expect_state(system, "new", "reset")


def _expect_state(system: System, state: str, when: str) -> None:
    found = system.state
    expect(found == state, f"{when}, its state is {found!r} instead of {state!r}")


def _stop_and_look(system: System) -> None:
    """Stops with a record inside the output, where the state can be seen meanwhile."""
    if system.kit.isolates:
        system.hold()
        stop = system.stopping()
        seen = system.kit.becomes_true(lambda: system.state == "stopping", system.kit.patience)
        state = system.state
        system.output.open()
        if not (seen or stop.has_ended()):
            expect(False, f"while stop drained, its state was {state!r} instead of 'stopping'")
        stop.result()
        expect(seen, f"while stop drained, its state was {state!r} instead of 'stopping'")
        return
    states: list[str] = []

    def look() -> None:
        if begun and not system.kit.is_process:
            states.append(system.backend.get_stats()["state"])

    begun: list[bool] = []  # before, a record may be written at once
    system.output.hooks["last"] = look
    system.submit("last")
    begun.append(True)
    system.stop()
    expect(
        set(states) <= {"stopping"},
        f"while stop drained, its state was {states[-1:]} instead of 'stopping'",
    )
