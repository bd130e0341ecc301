"""The table of scenarios: what is measured, how it is read, and what lual must reach."""

from __future__ import annotations

from typing import NamedTuple


class Scenario(NamedTuple):
    """One row of the table.

    Attributes:
        id: As in the project's targets.
        title: What a run does.
        workload: `module:function` in `workloads/`.
        records: How many records a run logs, or calls it makes, unless asked otherwise.
        unit: Of the figure; empty for a scenario that is passed or failed.
        more_is_better: How figures compare.
        must: The ratio to the reference that lual must reach, if it is a target.
        aim: The ratio that it aims at.
        limit: Seconds after which a run counts as hung.
        most_rounds: Further rounds would show nothing new, and a hang costs the limit.
        numbered: Whether each record is told apart in the file.
        endings: Ways to end, each a run of its own.
    """

    id: str
    title: str
    workload: str
    records: int
    unit: str = ""
    more_is_better: bool = False
    must: float | None = None
    aim: float | None = None
    limit: float = 60.0
    most_rounds: int = 1000
    numbered: bool = False
    endings: tuple[str, ...] = ("",)


_ALL = (
    Scenario("T1", "a disabled call", "calls:disabled", 200_000, "ns/call", must=0.35, aim=0.25),
    Scenario(
        "T2",
        "the caller's CPU for an enabled call",
        "calls:enabled",
        5_000,
        "µs/call",
        must=0.10,
        aim=0.06,
    ),
    Scenario(
        "T3",
        "end to end, one producer",
        "delivery:one_producer",
        50_000,
        "records/s",
        more_is_better=True,
        must=7,
        aim=12,
    ),
    Scenario(
        "T4",
        "end to end, four producers",
        "delivery:four_producers",
        50_000,
        "records/s",
        more_is_better=True,
        must=8,
        aim=17,
    ),
    Scenario(
        "T5",
        "the caller's p99, 1 ms a write",
        "calls:slow_output_burst",
        3_000,
        "µs",
        must=0.10,
        aim=0.05,
    ),
    Scenario(
        "T5s",
        "the same, one call each 0.5 ms",
        "calls:slow_output_steady",
        3_000,
        "µs",
    ),
    Scenario(
        "T6",
        "resident bytes per queued record",
        "memory:queued",
        100_000,
        "bytes",
        must=0.75,
        aim=0.5,
    ),
    Scenario(
        "T8",
        "return, sys.exit, raise: nobody flushes",
        "endings:end",
        20_000,
        most_rounds=2,
        endings=("return", "exit", "raise"),
    ),
    Scenario(
        "T9",
        "a 1 ms signal timer, and __del__",
        "interruptions:signals_and_finalisers",
        20_000,
        limit=20.0,
        most_rounds=2,
        numbered=True,
    ),
    Scenario(
        "T10",
        "fork while logging",
        "forks:fork_while_logging",
        1_000,
        limit=30.0,
        most_rounds=2,
        numbered=True,
    ),
    Scenario("T12", "CPU time of the import", "imports:cpu_time", 5, "ms", must=3.0),
)

SCENARIOS = {scenario.id: scenario for scenario in _ALL}
