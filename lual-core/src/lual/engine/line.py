"""One generation of the asynchronous layer: a queue, a backend and its dispatch.

A change of configuration builds a new line, puts it in the old one's place, and drains
the old one; a record stays with the line that admitted it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lual import reports
from lual.backend.base import BaseBackend
from lual.backend.contract import BackendConfig
from lual.backend.queue import BoundedQueue
from lual.engine import discovery
from lual.engine.dispatch import PipelinesDescription
from lual.errors import ConfigError

if TYPE_CHECKING:
    from lual.backend.contract import Backend, BackendInfo
    from lual.backend.ledger import Ledger
    from lual.engine.async_settings import AsyncSettings
    from lual.engine.dispatch import Dispatcher
    from lual.engine.writer import AsyncWriter
    from lual.pipelines.pipeline import Pipeline


class Line:
    """Queue, backend and dispatch that belong together.

    Args:
        name: The backend's.
        info: What it says of itself.
        settings: What it was built from.
        queue: Where its records wait.
        backend: What drains it.
        dispatcher: Runs the batches.
        ledger: Where everything is counted.
    """

    def __init__(
        self,
        name: str,
        info: BackendInfo,
        settings: AsyncSettings,
        queue: BoundedQueue,
        backend: Backend,
        dispatcher: Dispatcher,
        ledger: Ledger,
    ) -> None:
        self.name = name
        self.info = info
        self.settings = settings
        self.queue = queue
        self.backend = backend
        self.dispatcher = dispatcher
        #: True if the backend refuses a record only if its queue does.
        self.uses_queue = type(backend).submit is BaseBackend.submit
        self._ledger = ledger
        #: Set once everything that this line admitted has its outcome.
        self.drained = threading.Event()

    def start(self) -> None:
        """Starts the backend; raises what it raises."""
        self.backend.start(self.dispatcher)

    def is_running(self) -> bool:
        """Tells whether the backend itself says that it runs."""
        return self.backend.get_stats().get("state") == "running"

    def has_stopped(self) -> bool:
        """Tells whether the backend itself says that it has stopped."""
        return self.backend.get_stats().get("state") == "stopped"

    def supports_async_outputs(self) -> bool:
        """Tells whether `async def` outputs can be awaited here."""
        return bool(self.info.capabilities.get("async_outputs", False))

    def stop(self, timeout: float) -> bool:
        """Stops the backend; one that raises counts as not drained, and is reported."""
        try:
            return self.backend.stop(timeout)
        except Exception as error:  # noqa: BLE001  a backend's fault isn't the application's
            reports.problem("backend", f"the backend's stop raised {reports.describe(error)}")
            return False

    def retire(self) -> None:
        """Drains and ends the backend, drops and counts what could not be drained.

        Blocks: at most `shutdown_timeout`.
        """
        self.stop(self.settings.shutdown_timeout)
        rest = self.queue.extract_batch(self.queue.size())
        self._ledger.drop([item.level for item in rest], "shutdown_timeout", in_flight=True)
        self._ledger.detach(self.queue)
        self.drained.set()


def build_line(
    writer: AsyncWriter, settings: AsyncSettings, pipelines: tuple[Pipeline, ...]
) -> Line:
    """Builds and starts a line.

    Args:
        writer: The engine that it is for.
        settings: What to build.
        pipelines: The root logger's, for backends that open them elsewhere.

    Raises:
        ConfigError: The backend can't be had, refuses its options, or can't start.
    """
    loaded = discovery.load(discovery.resolve(settings.backend))
    dispatcher = writer.new_dispatcher()
    queue = BoundedQueue(
        settings.max_queue_size,
        settings.overflow_strategy,
        protect_level=settings.protect_level,
        block_timeout=settings.block_timeout,
        stats=writer.ledger,
        clock=writer.clock,
        on_drop=writer.on_drop,
    )
    config = BackendConfig(
        batch_size=settings.async_batch_size,
        flush_interval=settings.async_flush_interval,
        queue=queue,
        stats=writer.ledger,
        error_callback=_report,
        clock=writer.clock,
        flush_timeout=settings.flush_timeout,
        shutdown_timeout=settings.shutdown_timeout,
        block_timeout=settings.block_timeout,
        flush_level=settings.flush_level,
        protect_level=settings.protect_level,
        max_queue_size=settings.max_queue_size,
        overflow_strategy=settings.overflow_strategy,
        options=dict(settings.backend_options),
        pipelines=PipelinesDescription(pipelines),
    )
    try:
        backend = discovery.create(loaded, config)
        line = Line(loaded.name, loaded.info, settings, queue, backend, dispatcher, writer.ledger)
        line.start()
    except ConfigError:
        writer.ledger.detach(queue)
        raise
    except Exception as error:
        writer.ledger.detach(queue)
        raise ConfigError(
            f"the backend {loaded.name!r} can't start: {reports.describe(error)}"
        ) from error
    return line


def _report(message: str) -> None:
    reports.problem("backend", message)
