"""Replaying lines through lual by several threads, each of which notes what it logged.

Guarantees:
    * a producer's notes are a plain list of its own, written before each call, so that
      nothing of lual stands between them and the truth;
    * lual's configuration is the default one afterwards.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lual
from lual.cli.demo_input import Line
from lual.engine.gap_record import ENGINE_LOGGER
from lual.levels import WARNING, level_name
from lual.record import Record

#: The files of a run, in its folder.
LOG = "demo.log"
NOTES = "notes.jsonl"
RUN = "run.json"

#: Records on the console, about; a person reads no more.
_SHOWN = 40

#: How often a run's file is rotated, about, and how many bytes a record takes besides
#: its text.
_ROTATIONS = 8
_BESIDES_TEXT = 180
_LEAST_BYTES = 4096

#: More backups than a run ever makes: one that is removed takes its lines with it.
_BACKUPS = 1000

#: Seconds for what is queued when the last record was logged.
_PATIENCE = 60.0

#: Seconds between two looks at the progress.
_LOOK = 0.05


class Plan(NamedTuple):
    """What a run does.

    Args:
        backend: Name of an installed one.
        threads: How many producers.
        records: In all.
        rate: Records per second in all; 0: as fast as possible.
        lines: Replayed in turn, from the start again after the last.
        folder: Where the log goes; it exists.
    """

    backend: str
    threads: int
    records: int
    rate: int
    lines: Sequence[Line]
    folder: Path


class Thinned:
    """A filter that lets through one record in so many, and all of lual's own.

    Args:
        every: 1 lets all through.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._seen = 0

    def __call__(self, record: Record) -> bool:
        """Tells whether the record is shown; called by one thread at a time."""
        if record.logger_name == ENGINE_LOGGER:
            return True
        self._seen += 1
        return self._seen % self._every == 0


class Producer:
    """One thread that logs its share of the records.

    Args:
        plan: The run's.
        place: Which producer this is, from 0.
        stop: Set to end it early.
    """

    def __init__(self, plan: Plan, place: int, stop: threading.Event) -> None:
        self.name = f"p{place + 1}"
        # Number n stands at n - 1. A tuple a note would make the garbage collector's pauses
        # a part of the latency.
        self.notes: list[Line] = []
        self.latencies: list[int] = []
        self.error: BaseException | None = None
        self._plan = plan
        self._place = place
        self._stop = stop
        self._calls: dict[tuple[str, int], Callable[..., None]] = {}
        # A Ctrl-C that isn't heeded must not leave a process that goes on.
        self.thread = threading.Thread(target=self._run, name=f"producer-{self.name}", daemon=True)

    def _run(self) -> None:
        try:
            self._produce()
        except BaseException as error:  # noqa: BLE001  raised again by who waits for the thread
            self.error = error

    def _produce(self) -> None:
        plan, place, stop = self._plan, self._place, self._stop
        lines, threads = plan.lines, plan.threads
        now = time.perf_counter_ns
        started = time.perf_counter()
        for number, index in enumerate(range(place, plan.records, threads), 1):
            if plan.rate:
                early = started + index / plan.rate - time.perf_counter()
                if early > 0:
                    stop.wait(early)
            if stop.is_set():
                return
            line = lines[index % len(lines)]
            call = self._call(line)
            self.notes.append(line)
            begun = now()
            call(line.text, number=number)
            self.latencies.append(now() - begun)

    def logger_name(self, line: Line) -> str:
        """Returns the name of the logger that the line goes to."""
        return f"demo.{self.name}.{line.component}"

    def _call(self, line: Line) -> Callable[..., None]:
        """Returns the method that logs such a line."""
        key = (line.component, line.level)
        call = self._calls.get(key)
        if call is None:
            logger = lual.logger(self.logger_name(line)).bind(producer=self.name)
            call = self._calls[key] = getattr(logger, level_name(line.level).lower())
        return call

    def noted(self) -> Iterator[dict[str, Any]]:
        """Yields the notes as they are stored."""
        for number, line in enumerate(self.notes, 1):
            yield {
                "producer": self.name,
                "number": number,
                "level": level_name(line.level),
                "logger": self.logger_name(line),
                "text": line.text,
            }


