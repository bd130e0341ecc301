import asyncio
import math

import pytest

from lual.backend import BoundedQueue, reentry
from lual.context import dispatching
from lual.levels import ERROR


@pytest.fixture
def queue(clock):
    return BoundedQueue(1, "block", clock=clock, block_timeout=8.0)


@pytest.fixture
def full(queue, make_item):
    queue.enqueue(make_item("first"))
    return queue


def reasons(queue):
    return queue.ledger["dropped_by_reason"]


class TestWaiting:
    @pytest.fixture
    def blocked(self, full, clock, background, make_item):
        """Returns a call that waits for room."""
        call = background(full.enqueue, make_item("second"))
        clock.until_parked(call.thread)
        return call

    def test_room_wakes_it(self, full, blocked):
        assert [i.record for i in full.extract_batch(1)] == ["first"]
        assert blocked.result() is True
        assert full.oldest_item().record == "second"

    def test_a_clear_wakes_it(self, full, blocked):
        full.clear()
        assert blocked.result() is True

    def test_it_gives_up_at_the_timeout_and_not_before(self, full, blocked, clock):
        clock.advance(7.875)
        assert blocked.thread.is_alive()
        clock.until_parked(blocked.thread)
        clock.advance(0.125)
        assert blocked.result() is False
        assert reasons(full) == {"block_timeout": 1}
        assert full.size() == 1

    def test_closing_wakes_it_and_counts_nothing(self, full, blocked):
        full.close()
        assert blocked.result() is False
        assert reasons(full) == {}

    def test_who_waited_while_the_queue_was_closed_is_not_admitted_by_the_next_opening(
        self, full, blocked
    ):
        with full.ledger.lock:  # as `reset` may find it: all before the waiter looks again
            full.close()
            full.clear()
            full.open()
        assert blocked.result() is False
        assert full.is_empty()

    def test_it_holds_no_lock(self, full, blocked, background):
        assert background(full.watermark).result() == 1
        full.close()

    def test_waits_and_their_seconds_are_counted(self, full, blocked, clock):
        clock.advance(2.0)
        full.extract_batch(1)
        blocked.result()
        assert full.ledger["blocked_submits"] == 1
        assert full.ledger["blocked_seconds"] == 2.0

    def test_a_protected_record_waits_for_protected_ones(self, queue, clock, background, make_item):
        queue.enqueue(make_item("e1", ERROR))
        call = background(queue.enqueue, make_item("e2", ERROR))
        clock.until_parked(call.thread)
        queue.extract_batch(1)
        assert call.result() is True

    def test_a_newcomer_may_take_the_room_and_the_wait_goes_on(
        self, full, blocked, clock, make_item
    ):
        with full.ledger.lock:  # the waiter can't look in between
            full.extract_batch(1)
            full.enqueue(make_item("newcomer"))
        clock.until_parked(blocked.thread, times=2)
        clock.advance(8.0)
        assert blocked.result() is False
        assert full.size() == 1

    def test_each_room_admits_one_of_those_who_wait(self, full, clock, background, make_item):
        calls = [background(full.enqueue, make_item(n)) for n in range(3)]
        for call in calls:
            clock.until_parked(call.thread)
        admitted = []
        for _ in calls:
            full.extract_batch(1)
            # Whoever was woken has appended its record once the queue isn't empty.
            while full.is_empty():
                pass
            admitted.append(full.oldest_item().record)
        assert sorted(admitted) == [0, 1, 2]
        assert [call.result() for call in calls] == [True] * 3
        assert reasons(full) == {}

    def test_an_endless_timeout_waits_for_room(self, clock, background, make_item):
        queue = BoundedQueue(1, "block", clock=clock, block_timeout=math.inf)
        queue.enqueue(make_item())
        call = background(queue.enqueue, make_item())
        assert clock.until_parked(call.thread) == math.inf
        queue.extract_batch(1)
        assert call.result() is True

    def test_room_that_is_there_needs_no_wait(self, queue, make_item):
        assert queue.enqueue(make_item()) is True
        assert queue.ledger["blocked_submits"] == 0


class TestWhereItMayNotWait:
    """A wait would hang these tests, for no time passes in them."""

    def assert_refused(self, queue, item):
        assert queue.enqueue(item) is False
        assert reasons(queue) == {"cannot_block": 1}
        assert queue.ledger["blocked_submits"] == 0

    def test_inside_a_dispatch(self, full, make_item):
        with dispatching(0):
            self.assert_refused(full, make_item())

    def test_inside_another_call_on_the_same_thread(self, full, make_item, monkeypatch):
        inner = make_item("inner")
        answers = []

        def interrupt(self, item):
            monkeypatch.undo()
            answers.append(full.enqueue(inner))
            return full._settle(item)

        monkeypatch.setattr(BoundedQueue, "_settle", interrupt)
        full.block_timeout = 0
        full.enqueue(make_item("outer"))
        assert answers == [False]
        assert reasons(full)["cannot_block"] == 1

    def test_while_the_interpreter_ends(self, full, make_item, monkeypatch):
        monkeypatch.setattr(reentry, "_exiting", False)
        reentry.interpreter_is_ending()
        self.assert_refused(full, make_item())

    def test_a_protected_record_still_evicts_an_unprotected_one(self, full, make_item):
        with dispatching(0):
            assert full.enqueue(make_item("error", ERROR)) is True
        assert reasons(full) == {"overflow_oldest": 1}

    def test_room_is_used_where_no_wait_is_possible(self, queue, make_item):
        with dispatching(0):
            assert queue.enqueue(make_item()) is True

    def test_no_time_to_wait_is_a_timeout_at_once(self, clock, make_item):
        queue = BoundedQueue(1, "block", clock=clock, block_timeout=0)
        queue.enqueue(make_item())
        assert queue.enqueue(make_item()) is False
        assert reasons(queue) == {"block_timeout": 1}
        with dispatching(0):
            assert queue.enqueue(make_item()) is False
        assert reasons(queue) == {"block_timeout": 1, "cannot_block": 1}


class TestOnTheThreadOfARunningLoop:
    def enqueue_in_a_loop(self, queue, item):
        async def main():
            return queue.enqueue(item)

        return asyncio.run(main())

    def test_it_waits_50_milliseconds_at_most(self, full, clock, background, make_item):
        call = background(self.enqueue_in_a_loop, full, make_item())
        assert clock.until_parked(call.thread) == pytest.approx(clock.now() + 0.05, abs=1e-9)
        clock.advance(0.05)
        assert call.result() is False
        assert reasons(full) == {"cannot_block": 1}

    def test_a_shorter_timeout_counts(self, clock, background, make_item):
        queue = BoundedQueue(1, "block", clock=clock, block_timeout=0.03125)
        queue.enqueue(make_item())
        call = background(self.enqueue_in_a_loop, queue, make_item())
        assert clock.until_parked(call.thread) == clock.now() + 0.03125
        clock.advance(0.03125)
        assert call.result() is False
        assert reasons(queue) == {"block_timeout": 1}

    def test_room_ends_the_wait(self, full, clock, background, make_item):
        call = background(self.enqueue_in_a_loop, full, make_item())
        clock.until_parked(call.thread)
        full.extract_batch(1)
        assert call.result() is True
