"""Checking what a plugin says of its backend (P9), and the backend it builds (P10)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lual.engine.plugin_check import bare_signature

if TYPE_CHECKING:
    from lual.backend.contract import BackendInfo

#: Every way in which lual calls a backend; an item and a dispatch function may be anything.
CALLS: Mapping[str, tuple[tuple[Any, ...], ...]] = {
    "submit": ((object(),),),
    "flush": ((), (1.0,)),
    "start": ((), (object(),)),
    "stop": ((), (1.0,)),
    "get_stats": ((),),
    "reset": ((),),
}


def info_problems(info: object) -> list[str]:
    """Returns what makes the answer of `lual_backend_info` useless.

    Args:
        info: The answer.
    """
    from lual.backend.contract import BackendInfo

    if not isinstance(info, BackendInfo):
        got = "nothing" if info is None else f"a {type(info).__name__}"
        return [f"P9 lual_backend_info() returned {got}; it must return a lual.backend.BackendInfo"]
    found = []
    contract: object = info.contract
    if not isinstance(contract, tuple) or [type(part) for part in contract] != [int, int]:
        found.append(f"P9 info.contract is {contract!r}; it must be (major, minor), as in (1, 0)")
    if not isinstance(info.capabilities, Mapping):
        found.append(f"P9 info.capabilities is {info.capabilities!r}; it must be a mapping")
    return found


def name_problems(info: BackendInfo, name: str) -> list[str]:
    """Returns a problem if the info and the entry point disagree about the name."""
    if info.name == name:
        return []
    return [f"P9 info.name is {info.name!r}, the entry point is {name!r}; they must be equal"]


def content_problems(info: BackendInfo, *, has_faults: bool) -> list[str]:
    """Returns what an info says that this contract doesn't know or allow.

    Args:
        info: Without `info_problems`, and not made for a newer contract.
        has_faults: The plugin offers `lual_backend_faults`.
    """
    found = [f"P9 {problem}" for problem in info.problems()]
    if info.capabilities.get("restarts_worker") and not has_faults:
        found.append(
            "P8 lual_backend_faults(backend) is missing; "
            "a backend that claims restarts_worker must offer it"
        )
    return found


def dotted(contract: tuple[int, int]) -> str:
    """Returns a contract version as people write it."""
    return f"{contract[0]}.{contract[1]}"


def backend_problems(backend: object) -> list[str]:
    """Returns what keeps lual from calling what `lual_create_backend` built.

    Args:
        backend: Need not inherit from `Backend`.
    """
    if backend is None:
        return ["P10 lual_create_backend(config) returned nothing; it must return the backend"]
    kind = type(backend).__name__
    found = []
    for name, calls in CALLS.items():
        method = getattr(backend, name, None)
        if not callable(method):
            found.append(f"P10 {kind} lacks the method {name}; lual calls {_call(name, calls[-1])}")
        elif inspect.iscoroutinefunction(method):
            found.append(
                f"P10 {kind}.{name} is async; lual calls it plainly, make it a plain method"
            )
        else:
            found += [
                f"P10 {kind}.{name}{bare_signature(method)} can't be called as "
                f"{_call(name, call)}, which lual does: {reason}"
                for call in calls
                if (reason := _refusal(method, call))
            ]
    return found


def _call(name: str, arguments: tuple[Any, ...]) -> str:
    words = {"submit": "work_item", "start": "dispatch_func"}
    return f"{name}({', '.join(words.get(name, repr(value)) for value in arguments)})"


def _refusal(method: Any, arguments: tuple[Any, ...]) -> str | None:
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        return None  # written in C: only a call could tell
    try:
        signature.bind(*arguments)
    except TypeError as error:
        return str(error)
    return None
