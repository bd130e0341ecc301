"""A change of settings keeps the order, and waits may be without end."""

from __future__ import annotations

import threading

import pytest

import lual


@pytest.fixture(autouse=True)
def _defaults_afterwards():
    yield
    lual.shutdown()
    lual.reset_config()


class GatedOutput:
    """Holds the record `first` until the gate opens, and notes all."""

    def __init__(self):
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.seen = []

    def __call__(self, text, record):
        if record.message == "first":
            self.entered.set()
            assert self.gate.wait(10)
        self.seen.append(record.message)


def change_while_stalled(output, **settings):
    """Logs before and after a change that has to wait for a stalled output."""
    lual.config(
        level="info",
        async_enabled=True,
        backend="threads",
        async_flush_interval=0,
        shutdown_timeout=float("inf"),
        pipelines=[lual.pipeline(outputs=[output])],
    )
    log = lual.logger("app")
    log.info("first")
    assert output.entered.wait(10)
    log.info("second")
    old = lual.get_stats()["epoch"]
    change = threading.Thread(target=lual.config, kwargs=settings)
    change.start()
    while lual.get_stats()["epoch"] == old:
        threading.Event().wait(0.001)
    late = threading.Thread(target=log.info, args=("third",))
    late.start()
    # Time in which it would be written if nothing waited for the old queue.
    late.join(0.1)
    lual.flush(0.1)
    output.gate.set()
    late.join(10)
    change.join(10)
    assert lual.flush()


def test_records_of_the_new_queue_are_written_after_those_of_the_old_one():
    output = GatedOutput()
    change_while_stalled(output, max_queue_size=77)
    assert output.seen == ["first", "second", "third"]


def test_records_written_synchronously_come_after_those_of_the_old_queue():
    output = GatedOutput()
    change_while_stalled(output, async_enabled=False)
    assert output.seen == ["first", "second", "third"]


@pytest.mark.parametrize("wait", [lual.flush, lual.shutdown], ids=lambda wait: wait.__name__)
def test_a_synchronous_wait_may_have_no_limit(wait):
    assert wait(float("inf"))
