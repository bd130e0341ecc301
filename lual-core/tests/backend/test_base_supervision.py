import contextlib
import threading

import pytest

from lual.backend.supervisor import DELAYS, HEALTHY_AFTER, Supervisor
from lual.levels import ERROR


class TestSupervisor:
    def test_the_first_restart_is_immediate_and_the_pauses_grow(self):
        supervisor = Supervisor()
        delays = [supervisor.next_delay(0.0) for _ in DELAYS]
        assert delays[0] == 0
        assert delays == sorted(set(delays))

    def test_there_are_five_and_no_more(self):
        supervisor = Supervisor()
        assert [supervisor.next_delay(0.0) for _ in range(7)] == [*DELAYS, None, None]
        assert len(DELAYS) == 5

    def test_a_minute_of_health_forgets_the_deaths_before(self):
        supervisor = Supervisor()
        for _ in range(4):
            supervisor.next_delay(100.0)
        assert supervisor.next_delay(100.0 + HEALTHY_AFTER) == 0
        assert HEALTHY_AFTER == 60

    def test_less_does_not(self):
        supervisor = Supervisor()
        supervisor.next_delay(100.0)
        assert supervisor.next_delay(99.9 + HEALTHY_AFTER) == DELAYS[1]

    def test_a_start_forgets_them_as_well(self):
        supervisor = Supervisor()
        supervisor.next_delay(0.0)
        supervisor.forget()
        assert supervisor.next_delay(0.0) == 0


class Dying:
    """Kills workers, and waits until their successors are at work."""

    def __init__(self, system):
        self.system = system

    def kill(self):
        """Kills the worker; returns the dying thread."""
        worker = self.system.backend.thread
        self.system.backend.kill_worker()
        return worker

    def kill_and_restart(self, pause):
        worker = self.kill()
        if pause:
            clock = self.system.clock
            deadline = clock.until_parked(worker, clock.parks(worker))
            while deadline != clock.now() + pause:  # it is still the wait for work
                deadline = clock.until_parked(worker)
            clock.advance(pause)
        worker.join(10)
        assert not worker.is_alive()
        self.system.clock.until_parked(self.system.backend.thread)


@pytest.fixture
def dying(system):
    return Dying(system)


class TestAWorkerThatDies:
    def test_it_is_replaced_at_once_and_the_death_is_reported_once(self, system, dying):
        dying.kill_and_restart(0)
        assert len(system.backend.threads) == 2
        assert system.errors == [
            "the worker was lost (WorkerKilled: a test asked for it) and is replaced"
        ]
        assert system.stats["worker_restarts"] == 1
        assert system.stats["backend_errors"] == 1
        assert system.stats["state"] == "running"

    def test_the_new_one_works(self, system, dying):
        dying.kill_and_restart(0)
        system.submit(*range(7))
        assert system.backend.flush() is True
        assert system.output.records == list(range(7))

    def test_what_waited_is_not_lost(self, system, dying):
        system.submit_and_park(1, 2)
        dying.kill_and_restart(0)
        assert system.backend.flush() is True
        assert system.output.records == [1, 2]

    def test_a_killed_worker_that_is_inside_an_output_finishes_its_batch_first(self, system, dying):
        system.output.close()
        system.submit(*range(5))
        system.output.until_entered()
        dying.kill()
        system.output.open()
        system.submit(5)
        assert system.backend.flush() is True
        assert system.output.records == [0, 1, 2, 3, 4, 5]
        assert system.stats["worker_restarts"] == 1

    def test_a_fault_of_its_own_machinery_is_survived(self, system, monkeypatch):
        def broken():
            if threading.current_thread() is system.backend.threads[0]:
                raise OSError("broken")
            return 0

        monkeypatch.setattr(system.queue, "oldest", broken)
        system.submit(1)
        system.backend.threads[0].join(10)
        monkeypatch.undo()
        assert system.backend.flush() is True
        assert system.output.records == [1]
        assert "the worker was lost (OSError: broken)" in system.errors[0]


