"""The fields of the running context, and how deep it stands inside a dispatch.

Both live in one `contextvars` variable, so that a logging call reads a single value:
None nearly always, else a `Scope`. A task or thread sees its own scope.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
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


class dispatching:  # reads as what it marks: `with dispatching(depth)`
    """Marks the current context as dispatching a record.

    Args:
        record_depth: The depth at which that record itself was logged.
    """

    __slots__ = ("_depth", "_token")
    _token: Token[Scope | None]

    def __init__(self, record_depth: int) -> None:
        self._depth = record_depth + 1

    def __enter__(self) -> None:
        scope = SCOPE.get()
        inside = Scope(scope.fields if scope is not None else {}, self._depth)
        self._token = SCOPE.set(inside)

    def __exit__(self, *error: object) -> None:
        SCOPE.reset(self._token)