def replay(plan: Plan, progress: Callable[[int], None]) -> dict[str, Any]:
    """Runs the plan, stores the producers' notes, and returns what is known of the run.

    Args:
        plan: The folder's log must not exist yet.
        progress: Called now and then with the number of records logged so far.

    Returns:
        `settings`, `replay`, `statistics` and `latency_ns`, also stored in the folder.

    Raises:
        ConfigError: The backend or the folder can't be used; nothing was logged.
        OSError: The notes can't be stored.

    Blocks: for the whole run.
    """
    stop = threading.Event()
    producers = [Producer(plan, place, stop) for place in range(plan.threads)]
    _configure(plan)
    try:
        began = time.perf_counter()
        _produce(producers, stop, progress)
        logged = time.perf_counter()
        lual.flush(_PATIENCE)
        lual.shutdown(_PATIENCE)
        written = time.perf_counter()
        statistics = lual.get_stats()
    finally:
        lual.reset_config()
    produced = _count(producers)
    run = {
        "settings": _settings(plan),
        "replay": {
            "produced": produced,
            "seconds": round(logged - began, 6),
            "drain_seconds": round(written - logged, 6),
            "records_per_second": round(produced / (logged - began), 1),
        },
        "statistics": statistics,
        "latency_ns": percentiles([ns for producer in producers for ns in producer.latencies]),
    }
    _store(plan.folder, producers, run)
    return run


def _configure(plan: Plan) -> None:
    warnings = sum(line.level >= WARNING for line in _replayed(plan))
    text = sum(len(line.text) for line in _replayed(plan))
    max_bytes = max(_LEAST_BYTES, (text + _BESIDES_TEXT * plan.records) // _ROTATIONS)
    lual.reset_config()
    lual.async_writer.reset()  # the statistics are to be of this run alone
    lual.config(
        async_enabled=True,
        backend=plan.backend,
        loggers={"demo": {"level": "debug"}},
        pipelines=[
            lual.pipeline(
                level="warning",
                filters=[Thinned(max(1, warnings // _SHOWN))],
                presenter=lual.color(
                    "{time} {level:<8} {logger}: {message}", time_format="%H:%M:%S"
                ),
                outputs=[lual.console()],
            ),
            lual.pipeline(
                presenter=lual.json(),
                outputs=[
                    lual.file(
                        plan.folder / LOG, max_bytes=max_bytes, backups=_BACKUPS, compress="gzip"
                    )
                ],
            ),
        ],
    )


def _replayed(plan: Plan) -> Iterator[Line]:
    return (plan.lines[index % len(plan.lines)] for index in range(plan.records))


def _produce(
    producers: Sequence[Producer], stop: threading.Event, progress: Callable[[int], None]
) -> None:
    """Runs all producers to their end, or until a Ctrl-C."""
    try:
        for producer in producers:
            producer.thread.start()
        for producer in producers:
            while producer.thread.is_alive():
                producer.thread.join(_LOOK)
                progress(_count(producers))
    except BaseException:
        stop.set()
        raise
    for producer in producers:
        if producer.error is not None:
            raise producer.error
    progress(_count(producers))


def _count(producers: Sequence[Producer]) -> int:
    return sum(len(producer.notes) for producer in producers)


def percentiles(samples: Sequence[int]) -> dict[str, int]:
    """Returns p50, p90, p99, p99.9 and the largest, each one of the samples (nearest rank).

    Args:
        samples: At least one.

    >>> percentiles(range(1, 1001))
    {'p50': 500, 'p90': 900, 'p99': 990, 'p99.9': 999, 'max': 1000}
    """
    ordered = sorted(samples)
    ranks = {"p50": 500, "p90": 900, "p99": 990, "p99.9": 999, "max": 1000}
    # In whole thousandths: 0.999 * 1000 must not become 1000 by rounding.
    return {name: ordered[-(-rank * len(ordered) // 1000) - 1] for name, rank in ranks.items()}


def _settings(plan: Plan) -> dict[str, Any]:
    shown = plan._asdict()
    shown["lines"] = len(plan.lines)
    shown["folder"] = str(plan.folder)
    return shown


def _store(folder: Path, producers: Sequence[Producer], run: dict[str, Any]) -> None:
    with open(folder / NOTES, "w", encoding="ascii") as notes:
        for producer in producers:
            notes.writelines(json.dumps(note) + "\n" for note in producer.noted())
    (folder / RUN).write_text(json.dumps(run, indent=2) + "\n", encoding="ascii")