class TestBackOff:
    def test_the_second_restart_waits_on_the_clock(self, system, dying):
        dying.kill_and_restart(0)
        worker = dying.kill()
        system.clock.until_parked(worker, 2)
        assert len(system.backend.threads) == 2
        system.clock.advance(DELAYS[1] - 0.01)
        assert len(system.backend.threads) == 2
        system.clock.advance(0.01)
        worker.join(10)
        assert len(system.backend.threads) == 3

    def test_after_five_restarts_the_backend_stops(self, system, dying):
        for pause in DELAYS:
            dying.kill_and_restart(pause)
        assert system.stats["worker_restarts"] == 5
        dying.kill().join(10)
        assert system.stats["state"] == "stopped"
        assert system.stats["worker_restarts"] == 5
        assert system.errors[-1].startswith("the worker was lost too often (WorkerKilled")
        assert system.submit(1) == [False]
        assert len(system.backend.threads) == 6

    def test_a_minute_of_health_starts_the_count_anew(self, system, dying):
        for pause in DELAYS:
            dying.kill_and_restart(pause)
        system.clock.advance(60.0)
        dying.kill_and_restart(0)
        assert system.stats["state"] == "running"
        assert system.stats["worker_restarts"] == 6

    def test_submits_during_the_pause_are_taken(self, system, dying):
        dying.kill_and_restart(0)
        worker = dying.kill()
        system.clock.until_parked(worker, 2)
        assert system.submit(1, 2) == [True, True]
        system.clock.advance(DELAYS[1])
        worker.join(10)
        assert system.backend.flush() is True
        assert system.output.records == [1, 2]

    def test_a_flush_does_not_wait_for_the_pause(self, system, dying):
        dying.kill_and_restart(0)
        worker = dying.kill()
        system.clock.until_parked(worker, 2)
        system.submit(1)
        assert system.backend.flush() is True
        worker.join(10)
        assert len(system.backend.threads) == 3

    def test_a_flush_long_before_does_not_shorten_the_pause(self, system, dying):
        dying.kill_and_restart(0)
        assert system.backend.flush() is True
        system.submit(1)
        assert system.backend.flush() is True
        worker = dying.kill()
        deadline = system.clock.until_parked(worker, system.clock.parks(worker))
        while deadline == float("inf"):
            deadline = system.clock.until_parked(worker)
        assert deadline == system.clock.now() + DELAYS[1]
        assert len(system.backend.threads) == 2

    def test_a_stop_during_the_pause_drains_on_its_own_thread(self, system, dying):
        dying.kill_and_restart(0)
        worker = dying.kill()
        system.clock.until_parked(worker, 2)
        system.submit(1, 2)
        assert system.backend.stop() is True
        worker.join(10)
        assert system.output.records == [1, 2]
        assert set(system.output.threads) == {threading.current_thread()}
        assert len(system.backend.threads) == 2
        assert system.stats["state"] == "stopped"

    def test_an_interruption_of_that_drain_goes_on_to_the_caller_and_loses_nothing(
        self, system, dying
    ):
        dying.kill_and_restart(0)
        worker = dying.kill()
        system.clock.until_parked(worker, 2)
        system.submit(1, 2, 3)
        system.output.failures = {2: KeyboardInterrupt()}
        with pytest.raises(KeyboardInterrupt):
            system.backend.stop()
        assert system.stats["queue_size"] == 1
        assert system.stats["messages_failed"] == 1
        assert system.backend.stop() is True
        assert system.output.records == [1, 3]

    def test_two_that_stop_do_not_drain_twice(self, system, dying, background):
        dying.kill_and_restart(0)
        worker = dying.kill()
        system.clock.until_parked(worker, 2)
        system.submit(1, 2, 3)
        system.output.close()
        first = background(system.backend.stop)
        system.output.until_entered()
        second = background(system.backend.stop)
        system.clock.until_parked(second.thread)
        system.output.open()
        assert first.result() is True
        assert second.result() is True
        assert system.output.records == [1, 2, 3]
        assert set(system.output.threads) == {first.thread}


