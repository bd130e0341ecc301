"""What crosses from the caller to the worker, and what the worker calls with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from lual.record import Record

#: Place of the level in every work item, also in the engine's own.
LEVEL = 0


class WorkItem(tuple[Any, ...]):
    """One record on its way to the outputs.

    The engine builds a subclass of its own from what a call captured, in which `record`
    is worked out when it is read; a backend sees the same attributes in both.

    Args:
        logger: The logger, or anything that stands for it; backends only pass it on.
        record: What is dispatched.
        dispatch_func: Called with (logger, record); None: the backend's own.
        submitted_at: Epoch seconds; None: now.
        level: None: the record's.
        seq: Number of the attempt in its process; None outside the engine.
    """

    __slots__ = ()

    def __new__(
        cls,
        logger: Any,
        record: Any,
        dispatch_func: Callable[[Any, Any], Any] | None = None,
        submitted_at: float | None = None,
        level: int | None = None,
        seq: int | None = None,
    ) -> WorkItem:
        """Returns the item; see the class for the arguments."""
        if level is None:
            level = getattr(record, "level", 0)
        if submitted_at is None:
            submitted_at = time.time()
        return tuple.__new__(cls, (level, seq, logger, record, dispatch_func, submitted_at))

    if TYPE_CHECKING:
        level: int
        seq: int | None
        logger: Any
        record: Any
        dispatch_func: Callable[[Any, Any], Any] | None
        submitted_at: float
    else:
        level = property(itemgetter(LEVEL), doc="Severity, an int.")
        seq = property(itemgetter(1), doc="Number of the attempt, or None.")
        logger = property(itemgetter(2), doc="The logger that was called.")
        record = property(itemgetter(3), doc="What is dispatched.")
        dispatch_func = property(itemgetter(4), doc="The item's own dispatch, or None.")
        submitted_at = property(itemgetter(5), doc="Epoch seconds.")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} seq={self.seq} level={self.level} of {self.logger!r}>"

    # Two records may look alike and are still two: a work item is itself and no other.
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:  # a tuple has its own
        return self is not other


@runtime_checkable
class Dispatch(Protocol):
    """What a backend calls for each record; it raises if the record failed.

    The engine's own also has `many(items)`, which returns one outcome per item (None, or
    the exception), and `flush()`, which makes the outputs hand over what they hold.
    """

    def __call__(self, logger: Any, record: Record) -> Any:
        """Runs one record through the pipelines; raises if it failed."""


class BatchDispatch(Dispatch, Protocol):
    """A dispatch that takes batches, as the engine's does."""

    def many(self, items: Sequence[WorkItem]) -> list[BaseException | None]:
        """Runs the items in order; returns None, or the exception, for each."""

    def flush(self) -> None:
        """Makes the outputs hand over what they hold."""
