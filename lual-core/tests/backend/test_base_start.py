import gc
import threading
import weakref

import pytest

from lual.backend import BackendConfig, BoundedQueue, WorkItem
from lual.levels import ERROR


class TestConstruction:
    def test_creating_a_backend_starts_nothing(self, make_system):
        before = threading.active_count()
        system = make_system()
        assert threading.active_count() == before
        assert system.stats["state"] == "new"

    def test_two_backends_share_nothing(self, make_system):
        one, other = make_system().start(), make_system().start()
        one.hold()
        one.submit(1, 2)
        other.submit(3)
        assert other.backend.flush() is True
        assert other.output.records == [3]
        assert one.stats["messages_submitted"] == 3
        assert other.stats["messages_submitted"] == 1

    def test_a_backend_stands_alone_with_the_five_settings_of_the_seed(self, thread_backend):
        """batch_size 5, flush_interval 0.1, a queue of 100 and two counters; the real clock."""
        errors, seen = [], []
        stats = {"messages_processed": 0, "backend_errors": 0}
        backend = thread_backend(
            BackendConfig(
                batch_size=5,
                flush_interval=0.1,
                queue=BoundedQueue(max_size=100),
                stats=stats,
                error_callback=errors.append,
            )
        )

        def dispatch(logger, record):
            if record == 3:
                raise ValueError("no")
            seen.append(record)

        backend.start(dispatch)
        assert all(backend.submit(WorkItem("app", n)) for n in range(7))
        assert backend.flush(5.0) is True
        assert seen == [0, 1, 2, 4, 5, 6]
        assert stats["messages_processed"] == 6
        assert stats["backend_errors"] == stats["messages_failed"] == 1
        assert stats["messages_submitted"] == 7
        assert len(errors) == 1
        assert backend.stop(5.0) is True
        assert backend.config.stats is stats

    def test_any_batch_size_is_accepted_stand_alone(self, make_system):
        system = make_system(batch_size=1000, max_size=2).start()
        system.submit(1, 2)
        system.output.until_entered(2)


class TestStart:
    def test_a_submit_before_it_is_refused_and_not_counted(self, make_system):
        system = make_system()
        assert system.submit(1, level=ERROR) == [False]
        assert system.stats["messages_submitted"] == 0
        assert system.backend.threads == []

    def test_while_running_it_changes_nothing(self, system):
        system.backend.start()
        system.backend.start(system.output)
        assert len(system.backend.threads) == 1
        system.submit(1)
        assert system.backend.flush() is True
        assert system.output.records == [1]

    def test_another_function_replaces_the_one_for_what_is_not_dispatched_yet(self, system):
        new = []
        system.hold()
        system.submit(1, 2)
        system.backend.start(lambda logger, record: new.append(record))
        system.output.open()
        assert system.backend.flush() is True
        assert (system.output.records, new) == (["held"], [1, 2])

    def test_that_holds_for_the_rest_of_a_batch_in_hand(self, system):
        new = []
        system.output.hooks = {
            2: lambda: system.backend.start(lambda logger, record: new.append(record))
        }
        system.submit(1, 2, 3, 4, 5)
        assert system.backend.flush() is True
        assert (system.output.records, new) == ([1, 2], [3, 4, 5])

    def test_none_keeps_the_last_function(self, system):
        system.backend.stop()
        system.backend.start()
        system.submit(1)
        assert system.backend.flush() is True
        assert system.output.records == [1]

    def test_a_function_may_be_false_as_an_empty_list_is(self, make_system):
        class Recorder(list):
            def __call__(self, logger, record):
                self.append(record)

        system = make_system()
        recorder = Recorder()
        system.backend.start(recorder)
        system.submit(1)
        assert system.backend.flush() is True
        assert recorder == [1]

    def test_two_threads_that_start_make_one_worker(self, make_system, thread_backend, background):
        meet = threading.Barrier(2)

        class Meeting(thread_backend):
            def join_worker(self, timeout):
                answer = super().join_worker(timeout)
                if not self.threads and not meet.broken and self._state == "new":
                    meet.wait(10)
                return answer

        system = make_system(backend=Meeting)
        calls = [background(system.backend.start, system.output) for _ in "ab"]
        for call in calls:
            call.result()
        assert len(system.backend.threads) == 1


