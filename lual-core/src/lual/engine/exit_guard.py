"""At the end of the interpreter, whatever was accepted is written.

    main ends → non-daemon threads are joined → atexit callbacks, daemon threads still alive

`atexit` is where a worker can still be drained; nothing here starts a thread (3.12 refuses
one by then) or imports. Children of `multiprocessing` don't run `atexit` before 3.13, but
finalizers of their own; those registered before their bootstrap are wiped by it, so they
are registered at the first record, and again by the bootstrap's own hook.
"""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
from types import FrameType
from typing import Any

from lual.backend import queue
from lual.backend.reentry import interrupts_lual
from lual.engine.writer import writer

#: Runs before the finalizers of multiprocessing's own queues and pools (0 and below).
_PRIORITY = 10

_armed: set[int] = set()  # pids


class _Anchor:
    """Keeps the bootstrap's hook alive: its registry holds its objects weakly."""


_anchor = _Anchor()


def drain_at_exit() -> None:
    """Stops the engine within `shutdown_timeout`, and reports what could not be written."""
    queue.interpreter_is_ending()
    writer().close()


def arm() -> None:
    """Makes sure that this process drains at its end, also as a child of multiprocessing."""
    util = sys.modules.get("multiprocessing.util")
    processes = sys.modules.get("multiprocessing.process")
    if util is None or processes is None or processes.parent_process() is None:
        return
    if os.getpid() not in _armed:
        _armed.add(os.getpid())
        util.Finalize(None, drain_at_exit, exitpriority=_PRIORITY)
        # The first record may have come while the main module was imported, that is
        # before the bootstrap, which wipes all finalizers and then calls such hooks.
        util.register_after_fork(_anchor, _register_again)


def _register_again(anchor: _Anchor) -> None:
    util = sys.modules["multiprocessing.util"]
    util.Finalize(None, drain_at_exit, exitpriority=_PRIORITY)


writer().arm = arm
atexit.register(drain_at_exit)


def install_signal_flush(*signals: int) -> None:
    """Makes the program write out its log before a signal ends it.

    Nothing of this is installed by default. The process still dies of the signal, with the
    status that its parent expects; a handler that was there before is called afterwards.

    Args:
        *signals: Signal numbers; none means SIGTERM.

    Raises:
        ValueError: Called from another thread than the main one.
    """
    for number in signals or (signal.SIGTERM,):
        before = signal.getsignal(number)

        def flush_and_die(n: int, frame: FrameType | None, before: Any = before) -> None:
            if callable(before) or before is signal.SIG_IGN:
                writer().flush()
                if callable(before):
                    before(n, frame)
            elif interrupts_lual():
                # The drain may need the call that was interrupted to go on.
                signal.signal(n, signal.SIG_DFL)
                _thread.start_new_thread(_drain_and_die, (n,))
            else:
                signal.signal(n, signal.SIG_DFL)
                _drain_and_die(n)

        signal.signal(number, flush_and_die)


def _drain_and_die(number: int) -> None:
    drain_at_exit()
    os.kill(os.getpid(), number)
