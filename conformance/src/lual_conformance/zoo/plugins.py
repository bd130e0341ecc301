"""The plugin of every mutant, as an attribute, so that each can be named like any backend."""

from __future__ import annotations

from typing import Any

from lual_conformance.zoo.registry import load_mutants


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    found = load_mutants().get(name)
    if found is None:
        raise AttributeError(f"the zoo has no mutant {name!r}")
    getattr(found.plugin, "on_import", int)()  # what its module does, had it one of its own
    return found.plugin
