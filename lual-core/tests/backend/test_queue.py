import json
import math

import pytest

from lual.backend import BackendConfig, BoundedQueue, ConfigError
from lual.backend.ledger import Ledger
from lual.levels import CRITICAL, ERROR, INFO


def records(items):
    return [item.record for item in items]


@pytest.fixture
def fill(make_item):
    """Returns what enqueues records, and says which were admitted."""
    return lambda queue, *values, level=INFO: [queue.enqueue(make_item(v, level)) for v in values]


class TestConstruction:
    def test_the_defaults_are_those_of_the_contract(self):
        queue = BoundedQueue()
        assert (queue.max_size, queue.overflow_strategy) == (10_000, "drop_oldest")
        assert (queue.protect_level, queue.block_timeout) == (ERROR, 1.0)

    @pytest.mark.parametrize("size", [0, -1, 2.5, "10", None, True])
    def test_a_size_is_1_record_or_more(self, size):
        with pytest.raises(ConfigError, match=f"max_size must be 1 record or more, got {size!r}"):
            BoundedQueue(size)

    def test_an_unknown_strategy_is_an_error_with_a_hint(self):
        with pytest.raises(ConfigError, match="drop_oldest, drop_newest, block, got 'drop_latest'"):
            BoundedQueue(10, "drop_latest")
        with pytest.raises(ConfigError, match="did you mean 'block'"):
            BoundedQueue(10, "blocks")

    @pytest.mark.parametrize("timeout", [-1, math.nan, "1", None, True])
    def test_a_block_timeout_is_0_or_more_seconds(self, timeout):
        with pytest.raises(ConfigError, match="block_timeout must be 0 or more seconds, got"):
            BoundedQueue(10, "block", block_timeout=timeout)

    def test_a_block_timeout_may_be_endless(self):
        assert BoundedQueue(10, "block", block_timeout=math.inf).block_timeout == math.inf


class TestOrder:
    def test_items_leave_in_the_order_they_came(self, fill):
        queue = BoundedQueue(10)
        assert fill(queue, 1, 2, 3) == [True] * 3
        assert records(queue.extract_batch(2)) == [1, 2]
        fill(queue, 4)
        assert records(queue.extract_batch(10)) == [3, 4]

    def test_an_item_leaves_as_the_object_that_came(self, make_item):
        queue, item = BoundedQueue(10), make_item()
        queue.enqueue(item)
        assert queue.extract_batch(1)[0] is item

    @pytest.mark.parametrize("n", [0, -1, -100])
    def test_nothing_is_extracted_if_nothing_was_asked_for(self, fill, n):
        queue = BoundedQueue(10)
        fill(queue, 1)
        assert queue.extract_batch(n) == []
        assert queue.size() == 1

    def test_an_empty_queue_gives_an_empty_batch(self):
        assert BoundedQueue(10).extract_batch(5) == []

    def test_the_queue_does_not_keep_what_it_gave(self, fill):
        queue = BoundedQueue(10)
        fill(queue, 1, 2, 3)
        queue.extract_batch(2)
        assert queue.size() == 1
        assert not queue.is_empty()
        queue.extract_batch(2)
        assert queue.is_empty()

    def test_items_given_back_leave_first_and_in_order(self, fill):
        queue = BoundedQueue(10)
        fill(queue, 1, 2, 3, 4)
        taken = queue.extract_batch(3)
        queue.requeue_front(taken[1:])
        assert records(queue.extract_batch(10)) == [2, 3, 4]

    def test_items_given_back_again_stand_before_those_of_the_first_time(self, fill):
        queue = BoundedQueue(10)
        fill(queue, 1, 2, 3, 4)
        taken = queue.extract_batch(4)
        queue.requeue_front(iter(taken[2:]))
        queue.requeue_front(iter(taken[:2]))
        assert records(queue.extract_batch(10)) == [1, 2, 3, 4]

    def test_items_given_back_stand_before_the_side_queue(self, fill):
        queue = BoundedQueue(4)
        fill(queue, 1)
        taken = queue.extract_batch(1)
        fill(queue, "e1", level=ERROR)
        fill(queue, 2, 3, 4, 5)  # e1 steps aside for 2
        queue.requeue_front(taken)
        assert records(queue.extract_batch(10)) == [1, "e1", 3, 4, 5]

    def test_giving_back_nothing_changes_nothing(self, fill):
        queue = BoundedQueue(10)
        fill(queue, 1)
        queue.requeue_front([])
        assert records(queue.extract_batch(10)) == [1]


