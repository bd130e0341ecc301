"""Every exception that lual raises on purpose, and the phrasing they share.

LualError
├── ConfigError (also a ValueError)     a setting, a level or a backend that can't be used
│   ├── UnknownBackendError             no installed package offers the name
│   ├── AmbiguousBackendError           two distributions offer the name
│   ├── BrokenBackendError              the plugin doesn't import, or breaks the contract
│   ├── IncompatibleBackendError        the plugin was written for another contract
│   └── UnavailableBackendError         the plugin works, but not on this machine
├── UnsupportedError                    a backend was asked for what it declares it lacks
├── BatchWriteError                     an output took some records of a batch, not all
└── ReportedError                       a record failed, and that was reported already
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class LualError(Exception):
    """The base of every exception that lual raises on purpose."""


class ConfigError(LualError, ValueError):
    """A setting has a value that can't be used; nothing of the call was applied."""


class UnknownBackendError(ConfigError):
    """No installed distribution offers a backend of that name."""


class AmbiguousBackendError(ConfigError):
    """More than one distribution offers a backend of that name."""


class BrokenBackendError(ConfigError):
    """The backend's plugin can't be imported, or doesn't keep the plugin contract."""


class IncompatibleBackendError(ConfigError):
    """The backend was written for another major version of the contract."""


class UnavailableBackendError(ConfigError):
    """The backend says that it can't work on this machine."""


class UnsupportedError(LualError):
    """A backend was asked for something that its capabilities say it lacks."""


class BatchWriteError(LualError):
    """An output took some records of a batch and failed on others.

    An output's `write(batch)` raises it to say exactly which records are lost; any
    other exception fails the whole batch.

    Args:
        errors: The exception of each failed record, by its index in the batch.
    """

    def __init__(self, errors: Mapping[int, Exception]) -> None:
        self.errors = dict(errors)
        first = next(iter(self.errors.values()), None)
        super().__init__(f"{len(self.errors)} records of the batch were not written: {first}")


def did_you_mean(name: object, candidates: Iterable[str]) -> str:
    """Returns the hint that ends an error about an unknown name.

    Args:
        name: What was given.
        candidates: The valid names.

    >>> did_you_mean("thread", ["threads", "mp"])
    "; did you mean 'threads'?"
    >>> did_you_mean("zzz", ["threads", "mp"])
    ''
    """
    from difflib import get_close_matches  # only ever needed on the way to an error

    near = get_close_matches(str(name).lower(), list(candidates), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


class ReportedError(LualError):
    """The outcome of a record whose failure the pipelines reported themselves."""


class StoppedError(LualError, RuntimeError):
    """A record came after a stop, and the application asked to be told by an exception."""
