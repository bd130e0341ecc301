import pytest

from lual.backend import BoundedQueue
from lual.levels import CRITICAL, ERROR, INFO, WARNING


def records(queue):
    return [item.record for item in queue.extract_batch(1000)]


class Drops:
    """Notes who was dropped, and why."""

    def __init__(self):
        self.told = []

    def __call__(self, item, reason):
        self.told.append((item.record, reason))


@pytest.fixture
def drops():
    return Drops()


@pytest.fixture
def make_queue(drops, make_item, clock):
    """Returns what makes a queue with records in it, `"e1"` being an error, 1 none."""

    def make(strategy, *values, size=3, **settings):
        queue = BoundedQueue(size, strategy, on_drop=drops, clock=clock, **settings)
        assert all(put(queue, value) for value in values)
        return queue

    def put(queue, value):
        level = ERROR if str(value).startswith("e") else INFO
        return queue.enqueue(make_item(value, level))

    make.put = put
    return make


def dropped(queue):
    return queue.ledger["dropped_by_reason"]


class TestDropOldest:
    def test_it_evicts_the_head_and_admits_the_newcomer(self, make_queue, drops):
        queue = make_queue("drop_oldest", 1, 2, 3)
        assert make_queue.put(queue, 4) is True
        assert records(queue) == [2, 3, 4]
        assert drops.told == [(1, "overflow_oldest")]
        assert dropped(queue) == {"overflow_oldest": 1}

    def test_each_eviction_is_counted(self, make_queue):
        queue = make_queue("drop_oldest", *range(10))
        assert records(queue) == [7, 8, 9]
        assert dropped(queue) == {"overflow_oldest": 7}
        assert queue.stats()["overflows"] == 7

    def test_the_oldest_unprotected_goes_before_a_protected_one(self, make_queue, drops):
        queue = make_queue("drop_oldest", "e1", 1, "e2", 2, size=4)
        make_queue.put(queue, 3)
        make_queue.put(queue, 4)
        assert drops.told == [(1, "overflow_oldest"), (2, "overflow_oldest")]
        assert records(queue) == ["e1", "e2", 3, 4]

    def test_a_protected_newcomer_evicts_the_oldest_unprotected(self, make_queue, drops):
        queue = make_queue("drop_oldest", "e1", 1, 2)
        assert make_queue.put(queue, "e2") is True
        assert drops.told == [(1, "overflow_oldest")]
        assert records(queue) == ["e1", 2, "e2"]

    def test_an_unprotected_one_that_finds_only_protected_is_refused(self, make_queue, drops):
        queue = make_queue("drop_oldest", "e1", "e2", "e3")
        assert make_queue.put(queue, 1) is False
        assert drops.told == [(1, "overflow_newest")]
        assert records(queue) == ["e1", "e2", "e3"]

    def test_among_protected_ones_the_oldest_goes(self, make_queue, drops):
        queue = make_queue("drop_oldest", "e1", "e2", "e3")
        assert make_queue.put(queue, "e4") is True
        assert drops.told == [("e1", "overflow_oldest")]
        assert records(queue) == ["e2", "e3", "e4"]

    def test_after_stepping_aside_the_oldest_protected_goes(self, make_queue, drops):
        queue = make_queue("drop_oldest", "e1", 1, "e2")
        make_queue.put(queue, "e3")
        make_queue.put(queue, "e4")
        assert drops.told == [(1, "overflow_oldest"), ("e1", "overflow_oldest")]
        assert records(queue) == ["e2", "e3", "e4"]

    def test_one_given_back_goes_first_if_it_is_unprotected(self, make_queue, drops):
        queue = make_queue("drop_oldest", "e1", 1, 2)
        queue.requeue_front(queue.extract_batch(2))
        make_queue.put(queue, 3)
        assert drops.told == [(1, "overflow_oldest")]
        assert records(queue) == ["e1", 2, 3]

    def test_a_protected_one_given_back_goes_before_the_side_queue(self, make_queue, drops):
        queue = make_queue("drop_oldest", "e1", "e2", "e3")
        queue.requeue_front(queue.extract_batch(1))
        make_queue.put(queue, "e4")
        make_queue.put(queue, "e5")
        assert drops.told == [("e1", "overflow_oldest"), ("e2", "overflow_oldest")]
        assert records(queue) == ["e3", "e4", "e5"]


