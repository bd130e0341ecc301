"""Chapter 2: what is left of a backend that was stopped."""

from __future__ import annotations

import gc
import weakref

from lual.backend import Backend
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.resources import Resources
from lual_conformance.harness.system import System
from lual_conformance.outcomes import Blocked, expect
from lual_conformance.registry import rule
from lual_conformance.rules.lifecycle import BATCH


@rule(
    "2.7",
    "After `stop` returned True no thread, process, descriptor or timer of the backend is left.",
    hint="stop: what start began, it joins and closes",
)
def nothing_is_left_after_stop(kit: Kit) -> None:
    kit.host  # noqa: B018  its thread is the kit's
    _live(kit.system())  # whatever an interpreter keeps once for all: a resource tracker, say
    system = kit.system()
    before = Resources.now()
    _live(system)

    def left() -> list[str]:
        gc.collect()
        return Resources.now().since(before)

    if not kit.becomes_true(lambda: not left(), kit.patience):
        expect(False, f"stop returned True and left {', '.join(left())}")


def _live(system: System) -> None:
    """Starts, works and stops."""
    system.start()
    system.deliver(*BATCH)
    if not system.stop():
        raise Blocked("stop answered False with nothing left to do")


@rule(
    "2.9",
    "A stopped backend can be garbage-collected.",
    hint="a global list, an atexit or at-fork registration, a thread-local, that keeps it",
    assumes=("2.7",),
)
def a_stopped_backend_can_be_collected(kit: Kit) -> None:
    backend = _stopped(kit)

    def is_gone() -> bool:
        gc.collect()
        return backend() is None

    kit.eventually(is_gone, "a backend that was stopped and forgotten is still kept somewhere")


def _stopped(kit: Kit) -> weakref.ref[Backend]:
    system = kit.running()
    try:
        backend = weakref.ref(system.backend)
    except TypeError:
        kit.not_supported("objects with a place for a weak reference")
    system.deliver(*BATCH)
    system.stop()
    kit.systems.remove(system)
    del system.backend  # the kit keeps the rest until the end of the check
    return backend
