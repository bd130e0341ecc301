"""The queue against a model of twenty lines: a list, searched from its front."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from lual.backend import BoundedQueue, WorkItem
from lual.context import dispatching

LEVELS = st.sampled_from([10, 20, 30, 40, 50])


class Model:
    """What the contract says, without any care for speed."""

    def __init__(self, limit, strategy, protect):
        self.limit, self.strategy, self.protect = limit, strategy, protect
        self.waiting = []  # (position, item)
        self.admitted = 0
        self.drops = []
        self.is_open = True

    def enqueue(self, item):
        if not self.is_open:
            return False
        if len(self.waiting) >= self.limit and not self._make_room(item):
            return False
        self.waiting.append((self.admitted, item))
        self.admitted += 1
        return True

    def _make_room(self, item):
        protected = item.level >= self.protect
        victim = None
        if protected or self.strategy == "drop_oldest":
            victim = next((e for e in self.waiting if e[1].level < self.protect), None)
            if victim is None and protected and self.strategy == "drop_oldest":
                victim = self.waiting[0]
        if victim is not None:
            self.waiting.remove(victim)
            self.drops.append((victim[1], "overflow_oldest"))
            return True
        reason = "overflow_newest"
        if self.strategy == "block" and (
            protected or any(e[1].level < self.protect for e in self.waiting)
        ):
            reason = "cannot_block"
        self.drops.append((item, reason))
        return False


class QueueMachine(RuleBasedStateMachine):
    batches = Bundle("batches")

    @initialize(
        limit=st.integers(1, 5),
        strategy=st.sampled_from(["drop_oldest", "drop_newest", "block"]),
        protect=LEVELS,
    )
    def build(self, limit, strategy, protect):
        self.model = Model(limit, strategy, protect)
        self.drops = []
        self.count = 0
        self.in_flight = 0
        self.surplus = 0
        self.high = 0
        self.offered = 0
        self.cleared = 0
        self.queue = BoundedQueue(
            limit,
            strategy,
            protect_level=protect,
            on_drop=lambda item, reason: self.drops.append((item, reason)),
        )

    @rule(level=LEVELS)
    def enqueue(self, level):
        self.count += 1
        item = WorkItem("app", self.count, None, 0.0, level)
        with dispatching(0):  # nobody waits for room here
            answer = self.queue.enqueue(item)
        self.model.limit += self.surplus
        assert answer is self.model.enqueue(item)
        self.model.limit -= self.surplus
        self.offered += self.model.is_open

    @rule(target=batches, n=st.integers(-1, 7), back=st.none() | st.integers(0, 7))
    def extract(self, n, back):
        before = None if back is None else max(self.model.admitted - back, 1)
        batch = self.queue.extract_batch(n, before=before)
        n = max(n, 0)
        if before is not None:
            n = min(n, sum(1 for position, _ in self.model.waiting if position < before))
        entries, self.model.waiting = self.model.waiting[:n], self.model.waiting[n:]
        assert batch == [item for _, item in entries]
        self.in_flight += len(batch)
        self._shrink()
        return [batch]  # emptied when it is given back

    @rule(holder=batches, keep=st.integers(0, 7))
    def give_back(self, holder, keep):
        batch = holder[0][keep:]
        holder[0] = []
        self.queue.requeue_front(batch)
        self.model.waiting[:0] = [(0, item) for item in batch]
        self.in_flight -= len(batch)
        self.surplus = max(len(self.model.waiting) - self.model.limit, 0)

    @rule()
    def clear(self):
        assert self.queue.clear() == len(self.model.waiting)
        self.cleared += len(self.model.waiting)
        self.model.waiting = []
        self._shrink()

    @precondition(lambda self: self.model.is_open)
    @rule()
    def close(self):
        self.queue.close()
        self.model.is_open = False

    @precondition(lambda self: not self.model.is_open)
    @rule()
    def open(self):
        self.queue.open()
        self.model.is_open = True

    def _shrink(self):
        self.surplus = min(self.surplus, max(len(self.model.waiting) - self.model.limit, 0))

    @invariant()
    def they_agree(self):
        waiting = self.model.waiting
        assert self.queue.size() == len(waiting) <= self.model.limit + self.surplus
        assert self.queue.is_empty() == (not waiting)
        assert self.queue.oldest() == (waiting[0][0] if waiting else None)
        assert self.queue.oldest_item() is (waiting[0][1] if waiting else None)
        assert self.queue.watermark() == self.model.admitted
        assert self.drops == self.model.drops

    @invariant()
    def the_books_balance(self):
        stats = self.queue.ledger.snapshot()
        assert stats["messages_submitted"] == self.offered - self.cleared
        assert stats["messages_dropped"] == len(self.model.drops)
        assert stats["queue_size"] == len(self.model.waiting)
        assert stats["in_flight"] == self.in_flight
        assert stats["queue_high_watermark"] >= self.high
        self.high = stats["queue_high_watermark"]


QueueMachine.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestBoundedQueue = QueueMachine.TestCase
