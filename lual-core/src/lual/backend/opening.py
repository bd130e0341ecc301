"""Building the dispatch from a description, in whichever process the outputs shall live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lual.backend.items import BatchDispatch


class PipelinesDescription(Protocol):
    """What the engine passes as `BackendConfig.pipelines`; it can be pickled."""

    def open(self) -> BatchDispatch:
        """Opens all outputs and returns what runs records through the pipelines."""


def open_dispatch(pipelines: PipelinesDescription) -> BatchDispatch:
    """Opens the outputs of a description and returns their dispatch.

    Args:
        pipelines: `BackendConfig.pipelines`, also after a trip to another process.

    Raises:
        ConfigError: An output can't be opened.
    """
    return pipelines.open()
