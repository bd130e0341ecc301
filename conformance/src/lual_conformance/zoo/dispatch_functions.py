"""Mutants that dispatch records with the wrong function."""

from __future__ import annotations

from typing import Any

from lual.backend import WorkItem, run_batch
from lual_conformance.reference.group import Group
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


@mutant({"4.3": "after a stop and a start with another function"})
class KeepsOldDispatch(RefThreads):
    """Keeps its first dispatch function when it is started again."""

    def start(self, dispatch_func: Any = None) -> None:
        """Ignores another one after a stop."""
        stopped = self.state == "stopped" and self.dispatch is not None
        super().start(None if stopped else dispatch_func)


@mutant({"4.3": "after start(None) while running"})
class NoneForgets(RefThreads):
    """Takes None for the new dispatch function while it runs."""

    def start(self, dispatch_func: Any = None) -> None:
        """Forgets the old one."""
        was_running = self.state == "running"
        super().start(dispatch_func)
        if dispatch_func is None and was_running:
            self.dispatch = None


@mutant({"4.3": "after a stop and a start with another function"})
class InlineKeepsOldDispatch(RefInline):
    """Keeps its first dispatch function for ever."""

    def start(self, dispatch_func: Any = None) -> None:
        """Ignores another one after a stop."""
        stopped = self._state == "stopped" and self._dispatch is not None
        super().start(None if stopped else dispatch_func)


@mutant({"4.12": "was counted as"})
class CallsNone(RefThreads):
    """Calls None where there is no dispatch function, and counts the error like any other."""

    def run_item(self, item: WorkItem) -> None:
        """Lets None raise."""
        dispatch = self.dispatch if self.dispatch is not None else _call_none
        run_batch([item], dispatch, self.config)


def _call_none(logger: Any, record: Any) -> None:
    nobody: Any = None
    nobody(logger, record)


@mutant({"4.12": "was counted as"})
class WithoutDispatchProcessed(RefThreads):
    """Counts a record that nobody wants as processed."""

    def run_item(self, item: WorkItem) -> None:
        """Writes it nowhere."""
        dispatch = self.dispatch if self.dispatch is not None else _ignore
        run_batch([item], dispatch, self.config)


@mutant({"4.12": "was counted as"})
class NoDispatchVanishes(RefThreads):
    """Forgets a record that has no dispatch function."""

    def run_item(self, item: WorkItem) -> None:
        """Books nothing."""
        if self.func_of(item) is not None:
            super().run_item(item)


@mutant({"4.12": "was counted as"})
class InlineKeepsForLater(RefInline):
    """Lets records wait as long as there is no dispatch function."""

    def _take(self, most: int) -> Group | None:
        """Takes nothing."""
        return super()._take(most) if self._dispatch is not None else None


def _ignore(logger: Any, record: Any) -> None:
    """Writes nothing."""


@mutant({"4.13": "came with an own dispatch function"})
class IgnoresOwnDispatch(RefThreads):
    """Writes everything with the backend's function, if there is one."""

    def func_of(self, item: WorkItem) -> Any:
        """Ignores the item's."""
        return self.dispatch if self.dispatch is not None else item.dispatch_func

    def run_item(self, item: WorkItem) -> None:
        """Hides the item's own function."""
        func, level = self.func_of(item), item.level
        plain = WorkItem(item.logger, item.record, func, item.submitted_at, level, item.seq)
        super().run_item(plain)


@mutant({"4.13": "came with an own dispatch function, which got []"})
class OwnIfTrue(RefThreads):
    """Asks whether the item's own function is true, and not whether there is one."""

    def func_of(self, item: WorkItem) -> Any:
        """Says `or`."""
        return item.dispatch_func or self.dispatch

    def run_item(self, item: WorkItem) -> None:
        """Hides an own function that is false."""
        func, level = self.func_of(item), item.level
        plain = WorkItem(item.logger, item.record, func, item.submitted_at, level, item.seq)
        super().run_item(plain)


@mutant({"4.13": "which takes batches"})
class ManyTakesAll(RefInline):
    """Hands whole batches to the backend's `many`, whatever its items say."""

    def _take(self, most: int) -> Group | None:
        """Takes what follows along."""
        group = super()._take(most)
        if group is None or not hasattr(self._dispatch, "many"):
            return group
        return Group(self._dispatch, group.items, group.generation)

    def _run(self, group: Group) -> None:
        """Hides own functions."""
        items = [
            WorkItem(i.logger, i.record, None, i.submitted_at, i.level, i.seq) for i in group.items
        ]
        super()._run(group._replace(items=items if hasattr(group.func, "many") else group.items))


@mutant({"4.14": "went to the old one"})
class BindsAtSubmit(RefThreads):
    """Decides at submit which function will dispatch a record."""

    def admit(self, item: WorkItem) -> bool:
        """Binds the function."""
        func = self.func_of(item)
        record, at, level = item.record, item.submitted_at, item.level
        return super().admit(WorkItem(item.logger, record, func, at, level, item.seq))


@mutant({"4.14": "a start while running named another function"})
class FirstStartWins(RefThreads):
    """Ignores another function while it runs."""

    def start(self, dispatch_func: Any = None) -> None:
        """Takes being started twice for a mistake."""
        super().start(None if self.state == "running" else dispatch_func)


@mutant({"4.14": "a start while running named another function"})
class InlineFirstStartWins(RefInline):
    """Ignores another function while it runs."""

    def start(self, dispatch_func: Any = None) -> None:
        """Takes being started twice for a mistake."""
        super().start(None if self._state == "running" else dispatch_func)
