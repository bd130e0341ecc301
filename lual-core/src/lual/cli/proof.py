"""The proof that a replayed log is complete: files against notes against statistics.

Every record that a producer noted must stand in the files exactly once, with its text, in
its producer's order; as many as are missing must have been counted as dropped, level by
level; and the log's own reports of drops must add up to the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lual.cli.log_files import LogLine, log_files, read_log
from lual.cli.replay import LOG, NOTES, RUN
from lual.engine.gap_record import ENGINE_LOGGER

#: A record by its producer's name and its number there, which starts with 1.
Key = tuple[str, int]

#: What the first proof of a run found missing: names a line that goes missing later.
MISSING = "missing.json"

#: Findings of one kind that are named one by one.
_NAMED = 5

#: What a note and its line agree on: the names in the one and in the other.
_AGREE = {"text": "message", "level": "level", "logger": "logger"}


class DamagedRunError(Exception):
    """A folder isn't what a run of the demo has left."""


class Findings:
    """Counts what is wrong by kind, and keeps a sentence about the first few of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.sentences: list[str] = []

    def add(self, kind: str, sentence: str) -> None:
        """Notes one finding."""
        self.counts[kind] += 1
        if self.counts[kind] <= _NAMED:
            self.sentences.append(sentence)

    def all(self) -> list[str]:
        """Returns the sentences, and how many more there would be."""
        more = [
            f"... and {count - _NAMED} more: {kind.replace('_', ' ')}"
            for kind, count in self.counts.items()
            if count > _NAMED
        ]
        return self.sentences + more


class Comparison:
    """Compares the lines of a log with the producers' notes, one by one.

    Args:
        notes: All notes, by their keys.
    """

    def __init__(self, notes: Mapping[Key, Mapping[str, Any]]) -> None:
        self._notes = notes
        self._last: dict[str, int] = {}
        self.findings = Findings()
        self.lines = 0
        self.seen: set[Key] = set()
        self.reports = 0
        self.reported: Counter[str] = Counter()

    def take(self, line: LogLine) -> None:
        """Compares the next line of the log."""
        entry = line.entry
        if entry is None:
            self.findings.add("torn_lines", f"{line.place} is torn: {line.problem}")
        elif entry.get("logger") == ENGINE_LOGGER:
            self._take_report(entry, line.place)
        else:
            self._take_record(entry, line.place)

    def _take_report(self, entry: Mapping[str, Any], place: str) -> None:
        by_level = entry.get("dropped_by_level")
        if not isinstance(by_level, dict) or any(type(n) is not int for n in by_level.values()):
            self.findings.add("unknown", f"{place} claims to be lual's own, and isn't")
            return
        self.reports += 1
        for level, count in by_level.items():
            self.reported[level] += count

    def _take_record(self, entry: Mapping[str, Any], place: str) -> None:
        self.lines += 1
        producer, number = entry.get("producer"), entry.get("number")
        if type(producer) is not str or type(number) is not int:
            self.findings.add("unknown", f"{place} names no producer and number")
            return
        key = (producer, number)
        note = self._notes.get(key)
        if note is None:
            self.findings.add("unknown", f"{named(key)} was never logged, and stands in {place}")
            return
        if key in self.seen:
            self.findings.add("duplicated", f"{named(key)} stands in the log again, in {place}")
            return
        self.seen.add(key)
        if number < self._last.get(producer, 0):
            self.findings.add(
                "out_of_order", f"{named(key)} comes after {self._last[producer]}, in {place}"
            )
        self._last[producer] = number
        for ours, theirs in _AGREE.items():
            if entry.get(theirs) != note[ours]:
                self.findings.add(
                    "altered", f"{named(key)} has another {theirs} than was logged, in {place}"
                )
                break


def prove(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads back all that a run left in its folder, and judges it.

    Args:
        folder: As `replay` has left it, or as somebody has changed it since.

    Returns:
        What is stored of the run, and the proof: `ok`, counts, and `problems`.

    Raises:
        DamagedRunError: The folder holds no run, or its notes can't be read.
    """
    run = _read_run(folder)
    notes = _read_notes(folder)
    comparison = Comparison(notes)
    files = log_files(folder / LOG)
    for line in read_log(files):
        comparison.take(line)
    missing = [key for key in notes if key not in comparison.seen]
    earlier = _missing_before(folder, missing)
    problems = comparison.findings.all()
    problems += _unexplained(missing, earlier, notes, run["statistics"])
    problems += _disagreements(comparison, len(notes), run["statistics"])
    counts = comparison.findings.counts
    proof = {
        "ok": not problems,
        "produced": len(notes),
        "written": comparison.lines,
        "dropped": run["statistics"]["messages_dropped"],
        "missing": len(missing),
        "reported_dropped": sum(comparison.reported.values()),
        "drop_reports": comparison.reports,
        **{kind: counts[kind] for kind in ("duplicated", "out_of_order", "altered")},
        **{kind: counts[kind] for kind in ("unknown", "torn_lines")},
        "files": [path.name for path in files],
        "problems": problems,
    }
    return run, proof