class TestLimit:
    def test_giving_back_may_exceed_the_limit_by_a_batch(self, fill):
        queue = BoundedQueue(3)
        fill(queue, 1, 2, 3)
        taken = queue.extract_batch(2)
        fill(queue, 4, 5)
        queue.requeue_front(taken)
        assert queue.size() == 5
        assert records(queue.extract_batch(10)) == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize(
        ("strategy", "answer", "left"),
        [("drop_oldest", True, [2, 3, 4, 5, 6]), ("drop_newest", False, [1, 2, 3, 4, 5])],
    )
    def test_a_queue_beyond_its_limit_drops_one_for_one(self, fill, strategy, answer, left):
        queue = BoundedQueue(3, strategy)
        fill(queue, 1, 2, 3)
        taken = queue.extract_batch(2)
        fill(queue, 4, 5)
        queue.requeue_front(taken)
        assert fill(queue, 6) == [answer]
        assert queue.stats()["dropped"] == 1
        assert records(queue.extract_batch(10)) == left

    def test_the_limit_is_back_once_the_surplus_has_left(self, fill):
        queue = BoundedQueue(3, "drop_newest")
        fill(queue, 1, 2, 3)
        taken = queue.extract_batch(2)
        fill(queue, 4, 5)
        queue.requeue_front(taken)
        assert records(queue.extract_batch(1)) == [1]
        assert fill(queue, 6) == [False]  # four wait
        queue.extract_batch(2)
        assert fill(queue, 6, 7) == [True, False]
        assert queue.size() == 3

    def test_a_queue_of_one_works(self, fill):
        queue = BoundedQueue(1)
        assert fill(queue, 1, 2, 3) == [True] * 3
        assert records(queue.extract_batch(5)) == [3]

    def test_clear_removes_everything_and_counts_nothing(self, fill):
        queue = BoundedQueue(3)
        fill(queue, 1)
        queue.requeue_front(queue.extract_batch(1))
        fill(queue, "e", level=ERROR)
        fill(queue, 2, 3)
        assert queue.clear() == 3
        assert queue.is_empty()
        assert queue.size() == 0
        assert queue.clear() == 0
        assert queue.stats()["dropped"] == 1  # of before
        assert fill(queue, 4, 5, 6) == [True] * 3
        assert queue.size() == 3


