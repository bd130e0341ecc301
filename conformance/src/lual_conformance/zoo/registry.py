"""The broken backends: each a small subclass of a perfect one, and where it must fail."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

#: Modules of mutants, by the chapter whose rules they break.
HOUSES = (
    "identity",
    "configuration",
    "lifecycle",
    "resets",
    "submission",
    "reentry",
    "dispatch",
    "batches",
    "triggers",
    "dispatch_functions",
    "flush",
    "flush_limits",
    "flush_answers",
    "overflow",
    "protection",
    "blocking",
    "errors",
    "recovery",
    "statistics",
    "stopping",
    "stop_deadlines",
    "exits",
    "forks",
    "concurrency",
    "event_loops",
    "processes",
    "process_programs",
    "second_look",
    "second_look_calls",
    "second_look_scratch",
    "second_look_own",
)

#: The perfect backends that mutants derive from; both must pass everything.
PERFECT = (
    "lual_conformance.reference.threads:plugin",
    "lual_conformance.reference.inline:plugin",
)


@attrs.frozen(kw_only=True)
class Mutant:
    """One broken backend.

    Args:
        name: The class's.
        expect: By rule id, a fragment of the message with which that rule must fail.
        plugin: What discovery loads.
        summary: What is wrong with it.
    """

    name: str
    expect: Mapping[str, str]
    plugin: Any
    summary: str

    @property
    def reference(self) -> str:
        """How it is named where a backend is asked for."""
        return f"lual_conformance.zoo.plugins:{self.name}"


_mutants: dict[str, Mutant] = {}
_Class = TypeVar("_Class", bound=type)


def mutant(
    expect: Mapping[str, str],
    *,
    plugin: Callable[..., Any] | None = None,
    **capabilities: Any,
) -> Callable[[_Class], _Class]:
    """Enters a broken backend into the zoo.

    Args:
        expect: By rule id, a fragment of the message with which that rule must fail; every
            other rule must not fail.
        plugin: Called with the class, its name and the capabilities; None: the plugin class
            that belongs to the perfect backend.
        **capabilities: What it claims differently.

    Raises:
        ValueError: Two mutants have one name, or nothing is expected of one.
    """

    def enter(backend: _Class) -> _Class:
        name = backend.__name__
        if not expect:
            raise ValueError(f"the mutant {name} must fail somewhere")
        if name in _mutants:
            raise ValueError(f"two mutants are called {name}")
        make = plugin if plugin is not None else backend.plugin_class  # type: ignore[attr-defined]
        _mutants[name] = Mutant(
            name=name,
            expect=dict(expect),
            # The name is the reference's last part: what is asked for, discovery finds.
            plugin=make(backend, name, **capabilities),
            summary=(backend.__doc__ or "").strip().splitlines()[0],
        )
        return backend

    return enter


def load_mutants() -> Mapping[str, Mutant]:
    """Returns all mutants by name."""
    for house in HOUSES:
        importlib.import_module(f"lual_conformance.zoo.{house}")
    return dict(_mutants)
