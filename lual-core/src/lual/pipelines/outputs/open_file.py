"""A file opened for appending, and what a write leaves behind when the disk is full.

Guarantees:
    * opening never waits (for the reader of a FIFO, say) and changes no existing file;
    * nothing is buffered: what `append` took is the operating system's;
    * after a line that was cut off the next bytes begin on a new line.
Assumes: one thread at a time.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

_FLAGS = (
    os.O_WRONLY
    | os.O_APPEND
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)

#: Names of what the process was started with: renaming the file behind one would take it
#: from whoever gave it.
_INHERITED = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")

#: Another program may create and remove the file between two calls; nobody does so often.
_ATTEMPTS = 5


class OpenFile:
    """A descriptor for appending to what stands at a path.

    Args:
        path: Absolute; missing folders and a missing file are created.
        mode: Permissions of a file that is created, whatever the umask.
        newline: How a line ends, in the encoding of the file.
        own: Whether no other process is likely to be in the middle of a write; then a
            cut-off last line that an earlier process left is noticed.

    Raises:
        OSError: It can't be opened for writing, or isn't of a kind to write lines to.
    """

    __slots__ = ("fd", "identity", "newline", "regular", "rotatable", "torn")

    def __init__(self, path: str, mode: int, newline: bytes, own: bool = True) -> None:
        self.fd = -1
        self.newline = newline
        self.torn = False
        self.fd = _open(path, mode)
        found = os.fstat(self.fd)
        self.identity = (found.st_dev, found.st_ino)
        self.regular = stat.S_ISREG(found.st_mode)
        self.rotatable = self.regular and not path.startswith(_INHERITED)
        if self.regular:
            self.torn = own and found.st_size > 0 and _is_cut_off(path, newline)
        elif stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode):
            os.set_blocking(self.fd, True)
        else:
            self.close()
            raise OSError(errno.EINVAL, "neither a file, a FIFO nor a character device", path)

    def append(self, data: bytes) -> tuple[int, OSError | None]:
        """Writes `data` as far as it goes.

        Returns:
            How many bytes of `data` were taken, and what stopped it (None at the end).

        Blocks: as long as the operating system does.
        """
        lead = len(self.newline) if self.torn else 0
        if lead:
            data = self.newline + data
        # Stands if an exception of a signal handler hides how far the write came.
        self.torn = True
        done, error = _write(self.fd, data)
        self.torn = not data.endswith(self.newline, 0, done) if done else lead > 0
        return max(done - lead, 0), error

    def size(self) -> int:
        """Returns the bytes in the file, those of forked children included."""
        # Three times as fast as fstat, and where one appends, the offset is free to use.
        return os.lseek(self.fd, 0, os.SEEK_END)

    def modified(self) -> float:
        """Returns when the file was last written to, in epoch seconds."""
        return os.fstat(self.fd).st_mtime

    def is_at(self, path: str) -> bool:
        """Tells whether `path` still leads to this file."""
        try:
            found = os.stat(path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.identity

    def lock_shared(self) -> bool:
        """Takes the lock of those who write; False if someone has it for himself.

        True also where there are no such locks: whoever waits for them has none either.
        """
        try:
            import fcntl

            fcntl.flock(self.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except (ImportError, OSError):
            return True
        return True

    def unlock(self) -> None:
        """Gives the lock back."""
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Closes the descriptor; twice is harmless."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            # On EBADF the application closed it; other errors leave nothing to do either.
            with contextlib.suppress(OSError):
                os.close(fd)

    def __del__(self) -> None:
        self.close()


def _open(path: str, mode: int) -> int:
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, _FLAGS)
        # Behind a symbolic link that leads nowhere yet, its target is created.
        target = os.path.realpath(path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            fd = os.open(target, _FLAGS | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            continue
        if hasattr(os, "fchmod"):
            # Some file systems have no permissions.
            with contextlib.suppress(OSError):
                os.fchmod(fd, mode)
        return fd
    raise FileExistsError(errno.EEXIST, "other programs keep creating and removing it", path)


def _is_cut_off(path: str, newline: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            file.seek(-len(newline), os.SEEK_END)
            return file.read() != newline
    except OSError:  # it may be writable and not readable
        return False


def _write(fd: int, data: bytes) -> tuple[int, OSError | None]:
    done = 0
    try:
        done = os.write(fd, data)
        while done < len(data):
            count = os.write(fd, memoryview(data)[done:])
            if count == 0:
                return done, OSError(errno.EIO, "the file took nothing")
            done += count
    except OSError as error:
        return done, error
    return done, None
