"""Records submitted while no output ends, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import lual
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.system import NEVER, System
from lual_conformance.outcomes import Blocked, expect

#: How tables in counters name the levels.
_LEVELS = {lual.INFO: "INFO", lual.WARNING: "WARNING", lual.ERROR: "ERROR"}

#: A name and a level.
Wanted = tuple[str, int]


class Flood(NamedTuple):
    """What became of the records of a flood, seen from outside.

    Args:
        levels: Of each record, by name, in the order of submission.
        taken: Those for which `submit` returned True.
        written: Those that reached the output.
        stats: The counters when all was over.
    """

    levels: Mapping[str, int]
    taken: list[str]
    written: list[str]
    stats: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """All records in the order of submission."""
        return list(self.levels)

    @property
    def refused(self) -> list[str]:
        """Those for which `submit` returned False."""
        return [name for name in self.levels if name not in self.taken]

    @property
    def lost(self) -> list[str]:
        """Those that never reached the output, taken or not."""
        return [name for name in self.levels if name not in self.written]

    @property
    def forgotten(self) -> list[str]:
        """Those that were taken and never reached the output."""
        return [name for name in self.taken if name not in self.written]

    def expect_counted(self, *reasons: str) -> None:
        """Compares the counters with what was lost.

        Args:
            *reasons: Those that are possible here.

        Raises:
            Violation: A lost record wasn't counted, or twice, or under another name.
        """
        dropped = self.stats.get("messages_dropped")
        count = len(self.lost)
        expect(dropped == count, f"{count} records were lost, messages_dropped says {dropped}")
        by_reason = _without_zeros(self.stats.get("dropped_by_reason"))
        expect(
            set(by_reason) <= set(reasons) and sum(by_reason.values()) == count,
            f"{count} records were lost, dropped_by_reason says {by_reason}; possible here: "
            f"{', '.join(reasons)}",
        )
        by_level: dict[str, int] = {}
        for name in self.lost:
            level = _LEVELS[self.levels[name]]
            by_level[level] = by_level.get(level, 0) + 1
        said = _without_zeros(self.stats.get("dropped_by_level"))
        expect(said == by_level, f"the lost records were {by_level}, dropped_by_level says {said}")


def _without_zeros(table: Any) -> dict[str, int]:
    return {name: count for name, count in dict(table or {}).items() if count}


def capacity(kit: Kit, system: System) -> int:
    """Returns how many records a backend may hold anywhere, at most."""
    claims = kit.capabilities
    in_hand = system.config.batch_size * int(claims.get("dispatch_concurrency", 1))
    return int(system.config.max_queue_size) + in_hand + int(claims.get("buffer", 0))


def bring_inside(kit: Kit, system: System, name: str) -> None:
    """Gets a record stuck inside the output, on a thread that isn't the check's.

    Raises:
        Blocked: No record could be brought there.
    """
    if kit.isolates:
        system.hold(name)
        return
    system.output.hold(name)
    item = system.item(name)

    def dispatch() -> bool:
        return system.backend.submit(item) and system.backend.flush(NEVER)

    kit.background(dispatch, f"submit({name!r}) and flush")
    if not system.output.has_begun(1, kit.patience):
        raise Blocked("no record could be brought into the output")


def flood(kit: Kit, system: System, wanted: Iterable[Wanted]) -> Flood:
    """Submits records one after another while an output stalls, then has all written.

    Where a stalled output would hold the check's own thread, an output submits them.

    Raises:
        Blocked: No output could be brought to stall, or a flush doesn't end.
    """
    items = [system.item(name, level) for name, level in wanted]
    answers: dict[str, bool] = {}

    def submit_all() -> None:
        for item in items:
            answers[item.record.message] = system.submit_item(item)

    if kit.isolates:
        system.hold("first")
        system.output.close()
        submit_all()
        system.output.open()
    else:
        system.output.hooks["first"] = submit_all
        system.submit("first", level=system.config.flush_level)
        system.push(lambda: "first" in system.output.done)
    if system.flush() is not True:
        raise Blocked("the backend could not be brought to rest")
    return Flood(
        levels={item.record.message: item.level for item in items},
        taken=[name for name, answer in answers.items() if answer],
        written=[name for name in answers if name in system.output.done],
        stats=system.get_stats(),
    )


def many(count: int, prefix: str, level: int = lual.INFO) -> list[Wanted]:
    """Returns names and a level for so many records."""
    return [(f"{prefix} {number}", level) for number in range(count)]
