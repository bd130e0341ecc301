import sys

import pytest

from lual.backend import WorkItem
from lual.levels import CRITICAL, ERROR, WARNING

INTERVAL = 8.0


@pytest.fixture
def timed(make_system):
    """A started system whose records wait eight seconds for their batch."""
    return make_system(flush_interval=INTERVAL).start()


class TestBySize:
    def test_a_full_batch_starts_without_waiting(self, system):
        system.submit(1, 2, 3, 4, 5)
        system.output.until_entered(5)
        assert system.backend.flush()
        assert system.output.records == [1, 2, 3, 4, 5]

    def test_one_less_waits(self, system):
        system.submit_and_park(1, 2, 3, 4)
        assert system.output.records == []
        assert system.queue.size() == 4

    def test_no_batch_exceeds_the_size(self, system):
        system.hold()
        system.submit(*range(23))
        system.output.open()
        assert system.backend.flush()
        assert system.output.records == ["held", *range(23)]
        assert max(map(len, system.backend.batches)) == 5

    def test_the_capacity_counts_if_the_queue_holds_less(self, make_system):
        system = make_system(batch_size=50, max_size=3).start()
        system.submit(1, 2, 3)
        system.output.until_entered(3)

    def test_a_batch_larger_than_the_queue_takes_all_of_it(self, make_system):
        system = make_system(batch_size=50, max_size=3).start()
        system.hold()
        system.submit(1, 2, 3)
        system.output.open()
        assert system.backend.flush()
        assert system.backend.batches == [["held"], [1, 2, 3]]

    def test_a_submit_that_fills_a_batch_with_records_aside_wakes_the_worker(self, make_system):
        system = make_system(max_size=4, batch_size=3, flush_level=CRITICAL, protect_level=WARNING)
        system.backend.start(system.output)
        worker = system.backend.thread
        system.clock.until_parked(worker)
        system.hold()  # demands what came until then
        system.submit(*"abcd", level=WARNING)
        system.submit(1)  # all step aside
        parks = system.clock.parks(worker)
        system.output.open()
        system.clock.until_parked(worker, parks + 1)
        assert system.output.records == ["held", *"abc"]
        system.submit(1, 2)
        system.output.until_entered(6)

    def test_a_batch_of_one_starts_at_once(self, make_system):
        system = make_system(batch_size=1).start()
        system.submit(1)
        system.output.until_entered()


class TestByAge:
    def test_a_partial_batch_starts_when_its_oldest_has_waited_the_interval(self, timed):
        timed.submit_and_park(1)
        timed.clock.advance(INTERVAL)
        timed.output.until_entered()

    def test_and_not_before(self, timed):
        timed.submit_and_park(1)
        parks = timed.clock.parks(timed.backend.thread)
        timed.clock.advance(INTERVAL - 0.01)
        timed.backend.wake_worker()
        timed.clock.until_parked(timed.backend.thread, parks + 1)
        assert timed.output.records == []

    def test_a_later_record_does_not_put_it_off(self, timed):
        timed.submit_and_park(1)
        timed.clock.advance(INTERVAL / 2)
        timed.submit(2)
        timed.clock.advance(INTERVAL / 2)
        timed.output.until_entered(2)
        assert timed.backend.flush()
        assert timed.backend.batches == [[1, 2]]

    def test_the_next_batch_waits_for_its_own_oldest(self, timed):
        worker = timed.backend.thread
        timed.submit_and_park(1)
        timed.clock.advance(INTERVAL)
        timed.clock.until_parked(worker, times=3)
        timed.clock.advance(INTERVAL / 2)
        timed.submit(2)
        deadline = timed.clock.until_parked(worker, times=4)
        assert deadline == pytest.approx(timed.clock.now() + INTERVAL, abs=1e-4)
        assert timed.output.records == [1]

    def test_age_is_counted_from_the_submit_even_if_the_worker_was_busy(self, make_system):
        system = make_system(flush_interval=INTERVAL).start()
        system.hold()
        system.submit(1)
        system.clock.advance(INTERVAL - 1)
        parks = system.clock.parks(system.backend.thread)
        system.output.open()
        deadline = system.clock.until_parked(system.backend.thread, parks + 1)
        assert deadline == pytest.approx(system.clock.now() + 1, abs=1e-4)

    @pytest.mark.parametrize("start", [n * 0.0371 for n in range(12)])
    def test_the_interval_is_kept_to_the_end_of_this_century(self, make_system, start):
        system = make_system(flush_interval=0.1, epoch=4_000_000_000.0).start()
        system.clock.advance(start)
        system.submit_and_park(1)
        system.clock.advance(0.1)
        system.output.until_entered()

    @pytest.mark.parametrize("step", [-3600.0, 3600.0, 5.0])
    def test_a_wall_clock_that_is_set_never_delays_a_batch(self, make_system, step):
        system = make_system(flush_interval=INTERVAL).start()
        system.hold()
        system.submit(1)
        system.clock.set_time(system.clock.time() + step)
        system.output.open()
        if step < 0:  # else it is dispatched at once
            system.clock.until_parked(system.backend.thread, 2)
        system.clock.advance(INTERVAL)
        system.output.until_entered()

    def test_no_interval_means_at_once(self, make_system):
        system = make_system(flush_interval=0).start()
        system.submit(1)
        system.output.until_entered()

    def test_an_endless_interval_waits_for_the_size(self, make_system):
        system = make_system(flush_interval=float("inf")).start()
        system.submit_and_park(1)
        assert system.clock.until_parked(system.backend.thread) == float("inf")
        system.submit(2, 3, 4, 5)
        system.output.until_entered(5)