class TestPositions:
    def test_the_watermark_counts_admissions(self, fill):
        queue = BoundedQueue(3)
        assert queue.watermark() == 0
        fill(queue, 1, 2)
        assert queue.watermark() == 2
        queue.extract_batch(1)
        fill(queue, 3, 4, 5)
        assert queue.watermark() == 5

    def test_a_refused_item_has_no_position(self, fill):
        queue = BoundedQueue(1, "drop_newest")
        fill(queue, 1, 2)
        assert queue.watermark() == 1

    def test_the_oldest_is_the_position_of_the_next_to_leave(self, fill):
        queue = BoundedQueue(3)
        assert queue.oldest() is None
        fill(queue, 1, 2, 3)
        assert queue.oldest() == 0
        queue.extract_batch(1)
        assert queue.oldest() == 1
        fill(queue, 4, 5)  # 2 is evicted
        assert queue.oldest() == 2
        queue.extract_batch(5)
        assert queue.oldest() is None

    def test_a_position_stays_when_an_item_steps_aside(self, fill):
        queue = BoundedQueue(4)
        fill(queue, 1)
        fill(queue, "e1", "e2", level=ERROR)
        fill(queue, 2, 3, 4)  # 1 and 2 are evicted, past e1 and e2
        assert records(queue.extract_batch(1)) == ["e1"]
        assert queue.oldest() == 2  # e2
        queue.extract_batch(1)
        assert queue.oldest() == 4  # 3
        assert queue.watermark() == 6

    def test_an_item_given_back_is_older_than_any_watermark(self, fill):
        queue = BoundedQueue(4)
        fill(queue, 1, 2, 3)
        queue.requeue_front(queue.extract_batch(2))
        assert queue.oldest() == 0
        assert queue.watermark() == 3
        queue.extract_batch(2)
        assert queue.oldest() == 2

    def test_the_oldest_item_is_the_next_to_leave(self, fill):
        queue = BoundedQueue(2)
        assert queue.oldest_item() is None
        fill(queue, "e", level=ERROR)
        fill(queue, 1)
        assert queue.oldest_item().record == "e"
        fill(queue, 2)
        assert queue.oldest_item().record == "e"
        taken = queue.extract_batch(1)
        assert queue.oldest_item().record == 2
        queue.requeue_front(taken)
        assert queue.oldest_item().record == "e"

    def test_after_a_clear_positions_go_on(self, fill):
        queue = BoundedQueue(4)
        fill(queue, 1, 2)
        queue.clear()
        assert queue.watermark() == 2
        fill(queue, 3)
        assert queue.oldest() == 2

    @pytest.mark.parametrize(
        ("position", "left"),
        [
            (0, ["e1", "e2", 3, 4]),
            (1, ["e1", "e2", 3, 4]),
            (2, ["e2", 3, 4]),
            (3, [3, 4]),
            (4, [3, 4]),
            (5, [4]),
            (6, []),
            (9, []),
        ],
    )
    def test_only_those_before_a_position_can_be_extracted(self, fill, position, left):
        queue = BoundedQueue(4)
        fill(queue, 1)
        fill(queue, "e1", "e2", level=ERROR)
        fill(queue, 2, 3, 4)  # 1 (0) and 2 (3) are evicted, past e1 (1) and e2 (2)
        before = records(queue.extract_batch(9, before=position))
        assert before + left == ["e1", "e2", 3, 4]
        assert records(queue.extract_batch(9)) == left

    def test_those_given_back_stand_before_any_position(self, fill):
        queue = BoundedQueue(4)
        fill(queue, 1, 2, 3)
        queue.requeue_front(queue.extract_batch(2))
        assert records(queue.extract_batch(9, before=0)) == [1, 2]
        assert records(queue.extract_batch(9, before=3)) == [3]

    def test_no_more_are_extracted_than_asked_for(self, fill):
        queue = BoundedQueue(4)
        fill(queue, 1, 2, 3)
        assert records(queue.extract_batch(2, before=3)) == [1, 2]


class TestClosing:
    def test_a_closed_queue_refuses_and_counts_nothing(self, fill):
        queue = BoundedQueue(3)
        fill(queue, 1)
        queue.close()
        before = queue.stats()
        assert fill(queue, 2) == [False]
        assert fill(queue, 3, level=CRITICAL) == [False]
        assert queue.stats() == before

    def test_a_full_closed_queue_refuses_and_counts_nothing(self, fill):
        told = []
        queue = BoundedQueue(1, on_drop=lambda item, reason: told.append(reason))
        fill(queue, 1)
        queue.close()
        assert fill(queue, 2) == [False]
        assert queue.stats()["dropped"] == 0
        assert queue.stats()["overflows"] == 0
        assert told == []

    def test_what_waits_in_a_closed_queue_can_be_extracted(self, fill):
        queue = BoundedQueue(3)
        fill(queue, 1, 2)
        queue.close()
        assert queue.size() == 2
        assert records(queue.extract_batch(5)) == [1, 2]

    def test_items_can_be_given_back_to_a_closed_queue(self, fill):
        queue = BoundedQueue(3)
        fill(queue, 1, 2)
        taken = queue.extract_batch(2)
        queue.close()
        queue.requeue_front(taken)
        assert fill(queue, 3) == [False]
        assert records(queue.extract_batch(5)) == [1, 2]

    def test_an_opened_queue_admits_again_up_to_its_limit(self, fill):
        queue = BoundedQueue(2, "drop_newest")
        fill(queue, 1)
        queue.close()
        queue.close()
        queue.open()
        assert fill(queue, 2, 3) == [True, False]


