from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest

import lual

LEVELS = ["debug", "info", "warning", "warn", "error", "critical"]


@pytest.fixture
def log() -> lual.Logger:
    return lual.logger("loggers.log")


class Counting:
    """Counts how often its text is asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def __str__(self) -> str:
        self.asked += 1
        return "text"


class TestGettingOne:
    def test_the_same_name_gives_the_same_logger(self) -> None:
        assert lual.logger("a.b") is lual.logger("a.b")

    def test_without_a_name_it_is_the_calling_modules(self) -> None:
        assert lual.logger().name == __name__

    def test_the_root_has_three_names(self) -> None:
        root = lual.logger("root")
        assert lual.logger("") is root
        assert root.parent is None
        assert exec_logger() is root

    def test_there_is_one_root_also_for_those_who_name_it(self, memory: Any) -> None:
        assert lual.logger("root.below").parent is lual.logger("root")
        lual.config(level="info", pipelines=[lual.pipeline(outputs=[memory])])
        lual.logger("root.below").info("x")
        assert memory.messages == ["x"]

    def test_dots_make_a_hierarchy(self) -> None:
        deep = lual.logger("one.two.three")
        assert deep.parent is lual.logger("one.two")
        assert lual.logger("one").parent is lual.logger("root")

    @pytest.mark.parametrize("name", [".", "a.", ".a", "a..b"])
    def test_a_name_with_an_empty_part_is_refused(self, name: str) -> None:
        with pytest.raises(lual.ConfigError, match="empty part"):
            lual.logger(name)

    @pytest.mark.parametrize("name", [5, b"app", ["app"]], ids=repr)
    def test_a_name_that_is_no_string_is_refused(self, name: Any) -> None:
        with pytest.raises(lual.ConfigError, match="must be a string"):
            lual.logger(name)

    def test_threads_that_ask_at_once_get_one_logger(self) -> None:
        start = threading.Barrier(8)
        found = []

        def ask() -> None:
            start.wait(5)
            found.append(lual.logger("raced.for.once"))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert len(set(map(id, found))) == 1

    @pytest.mark.parametrize(
        "travel", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
    )
    def test_a_copied_logger_is_the_logger(self, log: lual.Logger, travel: Any) -> None:
        assert travel(log) is log

    def test_a_copied_bound_logger_keeps_its_fields(self, recorded: Any, log: lual.Logger) -> None:
        pickle.loads(pickle.dumps(log.bind(a=1))).info("x")
        assert recorded.texts == ["x a=1"]

    def test_repr_shows_name_and_level(self, log: lual.Logger) -> None:
        assert repr(log) == "<Logger 'loggers.log' WARNING>"


def exec_logger() -> Any:
    """Returns the logger of code that runs in no module."""
    namespace: dict[str, Any] = {"lual": lual}
    exec("found = lual.logger()", namespace)
    return namespace["found"]


class TestMethods:
    @pytest.mark.parametrize("name", LEVELS)
    def test_each_logs_at_its_level(self, recorded: Any, log: lual.Logger, name: str) -> None:
        getattr(log, name)("%s %d", "x", 1)
        assert recorded.last.level == lual.get_levels()["warning" if name == "warn" else name]
        assert recorded.texts == ["x 1"]

    def test_exception_logs_at_error(self, recorded: Any, log: lual.Logger) -> None:
        log.exception("x")
        assert recorded.last.level == lual.ERROR

    @pytest.mark.parametrize("level", ["info", "INFO", lual.INFO], ids=repr)
    def test_log_takes_any_level(self, recorded: Any, log: lual.Logger, level: Any) -> None:
        log.log(level, "%s", "x", k=1)
        assert (recorded.last.level, recorded.texts) == (20, ["x k=1"])

    def test_log_takes_a_level_between_the_names(self, recorded: Any, log: lual.Logger) -> None:
        log.log(35, "x")
        assert (recorded.last.level, recorded.last.level_name) == (35, "LEVEL 35")

    @pytest.mark.parametrize("level", ["nolevel", None, -1, 2.5, True, ["info"]], ids=repr)
    @pytest.mark.parametrize("method", ["log", "alog"])
    def test_an_unknown_level_is_reported_and_written_at_warning(
        self, recorded: Any, problems: list[str], log: lual.Logger, level: Any, method: str
    ) -> None:
        getattr(log, method)(level, "x")
        assert (recorded.last.level, recorded.messages) == (lual.WARNING, ["x"])
        assert len(problems) == 1
        assert repr(level) in problems[0]

    def test_six_arguments_and_more_are_formatted(self, recorded: Any, log: lual.Logger) -> None:
        log.info("%d%d%d%d%d%d%d", 1, 2, 3, 4, 5, 6, 7)
        assert recorded.messages == ["1234567"]

    def test_a_message_may_be_any_object(self, recorded: Any, log: lual.Logger) -> None:
        log.info(42)
        log.info(None)
        log.info(("a", 1))
        assert recorded.messages == ["42", "None", "('a', 1)"]

    def test_keywords_are_fields_whatever_they_are_called(
        self, recorded: Any, log: lual.Logger
    ) -> None:
        fields = {"message": 1, "level": 2, "self": 3, "args": 4, "name": 5, "msg": 6, "a": 7}
        log.info("x", **fields)
        log.log("info", "x", **fields)
        log.exception("x", **fields)
        log.ainfo("x", **fields)
        assert [record.fields for record in recorded.records] == [fields] * 4

    def test_the_keywords_of_the_standard_library_are_no_fields(
        self, recorded: Any, log: lual.Logger
    ) -> None:
        log.info("x", exc_info=False, stack_info=False, stacklevel=1, kept=1)
        assert recorded.last.fields == {"kept": 1}

    def test_a_call_without_a_message_is_a_type_error(self, log: lual.Logger) -> None:
        with pytest.raises(TypeError):
            log.error()  # type: ignore[call-arg]


class TestLevelCheck:
    def test_below_the_level_nothing_is_logged(self, recorded: Any, log: lual.Logger) -> None:
        log.set_level("error")
        log.warning("no")
        log.awarning("no")
        log.log("warning", "no")
        log.alog("warning", "no")
        log.error("yes")
        assert recorded.messages == ["yes"]

    def test_exception_is_off_above_error(self, recorded: Any, log: lual.Logger) -> None:
        log.set_level("critical")
        log.exception("no")
        log.aexception("no")
        assert recorded.messages == []

    def test_a_disabled_call_evaluates_nothing(self, recorded: Any, log: lual.Logger) -> None:
        log.set_level("error")
        thing = Counting()
        log.info(thing, thing, field=thing)
        log.info("%s", thing)
        assert thing.asked == 0

    def test_a_disabled_call_costs_a_function_that_all_share(self) -> None:
        one, two = lual.logger("off.one"), lual.logger("off.two").bind(a=1)
        assert one.debug is one.info is two.debug
        assert one.adebug is two.ainfo

    def test_a_disabled_call_counts_nothing(self, log: lual.Logger) -> None:
        log.debug("x")
        assert lual.get_stats()["messages_submitted"] == 0

    def test_is_enabled_for_tells_it_beforehand(self, log: lual.Logger) -> None:
        log.set_level("error")
        assert log.is_enabled_for("error")
        assert log.is_enabled_for(50)
        assert not log.is_enabled_for("Warning")

    def test_is_enabled_for_refuses_an_unknown_level(self, log: lual.Logger) -> None:
        with pytest.raises(lual.ConfigError):
            log.is_enabled_for("nolevel")

    def test_a_method_works_again_when_its_level_is_on_again(
        self, recorded: Any, log: lual.Logger
    ) -> None:
        log.set_level("error")
        log.info("no")
        log.set_level("info")
        log.info("yes")
        log.ainfo("yes")
        assert recorded.messages == ["yes", "yes"]


class TestHierarchy:
    def test_the_root_is_at_warning(self) -> None:
        assert lual.logger("root").effective_level == lual.WARNING

    def test_a_level_is_inherited_from_the_nearest_ancestor_that_sets_one(self) -> None:
        lual.logger("h").set_level("error")
        lual.logger("h.i.j").set_level("debug")
        assert lual.logger("h.i").effective_level == lual.ERROR
        assert lual.logger("h.i.j.k").effective_level == lual.DEBUG
        assert lual.logger("h.i").level == lual.NOTSET

    def test_a_later_change_reaches_all_below(self, recorded: Any) -> None:
        deep = lual.logger("h.deep.er")
        lual.logger("h").set_level("error")
        deep.warning("no")
        lual.logger("h").set_level("debug")
        deep.debug("yes")
        assert recorded.messages == ["yes"]

    def test_notset_inherits_again(self) -> None:
        log = lual.logger("h.back")
        log.set_level("error")
        log.set_level(lual.NOTSET)
        assert (log.level, log.effective_level) == (0, lual.WARNING)

    def test_an_ancestor_made_later_changes_nothing(self, recorded: Any) -> None:
        child = lual.logger("later.made.child")
        lual.logger("later")
        child.info("x")
        assert recorded.messages == ["x"]

    def test_an_unknown_level_is_refused_and_changes_nothing(self, log: lual.Logger) -> None:
        log.set_level("error")
        with pytest.raises(lual.ConfigError, match="'loud'"):
            log.set_level("loud")
        assert log.effective_level == lual.ERROR


@pytest.fixture
def family(memory: Any) -> dict[str, Any]:
    """Returns outputs for root, parent and child, each of which keeps what it gets."""
    outputs = {name: type(memory)() for name in ("root", "p", "p.c")}
    lual.config(level="debug", pipelines=[lual.pipeline(outputs=[outputs["root"]])])
    for name in ("p", "p.c"):
        lual.logger(name, pipelines=[lual.pipeline(outputs=[outputs[name]])])
    return outputs


class TestPropagation:
    def test_a_record_reaches_the_pipelines_of_all_ancestors(self, family: Any) -> None:
        lual.logger("p.c").info("x")
        assert {name: out.messages for name, out in family.items()} == {
            "root": ["x"],
            "p": ["x"],
            "p.c": ["x"],
        }

    def test_a_record_of_the_parent_does_not_reach_the_child(self, family: Any) -> None:
        lual.logger("p").info("x")
        assert family["p.c"].messages == []
        assert family["p"].messages == family["root"].messages == ["x"]

    def test_it_ends_where_a_logger_does_not_propagate(self, family: Any) -> None:
        lual.logger("p").set_propagate(False)
        lual.logger("p.c").info("x")
        assert family["p.c"].messages == family["p"].messages == ["x"]
        assert family["root"].messages == []

    def test_it_can_be_turned_on_again(self, family: Any) -> None:
        lual.logger("p").set_propagate(False)
        lual.logger("p").set_propagate(True)
        lual.logger("p.c").info("x")
        assert family["root"].messages == ["x"]

    def test_the_level_of_an_ancestor_does_not_filter(self, family: Any) -> None:
        lual.logger("p").set_level("critical")
        lual.logger("p.c").set_level("debug")
        lual.logger("p.c").debug("x")
        assert family["p"].messages == family["root"].messages == ["x"]

    def test_each_pipeline_applies_its_own_level(self, family: Any, memory: Any) -> None:
        lual.logger("p", pipelines=[lual.pipeline(level="error", outputs=[memory])])
        lual.logger("p.c").info("x")
        lual.logger("p.c").error("y")
        assert memory.messages == ["y"]
        assert family["root"].messages == ["x", "y"]

    def test_the_record_names_its_source(self, family: Any) -> None:
        lual.logger("p.c").info("x")
        assert family["root"].last.logger_name == "p.c"

    def test_a_record_that_nobody_wants_is_processed(self) -> None:
        log = lual.logger("nobody", propagate=False)
        log.error("x")
        assert lual.get_stats()["messages_processed"] == 1

    @pytest.mark.parametrize("value", ["no", 0, None], ids=repr)
    def test_set_propagate_takes_a_truth_value_only(self, log: lual.Logger, value: Any) -> None:
        with pytest.raises(lual.ConfigError, match="True or False"):
            log.set_propagate(value)


class TestAddPipeline:
    def test_adds_to_what_is_there(self, family: Any, memory: Any) -> None:
        lual.logger("p").add_pipeline(lual.pipeline(outputs=[memory]))
        lual.logger("p.c").info("x")
        assert memory.messages == family["p"].messages == family["root"].messages == ["x"]

    def test_accepts_a_mapping(self, recorded: Any, log: lual.Logger, memory: Any) -> None:
        other = type(memory)()
        log.add_pipeline({"level": "error", "outputs": [other]})
        log.info("x")
        log.error("y")
        assert other.messages == ["y"]

    def test_adds_to_the_root(self, recorded: Any, memory: Any) -> None:
        other = type(memory)()
        lual.logger("root").add_pipeline(lual.pipeline(outputs=[other]))
        lual.logger("add").info("x")
        assert other.messages == recorded.messages == ["x"]

    def test_of_a_bound_logger_is_that_of_the_logger(self, log: lual.Logger, memory: Any) -> None:
        log.bind(a=1).add_pipeline(lual.pipeline(outputs=[memory]))
        log.error("x")
        assert memory.messages == ["x"]

    def test_refuses_what_is_no_pipeline(self, log: lual.Logger) -> None:
        with pytest.raises(lual.ConfigError, match="pipeline must be"):
            log.add_pipeline("console")  # type: ignore[arg-type]
        assert log.pipelines == ()

    def test_refuses_an_output_that_can_not_be_opened(
        self, log: lual.Logger, tmp_path: Any
    ) -> None:
        (tmp_path / "a-file").write_text("")
        with pytest.raises(lual.ConfigError, match="a-file"):
            log.add_pipeline(lual.pipeline(outputs=[lual.file(tmp_path / "a-file" / "app.log")]))
        assert log.pipelines == ()

    def test_refuses_an_async_output_without_who_awaits_it(self, log: lual.Logger) -> None:
        async def output(text: str, record: lual.Record) -> None: ...

        with pytest.raises(lual.ConfigError, match="async def"):
            log.add_pipeline(lual.pipeline(outputs=[output]))
        assert log.pipelines == ()

    def test_refuses_files_that_contradict_each_other(
        self, log: lual.Logger, tmp_path: Any
    ) -> None:
        path = tmp_path / "app.log"
        log.add_pipeline(lual.pipeline(outputs=[lual.file(path)]))
        with pytest.raises(lual.ConfigError, match="different settings"):
            log.add_pipeline(lual.pipeline(outputs=[lual.file(path, max_bytes=1000)]))
        assert len(log.pipelines) == 1

    def test_threads_that_add_at_once_lose_nothing(self, log: lual.Logger, memory: Any) -> None:
        start = threading.Barrier(8)

        def add() -> None:
            start.wait(5)
            log.add_pipeline(lual.pipeline(outputs=[memory]))

        threads = [threading.Thread(target=add) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(log.pipelines) == 8


class TestBind:
    def test_adds_fields_to_each_record(self, recorded: Any, log: lual.Logger) -> None:
        bound = log.bind(a=1)
        bound.info("x")
        bound.info("y", b=2)
        log.info("z")
        assert recorded.texts == ["x a=1", "y a=1 b=2", "z"]

    def test_of_a_bound_logger_adds_to_its_fields(self, recorded: Any, log: lual.Logger) -> None:
        log.bind(a=1, b=1).bind(b=2).info("x")
        assert recorded.texts == ["x a=1 b=2"]

    def test_a_field_of_the_call_wins(self, recorded: Any, log: lual.Logger) -> None:
        log.bind(a=1).info("x", a=2)
        assert recorded.texts == ["x a=2"]

    def test_shares_name_level_and_parent(self, log: lual.Logger) -> None:
        bound = log.bind(a=1)
        assert (bound.name, bound.parent, bound.level) == (log.name, log.parent, log.level)

    def test_follows_later_changes(self, recorded: Any, log: lual.Logger, memory: Any) -> None:
        bound = log.bind(a=1)
        other = type(memory)()
        log.set_level("error")
        bound.info("no")
        log.set_level("debug")
        log.set_propagate(False)
        log.add_pipeline(lual.pipeline(outputs=[other]))
        bound.debug("yes")
        assert recorded.messages == []
        assert other.messages == ["yes"]

    def test_follows_changes_of_an_ancestor(self, recorded: Any) -> None:
        bound = lual.logger("bind.far.down").bind(a=1)
        lual.logger("bind").set_level("error")
        bound.info("no")
        assert recorded.messages == []
        assert bound.effective_level == lual.ERROR

    def test_changes_through_it_are_changes_of_the_logger(self, log: lual.Logger) -> None:
        log.bind(a=1).set_level("error")
        log.bind(a=1).set_propagate(False)
        assert (log.effective_level, log.propagate) == (lual.ERROR, False)

    @pytest.mark.parametrize("name", [*LEVELS, "exception", "aerror", "aexception"])
    def test_reaches_every_method(self, recorded: Any, log: lual.Logger, name: str) -> None:
        getattr(log.bind(a=1), name)("x")
        assert recorded.last.fields == {"a": 1}

    def test_is_forgotten_with_its_last_reference(self, log: lual.Logger) -> None:
        import weakref

        bound = log.bind(a=1)
        alive = weakref.ref(bound)
        del bound
        assert alive() is None


class TestTwins:
    @pytest.mark.parametrize("name", LEVELS)
    def test_each_logs_at_its_level_when_awaited(
        self, recorded: Any, log: lual.Logger, name: str
    ) -> None:
        async def main() -> None:
            await getattr(log, f"a{name}")("%s", "x", k=1)

        asyncio.run(main())
        assert recorded.texts == ["x k=1"]
        assert recorded.last.level == lual.get_levels()["warning" if name == "warn" else name]

    def test_aexception_has_the_exception(self, recorded: Any, log: lual.Logger) -> None:
        async def main() -> None:
            try:
                raise ValueError("bad")
            except ValueError:
                await log.aexception("x")

        asyncio.run(main())
        assert "ValueError: bad" in recorded.texts[0]

    def test_a_forgotten_await_loses_nothing(self, recorded: Any, log: lual.Logger) -> None:
        log.ainfo("x")
        assert recorded.messages == ["x"]

    def test_awaiting_twice_logs_once(self, recorded: Any, log: lual.Logger) -> None:
        async def main() -> None:
            twin = log.ainfo("x")
            await twin
            await twin

        asyncio.run(main())
        assert recorded.messages == ["x"]

    def test_a_disabled_one_can_be_awaited(self, recorded: Any, log: lual.Logger) -> None:
        log.set_level("critical")

        async def main() -> None:
            await log.ainfo("x")
            await log.aexception("x")
            await log.alog("info", "x")

        asyncio.run(main())
        assert recorded.messages == []


class TestSettings:
    def test_logger_takes_level_propagate_and_pipelines(self, memory: Any) -> None:
        log = lual.logger(
            "settings.all",
            level="debug",
            propagate=False,
            pipelines=[{"outputs": [memory]}],
        )
        log.debug("x")
        assert (log.level, log.propagate, len(log.pipelines)) == (10, False, 1)
        assert memory.messages == ["x"]

    def test_logger_replaces_pipelines_as_a_whole(self, memory: Any) -> None:
        first, second = type(memory)(), type(memory)()
        log = lual.logger("settings.pipelines", pipelines=[{"outputs": [first]}])
        lual.logger("settings.pipelines", pipelines=[{"outputs": [second]}])
        log.error("x")
        assert (first.messages, second.messages) == ([], ["x"])

    def test_logger_leaves_what_it_does_not_name(self) -> None:
        log = lual.logger("settings.rest", level="error", propagate=False)
        lual.logger("settings.rest", level="info")
        assert (log.level, log.propagate) == (20, False)

    def test_the_root_takes_settings_too(self, memory: Any) -> None:
        lual.logger("root", level="info", pipelines=[{"outputs": [memory]}])
        lual.logger("settings").info("x")
        assert memory.messages == ["x"]
        assert lual.get_config()["level"] == 20

    @pytest.mark.parametrize("name", ["settings.bad", "root"])
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"lvel": "info"}, "'lvel'.*did you mean 'level'"),
            ({"level": "loud"}, "'loud'"),
            ({"propagate": "no"}, "'no'"),
            ({"pipelines": "console"}, "'console'"),
            ({"pipelines": [{"outputs": []}]}, "outputs is empty"),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else "",
    )
    def test_a_bad_setting_is_refused_and_nothing_applied(
        self, name: str, settings: dict[str, Any], message: str
    ) -> None:
        before = lual.get_config()
        with pytest.raises(lual.ConfigError, match=message):
            lual.logger(name, **{"level": "info", **settings})
        assert lual.get_config() == before


CALLED_BY_NO_FRAME = """
import atexit, lual
lual.config(level="info", pipelines=[lual.pipeline(outputs=[lambda text, record: print(text)])])
log = lual.logger("app")
atexit.register(log.info, "plain")
atexit.register(log.info, "with a field", key=1)
atexit.register(log.log, "info", "by level")
"""


@pytest.mark.processes
def test_a_call_that_no_frame_made_is_logged() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALLED_BY_NO_FRAME], capture_output=True, text=True, check=True
    )
    assert [line.split("[app] ")[1] for line in done.stdout.splitlines()] == [
        "by level",
        "with a field key=1",
        "plain",
    ]
    assert done.stderr == ""