class TestByLevel:
    def test_a_record_at_the_flush_level_starts_its_batch_at_once(self, system):
        system.submit_and_park(1)
        system.submit("error", level=ERROR)
        system.output.until_entered(2)
        assert system.backend.flush()
        assert system.backend.batches == [[1, "error"]]

    def test_one_below_waits(self, make_system):
        system = make_system(flush_level=WARNING).start()
        parks = system.clock.parks(system.backend.thread) + 1
        system.submit(1, level=WARNING - 1)
        system.clock.until_parked(system.backend.thread, parks)
        assert system.output.records == []
        system.submit(2, level=WARNING)
        system.output.until_entered(2)

    def test_it_gets_all_before_it_out_however_many_batches_that_takes(self, system):
        system.hold()
        system.submit(*range(12))
        system.submit("error", level=ERROR)
        system.submit("later")
        parks = system.clock.parks(system.backend.thread)
        system.output.open()
        system.clock.until_parked(system.backend.thread, parks + 1)
        assert system.output.records[:14] == ["held", *range(12), "error"]

    def test_a_refused_urgent_record_wakes_nobody(self, make_system):
        system = make_system(max_size=1, batch_size=1).start()
        system.hold()
        system.submit("waits", level=ERROR)
        system.queue.overflow_strategy = "drop_newest"
        assert system.submit("refused", level=ERROR) == [False]


class TestParking:
    def test_an_idle_worker_parks_without_a_deadline(self, system):
        assert system.clock.until_parked(system.backend.thread) == float("inf")
        assert system.clock.parks(system.backend.thread) == 1

    def test_time_alone_does_not_wake_an_idle_worker(self, system):
        system.clock.advance(1e6)
        system.submit_and_park(1)
        assert system.clock.parks(system.backend.thread) == 2

    def test_records_that_fill_no_batch_wake_the_worker_once(self, system):
        system.submit_and_park(1)
        system.submit(2, 3, 4)
        assert system.clock.parks(system.backend.thread) == 2

    def test_a_submit_between_the_last_look_and_the_wait_is_not_missed(self, make_system):
        """A submit takes no lock, so it can come while the worker is about to park."""
        system = make_system(batch_size=1).start()
        system.backend.flush()
        queue, seen = system.queue, []
        waiting = queue.waiting

        def late():
            if not seen and sys._getframe(1).f_code.co_name == "_park":
                seen.append(True)
                queue.enqueue(WorkItem("app", "late", None, 0.0, 20))
            return waiting()

        system.backend._waiting = late
        system.backend.wake_worker()
        system.output.until_entered()
        assert seen

    def test_processed_records_are_released(self, system):
        import gc
        import weakref

        class Thing:
            pass

        thing = Thing()
        gone = weakref.ref(thing)
        system.submit(thing)
        assert system.backend.flush()
        del thing
        system.output.records.clear()
        system.output.calls.clear()
        system.backend.batches.clear()
        system.submit(*range(5))
        assert system.backend.flush()
        gc.collect()
        assert gone() is None


