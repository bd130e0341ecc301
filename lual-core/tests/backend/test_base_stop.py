import math
import threading

import pytest

from lual.levels import ERROR


@pytest.fixture
def held(system):
    """A system whose worker is stuck inside the output, with three more records queued."""
    system.hold()
    system.submit(1, 2, 3)
    return system


def stop_in_vain(system, background, timeout=2.0):
    call = background(system.backend.stop, timeout)
    system.clock.until_parked(call.thread)
    system.clock.advance(timeout)
    assert call.result() is False


class TestDraining:
    def test_everything_accepted_is_dispatched(self, system):
        system.hold()
        system.submit(*range(38))
        system.output.open()
        assert system.backend.stop() is True
        assert system.output.records == ["held", *range(38)]
        assert system.stats["messages_processed"] == 39

    def test_a_partial_batch_that_waits_for_its_interval_is_dispatched(self, system):
        system.submit_and_park(1)
        assert system.backend.stop() is True
        assert system.output.records == [1]

    def test_it_waits_for_the_record_inside_an_output(self, held, background):
        call = background(held.backend.stop)
        held.clock.until_parked(call.thread)
        assert held.stats["state"] == "stopping"
        held.output.open()
        assert call.result() is True
        assert held.output.records == ["held", 1, 2, 3]

    def test_the_worker_has_ended(self, system):
        assert system.backend.stop() is True
        assert not system.backend.thread.is_alive()

    def test_a_submit_during_and_after_it_is_refused_and_not_counted(self, held, background):
        call = background(held.backend.stop)
        held.clock.until_parked(call.thread)
        assert held.submit(4, level=ERROR) == [False]
        held.output.open()
        call.result()
        assert held.submit(5) == [False]
        assert held.stats["messages_submitted"] == 4
        assert held.stats["state"] == "stopped"
        assert len(held.backend.threads) == 1

    def test_blocked_producers_wake_and_are_refused(self, make_system, background):
        system = make_system(max_size=1, strategy="block").start()
        system.hold()
        system.submit(1)
        producer = background(system.submit, 2)
        system.clock.until_parked(producer.thread)
        call = background(system.backend.stop)
        assert producer.result() == [False]
        system.output.open()
        assert call.result() is True
        assert system.output.records == ["held", 1]
        assert system.stats["messages_submitted"] == 2

    def test_a_flush_that_waits_is_answered(self, held, background):
        flush = background(held.backend.flush)
        held.clock.until_parked(flush.thread)
        stop = background(held.backend.stop)
        held.clock.until_parked(stop.thread)
        held.output.open()
        assert flush.result() is True
        assert stop.result() is True

    def test_a_record_that_races_with_it_is_dispatched_or_refused(self, make_system, background):
        for _ in range(50):
            system = make_system(batch_size=2).start()
            barrier = threading.Barrier(2)

            def produce(system=system, barrier=barrier):
                barrier.wait()
                return [system.submit(n)[0] for n in range(20)]

            call = background(produce)
            barrier.wait()
            assert system.backend.stop() is True
            accepted = call.result()
            assert len(system.output.records) == sum(accepted)
            assert system.stats["messages_processed"] == sum(accepted)


class TestTimeout:
    def test_it_returns_false_when_the_time_is_over(self, held, background):
        call = background(held.backend.stop, 0.5)
        assert held.clock.until_parked(call.thread) == held.clock.now() + 0.5
        held.clock.advance(0.5)
        assert call.result() is False

    def test_what_is_still_queued_is_dropped_and_reported_once(self, held, background):
        stop_in_vain(held, background)
        assert held.stats["dropped_by_reason"] == {"shutdown_timeout": 3}
        assert held.errors == [
            "stop ran out of time after 2 s: 3 records dropped (shutdown_timeout), "
            "1 still inside an output"
        ]

    def test_what_is_in_hand_and_not_begun_is_dropped_as_well(self, system, background):
        system.output.close()
        system.submit(*range(8))
        system.output.until_entered()
        stop_in_vain(system, background)
        assert system.stats["dropped_by_reason"] == {"shutdown_timeout": 7}
        assert system.stats["in_flight"] == 1

    def test_the_record_inside_an_output_stays_in_flight_until_it_comes_back(
        self, held, background
    ):
        stop_in_vain(held, background)
        assert held.stats["in_flight"] == 1
        held.output.open()
        held.backend.thread.join(10)
        assert held.stats["in_flight"] == 0
        assert held.stats["messages_processed"] == 1

    def test_nothing_begins_after_it_returned(self, system, background):
        system.output.close()
        system.submit(*range(8))
        system.output.until_entered()
        stop_in_vain(system, background)
        system.output.open()
        system.backend.thread.join(10)
        assert system.output.records == [0]

    def test_all_items_handed_to_many_count_as_begun(self, make_system, batch_output, background):
        system = make_system(output=batch_output).start()
        system.output.close()
        system.submit(*range(7))
        system.output.until_entered()
        stop_in_vain(system, background)
        assert system.stats["in_flight"] == 5
        assert system.stats["messages_dropped"] == 2

    def test_no_time_drops_what_waits(self, held):
        assert held.backend.stop(0) is False
        assert held.stats["messages_dropped"] == 3
        assert held.stats["state"] == "stopped"

    def test_no_time_is_enough_if_nothing_waits(self, system):
        system.submit(1)
        system.backend.flush()
        assert system.backend.stop(0) is True
        assert system.errors == []

    def test_no_argument_means_the_shutdown_timeout(self, make_system, background):
        system = make_system(shutdown_timeout=0.75).start()
        system.hold()
        call = background(system.backend.stop)
        assert system.clock.until_parked(call.thread) == system.clock.now() + 0.75
        system.clock.advance(0.75)
        assert call.result() is False

    @pytest.mark.parametrize("started", [False, True])
    @pytest.mark.parametrize("timeout", [-1, math.nan])
    def test_a_negative_timeout_is_an_error_and_stops_nothing(self, make_system, started, timeout):
        system = make_system()
        if started:
            system.start()
        with pytest.raises(ValueError, match="timeout must be 0 or more seconds"):
            system.backend.stop(timeout)
        assert system.stats["state"] == ("running" if started else "new")

    def test_infinity_waits_as_long_as_it_takes(self, held, background):
        call = background(held.backend.stop, math.inf)
        held.clock.until_parked(call.thread)
        held.clock.advance(1e6)
        held.output.open()
        assert call.result() is True

    def test_an_outputs_flush_that_stalls_makes_it_false(
        self, make_system, batch_output, background
    ):
        go_on = threading.Event()
        inside = threading.Event()
        system = make_system(output=batch_output).start()

        def hook():
            inside.set()
            assert go_on.wait(10)

        system.output.flush_hook = hook
        system.submit(1)
        call = background(system.backend.stop, 2.0)
        assert inside.wait(10)
        system.clock.until_parked(call.thread)
        system.clock.advance(2.0)
        assert call.result() is False
        assert system.stats["messages_dropped"] == 0
        go_on.set()


