from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

import lual
from lual.configuration import apply


class Opened:
    """An output that notes what is done with it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[str] = []
        self._error = error

    def open(self) -> None:
        self.calls.append("open")
        if self._error is not None:
            raise self._error

    def write(self, batch: Any) -> None:
        self.calls += [text for text, _ in batch]

    def flush(self) -> None:
        """Has nothing to hand over."""

    def close(self) -> None:
        self.calls.append("close")


def through(*outputs: Any, **settings: Any) -> lual.Pipeline:
    return lual.pipeline(presenter=lual.text("{message}"), outputs=list(outputs), **settings)


def state() -> tuple[Any, ...]:
    """Returns everything that a refused configuration must leave as it was."""
    stats = lual.get_stats()
    return (
        lual.get_config(),
        stats["state"],
        stats["epoch"],
        stats["backend"],
        [t.ident for t in threading.enumerate()],
        sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None,
    )


class TestChange:
    def test_settings_may_come_as_a_mapping_or_by_name(self) -> None:
        lual.config({"level": "info", "max_queue_size": 7})
        config = lual.get_config()
        assert (config["level"], config["max_queue_size"]) == (20, 7)

    def test_by_name_wins_over_the_mapping(self) -> None:
        lual.config({"level": "info"}, level="debug")
        assert lual.get_config()["level"] == 10

    @pytest.mark.parametrize("given", ["app.toml", 5, [("level", "info")]], ids=repr)
    def test_what_is_no_mapping_is_refused(self, given: Any) -> None:
        with pytest.raises(lual.ConfigError, match="load_config"):
            lual.config(given)

    def test_without_anything_nothing_changes(self) -> None:
        before = state()
        lual.config()
        assert state() == before

    def test_a_second_call_changes_what_it_names_and_leaves_the_rest(self) -> None:
        lual.config(level="info", flush_timeout=2.0)
        lual.config(block_timeout=3.0)
        config = lual.get_config()
        assert (config["level"], config["flush_timeout"], config["block_timeout"]) == (20, 2.0, 3.0)

    def test_a_level_set_on_the_root_stays_if_a_later_call_does_not_name_it(self) -> None:
        lual.config(level="info")
        lual.logger("root").set_level("debug")
        lual.config(flush_timeout=2.0)
        assert lual.get_config()["level"] == 10

    def test_pipelines_are_replaced_as_a_whole(self, memory: Any) -> None:
        other = type(memory)()
        lual.config(pipelines=[through(memory), through(memory)])
        lual.config(pipelines=[through(other)])
        lual.logger("config").error("x")
        assert (memory.messages, other.messages) == ([], ["x"])

    def test_pipelines_may_be_mappings(self, memory: Any) -> None:
        lual.config(pipelines=[{"level": "error", "presenter": "json", "outputs": [memory]}])
        lual.logger("config").warning("no")
        lual.logger("config").error("x")
        assert len(memory.texts) == 1
        assert memory.texts[0].startswith('{"timestamp"')

    def test_no_pipelines_at_all_is_silence(self, capsys: Any) -> None:
        lual.config(pipelines=[])
        lual.logger("config").error("x")
        assert capsys.readouterr().err == ""

    def test_loggers_made_earlier_follow(self, memory: Any) -> None:
        early = lual.logger("config.early.on")
        bound = early.bind(a=1)
        lual.config(level="debug", pipelines=[through(memory)])
        early.debug("x")
        bound.debug("y")
        assert memory.texts == ["x", "y a=1"]

    def test_calls_from_several_threads_are_serialised(self) -> None:
        start = threading.Barrier(4)
        running, most = [], []

        class Slow(Opened):
            def open(self) -> None:
                running.append(1)
                most.append(len(running))
                running.pop()

        def change() -> None:
            start.wait(5)
            for _ in range(20):
                lual.config(pipelines=[through(Slow())])

        threads = [threading.Thread(target=change) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(most) == 80
        assert max(most) == 1


class TestOutputs:
    def test_are_opened_by_the_call_on_its_thread(self) -> None:
        where = []

        class Noting(Opened):
            def open(self) -> None:
                where.append(threading.get_ident())

        lual.config(pipelines=[through(Noting())])
        assert where == [threading.get_ident()]

    def test_are_closed_once_nobody_uses_them(self) -> None:
        output = Opened()
        lual.config(pipelines=[through(output)])
        lual.logger("config").error("x")
        lual.config(pipelines=[])
        assert output.calls == ["open", "x", "close"]

    def test_that_stay_are_neither_opened_again_nor_closed(self) -> None:
        output = Opened()
        lual.config(pipelines=[through(output)])
        lual.config(pipelines=[through(output), through(Opened())])
        lual.logger("config").error("x")
        assert output.calls == ["open", "x"]

    def test_in_two_pipelines_are_opened_and_closed_once(self) -> None:
        output = Opened()
        lual.config(pipelines=[through(output), through(output, level="critical")])
        lual.config(pipelines=[])
        assert output.calls == ["open", "close"]

    def test_stay_open_while_another_logger_uses_them(self) -> None:
        output = Opened()
        lual.config(pipelines=[through(output)])
        lual.logger("config.keeps", pipelines=[through(output)])
        lual.config(pipelines=[])
        assert output.calls == ["open"]

    def test_are_closed_by_reset_config(self) -> None:
        output = Opened()
        lual.config(pipelines=[through(output)])
        lual.reset_config()
        assert output.calls == ["open", "close"]

    def test_are_closed_only_after_their_last_record(self, backend: str) -> None:
        output = Opened()
        lual.config(
            async_enabled=True,
            backend=backend,
            async_flush_interval=60,
            pipelines=[through(output)],
        )
        lual.logger("config").warning("x")
        lual.config(pipelines=[])
        assert output.calls == ["open", "x", "close"]

    def test_stay_open_if_their_records_take_too_long(
        self, gate: Any, backend: str, problems: list[str]
    ) -> None:
        output = Opened()
        lual.config(
            async_enabled=True,
            backend=backend,
            async_flush_interval=0,
            shutdown_timeout=0.05,
            pipelines=[through(gate, output)],
        )
        lual.logger("config").warning("x")
        gate.wait_until_entered()
        lual.config(pipelines=[])
        assert output.calls == ["open"]
        assert any("stay open" in problem for problem in problems)


REFUSED: dict[str, dict[str, Any]] = {
    "unknown setting": {"levl": "info"},
    "wrong value": {"flush_timeout": -1},
    "unknown level": {"level": "loud"},
    "unknown level of a logger": {"loggers": {"app": {"level": "loud"}}},
    "unknown level of a pipeline": {"pipelines": [{"level": "loud", "outputs": ["console"]}]},
    "unknown output": {"pipelines": [{"outputs": ["consle"]}]},
    "unknown presenter": {"pipelines": [{"presenter": "jsn", "outputs": ["console"]}]},
    "batch above queue": {"async_batch_size": 9, "max_queue_size": 8},
    "unknown backend": {"async_enabled": True, "backend": "thread"},
    "missing plugin": {"async_enabled": True, "backend": "no_such_module:plugin"},
    "unknown option": {"async_enabled": True, "backend_options": {"color": 1}},
}


class TestRefusal:
    @pytest.fixture(autouse=True, params=["sync", "async"])
    def _something_is_in_force(
        self, request: pytest.FixtureRequest, memory: Any, backend: str
    ) -> None:
        lual.config(
            level="error",
            backend=backend,
            async_enabled=request.param == "async",
            pipelines=[through(memory)],
        )

    @pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
    def test_changes_nothing(self, refused: dict[str, Any], memory: Any, tmp_path: Path) -> None:
        fine = {"protect_level": "info", "pipelines": [through(lual.file(tmp_path / "a.log"))]}
        before = state()
        with pytest.raises(lual.ConfigError):
            lual.config({**fine, **refused})
        assert state() == before
        lual.logger("config").error("still here")
        assert lual.flush()
        assert memory.messages == ["still here"]

    def test_of_a_folder_that_is_a_file_names_it(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / "app.log"
        good = Opened()
        before = state()
        with pytest.raises(lual.ConfigError) as caught:
            lual.config(level="debug", pipelines=[through(good), through(lual.file(path))])
        assert str(path) in str(caught.value)
        assert state() == before
        assert good.calls == ["open", "close"]

    def test_of_an_output_that_does_not_open_closes_those_before(self) -> None:
        good, bad, never = Opened(), Opened(RuntimeError("no place")), Opened()
        with pytest.raises(lual.ConfigError, match="no place"):
            lual.config(pipelines=[through(good, bad), through(never)])
        assert (good.calls, never.calls) == (["open", "close"], [])

    def test_leaves_an_output_in_use_open(self) -> None:
        kept = Opened()
        lual.config(pipelines=[through(kept)])
        with pytest.raises(lual.ConfigError):
            lual.config(pipelines=[through(kept), through(Opened(OSError("full")))])
        assert kept.calls == ["open"]

    def test_of_a_backend_that_does_not_start_keeps_the_old_setup(
        self, backends: str, memory: Any, tmp_path: Path
    ) -> None:
        output = Opened()
        before = state()
        with pytest.raises(lual.ConfigError, match="no thread can be had today"):
            lual.config(
                level="debug",
                async_enabled=True,
                backend=f"{backends}:broken",
                pipelines=[through(output)],
            )
        assert state() == before
        assert output.calls == ["open", "close"]
        lual.logger("config").error("still here")
        assert lual.flush()
        assert memory.messages == ["still here"]

    def test_of_an_async_output_ends_the_new_backend_again(self, backend: str) -> None:
        async def output(text: str, record: lual.Record) -> None: ...

        before = state()
        with pytest.raises(lual.ConfigError, match=r"async def.*can't await"):
            lual.config(
                async_enabled=True, backend=backend, max_queue_size=99, pipelines=[through(output)]
            )
        assert state() == before

    def test_of_files_that_contradict_each_other_opens_none(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "app.log"
        before = state()
        with pytest.raises(lual.ConfigError, match="different settings"):
            lual.config(
                pipelines=[through(lual.file(path)), through(lual.file(path, max_bytes=1000))]
            )
        assert state() == before
        assert not path.parent.exists()

    def test_of_a_keyboard_interrupt_changes_nothing_either(self) -> None:
        class Interrupted(Opened):
            def open(self) -> None:
                raise KeyboardInterrupt

        good = Opened()
        before = state()
        with pytest.raises(KeyboardInterrupt):
            lual.config(level="debug", pipelines=[through(good), through(Interrupted())])
        assert state() == before
        assert good.calls == ["open", "close"]


class TestErrors:
    def test_are_value_errors(self) -> None:
        with pytest.raises(ValueError, match="levl"):
            lual.config(levl=1)

    def test_name_the_place_inside_pipelines(self) -> None:
        with pytest.raises(
            lual.ConfigError, match=r"pipelines\[1\]\.outputs\[0\].*'consle'.*console"
        ):
            lual.config(pipelines=[{"outputs": ["console"]}, {"outputs": ["consle"]}])

    def test_of_an_unknown_backend_say_what_is_installed(self, backend: str) -> None:
        with pytest.raises(lual.ConfigError, match=r"no installed package offers.*'nonesuch'"):
            lual.config(async_enabled=True, backend="nonesuch")

    def test_of_a_first_party_backend_say_how_to_install_it(self) -> None:
        with pytest.raises(lual.ConfigError, match="pip install lual-backend-mp"):
            lual.config(async_enabled=True, backend="mp")

    def test_of_an_option_name_the_nearest(self, backend: str) -> None:
        with pytest.raises(lual.ConfigError, match=r"'color'.*did you mean 'colour'"):
            lual.config(async_enabled=True, backend=backend, backend_options={"color": 1})

    def test_of_an_async_output_without_a_backend_say_so(self) -> None:
        async def output(text: str, record: lual.Record) -> None: ...

        with pytest.raises(lual.ConfigError, match="synchronous logging can't await"):
            lual.config(pipelines=[through(output)])


def test_an_async_output_is_accepted_where_it_is_awaited(backends: str) -> None:
    async def output(text: str, record: lual.Record) -> None: ...

    lual.config(async_enabled=True, backend=f"{backends}:awaiting", pipelines=[through(output)])
    assert lual.async_writer.is_enabled()


def test_going_back_to_synchronous_logging_with_an_async_output_is_refused(backends: str) -> None:
    async def output(text: str, record: lual.Record) -> None: ...

    lual.config(async_enabled=True, backend=f"{backends}:awaiting", pipelines=[through(output)])
    with pytest.raises(lual.ConfigError, match="async def"):
        lual.config(async_enabled=False)
    assert lual.async_writer.is_enabled()


class TestGetConfig:
    def test_has_every_setting(self) -> None:
        from lual.configuration.settings import NAMES

        assert set(lual.get_config()) == set(NAMES)

    def test_is_a_copy(self) -> None:
        lual.config(backend_options={"a": {"b": 1}})
        found = lual.get_config()
        found["backend_options"]["a"]["b"] = 2
        found["pipelines"].clear()
        found["loggers"]["x"] = {}
        assert lual.get_config()["backend_options"] == {"a": {"b": 1}}
        assert len(lual.get_config()["pipelines"]) == 1
        assert lual.get_config()["loggers"] == {}

    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"level": "debug", "max_queue_size": 10},
            {"async_batch_size": 20_000},
            {"loggers": {"a.b": {"level": "info", "propagate": False}}},
            {"pipelines": []},
            {"backend_options": {"a": [1]}, "after_stop": "drop", "flush_level": 35},
        ],
        ids=str,
    )
    def test_round_trips(self, settings: dict[str, Any]) -> None:
        lual.config(settings)
        before = lual.get_config()
        lual.reset_config()
        lual.config(before)
        assert lual.get_config() == before

    def test_round_trips_while_running(self, memory: Any, backend: str) -> None:
        output = Opened()
        lual.config(async_enabled=True, backend=backend, pipelines=[through(output, memory)])
        before = state()
        lual.config(lual.get_config())
        assert state() == before
        assert output.calls == ["open"]

    def test_shows_loggers_that_say_something(self, memory: Any) -> None:
        pipeline = through(memory)
        lual.logger("get.silent")
        lual.logger("get.said", level="info", pipelines=[pipeline])
        assert lual.get_config()["loggers"] == {
            "get.said": {"level": 20, "propagate": True, "pipelines": [pipeline]}
        }


class TestResetConfig:
    def test_goes_back_to_the_defaults(self, memory: Any, backend: str) -> None:
        before = lual.get_config()
        lual.config(level="debug", async_enabled=True, backend=backend, pipelines=[through(memory)])
        lual.logger("reset.it", level="error", propagate=False, pipelines=[through(memory)])
        lual.set_levels({"trace": 15})
        lual.reset_config()
        after = lual.get_config()
        for config in (before, after):
            config["pipelines"] = [repr(pipeline) for pipeline in config["pipelines"]]
        assert after == before
        assert "trace" not in lual.get_levels()
        assert not lual.async_writer.is_enabled()

    def test_forgets_what_was_given(self) -> None:
        lual.config(async_batch_size=50)
        lual.reset_config()
        lual.config(max_queue_size=10)
        assert lual.get_config()["async_batch_size"] == 10

    def test_writes_what_is_queued_first(self, memory: Any, backend: str) -> None:
        lual.config(
            async_enabled=True,
            backend=backend,
            async_flush_interval=60,
            pipelines=[through(memory)],
        )
        lual.logger("reset").warning("x")
        lual.reset_config()
        assert memory.messages == ["x"]

    def test_the_root_writes_text_to_standard_error(self, capsys: Any) -> None:
        lual.config(pipelines=[])
        lual.reset_config()
        lual.logger("reset").warning("x")
        assert capsys.readouterr().err.endswith("WARNING [reset] x\n")


class TestWhileStopped:
    def test_what_does_not_speak_of_the_asynchronous_layer_does_not_start_it(
        self, memory: Any, backend: str
    ) -> None:
        lual.config(async_enabled=True, backend=backend, pipelines=[through(memory)])
        lual.shutdown()
        lual.config(level="debug")
        lual.logger("stopped", level="info")
        lual.logger("stopped").add_pipeline(through(memory))
        assert lual.get_stats()["state"] == "stopped"
        lual.logger("other").debug("inline")
        assert memory.messages == ["inline"]

    def test_naming_it_starts_it_anew(self, memory: Any, backend: str) -> None:
        lual.config(async_enabled=True, backend=backend, pipelines=[through(memory)])
        lual.shutdown()
        lual.config(async_enabled=True)
        assert lual.get_stats()["state"] == "running"


def test_configuring_is_in_the_layer_that_the_package_loads_later() -> None:
    assert lual.config is apply.config
