"""Mutants with batches too large, kept for ever, or taken for one record."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from lual.backend import BackendConfig, WorkItem, run_batch
from lual_conformance.reference.group import Group
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


@mutant({"4.7": "records were taken at once"})
class OversizedBatch(RefThreads):
    """Takes whatever waits."""

    def take(self) -> list[WorkItem]:
        """Ignores the limit."""
        oldest = self.queue.oldest() or 0
        ahead = [ticket.position for ticket in self.tickets if ticket.position > oldest]
        batch = self.queue.extract_batch(self.queue.size(), before=min(ahead, default=None))
        self.floor = self.clock.now()
        return batch


@mutant({"4.7": "many() got"})
class OversizedAtStop(RefInline):
    """Hands the outputs all that is left when it stops."""

    def _take(self, most: int) -> Group | None:
        """Ignores the limit in the end."""
        return super()._take(self.queue.max_size if self._state == "stopping" else most)


@mutant({"4.9": "were still kept at the end"})
class KeepsItems(RefThreads):
    """Keeps every item, for its statistics."""

    def forget_work(self) -> None:
        """Forgets them in the end."""
        super().forget_work()
        self.kept: list[WorkItem] = []

    def run_item(self, item: WorkItem) -> None:
        """Keeps it."""
        self.kept.append(item)
        super().run_item(item)


@mutant({"4.9": "were still kept at the end"})
class KeepsFailures(RefInline):
    """Keeps the records that failed, so that somebody can look at them."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.failures: list[Any] = []

    def _run(self, group: Group) -> None:
        """Keeps what failed."""
        failed = self._ledger.snapshot()["messages_failed"]
        super()._run(group)
        if self._ledger.snapshot()["messages_failed"] > failed:
            self.failures += [item.record for item in group.items]


class _Mapped:
    """A dispatch function whose outcomes are mapped to the wrong items.

    Args:
        func: The real one.
    """

    def __init__(self, func: Any) -> None:
        self._func = func

    def __call__(self, logger: Any, record: Any) -> None:
        """Takes one record."""
        self._func(logger, record)

    def mapped(self, outcomes: Sequence[BaseException | None]) -> list[BaseException | None]:
        """Returns the outcomes as the mutant sees them."""
        return list(outcomes)

    def many(self, items: Sequence[WorkItem]) -> list[BaseException | None]:
        """Takes a batch."""
        return self.mapped(self._func.many(items))


class _Reversed(_Mapped):
    def mapped(self, outcomes: Sequence[BaseException | None]) -> list[BaseException | None]:
        """Reads them from the end."""
        return list(outcomes)[::-1]


class _Shifted(_Mapped):
    def mapped(self, outcomes: Sequence[BaseException | None]) -> list[BaseException | None]:
        """Is wrong by one."""
        return [*outcomes[1:], outcomes[0]]


class _FirstWins(_Mapped):
    def mapped(self, outcomes: Sequence[BaseException | None]) -> list[BaseException | None]:
        """Takes the first for all."""
        return [outcomes[0]] * len(outcomes)


class _AllFail(_Mapped):
    def mapped(self, outcomes: Sequence[BaseException | None]) -> list[BaseException | None]:
        """Takes an error of one for that of all."""
        errors = [error for error in outcomes if error is not None]
        return [errors[0]] * len(outcomes) if errors else list(outcomes)


class MapsOutcomes(RefInline):
    """Books what `many` returned through a mapping of its own; none of the zoo by itself."""

    mapping: type[_Mapped] = _Mapped

    def _run(self, group: Group) -> None:
        """Puts the mapping between."""
        if hasattr(group.func, "many"):
            group = group._replace(func=self.mapping(group.func))
        super()._run(group)


@mutant({"4.10": "the reports don't name"})
class OutcomesReversed(MapsOutcomes):
    """Reads the outcomes of a batch from its end."""

    mapping = _Reversed


@mutant({"4.10": "the reports don't name"})
class OutcomesShifted(MapsOutcomes):
    """Is wrong by one in the outcomes of a batch."""

    mapping = _Shifted


@mutant({"7.1": "but messages_failed is"})
class FirstOutputWins(MapsOutcomes):
    """Takes the outcome of a batch's first record for that of all."""

    mapping = _FirstWins


@mutant({"7.1": "but messages_failed is"})
class BatchFailsTogether(MapsOutcomes):
    """Fails a whole batch for one record."""

    mapping = _AllFail


@mutant({"7.1": "but messages_failed is"})
class ThreadFailsTogether(RefThreads):
    """Runs what it has in hand with one call, and fails all for one."""

    def run_item(self, item: WorkItem) -> None:
        """Takes the rest of the hand along."""
        with self.lock:
            func = self.func_of(item)
            rest: deque[WorkItem] = deque()
            items = [item, *self.hand]
            if hasattr(func, "many") and all(i.dispatch_func is None for i in items):
                rest, self.hand = self.hand, rest
        mapping = _AllFail(func) if rest else self.dispatch
        run_batch([item, *rest], mapping, self.config)
