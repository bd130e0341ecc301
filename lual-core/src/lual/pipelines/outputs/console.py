"""Output to the console: standard error as it is at each write, or a given stream."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from lual.errors import ConfigError
from lual.pipelines.outputs.turns import Turns

#: "Select graphic rendition", the one kind of escape sequence that lual's colours are.
_SGR = re.compile(r"\x1b\[[0-9;:]*m")


class TextStream(Protocol):
    """What a console writes to; `flush`, `isatty` and `encoding` are used if present."""

    def write(self, text: str, /) -> object:
        """Takes the text of one batch."""


class ConsoleOutput:
    """Writes each batch to a stream as one string, a line per record; see `console`.

    Args:
        stream: None for standard error as found at each write.

    Raises:
        ConfigError: The stream has no `write`.
    """

    def __init__(self, stream: TextStream | None = None) -> None:
        if stream is not None and not callable(getattr(stream, "write", None)):
            raise ConfigError(
                f"stream of console() must have a write method, got {stream!r} "
                f"({type(stream).__name__}); give a text stream, or nothing for standard error"
            )
        self._stream = stream
        self._turns: Turns[Sequence[str]] = Turns(self._write)

    def write(self, batch: Sequence[tuple[str, Any]]) -> None:
        """Writes the batch and flushes the stream.

        Raises:
            Exception: What the stream raised; the batch may be lost as a whole. Without
                any stream (`sys.stderr` is None) there is nobody to tell, so that isn't
                an error.

        Blocks: as long as the stream does, and while another thread writes.
        Threads: any thread, also in a signal handler that interrupts a write.
        """
        texts = getattr(batch, "texts", None)
        if texts is None:
            texts = [text for text, _ in batch]
        if texts:
            self._turns.run(texts)

    def flush(self) -> None:
        """Flushes the stream."""
        stream = self._current()
        with self._turns.lock:
            # In the middle of a write on this thread the stream mustn't be entered
            # again; that write flushes it.
            if stream is not None and not self._turns.busy:
                _flush(stream)

    def close(self) -> None:
        """Flushes the stream, which belongs to the application and stays open."""
        self.flush()

    @property
    def fork_lock(self) -> Any:
        """The lock that is held while the process forks."""
        return self._turns.lock

    def after_fork_in_child(self) -> None:
        """Replaces the lock; called in a forked child before anything is written."""
        self._turns.after_fork_in_child()

    def _current(self) -> TextStream | None:
        return self._stream if self._stream is not None else sys.stderr

    def _write(self, texts: Sequence[str]) -> Mapping[int, Exception]:
        stream = self._current()
        if stream is None:
            return {}
        text = "\n".join(texts) + "\n"
        if "\x1b" in text and not _shows_colour(stream):
            text = _SGR.sub("", text)
        try:
            _put(stream, text)
        except RuntimeError as error:
            if "reentrant" not in str(error):
                raise
            # A signal handler logs while this thread is inside the stream, in a print of
            # the application say: the descriptor is the only way left.
            _put_past(stream, text)
        return {}

    def __reduce__(self) -> tuple[Callable[[str | None], ConsoleOutput], tuple[str | None]]:
        if self._stream is None:
            return _by_name, (None,)
        for name in ("stderr", "stdout"):
            if self._stream is getattr(sys, name):
                return _by_name, (name,)
        raise TypeError(
            f"console({self._stream!r}) can't be sent to another process; only standard "
            "error and standard output can"
        )

    def __repr__(self) -> str:
        return "ConsoleOutput()" if self._stream is None else f"ConsoleOutput({self._stream!r})"


def console(stream: TextStream | None = None) -> ConsoleOutput:
    """Returns an output that writes to the console.

    Colours reach a terminal only: elsewhere they are taken out of the text. `NO_COLOR`
    in the environment, if not empty, takes them out always; `FORCE_COLOR`, if not empty,
    leaves them in always.

    Args:
        stream: A text stream, never closed by lual; None (the default) for standard
            error as found at each write.

    Raises:
        ConfigError: The stream has no `write`.
    """
    return ConsoleOutput(stream)


def _by_name(name: str | None) -> ConsoleOutput:
    return ConsoleOutput(getattr(sys, name) if name else None)


def _shows_colour(stream: TextStream) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    isatty = getattr(stream, "isatty", None)
    return bool(isatty is not None and isatty())


def _put(stream: TextStream, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        # A text stream encodes before it keeps anything, so nothing is written twice.
        encoding = getattr(stream, "encoding", None) or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    # Whatever stayed in a buffer would be written twice after a fork.
    _flush(stream)


def _put_past(stream: Any, text: str) -> None:
    data = text.encode(getattr(stream, "encoding", None) or "utf-8", "backslashreplace")
    while data:
        data = data[os.write(stream.fileno(), data) :]


def _flush(stream: object) -> None:
    flush = getattr(stream, "flush", None)
    if flush is not None:
        flush()
