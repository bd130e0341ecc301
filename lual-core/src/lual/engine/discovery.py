"""Finding the backend that an application asked for, without importing any.

`load` and `create`, which then import and build it, are `loading`'s.

Guarantees:
    * a search and a choice import no plugin;
    * a backend that isn't there is never replaced by another.
Assumes: neither pluggy nor `importlib_metadata` is needed before the first call.
"""

from __future__ import annotations

import os

from lual.engine.loading import LoadedBackend, create, load
from lual.engine.scan import PREFIX, Candidate, Scan, scan
from lual.errors import AmbiguousBackendError, UnknownBackendError, did_you_mean

__all__ = [
    "Candidate",
    "LoadedBackend",
    "ambiguity",
    "create",
    "default_name",
    "load",
    "resolve",
    "scan",
]

ENVIRONMENT = "LUAL_BACKEND"

#: The backends of this project, each in a distribution of its own.
FIRST_PARTY = ("coroutines", "threads", "mp")

#: The one that is taken if it is installed and nothing else was asked for.
PREFERRED = "coroutines"

NONE_INSTALLED = f"no backend is installed; install one with: pip install {PREFIX}threads"


def default_name() -> tuple[str | None, str]:
    """Returns the backend that is taken if none is asked for, None if there is none, and why."""
    asked = _asked_by_environment()
    if asked:
        return asked, f"{ENVIRONMENT} is set to it"
    names = scan().names() or scan(anew=True).names()
    if PREFERRED in names:
        return PREFERRED, "it is taken wherever it is installed"
    if len(names) == 1:
        return names[0], "it is the only one installed"
    if not names:
        return None, NONE_INSTALLED
    return None, (
        f"several backends are installed ({', '.join(names)}), none of them is {PREFERRED!r}; "
        f"name one with backend= or {ENVIRONMENT}"
    )


def resolve(name: str | None) -> Candidate:
    """Returns where to find a backend, importing nothing.

    Args:
        name: The backend's name, or `package.module:plugin` for one that isn't installed
            as a distribution; None takes the default.

    Raises:
        UnknownBackendError: There is no such backend, or no default.
        AmbiguousBackendError: Two distributions offer it.
    """
    by_environment = name is None and bool(_asked_by_environment())
    if name is None:
        name, reason = default_name()
        if name is None:
            raise UnknownBackendError(reason + _could_not_read(scan()))
    if ":" in name:
        return Candidate(name, name)
    # What was installed since the last search counts too.
    found = scan().named(name) or scan(anew=True).named(name)
    if not found:
        raise UnknownBackendError(_unknown(name, scan(), by_environment=by_environment))
    if len(found) > 1:
        raise AmbiguousBackendError(ambiguity(found))
    return found[0]


def ambiguity(found: list[Candidate]) -> str:
    """Returns what is wrong with several candidates of one name, and the ways out."""
    owners = " and ".join(f"{candidate.owner} ({candidate.value})" for candidate in found)
    return (
        f"the backend {found[0].name!r} is offered by {owners}; uninstall one of them, "
        'or name the plugin itself with backend="package.module:plugin"'
    )


def _asked_by_environment() -> str:
    return os.environ.get(ENVIRONMENT, "").strip()


def _unknown(name: str, found: Scan, *, by_environment: bool) -> str:
    message = f"no installed package offers the backend {name!r}"
    if by_environment:
        message += f", which {ENVIRONMENT} asks for"
    if name in FIRST_PARTY:
        message += f"; install it with: pip install {PREFIX}{name}"
    else:
        message += did_you_mean(name, [*found.names(), *FIRST_PARTY])
    installed = ", ".join(found.names())
    message += f" (installed: {installed})" if installed else f" ({NONE_INSTALLED})"
    for stale in found.stale:
        if stale.name == name:
            message += f"; {stale.path} is left over from an uninstall, remove it"
    return message + _could_not_read(found)


def _could_not_read(found: Scan) -> str:
    files = ", ".join(unreadable.file for unreadable in found.unreadable)
    return f"; could not read {files}" if files else ""
