from __future__ import annotations

import functools
from types import ModuleType, SimpleNamespace

import pluggy
import pytest

from lual.backend import Backend, hookimpl
from lual.engine.backend_check import backend_problems
from lual.engine.plugin_check import check_plugin


@hookimpl
def info():
    raise AssertionError("a check calls nothing")


@hookimpl
def build(config):
    raise AssertionError("a check calls nothing")


def problems_of(**attributes):
    """Returns the problems of a plugin that is sound but for `attributes`; None takes one away."""
    sound = {"lual_backend_info": info, "lual_create_backend": build}
    hooks = {name: value for name, value in (sound | attributes).items() if value is not None}
    return check_plugin(SimpleNamespace(**hooks)).problems


def codes_of(**attributes):
    return [problem.split()[0] for problem in problems_of(**attributes)]


class TestHooks:
    def test_a_sound_plugin_has_no_problem(self):
        assert problems_of() == []

    def test_its_hooks_are_returned(self):
        checked = check_plugin(SimpleNamespace(lual_backend_info=info, lual_create_backend=build))
        assert [(hook.name, hook.function) for hook in checked.hooks] == [
            ("lual_backend_info", info),
            ("lual_create_backend", build),
        ]

    def test_a_module_is_a_plugin(self):
        module = ModuleType("lual_example")
        module.lual_backend_info, module.lual_create_backend = info, build
        assert check_plugin(module).problems == []

    def test_an_undecorated_hook_is_p1(self):
        def build(config): ...

        (problem,) = problems_of(lual_create_backend=build)
        assert problem.startswith(f"P1 lual_create_backend(config) ({__file__}:")
        assert problem.endswith("decorate it with @lual.backend.hookimpl")

    @pytest.mark.parametrize("thing", ["text", functools.partial(build)])
    def test_a_hook_that_is_no_function_is_p1(self, thing):
        (problem,) = problems_of(lual_create_backend=thing)
        assert problem == "P1 lual_create_backend is no function or method; pluggy ignores it"

    def test_a_hook_that_is_a_property_is_p1_and_not_read(self):
        class Plugin:
            @property
            def lual_backend_info(self):
                raise AssertionError

            @hookimpl
            def lual_create_backend(self, config): ...

        (problem,) = check_plugin(Plugin()).problems
        assert problem.startswith("P1 lual_backend_info is no function")

    def test_a_decorator_above_staticmethod_is_p1_and_says_where_it_belongs(self):
        class Plugin:
            lual_backend_info = staticmethod(info)

            @hookimpl
            @staticmethod
            def lual_create_backend(config): ...

        (problem,) = check_plugin(Plugin).problems
        assert problem.startswith("P1 lual_create_backend(config)")
        assert problem.endswith("put @hookimpl below @staticmethod")

    def test_a_hook_decorated_for_another_project_is_p2(self):
        @pluggy.HookimplMarker("lual_log")
        def build(config): ...

        (problem,) = problems_of(lual_create_backend=build)
        assert problem.startswith("P2 lual_create_backend(config)")
        assert "'lual_log', not 'lual'" in problem

    def test_the_hooks_of_another_project_are_its_own(self):
        @pluggy.HookimplMarker("pytest")
        def pytest_configure(config=None): ...

        assert problems_of(pytest_configure=pytest_configure) == []

    def test_a_misspelt_hook_is_p3_and_not_also_missing(self):
        (problem,) = problems_of(lual_create_backend=None, lual_creat_backend=build)
        assert problem.startswith("P3 lual_creat_backend(config)")
        assert problem.endswith("no such hook; did you mean 'lual_create_backend'?")

    def test_an_unknown_hook_is_p3_and_gets_the_list(self):
        (problem,) = problems_of(zzz=info)
        assert "it has lual_backend_info, lual_create_backend, lual_backend_faults" in problem

    def test_an_optional_hook_of_a_newer_lual_is_let_be(self):
        @hookimpl(optionalhook=True)
        def lual_backend_colour(config): ...

        assert problems_of(lual_backend_colour=lual_backend_colour) == []

    def test_a_hook_may_have_another_name(self):
        @hookimpl(specname="lual_create_backend")
        def make(config): ...

        assert problems_of(lual_create_backend=None, make=make) == []

    def test_a_missing_hook_is_p8(self):
        (problem,) = problems_of(lual_create_backend=None)
        assert problem == "P8 lual_create_backend() is missing from the SimpleNamespace object"

    def test_a_missing_hook_may_stand_there_undecorated_under_a_similar_name(self):
        def lual_creat_backend(config): ...

        (problem,) = problems_of(lual_create_backend=None, lual_creat_backend=lual_creat_backend)
        assert problem.startswith("P8")
        assert problem.endswith("did you mean 'lual_creat_backend'?")

    def test_a_hook_implemented_twice_is_p8(self):
        @hookimpl(specname="lual_create_backend")
        def make(config): ...

        (problem,) = problems_of(make=make)
        assert problem.startswith("P8 make(config)")
        assert problem.endswith("is there already, as lual_create_backend; remove one")

    def test_a_wrapper_is_no_implementation(self):
        @hookimpl(wrapper=True)
        def build(config):
            return (yield)

        assert codes_of(lual_create_backend=build) == ["P8"]

    def test_all_problems_are_found_at_once(self):
        @hookimpl
        async def build(cfg): ...

        assert codes_of(lual_backend_info=None, lual_create_backend=build) == ["P6", "P4", "P8"]

    def test_a_hook_with_a_problem_is_not_returned(self):
        @hookimpl
        def build(cfg): ...

        plugin = SimpleNamespace(lual_backend_info=info, lual_create_backend=build)
        assert [hook.name for hook in check_plugin(plugin).hooks] == ["lual_backend_info"]


