"""What a user says on either command line, made into the settings of a run."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import attrs

from lual_conformance.project import Project
from lual_conformance.registry import LEVELS, PROFILES, load_rules, select
from lual_conformance.settings import RunSettings, default_scale

#: Seeds are printed and typed, so they are short.
_SEEDS = 10**9


class OptionError(ValueError):
    """An option can't be used; the message says which, and what is allowed."""


@attrs.frozen(kw_only=True)
class Asked:
    """The options as they were given; None or empty where one wasn't.

    Args:
        level: One of `LEVELS`.
        rules: Patterns, each maybe several with commas.
        profiles: Names, each maybe several with commas.
        options: `KEY=VALUE` for the backend; a value that is JSON is taken as that.
        mode: A label, maybe one of the project's modes.
        seed: A number.
        scale: Multiplies watchdogs.
        time_budget: Seconds.
        strict_env: Whether a rule that can't be checked here counts as failed.
    """

    level: str = "standard"
    rules: Sequence[str] = ()
    profiles: Sequence[str] = ()
    options: Sequence[str] = ()
    mode: str | None = None
    seed: int | None = None
    scale: float | None = None
    time_budget: float | None = None
    strict_env: bool = False


def run_settings(asked: Asked, project: Project) -> RunSettings:
    """Returns the settings of a run.

    Args:
        asked: On the command line.
        project: In its files.

    Raises:
        OptionError: An option can't be used.
    """
    rules, profiles = _listed(asked.rules), _listed(asked.profiles)
    try:
        select(load_rules().values(), rules)
        scale = asked.scale if asked.scale is not None else default_scale()
    except ValueError as error:
        raise OptionError(str(error)) from error
    if not scale > 0:
        raise OptionError(f"the timeout scale must be a number above 0, got {scale!r}")
    if asked.level not in LEVELS:
        raise OptionError(f"the level must be one of {', '.join(LEVELS)}, got {asked.level!r}")
    for profile in profiles:
        if profile not in PROFILES:
            raise OptionError(f"the profiles are {', '.join(PROFILES)}; got {profile!r}")
    options = dict(project.modes.get(asked.mode or "", {}))
    options.update(map(_pair, asked.options))
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(_SEEDS)
    return RunSettings(
        level=asked.level,
        rules=rules,
        profiles=profiles,
        options=options,
        mode=asked.mode or "default",
        seed=seed,
        scale=scale * project.timeout_scale,
        time_budget=asked.time_budget,
        strict_env=asked.strict_env,
    )


def _listed(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise OptionError(f"an option for the backend is KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def chosen_backends(asked: Sequence[str], project: Project, installed: Sequence[str]) -> list[str]:
    """Returns the names of the backends to run.

    Args:
        asked: By name, by reference, or `all`.
        project: Whose backends are taken if none is asked for.
        installed: The names of all that are.

    Raises:
        OptionError: None is asked for, and the project has none.
    """
    names = [n for name in asked for n in (installed if name == "all" else [name])]
    if not names:
        names = list(project.backends)
    if not names:
        known = ", ".join(installed) or "none"
        raise OptionError(
            "which backend? name it with --lual-backend NAME (installed: "
            f"{known}), or 'all', or package.module:plugin"
        )
    return list(dict.fromkeys(names))
