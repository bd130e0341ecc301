"""Mutants that break what chapter 7 promises of a worker that dies."""

from __future__ import annotations

from lual.backend import WorkItem
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


@mutant({"7.4": "flush never returned after the worker had died"})
class DeadWorkerBlackHole(RefThreads):
    """Never replaces a dead worker, and goes on taking records."""

    def recover(self, error: BaseException, epoch: int) -> bool:
        with self.lock:
            self.put_back()
        self.report(f"the worker was lost ({type(error).__name__})")
        return False


@mutant({"7.4": "neither wrote any more nor gave up: its state is 'running'"})
class GivesUpInSilence(RefThreads):
    """Goes on taking records when it replaces its worker no more."""

    def give_up(self) -> None:
        self.epoch += 1


@mutant({"7.4": "submit still returned True"})
class AcceptsAfterGivingUp(RefThreads):
    """Says that it has stopped, and takes records that nobody will ever write."""

    def is_accepting(self) -> bool:
        return super().is_accepting() or self.gave_up

    def give_up(self) -> None:
        super().give_up()
        self.queue.open()


@mutant({"7.5": "were never written"})
class DeathUnaccounted(RefThreads):
    """Forgets the batch that a dead worker had taken."""

    def put_back(self) -> None:
        self.take()


@mutant({"4.1": "dispatched more than once"})
class DeathRepeatsTheLast(RefThreads):
    """Gives back what a dead worker had already written."""

    last: WorkItem | None = None

    def run_item(self, item: WorkItem) -> None:
        super().run_item(item)
        self.last = item

    def put_back(self) -> None:
        super().put_back()
        if self.last is not None:
            self.ledger.take(1)
            self.queue.requeue_front([self.last])


@mutant({"4.2": "was dispatched when it was the turn of"})
class DeathReordersQueue(RefThreads):
    """Puts the batch of a dead worker at the end of the queue."""

    def put_back(self) -> None:
        batch = self.take()
        self.ledger.take(-len(batch))
        for item in batch:
            self.queue.enqueue(item)


@mutant({"7.5": "the death of the worker was never reported"})
class DeathIsSilent(RefThreads):
    """Replaces a dead worker without a word."""

    def report(self, message: str) -> None:
        if "worker was lost" not in message:
            super().report(message)


@mutant({"7.5": "but worker_restarts is 0"})
class RestartsUncounted(RefThreads):
    """Doesn't count how often it replaced its worker."""

    def recover(self, error: BaseException, epoch: int) -> bool:
        goes_on = super().recover(error, epoch)
        with self.ledger.lock:
            self.ledger["worker_restarts"] = 0
        return goes_on


@mutant({"7.6": "was replaced 8 times"})
class RestartStorm(RefThreads):
    """Replaces its worker for ever."""

    def recover(self, error: BaseException, epoch: int) -> bool:
        self.deaths = 0
        return super().recover(error, epoch)

    def wait_before_restart(self, seconds: float) -> None:
        """Goes on at once."""


@mutant({"7.6": "without any time passing"})
class NoBackoff(RefThreads):
    """Replaces its worker at once, each time."""

    def wait_before_restart(self, seconds: float) -> None:
        """Goes on at once."""


@mutant({"7.10": "the backend gave up at a death of its worker"})
class NeverForgivesDeaths(RefThreads):
    """Counts the deaths of a whole life."""

    def recover(self, error: BaseException, epoch: int) -> bool:
        self.last_death = self.clock.now()
        return super().recover(error, epoch)
