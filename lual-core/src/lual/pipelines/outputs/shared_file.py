"""One appender per path for all outputs of a process, so that none rotates under another.

Guarantees: writes never overlap, whatever thread, signal handler or output they come from.
Assumes: `after_fork_in_child` is called in a forked child before its first write.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from weakref import WeakValueDictionary

from lual.pipelines.outputs.appender import Appender
from lual.pipelines.outputs.file_settings import FileSettings
from lual.pipelines.outputs.turns import Turns


class Member:
    """An output that writes to a shared file; no two are equal.

    Args:
        settings: Those of the output.
        now: Its clock, in epoch seconds.
    """

    __slots__ = ("now", "settings")

    def __init__(self, settings: FileSettings, now: Callable[[], float]) -> None:
        self.settings = settings
        self.now = now


class _Job(NamedTuple):
    member: Member
    texts: Sequence[str]


class SharedFile:
    """Appends to the file at one path for any number of outputs.

    The output that was opened last sets the rules of rotation: while one configuration
    replaces another, both have the file open.

    Args:
        first: The output that it is made for.
    """

    def __init__(self, first: Member) -> None:
        self.turns: Turns[_Job] = Turns(self._write)
        self._appender = Appender(first.settings, first.now, self.turns.note)
        self._members: list[Member] = []

    def open(self, member: Member) -> None:
        """Opens the file for an output whose settings hold from now on.

        Raises:
            OSError: It can't be opened; the output then isn't counted as a user of it.
        """
        with self.turns.lock:
            if member not in self._members:
                self._members.append(member)
                self._follow_latest()
            try:
                self._appender.open()
            except OSError:
                self.close(member)
                raise
        if not self.turns.busy:  # else whoever writes reports
            self.turns.report()

    def write(self, member: Member, texts: Sequence[str]) -> Mapping[int, Exception]:
        """Appends one line per text; see `Turns.run`."""
        return self.turns.run(_Job(member, texts))

    def close(self, member: Member) -> None:
        """Ends one output's use of the file; the last one's closes it."""
        with self.turns.lock:
            if member in self._members:
                self._members.remove(member)
                self._follow_latest()
            # In a signal handler that interrupts a write, the file is still needed.
            if not self._members and not self.turns.busy:
                self._appender.close()

    def after_fork_in_child(self) -> None:
        """Forgets what the parent was doing; from now on this process never rotates."""
        self.turns.after_fork_in_child()
        self._appender.become_child()

    def _follow_latest(self) -> None:
        if self._members:
            latest = self._members[-1]
            self._appender.use(latest.settings, latest.now)

    def _write(self, job: _Job) -> Mapping[int, Exception]:
        member = job.member
        if member not in self._members:
            # Written to after its close: it opens again, and leaves the rules to others.
            self._members.insert(0, member)
            self._follow_latest()
        return self._appender.append(job.texts, member.settings.encoding)


_files: WeakValueDictionary[str, SharedFile] = WeakValueDictionary()
_files_lock = threading.RLock()


def shared_file(member: Member) -> SharedFile:
    """Returns the one shared file of the output's path."""
    path = member.settings.path
    with _files_lock:
        file = _files.get(path)
        if file is None:
            file = _files[path] = SharedFile(member)
        return file


def _renew_lock() -> None:
    # Another thread of the parent may have held it at the moment of the fork.
    global _files_lock
    _files_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
