#!/usr/bin/env python3
"""Measures lual and its peers side by side; README.md says what and how."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import adapters
import runs
from report import summary, table
from scenarios import SCENARIOS, Scenario

#: The results: for each scenario its rounds, for each round the runs by peer.
Results = dict[str, list[dict[str, runs.Run]]]


def _some_of(known: Sequence[str], what: str) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",")]
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"no {what} is called {unknown[0]!r}; use some of {','.join(known)}"
            )
        return list(dict.fromkeys(chosen))

    return parse


def _at_least(least: float, kind: type[int] | type[float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(least - 1)
        if not value >= least:
            raise argparse.ArgumentTypeError(f"must be a number from {least:g}, got {text!r}")
        return value

    return parse


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__)
    peers = adapters.names()
    add = parser.add_argument
    add(
        "--scenarios",
        type=_some_of([*SCENARIOS], "scenario"),
        default=[*SCENARIOS],
        metavar="T1,T2",
        help=f"some of {','.join(SCENARIOS)}; default: all",
    )
    add(
        "--peers",
        type=_some_of(peers, "installed peer"),
        default=peers,
        metavar="NAMES",
        help=f"some of {','.join(peers)}; default: all; {adapters.REFERENCE} always runs",
    )
    add("--rounds", type=_at_least(1, int), default=5, metavar="N", help="default: 5")
    add(
        "--records",
        type=_at_least(1, int),
        metavar="N",
        help="records a run, for all scenarios; default: each scenario's own",
    )
    add(
        "--budget",
        type=_at_least(0, float),
        default=float("inf"),
        metavar="SECONDS",
        help="no round begins that would last longer; the first one always runs",
    )
    add("--json", type=Path, metavar="FILE", help="where all figures go")
    return parser.parse_args()


def _turns(
    scenarios: Sequence[str], peers: Sequence[str], rounds: int, deadline: float
) -> Iterator[tuple[int, Scenario, str]]:
    """Yields what to run next; peers change places from round to round.

    Args:
        scenarios: By id.
        peers: By name.
        rounds: How many at most.
        deadline: Monotonic seconds.
    """
    longest = 0.0
    for number in range(rounds):
        start = time.monotonic()
        if start + longest > deadline:
            return
        turn = number % len(peers)
        for name in scenarios:
            if number < SCENARIOS[name].most_rounds:
                for peer in (*peers[turn:], *peers[:turn]):
                    yield number, SCENARIOS[name], peer
        longest = max(longest, time.monotonic() - start)


def _show(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure(options: argparse.Namespace) -> Results:
    """Runs everything that is asked for, as far as the budget goes."""
    peers = list(dict.fromkeys([adapters.REFERENCE, *options.peers]))
    results: Results = {name: [] for name in options.scenarios}
    deadline = time.monotonic() + options.budget
    for number, scenario, peer in _turns(options.scenarios, peers, options.rounds, deadline):
        start = time.monotonic()
        run = runs.run(scenario, peer, options.records or scenario.records)
        rounds = results[scenario.id]
        if len(rounds) == number:
            rounds.append({})
        rounds[number][peer] = run
        figure = "" if run.value is None else f"{run.value:,.1f} {scenario.unit}"
        shown = run.trouble() or figure or "passes"
        took = time.monotonic() - start
        _show(f"round {number + 1}  {scenario.id:<4}{peer:<14}{shown}  ({took:.1f} s)")
    # In the table each round names its peers in the order asked for.
    return {
        name: [{peer: by_peer[peer] for peer in peers} for by_peer in rounds]
        for name, rounds in results.items()
    }


def main() -> int:
    """Measures, prints the table and returns the exit status: 1 if a run of lual failed."""
    options = _options()
    data = summary(measure(options))
    if options.json is not None:
        options.json.write_text(json.dumps(data, indent=2) + "\n")
    print(table(data))
    found = [p for s in data["scenarios"].values() for p in s["peers"].items()]
    return int(any(name.startswith("lual") and not peer["passed"] for name, peer in found))


if __name__ == "__main__":
    sys.exit(main())
