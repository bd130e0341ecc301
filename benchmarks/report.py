"""Medians, ratios, and the table."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from adapters import REFERENCE
from runs import Run
from scenarios import SCENARIOS, Scenario

#: The runs of each round, by peer.
Rounds = Sequence[Mapping[str, Run]]


def summary(results: Mapping[str, Rounds]) -> dict[str, Any]:
    """Returns everything that was measured, as data for JSON.

    Args:
        results: The rounds of each scenario.
    """
    return {
        "machine": {
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
        },
        "reference": REFERENCE,
        "scenarios": {
            name: _of_scenario(SCENARIOS[name], rounds) for name, rounds in results.items()
        },
    }


def _of_scenario(scenario: Scenario, rounds: Rounds) -> dict[str, Any]:
    peers = list(rounds[0]) if rounds else []
    return {
        "title": scenario.title,
        "unit": scenario.unit or None,
        "more_is_better": scenario.more_is_better,
        "must": scenario.must,
        "aim": scenario.aim,
        "rounds": len(rounds),
        "peers": {peer: _of_peer(peer, rounds) for peer in peers},
    }


def _of_peer(peer: str, rounds: Rounds) -> dict[str, Any]:
    runs = [by_peer[peer] for by_peer in rounds]
    values = [run.value for run in runs]
    known = [value for value in values if value is not None]
    ratios = []
    for by_peer in rounds:
        own, other = by_peer[peer].value, by_peer[REFERENCE].value
        if own is not None and other:
            ratios.append(own / other)
    return {
        "values": values,
        "median": median(known) if known else None,
        # One bad round is enough: a figure would hide it.
        "ratio": median(ratios) if ratios and len(known) == len(runs) else None,
        "ratios": ratios,
        "passed": all(run.passed for run in runs),
        "troubles": sorted({run.trouble() for run in runs if not run.passed}),
    }


def table(data: Mapping[str, Any]) -> str:
    """Returns the summary as plain text."""
    head = ("", "scenario", "unit", "peer", "median", "ratio", "from to", "must", "aim", "")
    rows = [head]
    for name, scenario in data["scenarios"].items():
        for number, (peer, found) in enumerate(scenario["peers"].items()):
            first = (name, scenario["title"], scenario["unit"] or "") if number == 0 else ("",) * 3
            rows.append((*first, peer, *_cells(scenario, peer, found)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    numeric = range(4, 9)
    lines = [
        "  ".join(
            cell.rjust(width) if i in numeric else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    counts = {scenario["rounds"] for scenario in data["scenarios"].values()}
    machine = data["machine"]
    lines += [
        "",
        f"Python {machine['python']}, {machine['cores']} cores, {machine['system']}; "
        f"rounds: {' or '.join(map(str, sorted(counts)))}",
        f"ratio: median of the ratios to `{data['reference']}` in the same round",
    ]
    return "\n".join(lines)


def _cells(scenario: Mapping[str, Any], peer: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    trouble = "; ".join(found["troubles"])
    if scenario["unit"] is None:
        return "", "", "", "", "", "passes" if found["passed"] else f"FAILS: {trouble}"
    ratios = found["ratios"]
    is_reference = peer == REFERENCE
    spread = f"{min(ratios):.2f} {max(ratios):.2f}" if ratios and not is_reference else ""
    return (
        _number(found["median"]),
        _number(found["ratio"]),
        spread,
        "" if is_reference else _number(scenario["must"]),
        "" if is_reference else _number(scenario["aim"]),
        trouble or ("" if is_reference else _judgement(scenario, found["ratio"])),
    )


def _judgement(scenario: Mapping[str, Any], ratio: float | None) -> str:
    if ratio is None or scenario["must"] is None:
        return ""
    sign = -1 if scenario["more_is_better"] else 1
    if scenario["aim"] is not None and sign * ratio <= sign * scenario["aim"]:
        return "reaches the aim"
    return "reaches it" if sign * ratio <= sign * scenario["must"] else "MISSES it"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