class TestAgain:
    def test_on_a_new_backend_it_is_true_and_changes_nothing(self, make_system):
        system = make_system()
        assert system.backend.stop() is True
        assert system.stats["state"] == "new"

    def test_a_second_call_gets_the_first_ones_answer(self, held, background):
        stop_in_vain(held, background)
        assert held.backend.stop() is False
        held.output.open()
        held.backend.thread.join(10)
        assert held.backend.stop() is False
        assert len(held.errors) == 1

    def test_a_second_call_after_success_is_true(self, system):
        assert system.backend.stop() is True
        assert system.backend.stop() is True

    def test_a_second_caller_waits_for_the_first_ones_answer(self, held, background):
        calls = [background(held.backend.stop) for _ in range(3)]
        for call in calls:
            held.clock.until_parked(call.thread)
        held.output.open()
        assert [call.result() for call in calls] == [True] * 3

    def test_both_get_false_and_the_loss_is_reported_once(self, held, background):
        calls = [background(held.backend.stop, 2.0) for _ in range(2)]
        for call in calls:
            held.clock.until_parked(call.thread)
        held.clock.advance(2.0)
        assert [call.result() for call in calls] == [False] * 2
        assert len(held.errors) == 1
        assert held.stats["messages_dropped"] == 3

    def test_after_a_first_caller_with_endless_patience_a_second_one_returns_in_its_time(
        self, held, background
    ):
        patient = background(held.backend.stop, math.inf)
        held.clock.until_parked(patient.thread)
        short = background(held.backend.stop, 1.0)
        held.clock.until_parked(short.thread)
        held.clock.advance(1.0)
        assert short.result() is False
        assert held.stats["messages_dropped"] == 0
        held.output.open()
        assert patient.result() is True


class TestFromInside:
    def test_from_an_output_it_is_false_and_the_worker_drains(self, system, eventually):
        answers = []
        system.output.hooks = {1: lambda: answers.append(system.backend.stop())}
        system.submit(*range(12))
        eventually(lambda: system.backend.get_stats()["state"] == "stopped")
        assert answers == [False]
        assert system.output.records == list(range(12))
        assert system.backend.stop() is True

    def test_a_later_call_from_outside_waits_for_that_drain(self, system, background):
        system.output.hooks = {"held": system.backend.stop}
        system.hold()
        system.submit(1, 2)
        system.output.hooks[1] = lambda: system.output.close() or system.output._gate.wait(10)
        system.output.open()
        system.output.until_entered()
        call = background(system.backend.stop)
        system.clock.until_parked(call.thread)
        system.output.open()
        assert call.result() is True
        assert system.output.records == ["held", 1, 2]

    def test_a_later_call_from_outside_that_runs_out_of_time_drops_the_rest(
        self, system, background
    ):
        """The first call, from the inside, has no deadline: nobody else would end it."""
        system.output.hooks = {
            1: lambda: (system.backend.stop(), system.output.close(), system.output._gate.wait(10))
        }
        system.submit(1, 2, 3)
        system.backend.flush(0)
        system.output.until_entered()
        while system.backend.get_stats()["state"] != "stopping":
            pass
        stop_in_vain(system, background)
        assert system.stats["state"] == "stopped"
        assert system.stats["dropped_by_reason"] == {"shutdown_timeout": 2}
        system.output.open()
        system.backend.thread.join(10)
        assert system.output.records == [1]

    def test_inside_of_a_call_that_it_interrupted_it_is_false(self, system, make_item, eventually):
        answers = []

        def handler(item):
            answers.append(system.backend.stop())
            return True

        system.backend._enqueue = handler
        system.backend.submit(make_item())
        assert answers == [False]
        eventually(lambda: system.backend.get_stats()["state"] == "stopped")
