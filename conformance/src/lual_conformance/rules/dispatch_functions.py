"""Chapter 4: which function a record is dispatched with."""

from __future__ import annotations

from typing import Any

from lual_conformance.harness.kit import Kit
from lual_conformance.harness.output import BatchOutput, Output
from lual_conformance.harness.system import System
from lual_conformance.outcomes import Blocked, expect
from lual_conformance.registry import rule
from lual_conformance.rules.submission import submitting

#: Outputs of another process are named by the configuration, not given to `start`.
_HERE = "!worker:process"


@rule(
    "4.3",
    "Records go to the dispatch function of the latest `start` that named one.",
    hint="start(func) replaces what was kept, start() and start(None) keep it",
    needs=(_HERE, "restartable"),
    assumes=("2.1", "2.5", "3.1"),
)
def the_latest_start_names_the_dispatch_function(kit: Kit) -> None:
    system, second = kit.running(), kit.new_output()
    _bring(system, system.output, "a")
    system.start(None)
    _bring(system, system.output, "b", "after start(None) while running")
    _stop(system)
    system.start(None)
    _bring(system, system.output, "c", "after a stop and start(None)")
    _stop(system)
    system.start(second)
    _bring(system, second, "d", "after a stop and a start with another function")
    expect("d" not in system.output.begun, "a record went to the functions of two starts")


def _bring(system: System, output: Output, name: str, when: str = "") -> None:
    """Submits a record, and checks that it gets to an output."""
    system.submit(name)
    reached = system.drain(lambda: name in output.begun)
    if not reached and not when:
        raise Blocked("no record could be brought to the output")
    expect(reached, f"{when} a record didn't go to the function that the latest start named")


def _stop(system: System) -> None:
    stop = system.stopping(system.kit.seconds(5.0))
    stop.result("stop never returned")


@rule(
    "4.12",
    "An item without a dispatch function, on a backend without one, is counted failed "
    "(`no_dispatch`), and harms no other record.",
    hint="look for the function of each item when it is dispatched; run_batch does it all",
    needs=(_HERE,),
    assumes=("3.1", "7.1", "8.1", "8.2"),
)
def an_item_without_a_dispatch_function_fails(kit: Kit) -> None:
    system = kit.system().start(None)
    system.submit("nowhere to go")
    system.drain(lambda: system.get_stats()["messages_failed"] == 1)
    stats = system.get_stats()
    failed, reasons = stats["messages_failed"], dict(stats["failed_by_reason"])
    expect(
        failed == 1 and reasons.get("no_dispatch") == 1,
        f"a record with no dispatch function at all was counted as {failed} failed, by reason "
        f"{reasons}, {stats['messages_processed']} processed",
    )
    own = kit.new_output()
    system.submit("own", func=own)
    reached = system.drain(lambda: own.done == ["own"])
    expect(reached, "after a record with no dispatch function, one with its own wasn't dispatched")


class _Falsy(Output):
    """A dispatch function that is false, as a callable list without entries is."""

    def __bool__(self) -> bool:
        return False


@rule(
    "4.13",
    "An item's own dispatch function wins over the backend's, also in one batch with others.",
    hint="ask `is not None`, per item, before anything is handed to the backend's function",
    needs=(_HERE,),
    assumes=("3.1",),
)
def an_items_own_dispatch_function_wins(kit: Kit) -> None:
    for default in (kit.new_output(), kit.new_batch_output()):
        for names in ("bd", "ace"):  # the first of a batch must not decide for the others
            _check_own(kit, default, kit.new_output(), names)
            _check_own(kit, default, _Falsy(kit.patience), names)
            _check_own(kit, default, BatchOutput(kit.patience), names)


def _check_own(kit: Kit, default: Any, own: Any, names: str) -> None:
    system = kit.running(output=default)
    default.begun.clear()
    functions = {name: own if name in names else None for name in "abcde"}
    items = [system.item(name, func=func) for name, func in functions.items()]
    submitting(system, items).has_ended(kit.glance)
    if not system.drain(lambda: len(default.begun) + len(own.begun) >= 5):
        raise Blocked("the records could not be brought to the outputs")
    kind = "takes batches" if isinstance(default, BatchOutput) else "takes single records"
    expect(
        set(own.begun) == set(names),
        f"{' and '.join(map(repr, names))} came with an own dispatch function, which got "
        f"{sorted(own.begun)}; the backend's, which {kind}, got {sorted(default.begun)}",
    )


@rule(
    "4.14",
    "A dispatch function that replaces another one while running serves the records that are "
    "not dispatched yet.",
    hint="read the default function when a batch is dispatched, not when a record is submitted",
    needs=(_HERE,),
    assumes=("3.1", "3.3", "4.3"),
)
def a_new_dispatch_function_serves_what_still_waits(kit: Kit) -> None:
    first, second = kit.new_output(), kit.new_output()
    system = kit.running(output=first)
    if kit.isolates and (kit.capabilities.get("dispatch_concurrency") or 1) == 1:
        system.hold("before")
        system.submit("waiting 1", "waiting 2")
    else:
        _bring(system, first, "before")
        system.submit("waiting 1", "waiting 2")
        if kit.becomes_true(lambda: "waiting 1" in first.begun, kit.glance):
            return  # it waits for no batch, so nothing can be replaced in time
    system.start(second)
    first.open()
    system.submit("after")
    waiting = {"waiting 1", "waiting 2", "after"}
    system.drain(lambda: waiting <= set(first.begun) | set(second.begun))
    expect(
        "after" in second.begun,
        f"a start while running named another function, which got {second.begun} of {waiting}",
    )
    late = sorted(waiting & set(first.begun))
    expect(not late, f"{late} still waited when the function was replaced, and went to the old one")
