"""Output to a file, which is rotated by size and by time if asked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lual.errors import BatchWriteError, ConfigError
from lual.pipelines.outputs.file_settings import FileSettings, check_settings
from lual.pipelines.outputs.shared_file import Member, shared_file


class FileOutput:
    """Appends each batch to a file with a single system call; see `file`.

    All outputs of a process on one path share the open file. Where their settings differ
    (while one configuration replaces another), those of the last one opened hold.
    A copy made by pickle has the settings and isn't open.

    Args:
        settings: As `file` checks them.
        _now: Epoch seconds; decides when a period is over.
    """

    def __init__(self, settings: FileSettings, *, _now: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self._member = Member(settings, _now)
        self._file = shared_file(self._member)

    def open(self) -> None:
        """Opens the file, so that a place which can't be written to is found at once.

        Raises:
            ConfigError: The file can't be opened for appending.
        """
        try:
            self._file.open(self._member)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(
                f"path of file() is {self.settings.path!r}, which can't be written to "
                f"({reason}); choose another place, or correct its permissions"
            ) from error

    def write(self, batch: Sequence[tuple[str, Any]]) -> None:
        """Appends one line per record; opens the file if it isn't open.

        When this returns, the lines are the operating system's. Called by a signal
        handler that interrupts a write on its own thread, it leaves the batch to that
        write, and a failure is then reported instead of raised.

        Raises:
            BatchWriteError: Some records weren't written, on a full disk say; it names
                them. What follows them begins on a new line.

        Blocks: as long as the operating system does, and while another thread writes;
            for as long as compressing takes if that write rotates a file.
        Threads: any thread, also in a signal handler.
        """
        texts = getattr(batch, "texts", None)
        if texts is None:
            texts = [text for text, _ in batch]
        if texts:
            errors = self._file.write(self._member, texts)
            if errors:
                raise BatchWriteError(errors)

    def flush(self) -> None:
        """Has nothing to do: lual buffers nothing here, and asks for no write to the disk."""

    def close(self) -> None:
        """Closes the file once no other output uses it; a later write opens it again."""
        self._file.close(self._member)

    @property
    def fork_lock(self) -> Any:
        """The lock that is held while the process forks."""
        return self._file.turns.lock

    def after_fork_in_child(self) -> None:
        """Makes this process one that appends and never rotates.

        Called in a forked child before anything is written. The file is opened again,
        with a file offset and a lock of the child's own, at its first write.
        """
        self._file.after_fork_in_child()

    def __reduce__(self) -> tuple[type[FileOutput], tuple[FileSettings]]:
        return FileOutput, (self.settings,)

    def __eq__(self, other: object) -> bool:
        return self.settings == other.settings if isinstance(other, FileOutput) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.settings)

    def __repr__(self) -> str:
        return f"FileOutput({self.settings!r})"


def file(
    path: str | os.PathLike[str],
    max_bytes: int | str | None = None,
    backups: int = 5,
    when: str | float | None = None,
    compress: str | None = None,
    reopen: bool = False,
    mode: int = 0o640,
    encoding: str = "utf-8",
) -> FileOutput:
    r"""Returns an output that appends lines to a file.

    A full file becomes `app.log.1`, the one before it `app.log.2` and so on. Only the
    process that configured the output rotates; a forked child appends to the file that
    the path leads to. A path to a device, a FIFO or a terminal is never rotated.

    Args:
        path: Made absolute here; `~` stands for itself. Missing folders are created when
            the file is opened.
        max_bytes: Size of a full file, in bytes or as text (`"10 MB"`, `"512 KiB"`). A
            line that would go beyond it begins a new file, and only a line that is
            longer by itself makes a file larger. None: no limit.
        backups: How many full files are kept; with 0 a full file is removed.
        when: Begins a new file `hourly`, `daily`, `weekly` (local time; weeks begin on
            Monday), or each time as many seconds have passed, counted from the epoch.
            An empty file isn't rotated. None: never.
        compress: `gzip` packs backups (`app.log.1.gz`), while the next write waits.
        reopen: True if another program moves the file away: looked at before each
            batch, which costs about two microseconds.
        mode: Permissions of a file that lual creates, whatever the umask; those of an
            existing one aren't touched.
        encoding: Of the text; what it can't express is written as `\x..` or `\u....`.

    Raises:
        ConfigError: A setting can't be used.
    """
    return FileOutput(
        check_settings(path, max_bytes, backups, when, compress, reopen, mode, encoding)
    )


def check_no_conflict(outputs: Iterable[object]) -> None:
    """Checks that the file outputs of one configuration agree where they share a path.

    Opening alone can't tell: an output with other settings may be about to replace the
    one that has the file open.

    Args:
        outputs: All that are to be in force together; other outputs are passed over.

    Raises:
        ConfigError: Two of them have one path and different settings.
    """
    by_path: dict[str, FileSettings] = {}
    for output in outputs:
        if not isinstance(output, FileOutput):
            continue
        settings = output.settings
        other = by_path.setdefault(settings.path, settings)
        if other != settings:
            raise ConfigError(
                f"two outputs write to {settings.path!r} with different settings "
                f"({other.differences(settings)}); give both the same, use one output in "
                f"both pipelines, or give them different paths. They are "
                f"FileOutput({other!r}) and FileOutput({settings!r})"
            )
