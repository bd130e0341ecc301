"""How a run of the kit is to be."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import attrs

SCALE_VARIABLE = "LUAL_CONFORMANCE_TIMEOUT_SCALE"


def default_scale() -> float:
    """Returns by how much watchdogs are lengthened: what is asked for, else what slows this run.

    Raises:
        ValueError: The variable isn't a positive number.
    """
    asked = os.environ.get(SCALE_VARIABLE)
    if asked:
        scale = float(asked)
        if not scale > 0:
            raise ValueError(f"{SCALE_VARIABLE} must be a number above 0, got {asked!r}")
        return scale
    slowed = sys.gettrace() or "coverage" in sys.modules or "PYTEST_XDIST_WORKER" in os.environ
    return 4.0 if slowed else 1.0


@attrs.frozen(kw_only=True)
class RunSettings:
    """Everything that a user may decide about a run.

    Args:
        level: `smoke`, `standard`, `full` or `stress`.
        rules: Patterns of rule ids; none means all.
        profiles: Restricts to these profiles; none means all.
        options: Passed to the backend as its `options`.
        mode: A label for the combination of options.
        seed: Drives everything random.
        scale: Multiplies watchdogs, and nothing else.
        watchdog: Seconds after which a call counts as hung, before scaling.
        glance: Seconds that a check watches for what must not happen.
        time_budget: Seconds after which no further rule is begun; None: no limit.
        strict_env: Whether a rule that can't be checked here counts as failed.
    """

    level: str = "standard"
    rules: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    options: Mapping[str, Any] = attrs.field(factory=dict)
    mode: str = "default"
    seed: int = 0
    scale: float = attrs.field(factory=default_scale)
    watchdog: float = 10.0
    glance: float = 0.1
    time_budget: float | None = None
    strict_env: bool = False

    @property
    def patience(self) -> float:
        """Seconds after which a call counts as hung."""
        return self.watchdog * self.scale