def named(key: Key) -> str:
    """Returns how a record is called in sentences."""
    return f"producer {key[0]}, number {key[1]}"


def _read_run(folder: Path) -> dict[str, Any]:
    try:
        run: dict[str, Any] = json.loads((folder / RUN).read_bytes())
        if {"settings", "replay", "statistics", "latency_ns"} <= run.keys():
            return run
        reason = "something is left out"
    except (OSError, ValueError, AttributeError) as error:
        reason = str(error)
    raise DamagedRunError(
        f"{folder} holds no run that can be read ({RUN}: {reason}); "
        "give a folder that `lual demo --keep` has made"
    )


def _read_notes(folder: Path) -> dict[Key, dict[str, Any]]:
    notes: dict[Key, dict[str, Any]] = {}
    try:
        with open(folder / NOTES, "rb") as lines:
            for line in lines:
                note = json.loads(line)
                notes[note["producer"], note["number"]] = {ours: note[ours] for ours in _AGREE}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DamagedRunError(
            f"the notes in {folder} can't be read ({NOTES}: {error}); nothing can be proved "
            "without them"
        ) from error
    return notes


def _missing_before(folder: Path, missing: Iterable[Key]) -> set[Key]:
    """Returns what the first proof found missing; if this is the first, stores it."""
    stored = folder / MISSING
    try:
        return {(producer, number) for producer, number in json.loads(stored.read_bytes())}
    except FileNotFoundError:
        found = set(missing)
        stored.write_text(json.dumps(sorted(found)) + "\n", encoding="ascii")
        return found
    except (OSError, ValueError, TypeError):  # it only helps to find the right names
        return set()


def _unexplained(
    missing: Iterable[Key],
    earlier: set[Key],
    notes: Mapping[Key, Mapping[str, Any]],
    statistics: Mapping[str, Any],
) -> list[str]:
    """Returns a sentence for each level of which other records are missing than were dropped."""
    by_level: dict[str, list[Key]] = {}
    for key in missing:
        by_level.setdefault(notes[key]["level"], []).append(key)
    dropped: Mapping[str, int] = statistics["dropped_by_level"]
    sentences = []
    for level in sorted({*by_level, *dropped}):
        keys, counted = by_level.get(level, []), dropped.get(level, 0)
        beyond = len(keys) - counted
        if beyond < 0:
            sentences.append(
                f"{counted} {level} records were counted as dropped, but only {len(keys)} "
                "are missing"
            )
        elif beyond:
            new = [key for key in keys if key not in earlier]
            sentences += _missing_sentences(level, beyond, new if len(new) >= beyond else keys)
    return sentences


def _missing_sentences(level: str, beyond: int, keys: list[Key]) -> list[str]:
    if len(keys) > beyond:
        shown = "; ".join(map(named, keys[:_NAMED])) + ("; ..." if len(keys) > _NAMED else "")
        return [f"{beyond} of these {level} records have no counted drop: {shown}"]
    sentences = [
        f"{named(key)} ({level}) is missing, and no drop was counted for it" for key in keys
    ]
    more = len(keys) - _NAMED
    return sentences[:_NAMED] + ([f"... and {more} more {level} records"] if more > 0 else [])


def _disagreements(
    comparison: Comparison, produced: int, statistics: Mapping[str, Any]
) -> list[str]:
    """Returns a sentence for each way in which statistics, notes and log disagree."""
    submitted, dropped = statistics["messages_submitted"], statistics["messages_dropped"]
    left = statistics["queue_size"] + statistics["in_flight"]
    reported = dict(comparison.reported)
    sentences = []
    if submitted != produced:
        sentences.append(f"the producers noted {produced} records, lual counted {submitted}")
    if left:
        sentences.append(f"lual says that {left} records were not finished")
    if reported != {k: n for k, n in statistics["dropped_by_level"].items() if n}:
        sentences.append(
            f"the log's own reports say that {sum(reported.values())} records were dropped, "
            f"by level {reported}; lual counted {dropped}"
        )
    if statistics["messages_failed"] or statistics["output_errors"]:
        sentences.append(
            f"lual counted {statistics['messages_failed']} failed records and "
            f"{statistics['output_errors']} errors of outputs"
        )
    return sentences
