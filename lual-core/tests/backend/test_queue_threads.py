import threading

import pytest

from lual.backend import BoundedQueue
from lual.levels import ERROR, INFO

PRODUCERS = 8
EACH = 300
LIMIT = 10


@pytest.mark.usefixtures("fast_switches")
@pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest", "block"])
def test_eight_producers_never_exceed_the_limit_and_lose_nothing(
    strategy, make_item, background, clock
):
    queue = BoundedQueue(LIMIT, strategy, block_timeout=0, clock=clock)
    barrier = threading.Barrier(PRODUCERS + 1)
    admitted = [0] * PRODUCERS
    taken = []
    ended = threading.Event()
    largest = []

    def produce(number):
        barrier.wait()
        for n in range(EACH):
            level = ERROR if n % 7 == 0 else INFO
            admitted[number] += queue.enqueue(make_item((number, n), level))

    def consume():
        while not ended.is_set() or not queue.is_empty():
            largest.append(queue.size())
            taken.extend(queue.extract_batch(4))

    producers = [background(produce, number) for number in range(PRODUCERS)]
    consumer = background(consume)
    barrier.wait()
    for call in producers:
        call.result()
    ended.set()
    consumer.result()

    stats = queue.ledger.snapshot()
    assert max(largest) <= LIMIT
    assert stats["queue_high_watermark"] <= LIMIT
    assert stats["messages_submitted"] == PRODUCERS * EACH
    assert stats["messages_dropped"] + len(taken) == PRODUCERS * EACH
    evicted = stats["dropped_by_reason"].get("overflow_oldest", 0)
    assert sum(admitted) == len(taken) + evicted
    assert queue.watermark() == sum(admitted)
    for number in range(PRODUCERS):
        mine = [item.record[1] for item in taken if item.record[0] == number]
        assert mine == sorted(set(mine))


@pytest.mark.usefixtures("fast_switches")
@pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest", "block"])
def test_a_full_queue_that_nobody_empties_holds_its_limit_and_no_more(
    strategy, make_item, background, clock
):
    queue = BoundedQueue(LIMIT, strategy, block_timeout=0, clock=clock)
    barrier = threading.Barrier(PRODUCERS)

    def produce(number):
        barrier.wait()
        for n in range(EACH):
            queue.enqueue(make_item((number, n), ERROR if (n + number) % 3 == 0 else INFO))

    for call in [background(produce, number) for number in range(PRODUCERS)]:
        call.result()
    assert queue.size() == LIMIT
    left = queue.extract_batch(10 * LIMIT)
    assert len(left) == LIMIT
    assert queue.is_empty()
    assert queue.ledger["messages_dropped"] == PRODUCERS * EACH - LIMIT


def test_a_thread_that_appends_while_another_makes_room_is_seen(make_item, monkeypatch):
    """Two threads meet at the last place: the append of one falls between the other's steps."""
    queue = BoundedQueue(2)
    for n in range(2):
        queue.enqueue(make_item(n))
    evict = queue._evict_unprotected

    def meet():
        victim = evict()
        monkeypatch.undo()
        other = threading.Thread(target=queue.enqueue, args=[make_item("other")])
        other.start()
        while queue.waiting() < 2:  # it has appended, without the lock
            pass
        others.append(other)
        return victim

    others = []
    monkeypatch.setattr(queue, "_evict_unprotected", meet)
    assert queue.enqueue(make_item("mine")) is True
    others[0].join(10)
    assert {item.record for item in queue.extract_batch(5)} == {"mine", "other"}
    assert queue.ledger["messages_dropped"] == 2