class TestDropNewest:
    def test_it_refuses_the_newcomer_and_keeps_the_queue(self, make_queue, drops):
        queue = make_queue("drop_newest", 1, 2, 3)
        assert make_queue.put(queue, 4) is False
        assert records(queue) == [1, 2, 3]
        assert drops.told == [(4, "overflow_newest")]
        assert dropped(queue) == {"overflow_newest": 1}

    def test_a_protected_newcomer_evicts_the_oldest_unprotected(self, make_queue, drops):
        queue = make_queue("drop_newest", "e1", 1, 2)
        assert make_queue.put(queue, "e2") is True
        assert drops.told == [(1, "overflow_oldest")]
        assert records(queue) == ["e1", 2, "e2"]

    @pytest.mark.parametrize("newcomer", [1, "e4"])
    def test_among_protected_ones_the_newcomer_is_refused(self, make_queue, drops, newcomer):
        queue = make_queue("drop_newest", "e1", "e2", "e3")
        assert make_queue.put(queue, newcomer) is False
        assert drops.told == [(newcomer, "overflow_newest")]
        assert records(queue) == ["e1", "e2", "e3"]


class TestBlock:
    def test_a_protected_newcomer_evicts_the_oldest_unprotected_at_once(self, make_queue, drops):
        queue = make_queue("block", "e1", 1, 2)
        assert make_queue.put(queue, "e2") is True
        assert drops.told == [(1, "overflow_oldest")]
        assert records(queue) == ["e1", 2, "e2"]

    def test_an_unprotected_one_that_finds_only_protected_is_refused_at_once(
        self, make_queue, drops
    ):
        queue = make_queue("block", "e1", "e2", "e3")
        assert make_queue.put(queue, 1) is False
        assert drops.told == [(1, "overflow_newest")]


class TestProtection:
    def test_the_level_itself_is_protected_and_the_one_below_is_not(self, make_item, drops):
        queue = BoundedQueue(2, protect_level=WARNING, on_drop=drops)
        queue.enqueue(make_item("warning", WARNING))
        queue.enqueue(make_item("below", WARNING - 1))
        queue.enqueue(make_item("new", INFO))
        assert drops.told == [("below", "overflow_oldest")]

    def test_a_drop_is_counted_at_the_victims_level(self, make_item):
        queue = BoundedQueue(1)
        queue.enqueue(make_item("info", INFO))
        queue.enqueue(make_item("critical", CRITICAL))
        queue.enqueue(make_item("warning", WARNING))
        assert queue.ledger["dropped_by_level"] == {"INFO": 1, "WARNING": 1}

    def test_the_side_queue_counts_in_the_size(self, make_queue):
        queue = make_queue("drop_oldest", "e1", "e2", 1)
        make_queue.put(queue, 2)
        assert queue.size() == 3
        assert not queue.is_empty()

    def test_room_in_a_queue_with_a_side_queue_is_used(self, make_queue):
        queue = make_queue("drop_newest", "e1", "e2", 1, 2, size=4)
        make_queue.put(queue, "e3")  # e1 and e2 step aside, 1 goes
        queue.extract_batch(1)
        assert make_queue.put(queue, 3) is True
        assert make_queue.put(queue, 4) is False
        assert records(queue) == ["e2", 2, "e3", 3]

    def test_a_level_is_read_only_on_overflow(self):
        class Counting:
            reads = 0

            @property
            def level(self):
                Counting.reads += 1
                return INFO

        queue = BoundedQueue(2, "drop_newest")
        for _ in range(2):
            queue.enqueue(Counting())
        queue.extract_batch(1)
        assert Counting.reads == 0
        queue.enqueue(Counting())
        queue.enqueue(Counting())
        assert Counting.reads > 0


class TestTelling:
    def test_no_lock_is_held_while_the_victim_is_told(self, make_item, background):
        told = []
        queue = BoundedQueue(1, on_drop=lambda *drop: told.append(background(queue.size).result()))
        queue.enqueue(make_item())
        queue.enqueue(make_item())
        other = BoundedQueue(
            1,
            "drop_newest",
            on_drop=lambda *drop: told.append(background(other.watermark).result()),
        )
        other.enqueue(make_item())
        other.enqueue(make_item())
        assert told == [1, 1]

    @pytest.mark.parametrize(
        ("strategy", "answer"), [("drop_oldest", True), ("drop_newest", False)]
    )
    def test_what_the_callback_raises_changes_nothing(self, make_item, strategy, answer):
        def broken(item, reason):
            raise RuntimeError("broken")

        queue = BoundedQueue(1, strategy, on_drop=broken)
        queue.enqueue(make_item())
        assert queue.enqueue(make_item()) is answer
        assert queue.ledger["backend_errors"] == 1
        assert queue.size() == 1

    def test_the_callback_may_log_itself(self, make_item):
        def log(item, reason):
            if item.record < 5:
                queue.enqueue(make_item(item.record + 10))

        queue = BoundedQueue(2, on_drop=log)
        for n in range(4):
            queue.enqueue(make_item(n))
        assert records(queue) == [12, 3]
        assert dropped(queue) == {"overflow_oldest": 5}