class TestAFailingStart:
    @pytest.fixture
    def failing(self, make_system):
        system = make_system()
        system.backend.refusals = [RuntimeError("can't start new thread")]
        return system

    def test_it_raises_and_the_state_is_as_it_was(self, failing):
        with pytest.raises(RuntimeError, match="can't start new thread"):
            failing.backend.start(failing.output)
        assert failing.stats["state"] == "new"
        assert failing.submit(1) == [False]
        assert failing.stats["messages_submitted"] == 0

    def test_the_function_of_before_is_kept(self, failing):
        with pytest.raises(RuntimeError):
            failing.backend.start(failing.output)
        failing.backend.start()
        failing.submit(1)
        assert failing.backend.flush() is True
        assert failing.stats["failed_by_reason"] == {"no_dispatch": 1}

    def test_the_next_one_may_succeed(self, failing):
        with pytest.raises(RuntimeError):
            failing.backend.start(failing.output)
        failing.start()
        failing.submit(1)
        assert failing.backend.flush() is True

    def test_after_a_stop_the_backend_stays_stopped(self, system):
        system.backend.stop()
        system.backend.refusals = [MemoryError()]
        with pytest.raises(MemoryError):
            system.backend.start()
        assert system.stats["state"] == "stopped"
        assert system.submit(1) == [False]
        assert system.queue.enqueue(WorkItem("app", 1)) is False

    def test_nothing_is_admitted_before_it_is_known_to_succeed(self, make_system, thread_backend):
        answers = []

        class Late(thread_backend):
            def start_worker(self):
                answers.append(self.submit(WorkItem("app", 1)))
                super().start_worker()

        system = make_system(backend=Late)
        system.backend.refusals = [RuntimeError()]
        with pytest.raises(RuntimeError):
            system.backend.start(system.output)
        assert answers == [False]
        assert system.queue.is_empty()


class TestRestart:
    def test_a_stopped_backend_starts_again(self, system):
        for round_ in range(3):
            system.submit(round_)
            assert system.backend.stop() is True
            system.backend.start()
        assert system.output.records == [0, 1, 2]
        assert len(system.backend.threads) == 4

    def test_counters_live_through_it(self, system):
        system.submit(1)
        system.backend.stop()
        system.backend.start()
        system.submit(2)
        system.backend.flush()
        assert system.stats["messages_processed"] == 2

    def test_a_new_function_counts_from_then_on(self, system):
        new = []
        system.submit(1)
        system.backend.stop()
        system.backend.start(lambda logger, record: new.append(record))
        system.submit(2)
        assert system.backend.flush() is True
        assert (system.output.records, new) == ([1], [2])

    def test_it_is_refused_while_an_old_worker_is_inside_an_output(self, system):
        system.hold()
        assert system.backend.stop(0) is False
        with pytest.raises(RuntimeError, match="still inside an output"):
            system.backend.start()
        assert system.stats["state"] == "stopped"
        system.output.open()
        system.backend.thread.join(10)
        system.backend.start()
        assert system.stats["state"] == "running"

    def test_it_is_refused_while_a_stop_goes_on(self, system, background):
        system.hold()
        call = background(system.backend.stop)
        system.clock.until_parked(call.thread)
        with pytest.raises(RuntimeError, match="is stopping; start it when stop has returned"):
            system.backend.start()
        system.output.open()
        assert call.result() is True

    def test_it_waits_for_a_worker_that_only_has_to_end(self, system, eventually):
        system.output.hooks = {1: system.backend.stop}  # from inside: the worker drains
        system.submit(1, level=ERROR)
        eventually(lambda: system.backend.get_stats()["state"] == "stopped")
        system.backend.start()
        assert len(system.backend.threads) == 2


class TestState:
    def test_it_goes_from_new_over_running_and_stopping_to_stopped(self, make_system, background):
        system = make_system()
        states = [system.stats["state"]]
        system.start()
        states.append(system.stats["state"])
        system.hold()
        call = background(system.backend.stop)
        system.clock.until_parked(call.thread)
        states.append(system.stats["state"])
        system.output.open()
        call.result()
        states.append(system.stats["state"])
        system.backend.reset()
        states.append(system.stats["state"])
        assert states == ["new", "running", "stopping", "stopped", "new"]


