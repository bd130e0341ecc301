"""The numbered backups of a file: `app.log.1` is the youngest, with `.gz` if compressed.

Guarantees: a failure at any step leaves every byte in the file or in one of its backups.
Assumes: one process, and in it one thread at a time, moves the backups of a path.
"""

from __future__ import annotations

import contextlib
import os
import time

#: Seconds that forked children get to finish a write to a file that was put aside.
WAIT_FOR_WRITERS = 1.0

#: Seconds between two looks whether they have; not measured.
_LOOK_AGAIN = 0.005

_BLOCK_BYTES = 64 * 1024

#: The level that the gzip program uses.
_LEVEL = 6


def put_aside(path: str, backups: int) -> str | None:
    """Makes the file at `path` its first backup; the oldest of too many is removed.

    Args:
        path: The file itself, not a symbolic link to it.
        backups: How many are kept; with 0 the file is removed.

    Returns:
        The path that the file has now, None if it was removed.

    Raises:
        OSError: A step failed; the file is where it was.
    """
    if backups == 0:
        os.unlink(path)
        return None
    # A gap (left by a failure, or made by hand) ends the shifting, so that a step which
    # fails again and again doesn't cost one more old backup each time.
    free = next((n for n in range(1, backups + 1) if not _existing(path, n)), None)
    if free is None:
        for name in _existing(path, backups):
            os.unlink(name)
        free = backups
    for number in range(free - 1, 0, -1):
        for name in _existing(path, number):
            os.rename(name, f"{path}.{number + 1}{name[len(f'{path}.{number}') :]}")
    youngest = f"{path}.1"
    os.rename(path, youngest)
    return youngest


def put_back(path: str, backup: str | None) -> None:
    """Undoes the last step of `put_aside` as far as it can be undone."""
    if backup is not None and not os.path.lexists(path):
        with contextlib.suppress(OSError):
            os.rename(backup, path)


def compress_backup(backup: str) -> None:
    """Replaces a backup by one with `.gz` behind its name, complete from its first moment.

    Raises:
        OSError: It couldn't be written; the plain backup stays.

    Blocks: about 30 ms per MB.
    """
    import gzip  # costs several ms to import, and few programs compress

    half_done = f"{backup}.gz.tmp"
    try:
        with open(backup, "rb") as plain:
            found = os.fstat(plain.fileno())
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
            fd = os.open(half_done, flags, found.st_mode & 0o777)
            with open(fd, "wb") as raw:
                with gzip.GzipFile(
                    filename="", mode="wb", compresslevel=_LEVEL, fileobj=raw, mtime=found.st_mtime
                ) as packed:
                    while block := plain.read(_BLOCK_BYTES):
                        packed.write(block)
                raw.flush()
                # The plain file goes next: after a power cut one of the two must be whole.
                os.fsync(raw.fileno())
        os.chmod(half_done, found.st_mode & 0o777)
        os.utime(half_done, ns=(found.st_atime_ns, found.st_mtime_ns))
        os.replace(half_done, f"{backup}.gz")
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(half_done)
        raise
    os.unlink(backup)


def writers_are_done(fd: int) -> bool:
    """Waits until no forked child is in the middle of a write to the open file.

    A child writes with a shared lock held, and only after it saw that the path still
    leads to the file; so once the exclusive lock was had, no child writes there again.

    Returns:
        False if one still held the lock after `WAIT_FOR_WRITERS` seconds.
    """
    try:
        import fcntl
    except ImportError:  # no fork either
        return True
    until = time.monotonic() + WAIT_FOR_WRITERS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK_AGAIN)
        except OSError:  # a file system without locks: children write without them too
            return True
        else:
            fcntl.flock(fd, fcntl.LOCK_UN)
            return True


def _existing(path: str, number: int) -> list[str]:
    names = (f"{path}.{number}", f"{path}.{number}.gz")
    return [name for name in names if os.path.lexists(name)]