class TestBooks:
    def test_admission_counts_as_submitted_and_waiting(self, fill):
        ledger = Ledger()
        queue = BoundedQueue(5, stats=ledger)
        fill(queue, 1, 2)
        assert (ledger["messages_submitted"], ledger["queue_size"]) == (2, 2)

    def test_a_batch_is_in_flight_until_it_is_given_back(self, fill):
        ledger = Ledger()
        queue = BoundedQueue(5, stats=ledger)
        fill(queue, 1, 2, 3)
        taken = queue.extract_batch(2)
        assert (ledger["in_flight"], ledger["queue_size"]) == (2, 1)
        queue.requeue_front(taken)
        assert (ledger["in_flight"], ledger["queue_size"]) == (0, 3)
        assert ledger["messages_submitted"] == 3

    def test_the_statistics_have_the_keys_of_the_contract(self, fill):
        queue = BoundedQueue(2)
        fill(queue, 1, 2, 3)
        stats = queue.stats()
        assert stats == {
            "size": 2,
            "max_size": 2,
            "overflow_strategy": "drop_oldest",
            "overflows": 1,
            "is_empty": False,
            "high_watermark": 2,
            "dropped": 1,
        }
        assert json.loads(json.dumps(stats)) == stats

    def test_the_high_water_mark_is_seen_by_extraction_alone(self, fill):
        queue = BoundedQueue(10)
        fill(queue, 1, 2, 3)
        queue.extract_batch(3)
        fill(queue, 4)
        assert queue.stats()["high_watermark"] == 3

    def test_a_queue_built_without_a_ledger_is_bound_with_all_it_counted(
        self, fill, thread_backend
    ):
        queue = BoundedQueue(2)
        fill(queue, 1, 2, 3)
        queue.extract_batch(1)
        stats = {"messages_processed": 0, "backend_errors": 0}
        backend = thread_backend(BackendConfig(queue=queue, stats=stats))
        counted = backend.get_stats()
        assert counted["messages_dropped"] == counted["queue_overflows"] == 1
        assert counted["in_flight"] == 1
        assert counted["messages_submitted"] == 3
        assert counted["queue_high_watermark"] == 2
        fill(queue, 4, 5)
        assert stats["dropped_by_reason"] == {"overflow_oldest": 2}

    def test_two_queues_share_nothing(self, fill):
        one, other = BoundedQueue(2), BoundedQueue(2)
        fill(one, 1, 2, 3)
        assert other.stats()["dropped"] == 0
        assert other.is_empty()


class TestAppendsInDoubt:
    """An admission appends, and looks whether it may stay; a closing may come in between."""

    def test_what_came_before_the_closing_stays(self, make_item):
        queue, item = BoundedQueue(5), make_item()
        queue._append(item)
        queue.close()
        assert queue._settle(item) is True
        assert queue.extract_batch(5) == [item]

    def test_what_comes_after_the_closing_is_never_counted(self, make_item):
        queue, first, late = BoundedQueue(5), make_item(), make_item()
        queue.enqueue(first)
        queue.close()
        queue._append(late)
        assert queue.size() == 1
        assert queue.extract_batch(5) == [first]
        assert queue.size() == 0
        assert queue._settle(late) is False
        assert queue.stats()["dropped"] == 0

    def test_what_was_one_too_many_at_the_closing_is_not_counted(self, make_item):
        queue, item = BoundedQueue(1), make_item()
        queue.enqueue(make_item())
        queue._append(item)
        queue.close()
        assert queue.size() == 1
        assert queue._settle(item) is False
        assert queue.size() == 1