class TestAfterGivingUp:
    @pytest.fixture
    def gone(self, system, dying):
        """A backend whose worker was lost too often, with two records left."""
        for pause in DELAYS:
            dying.kill_and_restart(pause)
        system.submit_and_park(1, 2)
        dying.kill().join(10)
        return system

    def test_what_waits_is_kept_for_the_engine(self, gone):
        assert gone.stats["queue_size"] == 2
        assert gone.stats["messages_dropped"] == 0

    def test_a_flush_tells_that_something_is_left(self, gone):
        assert gone.backend.flush() is False

    def test_a_stop_drains_what_is_left(self, gone):
        assert gone.backend.stop() is True
        assert gone.output.records == [1, 2]
        assert gone.backend.flush() is True

    def test_a_stop_without_time_drops_it(self, gone):
        assert gone.backend.stop(0) is False
        assert gone.stats["dropped_by_reason"] == {"shutdown_timeout": 2}

    def test_a_start_goes_on_with_it(self, gone):
        gone.backend.start()
        assert gone.backend.flush() is True
        assert gone.output.records == [1, 2]
        assert gone.stats["state"] == "running"

    def test_a_start_that_fails_leaves_it_as_it_was(self, gone):
        gone.backend.refusals = [RuntimeError("no")]
        with pytest.raises(RuntimeError):
            gone.backend.start()
        assert gone.stats["state"] == "stopped"
        assert gone.backend.flush() is False
        assert gone.backend.stop() is True
        assert gone.output.records == [1, 2]

    def test_a_blocked_producer_is_released(self, make_system, background):
        system = make_system(max_size=1, strategy="block").start()
        dying = Dying(system)
        for pause in DELAYS:
            dying.kill_and_restart(pause)
        system.hold()
        system.submit(1)
        call = background(system.submit, 2)
        system.clock.until_parked(call.thread)
        dying.kill()
        system.output.open()
        assert call.result() == [False]
        assert system.stats["messages_dropped"] == 0


class TestASuccessorThatCannotStart:
    def test_it_is_tried_again_after_the_pause(self, system, dying):
        system.backend.refusals = [RuntimeError("can't start new thread")]
        worker = dying.kill()
        system.clock.until_parked(worker, 2)
        assert "no new one could be started: RuntimeError: can't start" in system.errors[-1]
        system.clock.advance(DELAYS[1])
        worker.join(10)
        system.submit(1)
        assert system.backend.flush() is True

    def test_it_is_not_tried_for_ever(self, system, dying):
        system.backend.refusals = [RuntimeError("no") for _ in range(9)]
        worker = dying.kill()
        for pause in DELAYS[1:]:
            deadline = system.clock.now()
            while deadline != system.clock.now() + pause:
                deadline = system.clock.until_parked(worker)
            system.clock.advance(pause)
        worker.join(10)
        assert system.stats["state"] == "stopped"
        assert system.stats["worker_restarts"] == 5


