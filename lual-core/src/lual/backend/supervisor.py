"""When a lost worker may come back: at once, then with growing pauses, then not at all."""

from __future__ import annotations

#: Seconds before the first, second, ... restart. The first is immediate, because most
#: deaths are single; nobody measured the others, they only need to grow.
DELAYS = (0.0, 0.1, 0.2, 0.4, 0.8)

#: After this many seconds of health the deaths before are forgotten.
HEALTHY_AFTER = 60.0


class Supervisor:
    """Counts a worker's deaths.

    Threads: the caller holds the ledger's lock.
    """

    def __init__(self) -> None:
        self._deaths = 0
        self._last_death = 0.0

    def next_delay(self, now: float) -> float | None:
        """Counts a death and returns the seconds before the restart; None: no more.

        Args:
            now: Seconds on the backend's clock.
        """
        if self._deaths and now - self._last_death >= HEALTHY_AFTER:
            self._deaths = 0
        self._deaths += 1
        self._last_death = now
        return DELAYS[self._deaths - 1] if self._deaths <= len(DELAYS) else None

    def forget(self) -> None:
        """Starts counting anew, after a start or a reset."""
        self._deaths = 0
