"""The steps of a pipeline over a batch of raw records, each record isolated from the others.

Guarantees:
    * what one filter, transformer, presenter or output raises concerns its record, or its
      write, alone, and is reported once;
    * `KeyboardInterrupt`, `SystemExit` and other exceptions that aren't an `Exception` go
      on to the caller; nothing here outlives a run.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from lual import reports
from lual.errors import BatchWriteError, UnsupportedError
from lual.pipelines.escape import escape
from lual.record import ROUTE, Record, message_of
from lual.snapshot import safe_repr, safe_str

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lual.pipelines.batch import Batch

    Raw = Sequence[Any]

#: Characters of a record's message, and of a part's name, that a report quotes.
_MAX_QUOTED = 80
_MAX_NAME = 120


class PipelineResult(NamedTuple):
    """What became of the records that a pipeline was given.

    Attributes:
        wanted: Indices of the records that passed level and filters; None means all.
        failed: The exception of each wanted record that no output took, by its index.
        output_errors: Failures of single outputs, one per record and output, and one per
            record that a filter, transformer or presenter raised for.
    """

    wanted: Sequence[int] | None
    failed: Mapping[int, Exception]
    output_errors: int


#: The results of nearly every run, so that it allocates none.
ALL_TAKEN = PipelineResult(None, {}, 0)
NONE_WANTED = PipelineResult((), {}, 0)


class EachRecord:
    """Gives a plain callable its batches record by record.

    Args:
        output: Called with `(text, record)`.
    """

    __slots__ = ("output",)

    def __init__(self, output: Any) -> None:
        self.output = output

    def write(self, batch: Batch) -> None:
        """Calls the output for each record.

        Raises:
            BatchWriteError: It raised for some of them, or all.
        """
        output = self.output
        errors: dict[int, Exception] = {}
        for index, (text, record) in enumerate(batch):
            try:
                answer = output(text, record)
                if answer is not None:
                    refuse_awaitable(answer, output)
            except Exception as error:  # noqa: BLE001  an output's errors concern its record alone
                errors[index] = error
        if errors:
            raise BatchWriteError(errors)


class Run:
    """The records of one run that are still on their way, and what became of the others.

    Args:
        raws: The records that passed the level.
        positions: Their indices in what the pipeline was given; None means the same.
    """

    def __init__(self, raws: Sequence[Raw], positions: list[int] | None) -> None:
        self.raws: Sequence[Raw] = raws
        self.records: list[Record] | None = None
        self.wanted = positions
        self._positions: Sequence[int] = range(len(raws)) if positions is None else positions
        self._failed: dict[int, Exception] = {}
        self._output_errors = 0
        self._misses: dict[int, list[Exception]] = {}

    def apply_filters(self, filters: Sequence[Any]) -> None:
        """Keeps the records that every filter says yes to."""
        records = [Record(raw) for raw in self.raws]
        wanted, kept = [], []
        for index, record in enumerate(records):
            part: Any = None
            try:
                for part in filters:
                    if not part(record):
                        break
                else:
                    wanted.append(self._positions[index])
                    kept.append(index)
            except Exception as error:  # noqa: BLE001  the application's own filter: anything may come
                wanted.append(self._positions[index])
                self._fail(index, "filter", part, error)
        if len(wanted) < len(records):
            self.wanted = wanted
        self._keep(kept, [records[index] for index in kept])

    def apply_transformers(self, transformers: Sequence[Any]) -> None:
        """Replaces each record by what the transformers make of it."""
        kept, changed = [], []
        for index, record in enumerate(self.records or [Record(raw) for raw in self.raws]):
            part: Any = None
            try:
                for part in transformers:
                    answer = part(record)
                    if answer is not None:
                        record = _checked_record(answer)
            except Exception as error:  # noqa: BLE001  the application's own transformer: anything may come
                self._fail(index, "transformer", part, error)
            else:
                kept.append(index)
                changed.append(record)
        self._keep(kept, changed)

    def present(self, presenter: Any) -> list[str]:
        """Returns the text of each record, one by one, and drops those that fail."""
        texts, kept = [], []
        records = self.records or [Record(raw) for raw in self.raws]
        for index, record in enumerate(records):
            try:
                texts.append(_checked_text(presenter(record)))
            except Exception as error:  # noqa: BLE001  the application's own presenter: anything may come
                self._fail(index, "presenter", presenter, error)
            else:
                kept.append(index)
        self._keep(kept, [records[index] for index in kept])
        return texts

    def book_write(self, writer: Any, error: Exception) -> None:
        """Books and reports that an output failed on the batch of all remaining records."""
        errors: Mapping[int, Exception] = dict.fromkeys(range(len(self.raws)), error)
        if isinstance(error, BatchWriteError):
            named = {i: e for i, e in error.errors.items() if i in errors}
            errors = named or errors  # naming no record of the batch, it may mean any
        for index, reason in errors.items():
            self._misses.setdefault(self._positions[index], []).append(reason)
        self._output_errors += len(errors)
        if isinstance(writer, EachRecord):
            for index, reason in errors.items():
                _report("output", writer.output, reason, self.raws[index])
        elif errors:
            index, reason = next(iter(errors.items()))
            _report("output", writer, reason, self.raws[index], len(errors))

    def result(self, outputs: int) -> PipelineResult:
        """Returns what became of the records.

        Args:
            outputs: How many outputs there are: only a record that all of them failed on
                has failed.
        """
        for position, reasons in self._misses.items():
            if len(reasons) == outputs:
                self._failed[position] = reasons[0]
        if self.wanted is None and not self._output_errors:
            return ALL_TAKEN
        return PipelineResult(self.wanted, self._failed, self._output_errors)

    def _fail(self, index: int, kind: str, part: Any, error: Exception) -> None:
        self._failed[self._positions[index]] = error
        self._output_errors += 1
        _report(kind, part, error, self.raws[index])

    def _keep(self, kept: list[int], records: list[Record]) -> None:
        positions = self._positions
        self._positions = [positions[index] for index in kept]
        self.records = records
        self.raws = [record.raw for record in records]


def part_name(part: Any) -> str:
    """Returns what a report or an error calls a filter, transformer, presenter or output."""
    qualified = getattr(part, "__qualname__", None)
    if isinstance(qualified, str):
        return f"{getattr(part, '__module__', None) or '?'}.{qualified}"
    shown = safe_repr(part)
    if shown.startswith("<") and " object at 0x" in shown:
        return f"{type(part).__module__}.{type(part).__qualname__}"
    return shown if len(shown) <= _MAX_NAME else f"{shown[:_MAX_NAME]}..."


def refuse_awaitable(answer: Any, output: Any) -> None:
    """Raises if an output answered with something that had to be awaited.

    Raises:
        UnsupportedError: The output is `async def`, and nobody awaits it here.
    """
    if not hasattr(answer, "__await__"):
        return
    with contextlib.suppress(Exception):  # only coroutines have it, and they'd warn without
        answer.close()
    raise UnsupportedError(
        f"the output {part_name(output)} is async def, which nothing awaits here; "
        "use a backend with the capability async_outputs"
    )


def describe(error: BaseException) -> str:
    """Returns the kind and the text of an exception on one line."""
    return escape(reports.describe(error))


def _report(kind: str, part: Any, error: Exception, raw: Raw, number: int = 1) -> None:
    records = "a record" if number == 1 else f"{number} records, the first"
    try:
        message = safe_str(message_of(raw))
    except Exception as unreadable:  # noqa: BLE001  a transformer may have put anything there
        message = describe(unreadable)
    start = message if len(message) <= _MAX_QUOTED else f"{message[:_MAX_QUOTED]}..."
    reports.problem(
        kind,
        f"the {kind} {part_name(part)} raised {describe(error)} "
        f"on {records} of logger {raw[ROUTE].name!r}: {start!r}",
    )


def _checked_record(answer: Any) -> Record:
    if not isinstance(answer, Record):
        raise TypeError(f"a transformer must return a Record or None, not {safe_repr(answer)}")
    return answer


def _checked_text(answer: Any) -> str:
    if not isinstance(answer, str):
        raise TypeError(f"a presenter must return a str, not {safe_repr(answer)}")
    return answer
