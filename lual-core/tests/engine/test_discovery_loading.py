from __future__ import annotations

import pytest

from lual import reports
from lual.backend import BackendConfig
from lual.engine.discovery import Candidate, create, load, resolve
from lual.errors import (
    BrokenBackendError,
    ConfigError,
    IncompatibleBackendError,
    UnavailableBackendError,
)

INSTANCE = """
    from lual.backend import BackendInfo, hookimpl

    class Plugin:
        @property
        def lual_trap(self):
            raise AssertionError

        @hookimpl
        def lual_backend_info(self):
            return BackendInfo(name="object", version="1")

        @hookimpl
        def lual_create_backend(self, config):
            return self

        def submit(self, work_item): return False
        def flush(self, timeout=None): return True
        def start(self, dispatch_func=None): pass
        def stop(self, timeout=None): return True
        def get_stats(self): return {}
        def reset(self): pass

    plugin = Plugin()
"""


@pytest.fixture
def problems():
    found: list[str] = []
    reports.set_error_handler(found.append)
    yield found
    reports.set_error_handler(None)


class TestImport:
    def test_a_sound_plugin_is_loaded(self, installed):
        installed.backend("quiet")
        loaded = load(resolve("quiet"))
        assert (loaded.name, loaded.info.name) == ("quiet", "quiet")
        assert loaded.faults is None

    def test_what_a_plugin_raises_is_chained_and_its_owner_named(self, installed):
        installed.backend("loud", "raise RuntimeError('no way')", version="2.5")
        with pytest.raises(BrokenBackendError) as caught:
            load(resolve("loud"))
        assert str(caught.value) == (
            "the backend 'loud' of lual-loud 2.5 (entry point fake_lual_loud) "
            "can't be imported: RuntimeError: no way"
        )
        assert isinstance(caught.value.__cause__, RuntimeError)

    @pytest.mark.parametrize("raised", ["SystemExit", "GeneratorExit", "BaseException"])
    def test_a_plugin_can_not_end_the_program(self, installed, raised):
        installed.backend("loud", f"raise {raised}('end')")
        with pytest.raises(BrokenBackendError, match=f"{raised}: end"):
            load(resolve("loud"))

    def test_an_interrupt_goes_on(self, installed):
        installed.backend("loud", "raise KeyboardInterrupt")
        with pytest.raises(KeyboardInterrupt):
            load(resolve("loud"))

    def test_a_missing_dependency_names_the_install_command(self, installed):
        installed.backend("fluent", "import no_such_msgpack.core")
        with pytest.raises(BrokenBackendError, match=r"pip install no_such_msgpack$"):
            load(resolve("fluent"))

    def test_a_plugin_that_is_gone_is_to_be_reinstalled(self, installed):
        installed.add("lual-gone", {"gone": "lual_gone.plugin"})
        with pytest.raises(BrokenBackendError, match=r"pip install --force-reinstall lual-gone$"):
            load(resolve("gone"))

    def test_a_reference_that_leads_nowhere_points_at_the_path(self, installed):
        with pytest.raises(BrokenBackendError, match=r"make sure that it stands on sys.path"):
            load(resolve("no_such_package.module:plugin"))

    def test_a_name_that_the_module_lacks_is_broken(self, installed):
        installed.add("lual-quiet", {"quiet": "lual_quiet:plugin"}, modules={"lual_quiet": ""})
        with pytest.raises(BrokenBackendError, match="has no attribute 'plugin'"):
            load(resolve("quiet"))

    @pytest.mark.parametrize("value", ["not a reference!!", "", "package:", ":plugin", "a..b:c"])
    def test_an_entry_point_that_is_no_reference_is_broken(self, value):
        with pytest.raises(BrokenBackendError, match=r"must read package.module:plugin"):
            load(Candidate("odd", value, "lual-odd", "1.0"))

    @pytest.mark.parametrize("value", ["deep:holder.plugin", "deep : holder.plugin [extra]"])
    def test_an_attribute_may_lie_deep(self, installed, value):
        holder = "import sys\nNAME = 'deep'\nclass holder:\n    plugin = sys.modules[__name__]\n"
        modules = {"deep": holder + installed.plugin()}
        installed.add("lual-deep", {"deep": value}, modules=modules)
        assert load(resolve("deep")).info.name == "deep"

    def test_an_instance_is_a_plugin_and_its_properties_are_not_read(self, installed):
        installed.add("lual-deep", {"object": "deep:plugin"}, modules={"deep": INSTANCE})
        loaded = load(resolve("object"))
        assert create(loaded, BackendConfig()).flush()

    def test_the_hooks_of_other_plugins_are_never_called(self, installed):
        rogue = installed.plugin(create="raise AssertionError").replace(
            "@hookimpl", "@hookimpl(tryfirst=1)"
        )
        installed.backend("rogue", rogue)
        installed.backend("quiet")
        load(resolve("rogue"))
        quiet = load(resolve("quiet"))
        assert create(quiet, BackendConfig()).flush()


