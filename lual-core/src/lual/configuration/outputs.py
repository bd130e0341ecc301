"""The outputs of a configuration: opened before it is in force, closed after their last record.

An output may stand in several pipelines, and stay while its pipeline is replaced; so it is
told apart by identity, opened when the first pipeline with it comes, and closed when the
last one has gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lual.errors import ConfigError
from lual.levels import NOTSET
from lual.pipelines.pipeline import Pipeline, is_async_output

if TYPE_CHECKING:
    from lual.engine.line import Line


class Outputs:
    """Each output of some pipelines once, in order.

    Args:
        pipelines: Where they stand.
    """

    def __init__(self, pipelines: Iterable[Pipeline] = ()) -> None:
        self._by_id = {id(output): output for each in pipelines for output in each.outputs}

    def without(self, others: Outputs) -> Outputs:
        """Returns those that aren't among `others`."""
        rest = Outputs()
        rest._by_id = {k: v for k, v in self._by_id.items() if k not in others._by_id}
        return rest

    def open(self) -> None:
        """Opens all of them.

        Raises:
            ConfigError: One can't be opened; those before it were closed again.
        """
        self._as_pipeline().open()

    def close(self) -> None:
        """Closes all of them; errors are reported."""
        self._as_pipeline().close()

    def _as_pipeline(self) -> Pipeline:
        # It knows how to open, undo and report; no record ever passes through it.
        return Pipeline(NOTSET, (), (), str, tuple(self._by_id.values()))

    def check_awaited_by(self, line: Line | None) -> None:
        """Refuses `async def` outputs where nobody awaits them.

        Args:
            line: What is to write to them; None for synchronous logging.

        Raises:
            ConfigError: There is such an output.
        """
        if line is not None and line.supports_async_outputs():
            return
        why = f"the backend {line.name!r}" if line is not None else "synchronous logging"
        for output in self:
            if is_async_output(output):
                raise ConfigError(
                    f"output {output!r} is an async def, which {why} can't await; "
                    "use the backend 'coroutines', or make it a plain function"
                )

    def __iter__(self) -> Any:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)
