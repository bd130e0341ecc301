import math
import threading

import pytest

from lual.levels import ERROR


@pytest.fixture
def held(system):
    """A system whose worker is stuck inside the output with a record."""
    system.hold()
    return system


class TestWatermark:
    def test_it_wakes_a_worker_that_waits_for_its_interval(self, system):
        system.submit_and_park(1)
        assert system.backend.flush() is True
        assert system.output.records == [1]

    def test_it_drains_any_number_of_batches(self, system):
        system.hold()
        system.submit(*range(38))
        system.output.open()
        assert system.backend.flush() is True
        assert system.output.records == ["held", *range(38)]

    def test_it_waits_for_the_record_that_is_inside_an_output(self, held, background):
        call = background(held.backend.flush)
        held.clock.until_parked(call.thread)
        assert call.thread.is_alive()
        held.output.open()
        assert call.result() is True
        assert held.output.records == ["held"]

    def test_it_does_not_wait_for_later_records(self, held, background):
        """The later ones get stuck in the output, in what would have been the same batch."""
        held.submit(1, 2)
        call = background(held.backend.flush)
        held.clock.until_parked(call.thread)
        held.submit(3, 4, 5, 6, level=ERROR)
        second = threading.Event()
        held.output.hooks = {3: second.wait}
        held.output.open()
        assert call.result() is True
        second.set()
        assert held.output.records[:3] == ["held", 1, 2]

    def test_a_busy_producer_cannot_hold_it(self, system, background):
        stop = threading.Event()

        def produce():
            while not stop.is_set():
                system.submit("more")
                # So that the worker can keep up: the queue drops nothing here.
                while system.queue.size() > 50:
                    pass

        call = background(produce)
        try:
            assert system.backend.flush() is True
            assert system.backend.flush() is True
        finally:
            stop.set()
        call.result()

    def test_a_record_that_was_evicted_meanwhile_does_not_hold_it(self, make_system, background):
        system = make_system(max_size=2).start()
        system.hold()
        system.submit(1, 2)
        call = background(system.backend.flush)
        system.clock.until_parked(call.thread)
        system.submit(3, 4)
        system.output.open()
        assert call.result() is True

    def test_failed_records_are_reported_before_it_returns(self, system):
        system.output.failures = {1: ValueError("no")}
        system.submit(1)
        assert system.backend.flush() is True
        assert len(system.errors) == 1

    def test_concurrent_ones_each_have_their_own_watermark(self, held, background):
        calls = []
        for record in range(4):
            held.submit(record)
            calls.append(background(held.backend.flush))
            held.clock.until_parked(calls[-1].thread)
        held.output.open()
        assert [call.result() for call in calls] == [True] * 4
        assert held.stats["flushes"] == 4

    def test_one_with_less_time_does_not_harm_another(self, held, background):
        short = background(held.backend.flush, 1.0)
        long = background(held.backend.flush, 4.0)
        for call in (short, long):
            held.clock.until_parked(call.thread)
        held.clock.advance(1.0)
        assert short.result() is False
        held.output.open()
        assert long.result() is True


class TestTimeout:
    def test_it_returns_false_when_the_time_is_over(self, held, background):
        call = background(held.backend.flush, 0.5)
        assert held.clock.until_parked(call.thread) == held.clock.now() + 0.5
        held.clock.advance(0.5)
        assert call.result() is False
        assert held.stats["flush_timeouts"] == 1

    def test_it_drops_nothing_and_the_next_one_can_succeed(self, held, background):
        held.submit(1)
        call = background(held.backend.flush, 0.5)
        held.clock.until_parked(call.thread)
        held.clock.advance(0.5)
        assert call.result() is False
        held.output.open()
        assert held.backend.flush() is True
        assert held.output.records == ["held", 1]
        assert held.stats["messages_dropped"] == 0

    def test_no_time_polls(self, held):
        assert held.backend.flush(0) is False
        held.output.open()
        assert held.backend.flush() is True
        assert held.backend.flush(0) is True

    def test_no_time_asks_for_a_batch(self, system):
        system.submit_and_park(1)
        system.backend.flush(0)
        system.output.until_entered()

    def test_polling_becomes_true_though_the_outputs_must_be_flushed(
        self, make_system, batch_output, eventually
    ):
        system = make_system(output=batch_output).start()
        system.submit(1, 2)
        eventually(lambda: system.backend.flush(0))
        assert batch_output.events[-1] == "flush"

    def test_no_argument_means_the_flush_timeout(self, make_system, background):
        system = make_system(flush_timeout=0.75).start()
        system.hold()
        call = background(system.backend.flush)
        assert system.clock.until_parked(call.thread) == system.clock.now() + 0.75
        system.clock.advance(0.75)
        assert call.result() is False

    @pytest.mark.parametrize("state", ["new", "running", "stopped"])
    @pytest.mark.parametrize("timeout", [-1, -0.001, math.nan, -math.inf])
    def test_a_negative_timeout_is_an_error_in_any_state(self, make_system, state, timeout):
        system = make_system()
        if state != "new":
            system.start()
        if state == "stopped":
            system.backend.stop()
        with pytest.raises(ValueError, match="timeout must be 0 or more seconds"):
            system.backend.flush(timeout)

    def test_infinity_waits_as_long_as_it_takes(self, held, background):
        call = background(held.backend.flush, math.inf)
        held.clock.until_parked(call.thread)
        held.clock.advance(1e6)
        held.output.open()
        assert call.result() is True


