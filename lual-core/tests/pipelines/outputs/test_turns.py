from __future__ import annotations

import threading

import pytest

from lual import reports
from lual.pipelines.outputs.turns import Turns


def test_a_job_returns_the_errors_of_its_work() -> None:
    error = OSError("full")
    assert Turns[str](lambda job: {1: error}).run("a") == {1: error}


def test_a_nested_job_is_done_after_the_one_it_interrupts() -> None:
    seen: list[str] = []

    def work(job: str) -> dict[int, Exception]:
        seen.append(f"{job} begins")
        if job == "outer":
            assert turns.run("nested") == {}
        seen.append(f"{job} ends")
        return {}

    turns = Turns[str](work)
    turns.run("outer")
    assert seen == ["outer begins", "outer ends", "nested begins", "nested ends"]


def test_nested_jobs_keep_their_order() -> None:
    seen: list[int] = []

    def work(job: int) -> dict[int, Exception]:
        if job == 0:
            turns.run(1)
            turns.run(2)
        seen.append(job)
        return {}

    turns = Turns[int](work)
    turns.run(0)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("raises", [True, False])
def test_the_failure_of_a_nested_job_is_reported(problems: list[str], raises: bool) -> None:
    def work(job: str) -> dict[int, Exception]:
        if job == "outer":
            turns.run("nested")
            return {}
        if raises:
            raise OSError("disk gone")
        return {0: OSError("disk gone")}

    turns = Turns[str](work)
    assert turns.run("outer") == {}
    (problem,) = problems
    assert "disk gone" in problem


def test_a_nested_job_is_done_though_the_outer_one_raises() -> None:
    seen: list[str] = []

    def work(job: str) -> dict[int, Exception]:
        seen.append(job)
        if job == "outer":
            turns.run("nested")
            raise OSError("gone")
        return {}

    turns = Turns[str](work)
    with pytest.raises(OSError, match="gone"):
        turns.run("outer")
    assert seen == ["outer", "nested"]


def test_an_interrupted_job_leaves_the_turn_free() -> None:
    seen: list[str] = []

    def work(job: str) -> dict[int, Exception]:
        if job == "interrupted":
            turns.run("left behind")
            raise KeyboardInterrupt
        seen.append(job)
        return {}

    turns = Turns[str](work)
    with pytest.raises(KeyboardInterrupt):
        turns.run("interrupted")
    turns.run("next")
    assert seen == ["left behind", "next"]


def test_problems_are_reported_without_the_lock() -> None:
    free: list[bool] = []

    def look(message: str) -> None:
        thread = threading.Thread(target=lambda: free.append(turns.lock.acquire(blocking=False)))
        thread.start()
        thread.join()

    def work(job: str) -> dict[int, Exception]:
        turns.note("rotation", "no room")
        return {}

    turns = Turns[str](work)
    reports.set_error_handler(look)
    try:
        turns.run("a")
    finally:
        reports.set_error_handler(None)
    assert free == [True]


def test_a_child_forgets_the_lock_and_the_jobs_of_its_parent() -> None:
    seen: list[str] = []

    def work(job: str) -> dict[int, Exception]:
        if job == "the parent's":
            turns.run("pending")
            turns.after_fork_in_child()
            turns.run("the child's")
        seen.append(job)
        return {}

    turns = Turns[str](work)
    lock = turns.lock
    turns.run("the parent's")
    assert turns.lock is not lock
    assert "pending" not in seen
    assert "the child's" in seen
