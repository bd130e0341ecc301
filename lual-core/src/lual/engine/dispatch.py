"""From a batch to the pipelines: who wants what, and what became of each record.

Guarantees:
    * a pipeline sees its records in order and writes once per output and batch;
    * a record has failed if some pipeline wanted it and no output of any took it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from lual.context import SCOPE as CONTEXT
from lual.context import dispatching
from lual.errors import ReportedError
from lual.pipelines.pipeline import Pipeline
from lual.record import ROUTE, SCOPE, Record

if TYPE_CHECKING:
    from lual.backend.items import WorkItem
    from lual.backend.ledger import Ledger

_T = TypeVar("_T")

#: Depth at which the engine's own records are dispatched; see `lual.context`.
REPORT_DEPTH = 2

Outcome = BaseException | None
Raw = Sequence[Any]
#: A pipeline and the places of its records in the batch; None: all of them.
Share = tuple[Pipeline, list[int] | None]


def _depth(raw: Raw) -> int:
    scope = raw[SCOPE]
    return scope.depth if scope is not None else 0


def _raw_of(item: WorkItem) -> Raw:
    """Returns the raw record of any item; the engine's own are that tuple themselves."""
    record = item.record
    return record.raw if isinstance(record, Record) else item


class Dispatcher:
    """Runs batches through the pipelines that each record was routed to.

    Args:
        ledger: Where failures of single outputs are counted.
        before_batch: Called first, on the thread that dispatches; the gap reports use it.
        after_batch: Called last, when the outputs are free again; for records that came
            from inside them and could not be queued.
        fallback: Pipelines for records that carry no route, as after a trip to another
            process.

    Threads: one dispatches at a time; others wait, or ask `exclusive` how long.
    """

    def __init__(
        self,
        ledger: Ledger,
        before_batch: Callable[[], None] | None = None,
        after_batch: Callable[[], None] | None = None,
        fallback: tuple[Pipeline, ...] = (),
    ) -> None:
        self._ledger = ledger
        self._before_batch = before_batch
        self._after_batch = after_batch
        self._fallback = fallback
        self._touched: dict[int, Pipeline] = {}
        self._predecessor: tuple[Dispatcher, threading.Event, float] | None = None
        #: Held during every call into the outputs.
        self.exclusive = threading.RLock()
        #: Ident of the thread that holds it.
        self.owner: int | None = None

    def follow(self, before: Dispatcher, drained: threading.Event, timeout: float) -> None:
        """Begins only when the dispatcher before this one has drained, for order's sake.

        Args:
            before: That dispatcher.
            drained: Set when it has.
            timeout: Seconds after which this one begins anyway.
        """
        self._predecessor = (before, drained, timeout)

    def __call__(self, logger: Any, record: Record) -> None:
        """Runs one record; raises if it failed."""
        outcome = self._run_all([record.raw])[0]
        if outcome is not None:
            raise outcome

    def many(self, items: Sequence[WorkItem]) -> list[Outcome]:
        """Runs a batch; returns None, or why it failed, for each item."""
        raws: Sequence[Raw] = items
        if len(items[0]) <= SCOPE:  # not the engine's own: a backend under test
            raws = [_raw_of(item) for item in items]
        return self._run_all(raws)

    def flush(self) -> None:
        """Makes the outputs that were written to since the last flush hand over."""
        self._exclusively(self._flush_touched)

    def _flush_touched(self) -> None:
        touched = list(self._touched.values())
        self._touched.clear()
        with dispatching(0):
            for pipeline in touched:
                pipeline.flush()

    def run_report(self, raw: Raw) -> None:
        """Writes one of the engine's own records; failures are reported, not counted.

        It stands so deep that a record logged about it is dropped without a further report.
        """
        with self.exclusive:
            self._run_same_depth([raw], REPORT_DEPTH, self._shares([raw]))

    def _run_all(self, raws: Sequence[Raw]) -> list[Outcome]:
        if self._predecessor is not None:
            before, drained, timeout = self._predecessor
            if before.owner != get_ident():  # else an output would wait for its own end
                drained.wait(min(timeout, threading.TIMEOUT_MAX))
                self._predecessor = None
        return self._exclusively(lambda: self._run_by_route(raws))

    def _exclusively(self, work: Callable[[], _T]) -> _T:
        """Does something with the outputs that only one thread may do at a time."""
        with self.exclusive:
            context = CONTEXT.get()
            outer, self.owner = self.owner, get_ident()
            try:
                if self._before_batch is not None:
                    self._before_batch()
                return work()
            finally:
                # First in its block: a Ctrl-C that came earlier would leave them as they are.
                self.owner = outer
                CONTEXT.set(context)
                if outer is None and self._after_batch is not None:
                    self._after_batch()

    def _run_by_route(self, raws: Sequence[Raw]) -> list[Outcome]:
        route, scope = ROUTE, SCOPE
        last = raws[0][route]
        first = last.pipelines
        for raw in raws:
            if raw[route] is not last or raw[scope] is not None:
                last = raw[route]
                if raw[scope] is not None or last.pipelines is not first:
                    return self._run_mixed(raws)
        return self._run_same_depth(raws, 0, [(p, None) for p in first or self._fallback])

    def _run_mixed(self, raws: Sequence[Raw]) -> list[Outcome]:
        depths = {_depth(raw) for raw in raws}
        if len(depths) == 1:
            return self._run_same_depth(raws, depths.pop(), self._shares(raws))
        outcomes: list[Outcome] = []
        for raw in raws:  # rare: an output logged while the application did
            outcomes += self._run_same_depth([raw], _depth(raw), self._shares([raw]))
        return outcomes

    def _run_same_depth(
        self, raws: Sequence[Raw], depth: int, shares: Sequence[Share]
    ) -> list[Outcome]:
        try:
            with dispatching(depth):
                return self._run(raws, shares)
        except BaseException as error:  # noqa: BLE001  the outcome of all: who called decides
            return [error] * len(raws)

    def _shares(self, raws: Sequence[Raw]) -> list[Share]:
        """Returns each pipeline with the places of its records."""
        shares: dict[int, tuple[Pipeline, list[int]]] = {}
        for index, raw in enumerate(raws):
            for pipeline in raw[ROUTE].pipelines or self._fallback:
                shares.setdefault(id(pipeline), (pipeline, []))[1].append(index)
        return list(shares.values())

    def _run(self, raws: Sequence[Raw], shares: Sequence[Share]) -> list[Outcome]:
        failed: dict[int, Exception] = {}
        results = []
        for pipeline, places in shares:
            self._touched[id(pipeline)] = pipeline
            mine = raws if places is None else [raws[i] for i in places]
            result = pipeline.run(mine)
            if result.output_errors:
                self._ledger.add("output_errors", result.output_errors)
            results.append((places, result, len(mine)))
            for index, error in result.failed.items():
                failed[index if places is None else places[index]] = error
        outcomes: list[Outcome] = [None] * len(raws)
        if failed:
            for places, result, count in results:
                wanted = range(count) if result.wanted is None else result.wanted
                for index in wanted:
                    if index not in result.failed:
                        failed.pop(index if places is None else places[index], None)
            for index, error in failed.items():
                outcomes[index] = ReportedError(str(error))
        return outcomes


class PipelinesDescription:
    """The pipelines of a configuration, as data that can go to another process.

    Args:
        pipelines: The root logger's.
    """

    def __init__(self, pipelines: Sequence[Pipeline]) -> None:
        self.pipelines = tuple(pipelines)

    def open(self) -> Dispatcher:
        """Opens the outputs and returns a dispatcher that sends every record to them."""
        from lual.backend.ledger import Ledger

        for pipeline in self.pipelines:
            pipeline.open()
        return Dispatcher(Ledger(), fallback=self.pipelines)