class TestContract:
    def test_all_problems_are_told_at_once(self, installed):
        source = installed.plugin("BackendInfo(name='other', version='1')").replace(
            "(config)", "(cfg)"
        )
        installed.backend("kafka", source)
        with pytest.raises(BrokenBackendError) as caught:
            load(resolve("kafka"))
        first, *problems = str(caught.value).splitlines()
        assert first == (
            "the backend 'kafka' of lual-kafka 1.0 (entry point fake_lual_kafka) "
            "breaks the plugin contract:"
        )
        assert [problem.split()[0] for problem in problems] == ["P4", "P9"]

    def test_info_that_raises_is_broken(self, installed):
        installed.backend("loud", installed.plugin("1 / 0"))
        with pytest.raises(BrokenBackendError, match="lual_backend_info: ZeroDivisionError"):
            load(resolve("loud"))

    def test_an_error_of_configuration_is_no_answer_to_what_are_you(self, installed):
        source = installed.plugin().replace(
            "return BackendInfo(", "raise ConfigError('no')\n    dict("
        )
        installed.backend("odd", source)
        with pytest.raises(BrokenBackendError, match="lual_backend_info: ConfigError"):
            load(resolve("odd"))

    @pytest.mark.parametrize(
        ("info", "told"),
        [
            ("None", "returned nothing; it must return a lual.backend.BackendInfo"),
            ("{'name': NAME}", "returned a dict; it must return a lual.backend.BackendInfo"),
            ("BackendInfo(name='x', version='1')", "info.name is 'x', the entry point is 'odd'"),
            ("BackendInfo(name=NAME, version='1', contract='1.0')", "info.contract is '1.0'"),
            ("BackendInfo(name=NAME, version='1', contract=(1, 0, 0))", "info.contract is"),
            ("BackendInfo(name=NAME, version='1', contract=(True, 0))", "info.contract is"),
            ("BackendInfo(name=NAME, version='1', capabilities=['a'])", "must be a mapping"),
            (
                "BackendInfo(name=NAME, version='1', capabilities={'workr': 'none'})",
                "unknown capability 'workr'; did you mean 'worker'?",
            ),
            (
                "BackendInfo(name=NAME, version='1', available=False)",
                "unavailable_reason doesn't say why",
            ),
        ],
    )
    def test_wrong_info_is_p9(self, installed, info, told):
        installed.backend("odd", installed.plugin(info))
        with pytest.raises(BrokenBackendError, match="P9") as caught:
            load(resolve("odd"))
        assert told in str(caught.value)

    def test_a_name_given_by_hand_need_not_equal_the_infos(self, installed):
        installed.module("by_hand", installed.plugin("BackendInfo(name='other', version='1')"))
        installed.module("by_hand_too", "import by_hand as plugin")
        loaded = load(resolve("by_hand_too:plugin"))
        assert (loaded.name, loaded.info.name) == ("by_hand_too:plugin", "other")

    def test_another_major_is_incompatible_and_says_what_to_upgrade(self, installed):
        installed.backend(
            "redis", installed.plugin("BackendInfo(name=NAME, version='1', contract=(2, 0))")
        )
        with pytest.raises(IncompatibleBackendError) as caught:
            load(resolve("redis"))
        assert str(caught.value).endswith(
            "needs contract 2.x, this lual-core has 1.0; upgrade lual-core"
        )

    def test_an_older_major_is_to_be_upgraded_itself(self, installed):
        installed.backend(
            "redis", installed.plugin("BackendInfo(name=NAME, version='1', contract=(0, 9))")
        )
        with pytest.raises(IncompatibleBackendError, match=r"upgrade lual-redis$"):
            load(resolve("redis"))

    def test_another_major_outweighs_hooks_that_only_look_wrong(self, installed):
        source = installed.plugin("BackendInfo(name=NAME, version='1', contract=(2, 0))")
        installed.backend("redis", source.replace("(config)", "(config, loop)"))
        with pytest.raises(IncompatibleBackendError):
            load(resolve("redis"))

    def test_a_newer_minor_is_reported_once_and_used(self, installed, problems):
        info = "BackendInfo(name=NAME, version='1', contract=(1, 99), capabilities={'new': 1})"
        installed.backend("newer", installed.plugin(info))
        load(resolve("newer"))
        assert load(resolve("newer")).name == "newer"
        assert problems == [
            "the backend 'newer' of lual-newer 1.0 (entry point fake_lual_newer) "
            "is made for contract 1.99, this lual-core has 1.0"
        ]

    def test_an_unavailable_backend_says_why(self, installed):
        info = "BackendInfo(name=NAME, version='1', available=False, unavailable_reason='no shm')"
        installed.backend("mem", installed.plugin(info))
        with pytest.raises(UnavailableBackendError, match=r"can't work here: no shm$"):
            load(resolve("mem"))

    def test_a_claim_to_restart_workers_needs_the_faults_hook(self, installed):
        info = "BackendInfo(name=NAME, version='1', capabilities={'restarts_worker': True})"
        installed.backend("again", installed.plugin(info))
        with pytest.raises(BrokenBackendError, match="P8 lual_backend_faults"):
            load(resolve("again"))

    def test_the_faults_hook_is_handed_on(self, installed):
        faults = "\n@hookimpl\ndef lual_backend_faults(backend):\n    return [backend]\n"
        installed.backend("again", installed.plugin() + faults)
        loaded = load(resolve("again"))
        assert loaded.faults is not None
        assert loaded.faults("it") == ["it"]