class TestAWorkerThatVanishes:
    """It ends without a word: a killed process, say, or a task that was thrown away."""

    @pytest.fixture
    def vanishing(self, make_system, thread_backend):
        """A system with a worker that can be told to leave its loop with a batch in hand."""

        class Vanishing(thread_backend):
            leave = False

            def _work(self):
                while (items := self.next_batch()) is not None:
                    if self.leave:
                        self.leave = False
                        return
                    self.run(items)

        return make_system(backend=Vanishing).start()

    def vanish(self, system, *records):
        system.backend.leave = True
        system.submit(*records)
        worker = system.backend.thread
        system.backend.flush(0)
        worker.join(10)
        assert not worker.is_alive()

    def test_the_next_flush_notices_and_what_was_in_hand_is_resumed_in_order(self, vanishing):
        vanishing.submit_and_park(1, 2, 3)
        self.vanish(vanishing, 4)
        vanishing.submit(5)
        assert vanishing.backend.flush() is True
        assert vanishing.output.records == [1, 2, 3, 4, 5]
        assert vanishing.stats["worker_restarts"] == 1
        assert vanishing.errors == ["the worker was lost (it ended without a word) and is replaced"]

    def test_the_next_urgent_submit_notices(self, vanishing):
        self.vanish(vanishing, 1)
        vanishing.submit("error", level=ERROR)
        vanishing.output.until_entered(2)

    def test_many_that_notice_at_once_make_one_new_worker(self, vanishing, background):
        self.vanish(vanishing, 1)
        barrier = threading.Barrier(8)

        def notice(n):
            barrier.wait()
            vanishing.submit(n, level=ERROR)

        for call in [background(notice, n) for n in range(8)]:
            call.result()
        assert vanishing.backend.flush() is True
        assert len(vanishing.backend.threads) == 2
        assert vanishing.stats["worker_restarts"] == 1
        assert sorted(vanishing.output.records[1:]) == list(range(8))

    def test_a_flush_that_waits_already_notices(self, vanishing, background):
        vanishing.hold()
        vanishing.backend.leave = True
        vanishing.submit(1)
        call = background(vanishing.backend.flush)
        vanishing.clock.until_parked(call.thread)
        vanishing.output.open()
        vanishing.backend.threads[0].join(10)
        vanishing.clock.advance(1.0)
        assert call.result() is True
        assert vanishing.output.records == ["held", 1]

    def test_a_stop_drains_what_is_left(self, vanishing):
        self.vanish(vanishing, 1, 2)
        assert vanishing.backend.stop() is True
        assert vanishing.output.records == [1, 2]
        assert len(vanishing.backend.threads) == 1

    def test_a_stop_that_waits_already_notices(self, vanishing, background):
        vanishing.hold()
        vanishing.backend.leave = True
        vanishing.submit(1)
        call = background(vanishing.backend.stop)
        vanishing.clock.until_parked(call.thread)
        vanishing.output.open()
        vanishing.backend.threads[0].join(10)
        vanishing.clock.advance(1.0)
        assert call.result() is True
        assert vanishing.output.records == ["held", 1]

    def test_a_worker_whose_run_raises_gives_back_what_was_not_begun(
        self, make_system, thread_backend, monkeypatch
    ):
        class Surviving(thread_backend):
            def _work(self):
                with contextlib.suppress(OSError):
                    super()._work()

        system = make_system(backend=Surviving).start()
        book = system.config.ledger.book
        calls = []

        def broken(*args, **kwargs):
            calls.append(kwargs)
            if len(calls) == 2:
                raise OSError("broken")
            book(*args, **kwargs)

        monkeypatch.setattr(system.config.ledger, "book", broken)
        system.submit(*range(5))
        system.backend.thread.join(10)
        system.submit(5)  # this alone notices
        assert system.backend.flush() is True
        assert system.output.records == [0, 1, 2, 3, 4, 5]
        stats = system.stats
        assert stats["failed_by_reason"] == {"worker_lost": 1}  # it has no known outcome
        assert (stats["messages_processed"], stats["in_flight"]) == (5, 0)


