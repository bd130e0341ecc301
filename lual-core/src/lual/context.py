"""The fields of the running context, and how deep it stands inside a dispatch.

Both live in one `contextvars` variable, so that a logging call reads a single value:
None nearly always, else a `Scope`. A task or thread sees its own scope.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from lual.snapshot import snapshot_fields


class Scope:
    """What a context adds to each record made in it.

    Args:
        fields: Bound fields, already snapshots; never changed afterwards.
        depth: 0 in application code, n + 1 while a record of depth n is dispatched.
    """

    __slots__ = ("depth", "fields")

    def __init__(self, fields: Mapping[str, Any], depth: int) -> None:
        self.fields = fields
        self.depth = depth


SCOPE: ContextVar[Scope | None] = ContextVar("lual_scope", default=None)


def bind_context(**fields: Any) -> None:
    """Adds fields to every record that the current context logs from now on.

    Args:
        **fields: Values are captured here, as the snapshot rule says.

    Blocks: never.
    Threads: a new thread starts without fields; a new asyncio task inherits a copy.
    """
    scope = SCOPE.get()
    bound = {**scope.fields, **snapshot_fields(fields)} if scope else snapshot_fields(fields)
    SCOPE.set(Scope(bound, scope.depth if scope else 0))


def clear_context() -> None:
    """Removes all fields that `bind_context` added to the current context."""
    depth = dispatch_depth()
    SCOPE.set(Scope({}, depth) if depth else None)


def dispatch_depth() -> int:
    """Returns 0 in application code, and 1 or more inside a filter, presenter or output."""
    scope = SCOPE.get()
    return scope.depth if scope is not None else 0


@contextmanager
def dispatching(record_depth: int) -> Iterator[None]:
    """Marks the current context as dispatching a record.

    Args:
        record_depth: The depth at which that record itself was logged.
    """
    scope = SCOPE.get()
    token = SCOPE.set(Scope(scope.fields if scope else {}, record_depth + 1))
    try:
        yield
    finally:
        SCOPE.reset(token)
