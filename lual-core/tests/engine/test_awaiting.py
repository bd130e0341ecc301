from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import lual
from lual.engine.writer import writer

Plug = Callable[..., Any]


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 10))


class TestTwins:
    def test_the_record_is_submitted_at_the_call(self, plugged: Plug) -> None:
        plugged()

        async def main() -> None:
            twin = lual.logger("await").ainfo("x")
            assert lual.get_stats()["queue_size"] == 1
            await twin
            assert lual.get_stats()["queue_size"] == 1

        run(main)

    @pytest.mark.parametrize("strategy", ["drop_oldest", "drop_newest"])
    def test_only_block_waits_for_room(self, plugged: Plug, strategy: str) -> None:
        plugged(max_queue_size=1, overflow_strategy=strategy)

        async def main() -> None:
            for _ in range(3):
                await lual.logger("await").ainfo("x")

        run(main)
        assert lual.get_stats()["messages_dropped"] == 2

    def test_awaiting_waits_for_room_and_lets_the_loop_go_on(
        self, plugged: Plug, gate: Any
    ) -> None:
        memory = plugged(max_queue_size=1, overflow_strategy="block", block_timeout=9)

        async def main() -> None:
            log = lual.logger("await")
            await log.ainfo("fills the queue")
            waiting = asyncio.ensure_future(awaited(log.ainfo("waits")))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            gate.let_pass()
            await waiting

        run(main)
        assert lual.flush()
        assert memory.messages == ["plug", "fills the queue", "waits"]
        assert lual.get_stats()["messages_dropped"] == 0

    def test_awaiting_gives_up_after_block_timeout(self, plugged: Plug) -> None:
        plugged(max_queue_size=1, overflow_strategy="block", block_timeout=0.01)

        async def main() -> None:
            await lual.logger("await").ainfo("fills the queue")
            await lual.logger("await").ainfo("waits in vain")

        run(main)
        stats = lual.get_stats()
        assert stats["messages_dropped"] == 1
        assert set(stats["dropped_by_reason"]) <= {"block_timeout", "cannot_block"}

    def test_a_cancelled_wait_still_submits(self, plugged: Plug) -> None:
        plugged(max_queue_size=1, overflow_strategy="block", block_timeout=9)

        async def main() -> None:
            await lual.logger("await").ainfo("fills the queue")
            waiting = asyncio.ensure_future(awaited(lual.logger("await").ainfo("cancelled")))
            await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        run(main)
        assert lual.get_stats()["messages_submitted"] == 3

    def test_a_forgotten_await_is_submitted_when_it_is_forgotten(
        self, plugged: Plug, gate: Any
    ) -> None:
        memory = plugged(max_queue_size=1, overflow_strategy="block")

        async def main() -> None:
            log = lual.logger("await")
            log.ainfo("fills the queue")
            twin = log.ainfo("forgotten")
            gate.let_pass()
            while lual.get_stats()["queue_size"]:
                await asyncio.sleep(0.001)
            del twin

        run(main)
        assert lual.flush()
        assert memory.messages == ["plug", "fills the queue", "forgotten"]

    def test_outside_a_loop_a_twin_logs_at_once(self, recorded: Any) -> None:
        lual.logger("await").ainfo("x")
        assert recorded.messages == ["x"]


async def awaited(twin: Any) -> None:
    await twin


class TestAflush:
    def test_waits_until_all_is_written_and_lets_the_loop_go_on(
        self, plugged: Plug, gate: Any
    ) -> None:
        memory = plugged()

        async def main() -> None:
            lual.logger("await").info("x")
            flushing = asyncio.ensure_future(lual.aflush())
            await asyncio.sleep(0.01)
            assert not flushing.done()
            gate.let_pass()
            assert await flushing

        run(main)
        assert memory.messages == ["plug", "x"]

    def test_is_false_when_the_timeout_runs_out(self, plugged: Plug) -> None:
        plugged()

        async def main() -> None:
            assert not await lual.aflush(0.01)

        run(main)

    def test_works_in_synchronous_mode(self, recorded: Any) -> None:
        async def main() -> None:
            assert await lual.aflush()

        run(main)

    def test_leaves_the_executor_of_the_loop_alone(self, recorded: Any) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            assert await lual.aflush()
            assert loop._default_executor is None  # type: ignore[attr-defined]

        run(main)

    def test_from_an_output_is_false_at_once(self, memory: Any) -> None:
        answers = []

        def output(text: str, record: lual.Record) -> None:
            answers.append(asyncio.run(lual.aflush()))

        lual.config(pipelines=[lual.pipeline(outputs=[output])])
        lual.logger("await").error("x")
        assert answers == [False]

    def test_cancelled_it_leaves_no_trace(self, plugged: Plug, gate: Any) -> None:
        memory = plugged()

        async def main() -> None:
            flushing = asyncio.ensure_future(lual.aflush())
            await asyncio.sleep(0.01)
            flushing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await flushing
            gate.let_pass()
            assert await lual.aflush()

        run(main)
        assert memory.messages == ["plug"]

    def test_gives_what_the_flush_raises_to_who_awaits(
        self, recorded: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(timeout: float | None) -> bool:
            raise RuntimeError("broken backend")

        monkeypatch.setattr(writer(), "flush", broken)

        async def main() -> None:
            with pytest.raises(RuntimeError, match="broken backend"):
                await lual.aflush()

        run(main)


class TestAshutdown:
    def test_drains_and_stops(self, plugged: Plug, gate: Any) -> None:
        memory = plugged()

        async def main() -> None:
            lual.logger("await").info("x")
            stopping = asyncio.ensure_future(lual.ashutdown())
            await asyncio.sleep(0.01)
            assert not stopping.done()
            gate.let_pass()
            assert await stopping

        run(main)
        assert memory.messages == ["plug", "x"]
        assert lual.get_stats()["state"] == "stopped"

    def test_is_false_when_the_timeout_runs_out(self, plugged: Plug, problems: list[str]) -> None:
        plugged()
        lual.logger("await").info("x")

        async def main() -> None:
            assert not await lual.ashutdown(0.01)

        run(main)
        assert lual.get_stats()["dropped_by_reason"] == {"shutdown_timeout": 1}


@pytest.mark.parametrize("timeout", [-1, math.nan])
@pytest.mark.parametrize("call", ["aflush", "ashutdown"])
def test_a_timeout_that_is_none_is_refused(recorded: Any, call: str, timeout: float) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="timeout must be 0 or more"):
            await getattr(lual, call)(timeout)

    run(main)