class TestDispatching:
    def test_outputs_never_run_on_the_submitting_thread(self, system):
        system.submit(*range(5))
        assert system.backend.flush()
        assert set(system.output.threads) == {system.backend.thread}

    def test_submit_returns_while_an_output_stalls(self, system):
        system.hold()
        assert system.submit(*range(20)) == [True] * 20
        assert system.stats["in_flight"] == 1

    def test_one_dispatch_runs_at_a_time(self, system):
        system.hold()
        system.submit(*range(20))
        assert not system.output.entered.acquire(blocking=False)
        assert len(system.backend.threads) == 1

    def test_an_item_reaches_the_output_as_it_is(self, system):
        record = object()
        system.submit(record)
        assert system.backend.flush()
        assert system.output.records[0] is record

    def test_an_items_own_dispatch_wins(self, system):
        mine = []
        system.submit(1)
        system.submit(2, func=lambda logger, record: mine.append(record))
        assert system.backend.flush()
        assert (system.output.records, mine) == ([1], [2])

    def test_without_any_dispatch_a_record_fails(self, make_system):
        system = make_system()
        system.backend.start()
        system.submit(1)
        assert system.backend.flush()
        assert system.stats["failed_by_reason"] == {"no_dispatch": 1}

    @pytest.mark.parametrize(
        "kind", [SystemExit, KeyboardInterrupt, GeneratorExit, RecursionError, MemoryError]
    )
    def test_whatever_an_output_raises_the_worker_goes_on(self, system, kind):
        system.output.failures = {1: kind("x")}
        system.submit(1, 2)
        assert system.backend.flush()
        assert system.output.records == [2]
        assert len(system.backend.threads) == 1
        assert system.stats["messages_failed"] == 1
        assert len(system.errors) == 1

    def test_what_the_error_callback_raises_changes_nothing(self, make_system):
        def broken(message):
            raise KeyboardInterrupt

        system = make_system(error_callback=broken).start()
        system.output.failures = {1: ValueError()}
        system.submit(1, 2)
        assert system.backend.flush()
        assert system.output.records == [2]

    def test_a_record_logged_by_an_output_is_dispatched_later_and_not_inside(self, system):
        depths = []

        def log():
            system.submit("inner")
            depths.append(list(system.output.records))

        system.output.hooks = {"outer": log}
        system.submit("outer")
        assert system.backend.flush()
        assert system.backend.flush()
        assert depths == [[]]
        assert system.output.records == ["outer", "inner"]

    def test_under_block_an_output_that_fills_the_queue_is_refused(self, make_system):
        system = make_system(max_size=2, strategy="block", batch_size=1).start()
        answers = []
        system.output.hooks = {"outer": lambda: answers.extend(system.submit(1, 2, 3))}
        system.submit("outer")
        assert system.backend.flush()
        assert answers == [True, True, False]
        assert system.stats["dropped_by_reason"] == {"cannot_block": 1}

    def test_under_block_a_finaliser_on_the_worker_is_refused(self, make_system, monkeypatch):
        """Between two dispatch calls the worker is no output, and still must not wait."""
        system = make_system(max_size=1, strategy="block", batch_size=1).start()
        answers = []
        book = system.config.ledger.book

        def finalise(*args, **kwargs):
            monkeypatch.undo()
            answers.extend(system.submit(1, 2))
            book(*args, **kwargs)

        monkeypatch.setattr(system.config.ledger, "book", finalise)
        system.submit("outer")
        system.output.until_entered(2)
        assert answers == [True, False]
        assert system.stats["dropped_by_reason"] == {"cannot_block": 1}
