"""What a person reads at the end of the demo: statistics, latency and proof."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lual.pipelines.escape import escape

#: The statistics shown, in this order; `--json` has them all.
_STATISTICS = (
    "messages_submitted",
    "messages_processed",
    "messages_failed",
    "messages_dropped",
    "dropped_by_reason",
    "dropped_by_level",
    "queue_high_watermark",
    "max_queue_size",
    "overflow_strategy",
    "blocked_submits",
    "sync_processed",
    "output_errors",
    "backend_errors",
    "worker_restarts",
    "flush_timeouts",
    "reports",
)


def report(run: Mapping[str, Any], proof: Mapping[str, Any]) -> list[str]:
    """Returns the lines of the report, without anything that could drive a terminal.

    Args:
        run: As stored by `replay`.
        proof: As returned by `prove`.
    """
    lines = [
        *_headline(run),
        "",
        "Statistics, as the engine counted",
        *_rows(_statistics(run["statistics"])),
        "",
        "Latency of a call, as its caller measured",
        *_rows((name, _duration(ns)) for name, ns in run["latency_ns"].items()),
        "",
        "Proof: all files read back and compared with the producers' notes",
        *_rows(_counts(proof)),
        "",
        *_verdict(proof),
    ]
    return [escape(line) for line in lines]


def _headline(run: Mapping[str, Any]) -> list[str]:
    settings, replay = run["settings"], run["replay"]
    pace = f"{settings['rate']:,} a second" if settings["rate"] else "as fast as possible"
    return [
        f"{replay['produced']:,} records of {settings['threads']} threads, made from "
        f"{settings['lines']:,} lines, went through the backend {settings['backend']!r}.",
        f"Asked for: {pace}. Logged in {replay['seconds']:.2f} s "
        f"({replay['records_per_second']:,.0f} a second), "
        f"all written {replay['drain_seconds']:.2f} s later.",
    ]


def _statistics(statistics: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [(name, _shown(statistics[name])) for name in _STATISTICS]
    for name, histogram in statistics["latency"].items():
        count = histogram["count"]
        mean = histogram["sum_ns"] / count if count else 0
        text = f"{_duration(mean)} mean, {_duration(histogram['max_ns'])} max"
        rows.append((f"latency {name}", f"{text}, {count:,} batches"))
    if statistics["last_error"]:
        rows.append(("last_error", statistics["last_error"]["message"]))
    return rows


def _counts(proof: Mapping[str, Any]) -> list[tuple[str, str]]:
    files = proof["files"]
    packed = sum(name.endswith(".gz") for name in files)
    return [
        ("noted by producers", f"{proof['produced']:,}"),
        ("written", f"{proof['written']:,} in {len(files)} files, {packed} of them packed"),
        ("missing", f"{proof['missing']:,}"),
        ("counted as dropped", f"{proof['dropped']:,}"),
        (
            "dropped, says the log",
            f"{proof['reported_dropped']:,} (records of lual.engine: {proof['drop_reports']:,})",
        ),
        ("written twice", f"{proof['duplicated']:,}"),
        ("out of order", f"{proof['out_of_order']:,}"),
        ("altered", f"{proof['altered']:,}"),
        ("never logged", f"{proof['unknown']:,}"),
        ("torn lines", f"{proof['torn_lines']:,}"),
    ]


def _verdict(proof: Mapping[str, Any]) -> list[str]:
    if proof["ok"]:
        dropped = f"; {proof['dropped']:,} were dropped and counted" if proof["dropped"] else ""
        return [
            f"The proof holds: {proof['written']:,} records are there once, unaltered and in "
            f"order{dropped}."
        ]
    return ["The proof FAILS:", *(f"  - {problem}" for problem in proof["problems"])]


def _rows(rows: Iterable[tuple[str, str]]) -> list[str]:
    listed = list(rows)
    width = max(len(name) for name, _ in listed)
    return [f"  {name:<{width}}  {value}".rstrip() for name, value in listed]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count:,}" for name, count in value.items()) or "-"
    return f"{value:,}" if isinstance(value, (int, float)) else str(value)


def _duration(ns: float) -> str:
    if ns < 1e6:
        return f"{ns / 1e3:,.1f} µs"
    return f"{ns / 1e6:,.1f} ms" if ns < 1e9 else f"{ns / 1e9:,.2f} s"
