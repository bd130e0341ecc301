import json

import pytest

from lual.backend import BoundedQueue
from lual.backend.histogram import BUCKETS, Histogram
from lual.backend.ledger import COUNTERS, DERIVED, TABLES, Ledger
from lual.levels import CRITICAL, ERROR, INFO


@pytest.fixture
def ledger():
    return Ledger()


def balanced(stats):
    """Returns the statistics if the identities of the contract hold in them."""
    assert stats["messages_submitted"] == (
        stats["messages_processed"]
        + stats["messages_failed"]
        + stats["messages_dropped"]
        + stats["queue_size"]
        + stats["in_flight"]
    )
    assert stats["messages_dropped"] == sum(stats["dropped_by_reason"].values())
    assert stats["messages_dropped"] == sum(stats["dropped_by_level"].values())
    assert all(v >= 0 for v in stats.values() if isinstance(v, (int, float)))
    return stats


def test_a_new_ledger_has_all_keys_and_zeros(ledger):
    stats = balanced(ledger.snapshot())
    assert set(stats) == {*COUNTERS, *TABLES, *DERIVED, "latency"}
    assert not any(stats[name] for name in (*COUNTERS, *TABLES, *DERIVED))


def test_a_snapshot_can_be_written_as_json(ledger):
    ledger.drop([INFO], "stopped")
    ledger.sample("queue", 0.5)
    assert json.loads(json.dumps(ledger.snapshot())) == ledger.snapshot()


def test_changing_a_snapshot_changes_nothing(ledger):
    ledger.drop([INFO], "stopped")
    before = ledger.snapshot()
    changed = ledger.snapshot()
    changed["messages_processed"] = 99
    changed["dropped_by_reason"]["stopped"] = 99
    changed["latency"]["queue"]["buckets"][0] = 99
    assert ledger.snapshot() == before


class TestBooking:
    def test_outcomes_leave_the_hands_of_the_worker(self, ledger):
        ledger.take(3)
        ledger.book(0, processed=2, failed=1)
        stats = balanced(ledger.snapshot())
        assert stats["messages_processed"] == 2
        assert stats["messages_failed"] == stats["backend_errors"] == 1
        assert stats["failed_by_reason"] == {"dispatch": 1}
        assert stats["in_flight"] == 0

    def test_an_outcome_from_before_a_reset_is_ignored(self, ledger):
        ledger.take(1)
        generation = ledger.generation
        ledger.reset()
        ledger.book(generation, processed=1)
        assert not any(balanced(ledger.snapshot())[name] for name in (*COUNTERS, *DERIVED))

    def test_inline_outcomes_are_also_counted_apart(self, ledger):
        ledger.take(2)
        ledger.book(0, processed=1, failed=1, inline=True)
        stats = balanced(ledger.snapshot())
        assert (stats["sync_processed"], stats["messages_processed"]) == (1, 1)

    def test_a_drop_is_counted_by_reason_and_by_the_name_of_the_level(self, ledger):
        ledger.drop([INFO, ERROR, INFO, 35], "stopped")
        ledger.drop([CRITICAL], "overflow_oldest")
        stats = balanced(ledger.snapshot())
        assert stats["dropped_by_reason"] == {"stopped": 4, "overflow_oldest": 1}
        assert stats["dropped_by_level"] == {"INFO": 2, "ERROR": 1, "LEVEL 35": 1, "CRITICAL": 1}

    def test_a_drop_out_of_a_workers_hands_leaves_them(self, ledger):
        ledger.take(2)
        ledger.drop([INFO, INFO], "shutdown_timeout", in_flight=True)
        assert balanced(ledger.snapshot())["in_flight"] == 0

    def test_the_high_water_mark_only_rises(self, ledger):
        for size in (3, 7, 5):
            ledger.high_water(size)
        assert ledger["queue_high_watermark"] == 7


class TestReset:
    def test_everything_is_zero_in_the_same_objects(self):
        storage = {"mine": 5, "name": "kept"}
        ledger = Ledger(storage)
        table = ledger["dropped_by_level"]
        ledger.drop([INFO], "stopped")
        ledger.add("blocked_seconds", 1.5)
        ledger.sample("queue", 1)
        ledger.reset()
        assert ledger["dropped_by_level"] is table is storage["dropped_by_level"]
        assert storage["name"] == "kept"
        assert storage["mine"] == 0
        assert ledger.latency["queue"].as_dict() == Histogram().as_dict()
        assert not any(balanced(ledger.snapshot())[name] for name in (*COUNTERS, *DERIVED))


