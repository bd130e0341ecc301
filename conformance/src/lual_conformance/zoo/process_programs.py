"""Mutants whose worker process and program don't get along: at the start, or at the end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import select
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from lual_conformance.zoo.registry import mutant
from lual_conformance.zoo.sound.child import Child
from lual_conformance.zoo.sound.crossing import FarSide
from lual_conformance.zoo.sound.process import ProcessBackend


class _Faithful(FarSide):
    """Ends when it is told to, and by nothing else."""

    def serve_one(self) -> None:
        """Waits for ever if its parent has gone without a word."""
        try:
            question = self.connection.recv()
        except (EOFError, OSError):
            threading.Event().wait()
            raise
        if question == "end":
            raise EOFError
        with contextlib.suppress(OSError):  # the next one waits
            self.connection.send(self.answer(question))


class _ToldToEnd(Child):
    """Says goodbye."""

    far_side = _Faithful

    def hang_up(self) -> None:
        """Tells the worker that it may go."""
        with contextlib.suppress(OSError):
            self.connection.send("end")
        super().hang_up()


@mutant({"13.3": "still runs after its program was killed"})
class OrphanWorker(ProcessBackend):
    """Ends its worker by a message, which a killed program can't send."""

    child_class = _ToldToEnd


class _Frightened(FarSide):
    """Ends the moment that its parent does."""

    def __init__(self, connection: Connection, dispatch: Any) -> None:
        super().__init__(connection, dispatch)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        look = select.poll()
        look.register(self.connection, 0)
        look.poll(None)
        os._exit(1)


class _FrightenedChild(Child):
    far_side = _Frightened


@mutant({"13.8": "was not written"})
class DiesWithParent(ProcessBackend):
    """Ends its worker with the program at once, in the middle of a record."""

    child_class = _FrightenedChild


class _Bringing(Child):
    """Tells the worker where the main module is."""

    def introduction(self, pipelines: bytes) -> tuple[bytes, Any]:
        """Has it run first, for what may be defined there."""
        main = sys.modules["__main__"]
        is_script = getattr(main, "__spec__", None) is None
        return pipelines, _Rerunning(getattr(main, "__file__", None) if is_script else None)


class _Rerunning:
    """Makes the far side, once it has run the parent's main module."""

    def __init__(self, main: str | None) -> None:
        self._main = main

    def __call__(self, connection: Connection, dispatch: Any) -> FarSide:
        if self._main:
            with contextlib.suppress(Exception):  # it isn't needed for certain
                runpy.run_path(self._main, run_name="__mp_main__")
        return FarSide(connection, dispatch)


@mutant({"13.4": "main module was run"})
class RespawnsMain(ProcessBackend):
    """Runs the program's main module again in its worker."""

    child_class = _Bringing


class _Choosy(Child):
    def spawn(self, far_end: Connection) -> None:
        """Knows not all that its backend claims."""
        if multiprocessing.get_start_method(allow_none=True) == "forkserver":
            raise RuntimeError("the worker can't be started by a fork server")
        super().spawn(far_end)


@mutant({"13.4": "with the start method forkserver"}, start_methods=("spawn", "forkserver"))
class ClaimsForkserver(ProcessBackend):
    """Claims a start method under which its worker can't be started."""

    child_class = _Choosy