class TestArguments:
    def test_a_wrong_name_is_p4_with_the_signature_and_a_suggestion(self):
        @hookimpl
        def build(cfg: object) -> None: ...

        (problem,) = problems_of(lual_create_backend=build)
        line = build.__code__.co_firstlineno
        assert problem == (
            f"P4 lual_create_backend(cfg) ({__file__}:{line}): unknown argument 'cfg'; "
            "lual_create_backend passes (config); did you mean 'config'?"
        )

    def test_an_argument_too_many_is_p4(self):
        @hookimpl
        def build(config, loop): ...

        (problem,) = problems_of(lual_create_backend=build)
        assert problem.endswith("unknown argument 'loop'; lual_create_backend passes (config)")

    def test_an_argument_too_few_is_p4(self):
        (problem,) = problems_of(lual_create_backend=info)
        assert problem.endswith("lacks an argument; lual_create_backend passes (config)")

    def test_arguments_that_pluggy_never_fills_are_p4(self):
        @hookimpl
        def stars(*args, **rest): ...

        @hookimpl
        def keyword(*, config): ...

        assert codes_of(lual_create_backend=stars) == ["P4", "P4"]
        (problem,) = problems_of(lual_create_backend=keyword)
        assert "'config' can't be passed by position" in problem

    def test_a_default_is_p5(self):
        @hookimpl
        def build(config=None): ...

        (problem,) = problems_of(lual_create_backend=build)
        assert problem.startswith("P5 lual_create_backend(config=None)")
        assert "the argument 'config' has a default; remove it" in problem

    def test_a_coroutine_function_is_p6(self):
        @hookimpl
        async def build(config): ...

        (problem,) = problems_of(lual_create_backend=build)
        assert problem.startswith("P6 async lual_create_backend(config)")

    def test_a_wrapper_without_yield_is_p7(self):
        @hookimpl(wrapper=True)
        def around(config): ...

        assert codes_of(lual_create_backend=around) == ["P7", "P8"]

    def test_self_is_no_argument_of_an_instances_hook(self):
        class Plugin:
            lual_backend_info = staticmethod(info)

            @hookimpl
            def lual_create_backend(self, config): ...

        assert check_plugin(Plugin()).problems == []

    def test_a_class_with_methods_is_told_to_make_an_instance(self):
        class Plugin:
            lual_backend_info = staticmethod(info)

            @hookimpl
            def lual_create_backend(self, config): ...

        (problem,) = check_plugin(Plugin).problems
        assert problem.startswith("P4 lual_create_backend(self, config)")
        assert "point the entry point at an instance" in problem


class Duck:
    def submit(self, work_item): ...
    def flush(self, timeout=None): ...
    def start(self, dispatch_func=None): ...
    def stop(self, timeout=None): ...
    def get_stats(self): ...
    def reset(self): ...


class TestBackend:
    def test_what_has_the_six_methods_will_do(self):
        assert backend_problems(Duck()) == []

    def test_a_backend_in_earnest_will_do(self):
        class Whole(Duck, Backend):
            pass

        assert backend_problems(Whole()) == []

    def test_other_names_of_arguments_will_do(self):
        class Other(Duck):
            def submit(self, *items): ...
            def flush(self, seconds=None, *, hard=False): ...

        assert backend_problems(Other()) == []

    @pytest.mark.parametrize("name", ["submit", "flush", "start", "stop", "get_stats", "reset"])
    def test_a_missing_method_is_p10(self, name):
        backend = type("Odd", (Duck,), {name: None})()
        (problem,) = backend_problems(backend)
        assert problem.startswith(f"P10 Odd lacks the method {name}; lual calls {name}(")

    @pytest.mark.parametrize(
        ("name", "method", "call"),
        [
            ("submit", lambda self: None, "submit(work_item)"),
            ("flush", lambda self: None, "flush(1.0)"),
            ("flush", lambda self, timeout: None, "flush()"),
            ("start", lambda self: None, "start(dispatch_func)"),
            ("start", lambda self, dispatch_func: None, "start()"),
            ("stop", lambda self: None, "stop(1.0)"),
            ("stop", lambda self, timeout: None, "stop()"),
            ("get_stats", lambda self, name: None, "get_stats()"),
            ("reset", lambda self, hard: None, "reset()"),
        ],
    )
    def test_a_method_that_can_not_be_called_as_lual_does_is_p10(self, name, method, call):
        backend = type("Odd", (Duck,), {name: method})()
        (problem,) = backend_problems(backend)
        assert problem.startswith(f"P10 Odd.{name}(")
        assert f"can't be called as {call}, which lual does" in problem

    def test_an_async_method_is_p10(self):
        class Odd(Duck):
            async def flush(self, timeout=None): ...

        (problem,) = backend_problems(Odd())
        assert problem.startswith("P10 Odd.flush is async")

    def test_a_method_written_in_c_is_believed(self):
        class Odd(Duck):
            reset = {}.update

        assert backend_problems(Odd()) == []
