"""The pipeline: level, filters, transformers, presenter, outputs, and how they run.

Guarantees:
    * a part that raises concerns its record alone, or its write, and is reported;
    * every output is given every record that reached it, whatever the others did.
Assumes: one output isn't written to by two runs at a time, unless it has a lock of its own.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lual import reports
from lual.errors import ConfigError
from lual.levels import NOTSET, level_name
from lual.pipelines.batch import Batch
from lual.pipelines.checks import checked
from lual.pipelines.running import (
    ALL_TAKEN,
    NONE_WANTED,
    EachRecord,
    PipelineResult,
    Run,
    describe,
    part_name,
    refuse_awaitable,
)
from lual.record import LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lual.record import Record

    Filter = Callable[[Record], Any]
    Transformer = Callable[[Record], Record | None]
    Presenter = Callable[[Record], str]

#: The flag of a code object made by `async def`: inspect.CO_COROUTINE.
_CO_COROUTINE = 0x80


class Pipeline:
    """What happens to the records of a logger; made by `lual.pipeline`, which checks it.

    Attributes:
        level: Records below it are not wanted.
        filters: Called with a record; all must say yes.
        transformers: Called with a record in order; each returns another, or None to keep
            it.
        presenter: Makes the text.
        outputs: Where text and record go.
    """

    __slots__ = ("_many", "_writers", "filters", "level", "outputs", "presenter", "transformers")

    def __init__(
        self,
        level: int,
        filters: tuple[Filter, ...],
        transformers: tuple[Transformer, ...],
        presenter: Presenter,
        outputs: tuple[Any, ...],
    ) -> None:
        self.level = level
        self.filters = filters
        self.transformers = transformers
        self.presenter = presenter
        self.outputs = outputs
        self._many = getattr(presenter, "many", None)
        self._writers = tuple(o if hasattr(o, "write") else EachRecord(o) for o in outputs)

    def run(self, raws: Sequence[Sequence[Any]]) -> PipelineResult:
        """Puts raw records through the pipeline and tells what became of them.

        Args:
            raws: In the order in which outputs shall see them.

        Raises:
            BaseException: Only what isn't an `Exception`, from a filter, transformer,
                presenter or output; the outputs after that one weren't called.

        Blocks: as long as the outputs do.
        Threads: any thread, for one output one at a time.
        """
        positions: list[int] | None = None
        level = self.level
        if level:
            positions = [i for i, raw in enumerate(raws) if raw[LEVEL] >= level]
            if not positions:
                return NONE_WANTED if raws else ALL_TAKEN
            if len(positions) == len(raws):
                positions = None
            else:
                raws = [raws[i] for i in positions]
        run: Run | None = None
        if self.filters or self.transformers:
            run = self._choose(raws, positions)
            if not run.raws:
                return run.result(len(self.outputs))
            raws = run.raws
        texts = self._present(raws)
        if texts is None:
            run = run or Run(raws, positions)
            texts = run.present(self.presenter)
            raws = run.raws
        if texts:
            records = run.records if run is not None else None
            run = self._write(Batch(texts, raws, records), run, positions)
        if run is not None:
            return run.result(len(self.outputs))
        return ALL_TAKEN if positions is None else PipelineResult(positions, {}, 0)

    def _write(self, batch: Batch, run: Run | None, positions: list[int] | None) -> Run | None:
        """Gives each output the batch; returns the run that errors were booked on, if any."""
        for writer in self._writers:
            try:
                answer = writer.write(batch)
                if answer is not None:
                    refuse_awaitable(answer, writer)
            except Exception as error:  # noqa: BLE001  it concerns this output alone
                run = run or Run(batch.raws, positions)
                run.book_write(writer, error)
        return run

    def _choose(self, raws: Sequence[Sequence[Any]], positions: list[int] | None) -> Run:
        run = Run(raws, positions)
        if self.filters:
            run.apply_filters(self.filters)
        if self.transformers:
            run.apply_transformers(self.transformers)
        return run

    def _present(self, raws: Sequence[Sequence[Any]]) -> list[str] | None:
        """Returns all texts at once, or None if they must be presented one by one."""
        if self._many is None:
            return None
        try:
            texts = self._many(raws)
        except Exception:  # noqa: BLE001  one by one it will show which record it was
            return None
        return texts if isinstance(texts, list) and len(texts) == len(raws) else None

    def open(self) -> None:
        """Opens the outputs that have something to open.

        Raises:
            ConfigError: An output can't be opened; those before it were closed again.

        Blocks: as long as the outputs do.
        """
        opened: list[Any] = []
        for output in self.outputs:
            try:
                if callable(getattr(output, "open", None)):
                    output.open()
            except BaseException as error:
                for earlier in opened:
                    _tell(earlier, "close")
                if not isinstance(error, Exception):
                    raise
                raise ConfigError(_why_not_opened(output, error)) from error
            opened.append(output)

    def flush(self) -> None:
        """Flushes the outputs that have a `flush`; their errors are reported.

        Blocks: as long as the outputs do.
        """
        for output in self.outputs:
            _tell(output, "flush")

    def close(self) -> None:
        """Closes the outputs that have a `close`; their errors are reported.

        Blocks: as long as the outputs do.
        """
        for output in self.outputs:
            _tell(output, "close")

    def _settings(self) -> tuple[Any, ...]:
        return self.level, self.filters, self.transformers, self.presenter, self.outputs

    def __reduce__(self) -> tuple[Any, ...]:
        return Pipeline, self._settings()

    def is_like(self, other: Pipeline) -> bool:
        """Tells whether the other has the same settings; each still is a pipeline of its own."""
        return self._settings() == other._settings()

    def __repr__(self) -> str:
        shown = [f"level={level_name(self.level)!r}"] if self.level else []
        for name in ("filters", "transformers"):
            if getattr(self, name):
                shown.append(f"{name}={list(getattr(self, name))!r}")
        shown += [f"presenter={self.presenter!r}", f"outputs={list(self.outputs)!r}"]
        return f"lual.pipeline({', '.join(shown)})"


def _tell(output: Any, verb: str) -> None:
    """Calls a method of an output if it has it; an error is reported."""
    method = getattr(output, verb, None)
    if not callable(method):
        return
    try:
        answer = method()
        if answer is not None:
            refuse_awaitable(answer, output)
    except Exception as error:  # noqa: BLE001  the other outputs must be told as well
        name = part_name(output)
        reports.problem("output", f"{verb} of the output {name} raised {describe(error)}")


def _why_not_opened(output: Any, error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        reason = f"{error.strerror or type(error).__name__}: {error.filename!r}"
    elif isinstance(error, (OSError, ConfigError)):
        reason = str(error)
    else:
        reason = describe(error)
    return f"the output {part_name(output)} can't be opened: {reason}"


def is_async_output(output: Any) -> bool:
    """Tells whether writing to an output must be awaited.

    Args:
        output: An `async def` function or callable object, or an object whose `write` is.
    """
    function = _unwrapped(getattr(output, "write", output))
    if not hasattr(function, "__code__"):
        function = _unwrapped(type(function).__call__)
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & _CO_COROUTINE)


def _unwrapped(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


def pipeline(
    level: int | str = NOTSET,
    filters: Sequence[Filter] = (),
    transformers: Sequence[Transformer] = (),
    presenter: Presenter | None = None,
    outputs: Sequence[Any] = (),
) -> Pipeline:
    """Returns a pipeline once each of its parts has been found usable.

    Args:
        level: Records below it are not wanted; a name in any case, an int or a constant.
        filters: Called with a record; a record passes if all say yes.
        transformers: Called with a record in order; each returns another record, or None
            to keep it.
        presenter: Called with a record, returns its text; default `lual.text()`.
        outputs: At least one: a callable `(text, record)`, or an object with
            `write(batch)` and optionally `open()`, `flush()` and `close()`.

    Raises:
        ConfigError: A part can't be used; the message names it and says what can.
    """
    return Pipeline(*checked("pipeline", level, filters, transformers, presenter, outputs))
