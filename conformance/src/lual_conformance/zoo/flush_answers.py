"""Mutants whose `flush` answers wrongly where it needn't or can't wait, or takes any timeout."""

from __future__ import annotations

import math
import threading
from typing import Any

from lual.backend import BackendConfig
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


@mutant({"5.6": "on a stopped backend"})
class FlushAfterStopFalse(RefThreads):
    """Has no worker to ask after stop."""

    def flush(self, timeout: float | None = None) -> bool:
        """Returns False once it has stopped."""
        return super().flush(timeout) and self.state != "stopped"


@mutant({"5.6": "on a new backend"})
class FlushBeforeStartFalse(RefThreads):
    """Has no worker to ask before start."""

    def flush(self, timeout: float | None = None) -> bool:
        """Returns False until it was started."""
        return super().flush(timeout) and self.state != "new"


@mutant({"5.6": "flush(0) returned False on a running backend without records"})
class FlushZeroFalseWhenIdle(RefThreads):
    """Can't know anything without waiting for the worker."""

    def flush(self, timeout: float | None = None) -> bool:
        """Never succeeds without time."""
        return super().flush(timeout) and not (timeout == 0 and self.state == "running")


@mutant({"5.6": "on a stopped backend"})
class InlineFlushAfterStopFalse(RefInline):
    """Returns False after stop."""

    def flush(self, timeout: float | None = None) -> bool:
        """Returns False once it has stopped."""
        return super().flush(timeout) and self._state != "stopped"


class _Reentrant(RefThreads):
    """Does something else when flush is called from an output."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.here = threading.local()

    def flush(self, timeout: float | None = None) -> bool:
        """Notes who asks whether this is an output."""
        self.here.flushes = True
        try:
            return super().flush(timeout)
        finally:
            self.here.flushes = False


@mutant({"5.9": "called from an output, had not returned"})
class FlushReentrantDeadlock(_Reentrant):
    """Waits for itself inside an output."""

    def is_inside(self) -> bool:
        """Doesn't know in a flush."""
        return not getattr(self.here, "flushes", False) and super().is_inside()


@mutant({"5.9": "had not returned"})
class FlushReentrantInOwnFlush(_Reentrant):
    """Waits for itself inside the dispatch's own flush."""

    flushes_outputs = False

    def flush_output(self, func: Any) -> None:
        """Notes that no record is inside."""
        self.flushes_outputs = True
        try:
            super().flush_output(func)
        finally:
            self.flushes_outputs = False

    def is_inside(self) -> bool:
        """Knows of records alone."""
        wrong = self.flushes_outputs and getattr(self.here, "flushes", False)
        return not wrong and super().is_inside()


@mutant({"5.9": "raised RuntimeError", "7.2": "from within error_callback raised"})
class FlushReentrantRaises(RefThreads):
    """Raises inside an output."""

    def flush(self, timeout: float | None = None) -> bool:
        """Refuses what makes no sense."""
        if self.is_inside():
            raise RuntimeError("flush was called from an output")
        return super().flush(timeout)


@mutant({"5.9": "returned True, called from an output"})
class InlineFlushReentrantTrue(RefInline):
    """Says inside an output that all is well."""

    def flush(self, timeout: float | None = None) -> bool:
        """Returns True to whoever can't wait."""
        return self._is_inside() or super().flush(timeout)


@mutant({"5.10": "flush(-1) returned True instead of raising ValueError"})
class NegativeMeansForever(RefThreads):
    """Takes a negative timeout for none at all."""

    def flush(self, timeout: float | None = None) -> bool:
        """Waits for ever if it is negative."""
        return super().flush(math.inf if timeout is not None and timeout < 0 else timeout)


@mutant({"5.10": "flush(nan) returned"})
class FlushTakesNaN(RefThreads):
    """Looks at negative timeouts alone."""

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until now is later than NaN."""
        return super().flush(0 if timeout is not None and math.isnan(timeout) else timeout)


@mutant({"5.10": "flush(inf) raised OverflowError"})
class FlushRefusesInfinity(RefThreads):
    """Can't wait for so long."""

    def flush(self, timeout: float | None = None) -> bool:
        """Passes the timeout on to something that wants a whole number."""
        return super().flush(timeout if timeout is None or timeout != timeout else _whole(timeout))


def _whole(seconds: float) -> float:
    int(seconds) if seconds > 0 else None
    return seconds


@mutant({"5.10": "flush(None) had not returned"})
class FlushNoneMeansForever(RefThreads):
    """Waits for ever if nothing is said, as much of the standard library does."""

    def flush(self, timeout: float | None = None) -> bool:
        """Knows no default."""
        return super().flush(math.inf if timeout is None else timeout)


@mutant({"5.10": "instead of raising ValueError"})
class InlineNegativeMeansNow(RefInline):
    """Takes a negative timeout for 0."""

    def flush(self, timeout: float | None = None) -> bool:
        """Raises nothing."""
        return super().flush(timeout if timeout is None else max(0, timeout))
