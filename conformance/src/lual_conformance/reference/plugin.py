"""What makes one of the kit's own backends a plugin that lual can load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lual.backend import Backend, BackendConfig, BackendInfo, hookimpl


class Plugin:
    """A backend with its description.

    Args:
        create: Builds the backend; it has no options.
        name: The backend's.
        summary: One line for a person.
        **capabilities: As in `BackendInfo`.
    """

    def __init__(
        self, create: Callable[[BackendConfig], Any], name: str, summary: str, **capabilities: Any
    ) -> None:
        self._create = create
        self._info = BackendInfo(
            name=name, version="0.1.0", summary=summary, capabilities=capabilities
        )

    @hookimpl
    def lual_backend_info(self) -> BackendInfo:
        """Says what the backend is."""
        return self._info

    @hookimpl
    def lual_create_backend(self, config: BackendConfig) -> Backend:
        """Builds the backend.

        Raises:
            ConfigError: It was given an option, or a setting that it can't keep.
        """
        config.check_options()
        backend: Backend = self._create(config)
        return backend