class TestReset:
    def test_it_leaves_the_same_objects_as_after_creation(self, system):
        queue, config, stats = system.queue, system.config, system.config.stats
        system.submit(1)
        system.backend.flush()
        system.backend.reset()
        assert system.backend.queue is queue is system.backend.config.queue
        assert system.backend.config is config
        assert system.backend.config.stats is stats
        assert system.stats["state"] == "new"

    def test_counters_are_zero_and_go_on_in_the_same_object(self, system):
        system.submit(*range(5))
        system.backend.flush()
        system.backend.reset()
        fresh = {k: v for k, v in system.stats.items() if k not in ("state", "latency")}
        assert not any(fresh.values())
        system.start()
        system.submit(1)
        assert system.backend.flush() is True
        assert system.config.stats["messages_processed"] == 1

    def test_it_discards_what_waits_without_counting(self, system):
        system.submit_and_park(1, 2)
        system.backend.reset()
        assert system.queue.is_empty()
        assert system.stats["messages_dropped"] == 0
        assert system.errors == []

    def test_it_forgets_the_dispatch_function(self, system):
        system.backend.reset()
        system.backend.start()
        system.submit(1)
        system.backend.flush()
        assert system.stats["failed_by_reason"] == {"no_dispatch": 1}

    def test_a_submit_after_it_is_refused(self, system):
        system.backend.reset()
        assert system.submit(1) == [False]

    def test_the_worker_has_ended(self, system):
        system.backend.reset()
        assert not system.backend.thread.is_alive()

    def test_on_a_new_backend_it_changes_nothing(self, make_system):
        system = make_system()
        system.backend.reset()
        assert system.stats["state"] == "new"

    def test_outcomes_that_arrive_from_before_it_are_ignored(self, system):
        system.hold()
        system.submit(1)
        system.backend.reset()
        assert system.stats["in_flight"] == 0
        system.output.open()
        system.backend.thread.join(10)
        assert system.output.records == ["held"]  # 1 was discarded
        stats = system.stats
        assert stats["messages_processed"] == stats["in_flight"] == 0
        assert stats["latency"]["dispatch"]["count"] == 0

    def test_a_batch_that_was_taken_but_not_run_is_not_run_any_more(
        self, make_system, thread_backend
    ):
        taken, go_on = threading.Event(), threading.Event()

        class Slow(thread_backend):
            def run(self, items, **settings):
                taken.set()
                assert go_on.wait(10)
                super().run(items, **settings)

        for end in ("reset", "stop"):
            system = make_system(backend=Slow).start()
            system.submit(*range(5))
            assert taken.wait(10)
            if end == "reset":
                # The worker can't end before `run` returns, so this takes its grace.
                system.backend._in_output = True
                system.backend.reset()
            else:
                assert system.backend.stop(0) is False
                assert system.stats["dropped_by_reason"] == {"shutdown_timeout": 5}
            go_on.set()
            system.backend.thread.join(10)
            assert system.output.records == []
            assert system.stats["in_flight"] == 0
            taken.clear()
            go_on.clear()

    def test_a_start_while_an_old_worker_is_inside_an_output_is_refused(self, system):
        system.hold()
        system.backend.reset()
        with pytest.raises(RuntimeError, match="still inside an output"):
            system.backend.start(system.output)
        assert system.stats["state"] == "new"

    def test_a_flush_that_waits_has_not_succeeded(self, system, background):
        system.hold()
        call = background(system.backend.flush)
        system.clock.until_parked(call.thread)
        system.backend.reset()
        assert call.result() is False

    def test_a_producer_that_waits_for_room_is_refused(self, make_system, background):
        system = make_system(max_size=1, strategy="block").start()
        system.hold()
        system.submit(1)
        call = background(system.submit, 2)
        system.clock.until_parked(call.thread)
        system.backend.reset()
        assert call.result() == [False]
        assert system.queue.is_empty()
        assert system.stats["messages_submitted"] == 0


class TestGarbage:
    def test_a_stopped_backend_can_be_collected(self, thread_backend):
        queue = BoundedQueue(10)
        backend = thread_backend(BackendConfig(queue=queue))
        backend.start(lambda logger, record: None)
        backend.submit(WorkItem("app", 1))
        backend.stop()
        gone = weakref.ref(backend)
        del backend
        gc.collect()
        assert gone() is None
