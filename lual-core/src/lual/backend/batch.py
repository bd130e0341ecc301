"""Running a batch: in order, each record isolated, every outcome booked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lual.context import dispatching
from lual.errors import ReportedError
from lual.reports import describe
from lual.snapshot import safe_str

if TYPE_CHECKING:
    from lual.backend.contract import BackendConfig
    from lual.backend.items import Dispatch, WorkItem

Outcome = BaseException | None


class NoDispatchError(Exception):
    """An item came without a dispatch function, and the backend has none either."""


def group_by_dispatch(
    items: Sequence[WorkItem], default: Dispatch | None
) -> Iterator[tuple[Any, Sequence[WorkItem]]]:
    """Yields runs of items that go to the same dispatch function, in order.

    A function without `many` gets its items one by one: between two of them a stop that
    ran out of time may still call the rest back.
    """
    for item in items:
        if item.dispatch_func is not None:
            break
    else:
        if hasattr(default, "many"):  # nearly always
            yield default, items
            return
    start = 0
    while start < len(items):
        func = items[start].dispatch_func or default
        end = start + 1
        if hasattr(func, "many"):
            while end < len(items) and (items[end].dispatch_func or default) is func:
                end += 1
        yield func, items[start:end]
        start = end


def run_batch(
    items: Sequence[WorkItem],
    dispatch_func: Dispatch | None,
    config: BackendConfig,
    *,
    on_caller: bool = False,
) -> None:
    """Dispatches `items` in order and books what became of each.

    An exception fails its record, is counted and reported, and the rest goes on.

    Args:
        items: Taken with `extract_batch`.
        dispatch_func: For items that have none of their own.
        config: The backend's.
        on_caller: True on an application's thread, to which `KeyboardInterrupt` and the
            like belong: they go on to it, after the items not begun went back to the
            queue. False on a worker, where they fail the record like any exception.

    Raises:
        BaseException: See `on_caller`.

    Blocks: as long as the outputs do.
    """
    begun = 0
    for func, group in group_by_dispatch(items, dispatch_func):
        begun += len(group)
        interruption = run_group(group, func, config)
        if on_caller and interruption is not None:
            config.queue.requeue_front(items[begun:])
            raise interruption


def run_group(
    group: Sequence[WorkItem], func: Any, config: BackendConfig
) -> BaseException | None:
    """Returns the first outcome that isn't an `Exception`, after booking all of them."""
    ledger, clock = config.ledger, config.clock
    generation = ledger.generation
    start = clock.now()
    with dispatching(0):
        outcomes = _call(group, func)
    took = clock.now() - start
    failures: list[tuple[WorkItem, BaseException]] = []
    if outcomes.count(None) != len(outcomes):
        failures = [(i, e) for i, e in zip(group, outcomes, strict=True) if e is not None]
    reason = "no_dispatch" if func is None else "dispatch"
    ledger.book(
        generation, processed=len(group) - len(failures), failed=len(failures), reason=reason
    )
    ledger.sample("dispatch", took)
    ledger.publish()
    for item, error in failures:
        if not isinstance(error, ReportedError):
            report(config.error_callback, _sentence(item, error))
    return next((e for _, e in failures if not isinstance(e, Exception)), None)


def _call(group: Sequence[WorkItem], func: Any) -> Sequence[Outcome]:
    if func is None:
        return [NoDispatchError("there is no dispatch function")] * len(group)
    many: Callable[[Sequence[WorkItem]], Sequence[Outcome]] | None = getattr(func, "many", None)
    if many is not None:
        try:
            outcomes = many(group)
            if len(outcomes) == len(group):
                return outcomes
            wrong = ValueError(f"many() gave {len(outcomes)} outcomes for {len(group)} items")
            return [wrong] * len(group)
        except BaseException as error:  # noqa: BLE001  it is the outcome, booked by the caller
            return [error] * len(group)
    outcome: list[Outcome] = []
    for item in group:
        try:
            func(item.logger, item.record)
            outcome.append(None)
        except BaseException as error:  # noqa: BLE001  it is the outcome, booked by the caller
            outcome.append(error)
    return outcome


def _sentence(item: WorkItem, error: BaseException) -> str:
    logger = item.logger
    name = getattr(logger, "name", logger)
    message = safe_str(getattr(item.record, "message", item.record))
    start = message if len(message) <= 80 else f"{message[:77]}..."
    return f"{describe(error)}, while dispatching a record of logger {name!r}: {start!r}"


def report(callback: Callable[[str], Any], message: str) -> None:
    """Calls an error callback; whatever it does or raises changes nothing."""
    try:
        with dispatching(0):
            callback(message)
    except KeyboardInterrupt:
        if threading.current_thread() is threading.main_thread():
            raise  # the user's Ctrl-C, which merely arrived here
    except BaseException:  # noqa: BLE001  the error path must end here
        return