class TestAWorkerThatIsLostInsideOfAnOutput:
    @pytest.fixture
    def zombie(self, make_system, thread_backend):
        """A system whose worker is declared dead inside the output, with more in hand."""

        class Undead(thread_backend):
            def _work(self):
                me = threading.current_thread()
                while self.thread is me:
                    if (items := self.next_batch()) is None:
                        return
                    self.run(items)

        system = make_system(backend=Undead).start()
        system.output.close()
        system.submit(*range(5))
        system.output.until_entered()
        system.backend.pretends_death = True
        system.submit("error", level=ERROR)  # notices
        return system

    def test_what_was_begun_has_failed_and_the_rest_is_resumed_in_order(self, zombie):
        assert zombie.stats["failed_by_reason"] == {"worker_lost": 1}
        zombie.output.open()
        assert zombie.backend.flush() is True
        later = [record for record in zombie.output.records if record != 0]
        assert later == [1, 2, 3, 4, "error"]
        assert zombie.stats["worker_restarts"] == 1

    def test_nothing_is_counted_twice_when_it_comes_back(self, zombie):
        zombie.output.open()
        assert zombie.backend.flush() is True
        zombie.backend.threads[0].join(10)
        stats = zombie.stats
        assert stats["messages_submitted"] == 6
        assert (stats["messages_processed"], stats["messages_failed"]) == (5, 1)
        assert stats["in_flight"] == 0
        assert sorted(map(str, zombie.output.records)) == ["0", "1", "2", "3", "4", "error"]


class TestScheduledFromElsewhere:
    """A worker that doesn't park: `next_batch(park=False)`, called when somebody has time."""

    @pytest.fixture
    def cooperative(self, make_system, thread_backend):
        class Cooperative(thread_backend):
            ended = True

            def start_worker(self):
                if self.refusals:
                    raise self.refusals.pop(0)
                self.ended = False

            def join_worker(self, timeout):
                return self.ended

            def step(self):
                items = self.next_batch(park=False)
                if items is None:
                    self.ended = True
                elif items:
                    self.run(items, on_caller=True)
                return items

        system = make_system(backend=Cooperative)
        system.backend.start(system.output)
        return system

    def test_nothing_due_is_an_empty_batch(self, cooperative):
        assert cooperative.backend.step() == []
        cooperative.submit(1)
        assert cooperative.backend.step() == []

    def test_a_full_batch_is_due(self, cooperative):
        cooperative.submit(*range(5))
        assert len(cooperative.backend.step()) == 5
        assert cooperative.output.records == list(range(5))

    def test_an_old_one_is_due(self, make_system, cooperative):
        cooperative.config.flush_interval = 2.0
        cooperative.submit(1)
        cooperative.clock.advance(2.0)
        assert len(cooperative.backend.step()) == 1

    def test_an_interruption_goes_on_and_the_rest_waits_again(self, cooperative):
        cooperative.output.failures = {1: KeyboardInterrupt()}
        cooperative.submit(*range(5))
        with pytest.raises(KeyboardInterrupt):
            cooperative.backend.step()
        assert cooperative.stats["queue_size"] == 3
        assert cooperative.stats["in_flight"] == 0
        cooperative.submit(5, 6)
        cooperative.backend.step()
        assert cooperative.output.records == [0, 2, 3, 4, 5, 6]

    def test_an_interruption_while_it_looks_goes_on_as_well(self, cooperative, monkeypatch):
        cooperative.submit(*range(5))
        size = cooperative.queue.size

        def interrupted():
            monkeypatch.undo()
            assert size() == 5
            raise KeyboardInterrupt

        monkeypatch.setattr(cooperative.queue, "size", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cooperative.backend.step()
        assert cooperative.errors == []
        assert len(cooperative.backend.step()) == 5

    def test_a_killed_one_is_replaced_without_anybody_waiting(self, cooperative):
        cooperative.backend.kill_worker()
        assert cooperative.backend.step() is None
        assert cooperative.stats["worker_restarts"] == 0
        cooperative.submit(1)  # notices
        assert cooperative.stats["worker_restarts"] == 1
        assert cooperative.backend.step() == []

    def test_a_stop_lets_it_drain_and_end(self, cooperative, background):
        cooperative.submit(1, 2)
        call = background(cooperative.backend.stop)
        cooperative.clock.until_parked(call.thread)
        while cooperative.backend.step() is not None:
            pass
        assert call.result() is True
        assert cooperative.output.records == [1, 2]
