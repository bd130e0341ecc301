import math
import subprocess
import sys

import attrs
import pytest

import lual.backend
from lual.backend import Backend, BackendConfig, BackendInfo, BaseBackend, BoundedQueue, Clock
from lual.backend.contract import CAPABILITIES, CONTRACT
from lual.backend.ledger import Ledger
from lual.errors import ConfigError
from lual.levels import ERROR

AUTHORS_NAMES = [
    "Backend",
    "BackendConfig",
    "BackendInfo",
    "BaseBackend",
    "BoundedQueue",
    "Clock",
    "ConfigError",
    "UnsupportedError",
    "WorkItem",
    "hookimpl",
    "open_dispatch",
    "run_batch",
]


def test_all_that_an_author_imports_is_there():
    assert sorted(lual.backend.__all__) == AUTHORS_NAMES
    for name in AUTHORS_NAMES:
        assert getattr(lual.backend, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Sink'"):
        lual.backend.Sink  # noqa: B018  reading it is the test


@pytest.mark.processes
def test_importing_the_backend_package_loads_neither_attrs_nor_pluggy():
    program = "import sys, lual.backend; print('attr' in sys.modules, 'pluggy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=10
    )
    assert done.stdout.split() == ["False", "False"]


def test_a_backend_has_exactly_six_calls():
    assert Backend.__abstractmethods__ == {
        "submit",
        "flush",
        "start",
        "stop",
        "get_stats",
        "reset",
    }


def test_a_class_that_only_registers_is_a_backend():
    class Foreign:
        pass

    Backend.register(Foreign)
    assert isinstance(Foreign(), Backend)


def test_an_author_provides_two_or_three_methods():
    assert BaseBackend.__abstractmethods__ == {"start_worker", "join_worker"}


class TestBackendInfo:
    def info(self, **capabilities):
        return BackendInfo(name="x", version="1", capabilities=capabilities)

    def test_it_is_written_for_this_contract_and_available_by_default(self):
        info = self.info()
        assert info.contract == CONTRACT == (1, 0)
        assert info.available is True
        assert info.unavailable_reason is None
        assert info.problems() == []

    def test_it_does_not_change(self):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            self.info().name = "y"

    def test_a_sound_value_of_each_capability_is_no_problem(self):
        sound = {
            "async_outputs": True,
            "buffer": 0,
            "clock": "wall",
            "contract": (1, 0),
            "delivery": "at_least_once",
            "dispatch_concurrency": 2,
            "event_loop": "asyncio",
            "exit_flush": True,
            "fork": "reinit",
            "free_threaded": False,
            "isolates_slow_outputs": True,
            "lazy_worker": True,
            "ordering": "producer",
            "overflow": ("block",),
            "restartable": True,
            "restarts_worker": False,
            "signal_flush": False,
            "snapshot": True,
            "start_methods": ("spawn",),
            "worker": "process",
        }
        assert sound.keys() == CAPABILITIES.keys()
        assert self.info(**sound).problems() == []

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("async_outputs", 1),
            ("buffer", -1),
            ("clock", "mine"),
            ("contract", "1.0"),
            ("delivery", "exactly_once"),
            ("dispatch_concurrency", 0),
            ("event_loop", None),
            ("fork", True),
            ("ordering", "random"),
            ("overflow", ("explode",)),
            ("overflow", None),
            ("start_methods", ("vfork",)),
            ("worker", "fiber"),
        ],
    )
    def test_an_impossible_value_is_a_problem_that_names_it(self, name, value):
        (problem,) = self.info(**{name: value}).problems()
        assert problem == f"capability {name!r} can't be {value!r}"

    def test_an_unknown_capability_is_a_problem_with_a_hint(self):
        assert self.info(orderin="fifo").problems() == [
            "unknown capability 'orderin'; did you mean 'ordering'?"
        ]

    def test_an_unavailable_backend_must_say_why(self):
        info = BackendInfo(name="x", version="1", available=False)
        assert info.problems() == ["available is False, but unavailable_reason doesn't say why"]


class TestBackendConfig:
    def test_the_defaults_are_those_of_the_contract(self):
        config = BackendConfig()
        assert (config.batch_size, config.flush_interval) == (50, 1.0)
        assert (config.flush_timeout, config.shutdown_timeout, config.block_timeout) == (5, 5, 1)
        assert config.flush_level == config.protect_level == ERROR
        assert (config.max_queue_size, config.overflow_strategy) == (10_000, "drop_oldest")
        assert config.options == {}
        assert config.pipelines is None
        assert type(config.clock) is Clock
        assert config.error_callback("nobody listens") is None

    def test_the_five_settings_of_a_backend_that_stands_alone_are_enough(self):
        stats = {"messages_processed": 0, "backend_errors": 0}
        queue = BoundedQueue(100)
        config = BackendConfig(
            batch_size=5,
            flush_interval=0.1,
            queue=queue,
            stats=stats,
            error_callback=lambda message: None,
        )
        assert config.stats is stats
        assert config.queue is queue

    @pytest.mark.parametrize("name", ["batch_size", "max_queue_size"])
    @pytest.mark.parametrize("value", [0, -1, 2.5, True, "5", None])
    def test_a_number_of_records_is_1_or_more(self, name, value):
        with pytest.raises(ConfigError, match=f"{name} must be 1 record or more, got {value!r}"):
            BackendConfig(**{name: value})

    @pytest.mark.parametrize(
        "name", ["flush_interval", "flush_timeout", "shutdown_timeout", "block_timeout"]
    )
    @pytest.mark.parametrize("value", [-1, math.nan, True, "5", None])
    def test_a_duration_is_0_or_more_seconds(self, name, value):
        with pytest.raises(ConfigError, match=f"{name} must be 0 or more seconds, got {value!r}"):
            BackendConfig(**{name: value})

    def test_a_duration_may_be_0_or_endless(self):
        assert BackendConfig(flush_interval=0).flush_interval == 0
        assert BackendConfig(flush_timeout=math.inf).flush_timeout == math.inf

    def test_a_ledger_is_used_as_it_is(self):
        ledger = Ledger()
        assert BackendConfig(stats=ledger).ledger is ledger

    def test_a_plain_dict_gets_a_ledger_that_counts_in_it(self):
        stats = {}
        config = BackendConfig(stats=stats)
        config.ledger.add("backend_errors")
        assert stats["backend_errors"] == 1

    def test_a_queue_that_counts_in_the_same_dict_shares_the_ledger(self):
        stats = {}
        queue = BoundedQueue(10, stats=stats)
        assert BackendConfig(queue=queue, stats=stats).ledger is queue.ledger

    def test_known_options_are_accepted(self):
        BackendConfig(options={"slots": 3}).check_options("slots", "path")

    def test_an_unknown_option_is_an_error_that_names_it_and_the_known_ones(self):
        config = BackendConfig(options={"slot": 3})
        with pytest.raises(
            ConfigError, match=r"has 'slot', which .* it has: path, slots; did you mean 'slots'"
        ):
            config.check_options("path", "slots")

    def test_a_backend_without_options_refuses_each(self):
        with pytest.raises(ConfigError, match="it has: none"):
            BackendConfig(options={"x": 1}).check_options()
