"""The backend under test: found and built by the same code that the engine uses.

A second implementation of discovery would prove something about itself. But for this, the
kit imports `lual.backend` and lual's public names.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any, NoReturn

import attrs

from lual.backend import Backend, BackendConfig, BackendInfo
from lual.engine import discovery
from lual.engine.loading import LoadedBackend
from lual.engine.scan import Candidate
from lual.errors import BrokenBackendError, IncompatibleBackendError


@attrs.frozen
class Target:
    """A backend that was found and loaded.

    Args:
        name: How it was asked for: an entry point's name, or `package.module:plugin`.
        loaded: What discovery made of it.
        problem: Why lual refuses its plugin; the codes P1 to P10 say how. Rule 1.1 fails
            then, and nothing else can be tried.
    """

    name: str
    loaded: LoadedBackend
    problem: str | None = None

    @classmethod
    def find(cls, name: str) -> Target:
        """Finds and loads a backend.

        Raises:
            ConfigError: There is none, it is ambiguous, unavailable, or can't be imported.
        """
        candidate = discovery.resolve(name)
        try:
            return cls(name, discovery.load(candidate))
        except (BrokenBackendError, IncompatibleBackendError) as refusal:
            if not _can_be_imported(candidate):
                raise
            return cls(name, _refused(candidate), str(refusal))

    @property
    def info(self) -> BackendInfo:
        """What it says of itself."""
        return self.loaded.info

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What it claims."""
        return self.info.capabilities

    @property
    def distribution(self) -> str | None:
        """The distribution that offers it, None if it was named by reference."""
        return self.loaded.candidate.distribution

    @property
    def entry_point(self) -> str:
        """Where its plugin is."""
        return self.loaded.candidate.value

    def ask(self) -> Any:
        """Returns what `lual_backend_info` answers now."""
        return discovery.load(self.loaded.candidate).info

    def create(self, config: BackendConfig) -> Backend:
        """Builds it.

        Raises:
            ConfigError: It refuses the configuration, or lacks a call (P10).
        """
        return discovery.create(self.loaded, config)

    def faults(self, backend: Backend) -> Any:
        """Returns what its hook `lual_backend_faults` gives; None if it has none."""
        return self.loaded.faults(backend) if self.loaded.faults is not None else None


def _can_be_imported(candidate: Candidate) -> bool:
    """Tells whether a plugin is there at all, so that its author can be told more."""
    try:
        pkgutil.resolve_name(candidate.value)
    except BaseException:  # noqa: BLE001  a foreign module: its import may even end the process
        return False
    return True


def _refused(candidate: Candidate) -> LoadedBackend:
    def create(config: BackendConfig) -> NoReturn:
        raise BrokenBackendError(f"{candidate} can't be built: its plugin is refused")

    return LoadedBackend(candidate, BackendInfo(name=candidate.name, version=""), create, None)


def installed_names() -> list[str]:
    """Returns the names of all installed backends, importing none."""
    return list(discovery.scan(anew=True).names())
