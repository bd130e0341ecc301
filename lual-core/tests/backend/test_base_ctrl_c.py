"""A Ctrl-C at any place of a call: it goes on to the caller, and everything still works."""

import pytest

from lual.levels import ERROR, INFO


def raise_ctrl_c():
    raise KeyboardInterrupt


def assert_works(system, lost=0):
    """Checks that a started system takes, drains and counts records as if nothing had been.

    Args:
        system: The system.
        lost: Records that were on their way when the interruption came; nobody knows more.
    """
    system.output.records.clear()
    system.output.hooks.clear()
    system.submit("after")
    assert system.backend.flush() is True
    assert system.output.records[-1] == "after"
    stats = system.stats
    assert (stats["in_flight"], stats["queue_size"]) == (lost, 0)
    system.hold("gate")
    system.submit(*range(system.queue.max_size))
    assert system.stats["queue_size"] == system.queue.max_size  # all of the room is there
    assert system.stats["messages_dropped"] == stats["messages_dropped"]
    system.output.open()
    assert system.backend.flush() is True
    assert system.output.records[-1] == system.queue.max_size - 1
    assert len([t for t in system.backend.threads if t.is_alive()]) == 1


def interrupt_everywhere(interruptions, prepare, call, check):
    """Interrupts `call` once at each place of lual, each time on a new system."""
    interruption = interruptions(raise_ctrl_c)
    places = 0
    while interruption.next():
        system = prepare()
        places += 1
        try:
            with interruption:
                call(system)
        except KeyboardInterrupt:
            assert interruption.happened
        try:
            check(system)
        except BaseException as error:
            raise AssertionError(f"after a Ctrl-C at: {interruption.where}") from error
        system.end()
    assert places > 5


@pytest.fixture
def prepare(make_system):
    """Returns what makes a started system with a queue of three that holds some records."""

    def make(*levels, strategy="drop_oldest"):
        system = make_system(max_size=3, strategy=strategy, block_timeout=0, batch_size=5)
        system.start()
        if levels:
            system.hold()
            for n, level in enumerate(levels):
                system.submit(n, level=level)
        return system

    return make


def release(system):
    system.output.open()
    assert system.backend.flush() is True
    assert_works(system)


@pytest.mark.timeout(60)
class TestSubmit:
    @pytest.mark.parametrize("level", [INFO, ERROR])
    def test_into_an_empty_queue(self, prepare, interruptions, level):
        interrupt_everywhere(
            interruptions, prepare, lambda s: s.submit(1, level=level), assert_works
        )

    @pytest.mark.parametrize("level", [INFO, ERROR])
    @pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest", "block"])
    @pytest.mark.parametrize("waiting", [(INFO,) * 3, (ERROR, INFO, INFO), (ERROR,) * 3])
    def test_into_a_full_queue(self, prepare, interruptions, level, strategy, waiting):
        interrupt_everywhere(
            interruptions,
            lambda: prepare(*waiting, strategy=strategy),
            lambda s: s.submit("new", level=level),
            release,
        )


@pytest.mark.timeout(60)
class TestFlush:
    def test_with_records_that_wait(self, prepare, interruptions):
        def make():
            system = prepare()
            system.submit(1)
            return system

        interrupt_everywhere(interruptions, make, lambda s: s.backend.flush(), assert_works)

    def test_with_an_output_that_stalls(self, prepare, interruptions):
        interrupt_everywhere(
            interruptions, lambda: prepare(INFO), lambda s: s.backend.flush(0), release
        )


@pytest.mark.timeout(60)
class TestStop:
    def check(self, system):
        system.output.open()
        system.backend.stop()
        system.backend.thread.join(10)
        assert not system.backend.thread.is_alive()
        stats = system.stats
        assert stats["state"] == "stopped"
        assert stats["queue_size"] == 0
        assert 0 <= stats["in_flight"] <= 2
        system.backend.start()
        assert_works(system, lost=stats["in_flight"])

    def test_with_records_that_wait(self, prepare, interruptions):
        def make():
            system = prepare()
            system.submit(1)
            return system

        interrupt_everywhere(interruptions, make, lambda s: s.backend.stop(), self.check)

    def test_that_runs_out_of_time(self, prepare, interruptions):
        interrupt_everywhere(
            interruptions, lambda: prepare(INFO, INFO), lambda s: s.backend.stop(0), self.check
        )


@pytest.mark.timeout(60)
class TestStart:
    def test_the_next_one_succeeds(self, make_system, interruptions):
        def check(system):
            system.backend.start(system.output)
            assert_works(system)

        interrupt_everywhere(
            interruptions,
            lambda: make_system(max_size=3),
            lambda s: s.backend.start(s.output),
            check,
        )

    def test_after_a_stop_the_next_one_succeeds(self, prepare, interruptions):
        def make():
            system = prepare()
            system.backend.stop()
            return system

        def check(system):
            system.backend.start()
            assert_works(system)

        interrupt_everywhere(interruptions, make, lambda s: s.backend.start(), check)


@pytest.mark.timeout(60)
class TestALostWorker:
    def test_who_notices_may_be_interrupted(self, make_system, thread_backend, interruptions):
        class Vanishing(thread_backend):
            def _work(self):
                while (items := self.next_batch()) is not None:
                    if self.thread is self.threads[0]:
                        return
                    self.run(items)

        def make():
            system = make_system(backend=Vanishing, max_size=3).start()
            worker = system.backend.thread
            system.submit(1, level=ERROR)
            worker.join(10)
            return system

        def check(system):
            assert system.backend.flush() is True
            lost = system.stats["in_flight"]
            assert lost <= 1
            assert_works(system, lost)

        interrupt_everywhere(interruptions, make, lambda s: s.submit("notices", level=ERROR), check)