class TestCreate:
    def test_the_config_arrives(self, installed):
        installed.backend(
            "quiet", installed.plugin(create="b = Backend(); b.config = config; return b")
        )
        config = BackendConfig()
        assert create(load(resolve("quiet")), config).config is config

    def test_an_error_of_configuration_passes_unchanged(self, installed):
        installed.backend(
            "picky", installed.plugin(create="raise ConfigError('size must be 1 or more')")
        )
        loaded = load(resolve("picky"))
        with pytest.raises(ConfigError) as caught:
            create(loaded, BackendConfig())
        assert str(caught.value) == "size must be 1 or more"
        assert type(caught.value) is ConfigError

    @pytest.mark.parametrize("raised", ["OSError", "SystemExit"])
    def test_anything_else_is_broken_and_chained(self, installed, raised):
        installed.backend("loud", installed.plugin(create=f"raise {raised}('no way')"))
        loaded = load(resolve("loud"))
        with pytest.raises(BrokenBackendError, match=f"can't be built: {raised}: no way") as caught:
            create(loaded, BackendConfig())
        assert type(caught.value.__cause__).__name__ == raised

    def test_an_interrupt_goes_on(self, installed):
        installed.backend("loud", installed.plugin(create="raise KeyboardInterrupt"))
        loaded = load(resolve("loud"))
        with pytest.raises(KeyboardInterrupt):
            create(loaded, BackendConfig())

    def test_no_backend_is_p10(self, installed):
        installed.backend("void", installed.plugin(create="return None"))
        loaded = load(resolve("void"))
        with pytest.raises(BrokenBackendError, match=r"P10 .* returned nothing"):
            create(loaded, BackendConfig())

    def test_every_call_that_fails_is_told(self, installed):
        source = installed.plugin().replace("stop(self, timeout=None)", "stop(self)")
        installed.backend("odd", source.replace("def reset(self)", "def rest(self)"))
        loaded = load(resolve("odd"))
        with pytest.raises(BrokenBackendError) as caught:
            create(loaded, BackendConfig())
        assert str(caught.value).splitlines()[1:] == [
            "  P10 Backend.stop() can't be called as stop(1.0), which lual does: "
            "too many positional arguments",
            "  P10 Backend lacks the method reset; lual calls reset()",
        ]

    def test_a_method_that_can_not_be_looked_at_is_broken(self, installed):
        trap = "reset = property(lambda self: 1 / 0)"
        installed.backend("odd", installed.plugin().replace("def reset(self): pass", trap))
        loaded = load(resolve("odd"))
        with pytest.raises(BrokenBackendError, match="can't be checked: ZeroDivisionError"):
            create(loaded, BackendConfig())
