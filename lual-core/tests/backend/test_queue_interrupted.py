"""A signal handler or finaliser logs in the middle of any call of the queue."""

import pytest

from lual.backend import BoundedQueue
from lual.levels import ERROR, INFO

STRATEGIES = ["drop_oldest", "drop_newest", "block"]
LIMIT = 3


class Case:
    """A queue with records in it, and the count of everything that was offered to it."""

    def __init__(self, strategy, make_item, clock, levels):
        self.make_item = make_item
        self.dropped = []
        self.queue = BoundedQueue(LIMIT, strategy, clock=clock, block_timeout=0, on_drop=self._note)
        self.offered = []
        self.refused = []
        self.taken = []
        for level in levels:
            self.put(level)

    def _note(self, item, reason):
        self.dropped.append(item)

    def put(self, level=INFO):
        item = self.make_item(None, level)
        self.offered.append(item)
        if not self.queue.enqueue(item):
            self.refused.append(item)

    def take(self, n):
        self.taken += self.queue.extract_batch(n)

    def check_moment(self, surplus):
        assert self.queue.size() <= LIMIT + surplus
        stats = self.queue.ledger.snapshot()
        assert stats["messages_dropped"] == sum(stats["dropped_by_level"].values())
        assert all(v >= 0 for v in stats.values() if isinstance(v, int))

    def check(self):
        queue = self.queue
        assert queue.size() <= LIMIT
        stats = queue.ledger.snapshot()
        assert stats["messages_submitted"] == len(self.offered)
        assert stats["messages_dropped"] == len(self.dropped)
        assert stats["in_flight"] == len(self.taken)
        assert queue.watermark() == len(self.offered) - len(self.refused)
        assert set(self.refused) <= set(self.dropped)
        while not queue.is_empty():
            self.take(LIMIT)
        everything = [*self.taken, *self.dropped]
        assert len(everything) == len(self.offered)
        assert set(everything) == set(self.offered)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("nested", [[INFO], [ERROR], [INFO, INFO, INFO], [ERROR, INFO, ERROR]])
@pytest.mark.parametrize(
    "waiting",
    [
        [],
        [INFO, INFO],
        [INFO, INFO, INFO],
        [ERROR, INFO],
        [ERROR, ERROR, INFO],
        [ERROR, ERROR, ERROR],
        [INFO, ERROR, INFO, INFO],  # the error has stepped aside
    ],
)
@pytest.mark.parametrize("call", ["put", "put error", "take 1", "take all", "requeue"])
def test_nothing_is_lost_and_the_limit_holds(
    strategy, nested, waiting, call, make_item, clock, interruptions
):
    def interrupt():
        case = cases[-1]
        surplus = call == "requeue"  # what is given back may exceed the limit
        case.check_moment(surplus)
        for level in nested:
            case.put(level)
            case.check_moment(surplus)

    calls = {
        "put": lambda case: case.put(),
        "put error": lambda case: case.put(ERROR),
        "take 1": lambda case: case.take(1),
        "take all": lambda case: case.take(10),
        "requeue": lambda case: case.queue.requeue_front(case.taken[-1:]),
    }
    cases = []
    interruption = interruptions(interrupt)
    while interruption.next():
        case = Case(strategy, make_item, clock, waiting)
        cases.append(case)
        if call == "requeue":
            case.take(1)
        with interruption:
            calls[call](case)
        if call == "requeue":
            del case.taken[-1:]
            if case.queue.size() > LIMIT:
                case.take(1)
        case.check()
    assert len(cases) > 2


@pytest.mark.parametrize("nested", ["extract", "close", "clear"])
def test_a_call_that_is_interrupted_by_other_work_on_the_queue_survives(
    nested, make_item, clock, interruptions
):
    interruption = interruptions(
        lambda: {
            "extract": lambda: cases[-1].take(10),
            "close": lambda: cases[-1].queue.close(),
            "clear": lambda: cases[-1].queue.clear(),
        }[nested]()
    )
    cases = []
    while interruption.next():
        case = Case("drop_oldest", make_item, clock, [INFO, ERROR, INFO])
        cases.append(case)
        with interruption:
            case.put()
        assert case.queue.size() <= LIMIT
        if nested == "extract":
            case.check()
    assert len(cases) > 2