class TestMapping:
    def test_each_key_it_names_can_be_read(self, ledger):
        assert dict(ledger) == ledger.snapshot()
        assert len(ledger) == len(ledger.snapshot())

    def test_a_missing_key_is_a_key_error(self, ledger):
        with pytest.raises(KeyError):
            ledger["nonsense"]

    def test_a_key_can_be_removed(self, ledger):
        ledger["own"] = 1
        del ledger["own"]
        assert "own" not in ledger

    def test_a_plain_dict_with_keys_missing_is_completed_in_place(self):
        storage = {"messages_processed": 4, "backend_errors": 1}
        ledger = Ledger.of(storage)
        ledger.take(1)
        ledger.book(0, processed=1)
        assert storage["messages_processed"] == 5
        assert set(COUNTERS) <= storage.keys()

    def test_a_ledger_is_its_own_ledger(self, ledger):
        assert Ledger.of(ledger) is ledger

    def test_published_totals_stand_in_the_plain_dict(self, make_item):
        storage = {}
        ledger = Ledger(storage)
        queue = BoundedQueue(5, stats=ledger)
        queue.enqueue(make_item())
        ledger.publish()
        assert storage["messages_submitted"] == storage["queue_size"] == 1

    def test_a_backend_with_a_queue_of_its_own_keeps_the_totals_itself(self, ledger):
        ledger["messages_submitted"] = 3
        ledger["queue_size"] = 1
        ledger["messages_processed"] = 2
        assert balanced(ledger.snapshot())["messages_submitted"] == 3
        assert (ledger["messages_submitted"], ledger["queue_size"]) == (3, 1)

    def test_what_waits_in_a_backends_own_queue_counts_beside_the_one_it_leaves_alone(self, ledger):
        BoundedQueue(5, stats=ledger)
        ledger["messages_submitted"] += 3
        ledger["queue_size"] = 3
        assert balanced(ledger.snapshot())["messages_submitted"] == 3
        ledger.reset()
        assert ledger["messages_submitted"] == 0

    def test_totals_stay_true_when_others_count_beside_a_backends_own_queue(self, ledger):
        BoundedQueue(5, stats=ledger)
        ledger["messages_submitted"] = 2
        ledger["queue_size"] = 2
        ledger.book(ledger.generation, processed=1, in_flight=0, inline=True)
        assert balanced(ledger.snapshot())["messages_submitted"] == 3


class TestQueues:
    def test_what_waits_counts_as_submitted(self, ledger, make_item):
        one, other = BoundedQueue(5, stats=ledger), BoundedQueue(5, stats=ledger)
        one.enqueue(make_item())
        other.enqueue(make_item())
        stats = balanced(ledger.snapshot())
        assert stats["messages_submitted"] == stats["queue_size"] == 2

    def test_a_queue_counts_once_however_often_it_is_attached(self, ledger, make_item):
        queue = BoundedQueue(5, stats=ledger)
        ledger.attach(queue)
        queue.enqueue(make_item())
        assert ledger["queue_size"] == 1

    @pytest.mark.parametrize("storage", [None, {}])
    def test_totals_go_on_after_the_last_queue_was_detached(self, storage, make_item):
        ledger = Ledger(storage)
        queue = BoundedQueue(5, stats=ledger)
        queue.enqueue(make_item())
        queue.extract_batch(1)
        ledger.book(0, processed=1)
        ledger.publish()
        ledger.detach(queue)
        ledger.take(1)
        ledger.book(0, processed=1, inline=True)
        assert balanced(ledger.snapshot())["messages_submitted"] == 2


class TestHistogram:
    def test_a_sample_goes_to_the_bucket_of_its_power_of_two(self):
        histogram = Histogram()
        for seconds in (0, 1e-9, 5e-9, 1.0):
            histogram.add(seconds)
        counts = histogram.as_dict()
        assert counts["count"] == 4
        assert counts["sum_ns"] == 1_000_000_006
        assert counts["max_ns"] == 1_000_000_000
        assert [i for i, n in enumerate(counts["buckets"]) if n] == [0, 1, 3, 30]

    def test_a_clock_that_was_set_back_counts_as_no_time(self):
        histogram = Histogram()
        histogram.add(-5)
        assert (histogram.sum_ns, histogram.buckets[0]) == (0, 1)

    def test_a_year_goes_to_the_last_bucket(self):
        histogram = Histogram()
        histogram.add(3e7)
        assert histogram.buckets[BUCKETS - 1] == 1


class TestInterruptions:
    """A signal handler or finaliser that writes a record inline while another one is booked."""

    def nested(self, ledger):
        ledger.take(1)
        balanced(ledger.snapshot())
        ledger.book(ledger.generation, processed=1, inline=True)
        ledger.drop([INFO], "stopped")
        ledger.add("queue_overflows")
        balanced(ledger.snapshot())

    @pytest.mark.parametrize("call", ["book", "drop", "add", "take", "snapshot", "sample"])
    def test_no_count_is_lost_and_the_books_balance_at_each_moment(self, call, interruptions):
        calls = {
            "book": lambda ledger: ledger.book(0, processed=2, failed=1, reason="dispatch"),
            "drop": lambda ledger: ledger.drop([INFO, ERROR, INFO], "stopped", in_flight=True),
            "add": lambda ledger: ledger.add("queue_overflows"),
            "take": lambda ledger: ledger.take(2),
            "snapshot": lambda ledger: balanced(ledger.snapshot()),
            "sample": lambda ledger: ledger.sample("queue", 1),
        }

        def outcome(interruption):
            ledger = Ledger()
            ledger.take(3)
            holder.append(ledger)
            with interruption:
                calls[call](ledger)
            if not interruption.happened:
                self.nested(ledger)
            return balanced(ledger.snapshot())

        holder = []
        interruption = interruptions(lambda: self.nested(holder[-1]))
        expected = None
        places = 0
        while interruption.next():
            found = outcome(interruption)
            places += 1
            expected = expected or found
            assert found == expected, f"interrupted at place {places}"
        assert places > 2
