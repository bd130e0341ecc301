"""Appending batches to the file at a path: split, rotated, and accounted line by line.

Guarantees:
    * a line is written whole or named as failed, also when the disk fills up;
    * no line is lost by a rotation, and a failed one leaves the file in use;
    * in a forked child it never rotates, and follows the path.
Assumes: one thread at a time.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from lual.pipelines.outputs import backups
from lual.pipelines.outputs.file_settings import FileSettings
from lual.pipelines.outputs.open_file import OpenFile
from lual.pipelines.outputs.rotation import PAUSE, Rotation

#: Encodings in which the bytes of a batch are those of its lines, one after another.
_STATELESS = frozenset({"utf-8", "ascii", "iso8859-1"})

#: How often a child looks for the file of a path that is being rotated meanwhile.
_ATTEMPTS = 20


class Appender:
    """Writes lines to whatever file its path leads to.

    Args:
        settings: The path, and the rules of rotation.
        now: Epoch seconds.
        note: Takes the kind and the message of a problem that costs no record.
    """

    def __init__(
        self,
        settings: FileSettings,
        now: Callable[[], float],
        note: Callable[[str, str], None],
    ) -> None:
        self._path = settings.path
        self._note = note
        self._file: OpenFile | None = None
        self._forked = False
        self._adopt(settings, now)

    def use(self, settings: FileSettings, now: Callable[[], float]) -> None:
        """Changes the rules for an open file; the path stays."""
        if (settings, now) == (self._settings, self._now):
            return
        self._adopt(settings, now)
        if self._file is not None:
            self._begin(self._file)

    def open(self) -> None:
        """Opens the file if it isn't open; one of an earlier period is rotated.

        Raises:
            OSError: It can't be opened.
        """
        if self._file is None:
            self._file = self._new_file()
            self._begin(self._file)

    def close(self) -> None:
        """Closes the file; the next append opens it again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def become_child(self) -> None:
        """Lets go of the parent's descriptor and of the right to rotate."""
        self._forked = True
        self.close()

    def append(self, texts: Sequence[str], encoding: str) -> Mapping[int, Exception]:
        """Appends one line per text.

        Returns:
            The exceptions of those that failed, by index.
        """
        try:
            if self._forked:
                with self._shared():
                    return self._append(texts, encoding)
            self._make_ready()
        except OSError as error:
            return dict.fromkeys(range(len(texts)), error)
        return self._append(texts, encoding)

    def _adopt(self, settings: FileSettings, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        self._newline = "\n".encode(settings.encoding)
        self._rotation = Rotation(settings, now)

    def _new_file(self) -> OpenFile:
        return OpenFile(self._path, self._settings.mode, self._newline, own=not self._forked)

    def _begin(self, file: OpenFile) -> None:
        self._rotation.begin_period(file.modified())
        if self._rotation.period_is_over():
            self._rotate_at_end_of_period(file)

    def _make_ready(self) -> None:
        if self._file is not None and self._settings.reopen and not self._file.is_at(self._path):
            self.close()
        self.open()
        if self._file is not None and self._rotation.period_is_over():
            self._rotate_at_end_of_period(self._file)

    @contextlib.contextmanager
    def _shared(self) -> Iterator[None]:
        """Holds the file of the path so that the parent knows of a write that goes on."""
        for _ in range(_ATTEMPTS):
            self.open()
            file = self._file
            if file is None or not file.rotatable:
                break
            if file.lock_shared() and file.is_at(self._path):
                break
            # Put aside meanwhile, and perhaps about to be compressed.
            self.close()
        try:
            yield
        finally:
            if self._file is not None:
                self._file.unlock()

    def _append(self, texts: Sequence[str], encoding: str) -> Mapping[int, Exception]:
        errors: dict[int, Exception] = {}
        data = _encode(texts, encoding)
        room = self._room()
        if room is None or len(data) <= room:
            taken, error = self._put(data)
            if error is not None:
                self._finish(_encode_lines(texts, encoding), 0, taken, error, errors)
            return errors
        lines = _encode_lines(texts, encoding)
        start = 0
        while start < len(lines):
            end = self._end_of_run(lines, start)
            taken, error = self._put(b"".join(lines[start:end]))
            if error is not None:
                self._finish(lines[start:end], start, taken, error, errors)
            start = end
        return errors

    def _finish(
        self,
        lines: Sequence[bytes],
        first: int,
        taken: int,
        error: Exception,
        errors: dict[int, Exception],
    ) -> None:
        """Tries what is left of a write that broke off, line by line.

        Args:
            lines: All lines of that write.
            first: The index in the batch of the first of them.
            taken: How many bytes of them the file took.
            error: What ended it.
            errors: Gets the exception of each line that failed, by index in the batch.
        """
        for index, line in enumerate(lines, first):
            if taken >= len(line):
                taken -= len(line)
            elif taken:
                errors[index] = error
                taken = 0
            else:
                _, failure = self._put(line)
                if failure is not None:
                    errors[index] = failure

    def _put(self, data: bytes) -> tuple[int, OSError | None]:
        if self._file is None:
            try:
                self._file = self._new_file()
            except OSError as error:
                return 0, error
        file = self._file
        taken, failure = file.append(data)
        if failure is not None and (not file.regular or failure.errno == errno.EBADF):
            # The reader of a FIFO left, or the application closed all descriptors.
            self.close()
        return taken, failure

    def _room(self) -> int | None:
        file = self._file
        return None if file is None or self._forked else self._rotation.room(file)

    def _end_of_run(self, lines: Sequence[bytes], start: int) -> int:
        """Returns up to where the lines fit into the file, which is rotated if none does."""
        room = self._room()
        while room is not None and len(lines[start]) > room:
            if self._file is None or self._file.size() == 0 or not self._rotate(self._file):
                break
            room = self._room()
        room = self._room()
        if room is None:
            return len(lines)
        end = start
        while end < len(lines) and len(lines[end]) <= room:
            room -= len(lines[end])
            end += 1
        return max(end, start + 1)

    def _rotate_at_end_of_period(self, file: OpenFile) -> None:
        if self._forked or not file.rotatable or file.size() == 0:
            self._rotation.begin_period()
        else:
            self._rotate(file)

    def _rotate(self, file: OpenFile) -> bool:
        """Puts the file aside and begins a new one; False if that isn't possible now."""
        if self._rotation.is_paused():
            return False
        try:
            backup = self._replace(file)
        except OSError as error:
            self._rotation.pause()
            self._note(
                "rotation",
                f"{self._path!r} can't be rotated ({error}), so it grows on; the next attempt "
                f"is made after {PAUSE:.0f} s",
            )
            return False
        self._rotation.begin_period()
        if backup is not None and self._settings.compress is not None:
            self._compress(file, backup)
        file.close()
        return True

    def _replace(self, file: OpenFile) -> str | None:
        if not file.is_at(self._path):
            # Somebody else moved it: what stands there now isn't ours to move.
            self._file = self._new_file()
            return None
        # The target of a symbolic link is rotated where it lies: that is where the room is.
        path = os.path.realpath(self._path)
        backup = backups.put_aside(path, self._settings.backups)
        try:
            self._file = self._new_file()
        except OSError:
            if backup is None:
                self.close()
            else:
                backups.put_back(path, backup)
            raise
        return backup

    def _compress(self, file: OpenFile, backup: str) -> None:
        try:
            if not backups.writers_are_done(file.fd):
                raise OSError(errno.EBUSY, "a forked child is still writing to it")
            backups.compress_backup(backup)
        except Exception as error:  # noqa: BLE001  whatever it is, the plain backup is whole
            self._note("rotation", f"the backup {backup!r} stays uncompressed: {error}")


def _encode(texts: Sequence[str], encoding: str) -> bytes:
    if encoding in _STATELESS:
        return ("\n".join(texts) + "\n").encode(encoding, "backslashreplace")
    return b"".join(_encode_lines(texts, encoding))


def _encode_lines(texts: Sequence[str], encoding: str) -> list[bytes]:
    return [f"{text}\n".encode(encoding, "backslashreplace") for text in texts]
