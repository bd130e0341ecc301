from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import lual
from lual.context import dispatch_depth


def test_bound_fields_stand_in_every_record_from_then_on(recorded: Any) -> None:
    log = lual.logger("context")
    log.info("before")
    lual.bind_context(request="r1")
    log.info("after")
    assert [record.context for record in recorded.records] == [{}, {"request": "r1"}]
    assert recorded.texts == ["before", "after request=r1"]


def test_a_second_bind_adds_and_replaces(recorded: Any) -> None:
    lual.bind_context(a=1, b=2)
    lual.bind_context(b=3, c=4)
    lual.logger("context").info("x")
    assert recorded.last.context == {"a": 1, "b": 3, "c": 4}


def test_clear_removes_all_fields(recorded: Any) -> None:
    lual.bind_context(a=1)
    lual.clear_context()
    lual.logger("context").info("x")
    assert recorded.last.context == {}


def test_what_was_logged_keeps_its_context(plugged: Any, gate: Any) -> None:
    memory = plugged()
    lual.bind_context(a=1)
    lual.logger("context").info("x")
    lual.bind_context(a=2)
    lual.clear_context()
    gate.let_pass()
    assert lual.flush()
    assert memory.last.context == {"a": 1}


def test_the_fields_of_the_call_win_over_bound_ones_and_these_over_the_context(
    recorded: Any,
) -> None:
    lual.bind_context(a="context", b="context", c="context")
    lual.logger("context").bind(a="bound", b="bound").info("x", a="call")
    assert recorded.texts == ["x a=call b=bound c=context"]


def test_a_record_shows_a_copy_of_the_context(recorded: Any) -> None:
    lual.bind_context(a=1)
    log = lual.logger("context")
    log.info("x")
    recorded.last.context["a"] = 2
    log.info("y")
    assert recorded.last.context == {"a": 1}


def test_a_new_thread_starts_without_fields(recorded: Any) -> None:
    lual.bind_context(a=1)
    # A context of its own, as threads have by default before Python 3.14.
    work = lambda: contextvars.Context().run(lual.logger("context").info, "x")  # noqa: E731
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert recorded.last.context == {}


def test_threads_do_not_see_each_others_fields(recorded: Any) -> None:
    both = threading.Barrier(2)

    def work(name: str) -> None:
        lual.bind_context(who=name)
        both.wait(5)
        lual.logger("context").info(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(recorded.texts) == ["one who=one", "two who=two"]


def test_a_task_inherits_fields_and_keeps_its_own_to_itself(recorded: Any) -> None:
    log = lual.logger("context")

    async def child(name: str) -> None:
        lual.bind_context(task=name)
        await asyncio.sleep(0)
        log.info(name)

    async def main() -> None:
        lual.bind_context(request="r1")
        await asyncio.gather(child("one"), child("two"))
        log.info("main")

    asyncio.run(main())
    assert sorted(recorded.texts) == [
        "main request=r1",
        "one request=r1 task=one",
        "two request=r1 task=two",
    ]


def test_inside_an_output_the_context_is_that_of_a_dispatch() -> None:
    depths = []
    lual.config(
        pipelines=[lual.pipeline(outputs=[lambda text, record: depths.append(dispatch_depth())])]
    )
    lual.logger("context").error("x")
    assert depths == [1]
    assert dispatch_depth() == 0


def test_clearing_inside_an_output_does_not_undo_the_loop_guard(recorded: Any) -> None:
    def clears(text: str, record: lual.Record) -> None:
        lual.clear_context()
        lual.logger("context").info("from the output")

    lual.config(pipelines=[lual.pipeline(outputs=[clears, recorded])])
    lual.logger("context").info("x")
    assert recorded.messages == ["x", "from the output"]
    assert lual.get_stats()["dropped_by_reason"] == {"reentrant_loop": 1}
