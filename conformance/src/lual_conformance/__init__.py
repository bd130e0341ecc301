"""Proves that a backend of lual keeps every promise, and tells which one it breaks.

From a test:

    from lual_conformance import check

    def test_the_backend_keeps_the_contract():
        check("mybackend")

or without one: `pytest --lual-conformance --lual-backend mybackend`.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

__all__ = ["check"]


def check(name: str, **settings: Any) -> None:
    """Runs the rules against a backend, in this process.

    Args:
        name: Of an installed backend, or `package.module:plugin`.
        **settings: Of `lual_conformance.settings.RunSettings`: `level`, `rules`, `options`
            and so on.

    Raises:
        AssertionError: The backend isn't conformant; the message has a line for each rule
            that is not kept.
        ConfigError: There is no such backend.

    Blocks: some seconds; at level `full` some minutes.
    """
    # Whoever only installs the kit doesn't pay for it with every run of pytest.
    from lual_conformance import report
    from lual_conformance.runner import Run
    from lual_conformance.settings import RunSettings
    from lual_conformance.target import Target

    chosen = RunSettings(**settings)
    run = Run(Target.find(name), chosen)
    made = report.build(run.target, chosen, run.all())
    wanted = "partial" if chosen.rules or chosen.profiles else "conformant"
    if made["verdict"] not in (wanted, "conformant"):
        raise AssertionError("\n".join(report.lines(made, passed=False)))
