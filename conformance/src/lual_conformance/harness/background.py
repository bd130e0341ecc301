"""Calls that may block, made in threads of their own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from lual_conformance.outcomes import Violation

_T = TypeVar("_T")


def mark_call(error: BaseException, what: str) -> None:
    """Notes in an exception which call of the backend raised it, so that it isn't the kit's."""
    if not isinstance(error, Violation) and not hasattr(error, "lual_call"):
        with contextlib.suppress(AttributeError):  # an exception with slots: it stays unnamed
            error.lual_call = what  # type: ignore[attr-defined]


class Background(Generic[_T]):
    """A call that runs in a daemon thread.

    Args:
        call: What to call.
        what: How a message names it.
        patience: Real seconds after which `result` takes it for hung.
    """

    def __init__(self, call: Callable[[], _T], what: str, patience: float) -> None:
        self._call = call
        self._what = what
        self._patience = patience
        self._answer: Any = None
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"check: {what}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._answer = self._call()
        except BaseException as error:  # noqa: BLE001  raised again by `result`
            mark_call(error, self._what)
            self._error = error
        finally:
            self._ended.set()

    def has_ended(self, seconds: float = 0.0) -> bool:
        """Tells whether the call has ended, or does so within that many real seconds."""
        return self._ended.wait(seconds)

    def result(self, observed: str = "") -> _T:
        """Returns what the call returned.

        Args:
            observed: What a message says if it never returns.

        Raises:
            Violation: It hasn't ended in time.
            BaseException: What the call raised.
        """
        if not self._ended.wait(self._patience):
            raise Violation(observed or f"{self._what} had not returned after a long time")
        if self._error is not None:
            raise self._error
        return self._answer  # type: ignore[no-any-return]
