"""The batch: what an output is given to write, made of records only if it asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from lual.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator


class Batch(Sequence[tuple[str, Record]]):
    """A sequence of `(text, record)`, which also shows its texts alone.

    Args:
        texts: The presented records.
        raws: What the records are views of, in the same order.
        records: The views, if somebody made them already.

    Attributes:
        texts: All that most outputs need; not to be changed.
        raws: The records' raw tuples; not to be changed.

    Threads: safe to read from any thread.
    """

    __slots__ = ("_records", "raws", "texts")

    def __init__(
        self,
        texts: list[str],
        raws: Sequence[Sequence[Any]],
        records: list[Record] | None = None,
    ) -> None:
        self.texts = texts
        self.raws = raws
        self._records = records

    def records(self) -> list[Record]:
        """Returns the records, the same objects each time."""
        records = self._records
        if records is None:
            records = self._records = [Record(raw) for raw in self.raws]
        return records

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, index: int) -> tuple[str, Record]: ...
    @overload
    def __getitem__(self, index: slice) -> Batch: ...
    def __getitem__(self, index: int | slice) -> tuple[str, Record] | Batch:
        if isinstance(index, slice):
            return Batch(self.texts[index], self.raws[index], self.records()[index])
        return self.texts[index], self.records()[index]

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        return zip(self.texts, self.records(), strict=True)

    def __repr__(self) -> str:
        return f"<Batch of {len(self.texts)}>"
