"""Flushing and stopping from inside an event loop, without holding it up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from lual.backend.clock import check_timeout
from lual.engine.writer import writer


async def aflush(timeout: float | None = None) -> bool:
    """Waits, without blocking the loop, until all records submitted so far are finished.

    Args:
        timeout: Seconds; None: `flush_timeout`.

    Returns:
        True iff they are.

    Raises:
        ValueError: The timeout is negative or not a number.
    """
    return await _beside_the_loop(lambda: writer().flush(timeout), timeout)


async def ashutdown(timeout: float | None = None) -> bool:
    """Drains and ends the asynchronous layer without blocking the loop.

    Args:
        timeout: Seconds; None: `shutdown_timeout`.

    Returns:
        True iff nothing was left.

    Raises:
        ValueError: The timeout is negative or not a number.
    """
    return await _beside_the_loop(lambda: writer().stop(timeout), timeout)


async def _beside_the_loop(call: Callable[[], bool], timeout: float | None) -> bool:
    """Runs a blocking call on a thread of its own.

    Not in the loop's executor: an application may have filled that with its own work.
    """
    import asyncio  # the caller has it already
    from contextvars import copy_context

    check_timeout(timeout, 0)
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()

    def settle(result: bool, error: BaseException | None) -> None:
        if done.done():  # cancelled meanwhile
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        result, error = False, None
        try:
            result = call()
        except BaseException as raised:  # noqa: BLE001  it belongs to who awaits
            error = raised
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    # In the caller's context, which knows whether this is called from inside an output.
    run = copy_context().run
    threading.Thread(target=run, args=(work,), name="lual-await", daemon=True).start()
    return await done