class TestAtOnce:
    def test_with_nothing_to_do_it_is_true_at_once(self, system):
        assert system.backend.flush() is True
        assert system.backend.flush(0) is True

    def test_on_a_new_backend_it_is_true(self, make_system):
        assert make_system().backend.flush() is True

    def test_on_a_stopped_backend_it_is_true(self, system):
        system.submit(1)
        system.backend.stop()
        assert system.backend.flush() is True

    def test_from_an_output_it_is_false(self, system):
        answers = []
        system.output.hooks = {1: lambda: answers.append(system.backend.flush())}
        system.submit(1, level=ERROR)
        assert system.backend.flush() is True
        assert answers == [False]

    def test_from_the_worker_it_is_false(self, make_system, thread_backend):
        answers = []

        class Asking(thread_backend):
            def run(self, items, **settings):
                super().run(items, **settings)
                answers.append(self.flush())

        system = make_system(backend=Asking).start()
        system.submit(1)
        system.backend.flush()
        system.backend.stop()
        assert answers == [False]

    def test_a_new_thread_is_not_taken_for_a_worker_that_has_ended(self, system):
        """The system may give a new thread the number of one that has ended."""
        system.submit(1)
        worker = system.backend._worker
        assert system.backend.stop() is True
        assert worker is not None
        assert system.backend._worker is None

    def test_inside_another_call_it_is_false(self, system, make_item):
        answers = []

        class Handler:
            def __call__(self, item):
                answers.append(system.backend.flush())
                return True

        system.backend._enqueue = Handler()
        system.backend.submit(make_item())
        assert answers == [False]


class TestTheOutputsFlush:
    @pytest.fixture
    def batches(self, make_system, batch_output):
        return make_system(output=batch_output).start()

    def test_it_is_called_after_the_last_record_and_on_the_worker(self, batches):
        threads = []
        batches.output.flush_hook = lambda: threads.append(threading.current_thread())
        batches.submit(*range(7))
        assert batches.backend.flush() is True
        assert batches.output.events[-1] == "flush"
        assert [r for event in batches.output.events[:-1] for r in event] == list(range(7))
        assert threads == [batches.backend.thread]

    def test_it_is_called_before_the_flush_returns(self, batches, background):
        go_on = threading.Event()
        inside = threading.Event()

        def hook():
            inside.set()
            assert go_on.wait(10)

        batches.output.flush_hook = hook
        batches.submit(1)
        call = background(batches.backend.flush)
        assert inside.wait(10)
        batches.clock.until_parked(call.thread)
        second = background(batches.backend.flush)
        batches.clock.until_parked(second.thread)
        go_on.set()
        assert call.result() is True
        assert second.result() is True

    def test_it_is_called_for_a_batch_that_was_dispatched_before(self, batches):
        parks = batches.clock.parks(batches.backend.thread)
        batches.submit(*range(5))
        batches.clock.until_parked(batches.backend.thread, parks + 1)
        assert batches.output.events == [list(range(5))]
        assert batches.backend.flush() is True
        assert batches.output.events[-1] == "flush"

    def test_with_nothing_new_it_is_not_called(self, batches):
        batches.submit(1)
        assert batches.backend.flush() is True
        assert batches.backend.flush() is True
        assert batches.output.events == [[1], "flush"]

    def test_it_is_called_by_a_stop(self, batches):
        batches.submit(1)
        assert batches.backend.stop() is True
        assert batches.output.events == [[1], "flush"]

    def test_a_stop_with_nothing_new_calls_it_no_more(self, batches):
        batches.submit(1)
        batches.backend.flush()
        assert batches.backend.stop() is True
        assert batches.output.events == [[1], "flush"]

    @pytest.mark.parametrize("kind", [OSError, SystemExit])
    def test_what_it_raises_is_reported_and_counted(self, batches, kind):
        batches.output.flush_error = kind("full")
        batches.submit(1)
        assert batches.backend.flush() is True
        assert batches.errors == [f"the outputs' flush raised {kind.__name__}: full"]
        assert batches.stats["backend_errors"] == 1
        assert len(batches.backend.threads) == 1

    def test_an_items_own_dispatch_is_flushed_as_well(self, batches, batch_output):
        own = type(batch_output)()
        batches.submit(1)
        batches.submit(2, func=own)
        assert batches.backend.flush() is True
        assert own.events == [[2], "flush"]
        assert batches.output.events == [[1], "flush"]

    def test_a_dispatch_that_was_replaced_is_flushed_as_well(self, batches, batch_output):
        parks = batches.clock.parks(batches.backend.thread)
        batches.submit(*range(5))
        batches.clock.until_parked(batches.backend.thread, parks + 1)
        new = type(batch_output)()
        batches.backend.start(new)
        batches.submit(5)
        assert batches.backend.flush() is True
        assert batches.output.events == [list(range(5)), "flush"]
        assert new.events == [[5], "flush"]

    def test_a_flush_that_stalls_is_bounded_by_the_timeout(self, batches, background):
        go_on = threading.Event()
        batches.output.flush_hook = lambda: go_on.wait(10)
        batches.submit(1)
        call = background(batches.backend.flush, 2.0)
        batches.output.until_entered()
        batches.clock.until_parked(call.thread)
        batches.clock.advance(2.0)
        assert call.result() is False
        go_on.set()

    def test_a_record_logged_by_it_is_taken(self, batches):
        batches.output.flush_hook = lambda: batches.submit("inner")
        batches.submit(1)
        assert batches.backend.flush() is True
        batches.output.flush_hook = lambda: None
        assert batches.backend.flush() is True
        assert ["inner"] in batches.output.events
