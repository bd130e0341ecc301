"""Chapter 1: what a backend says of itself, and what it is built from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lual.backend import BackendConfig, BoundedQueue, ConfigError, UnsupportedError
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.resources import Resources
from lual_conformance.harness.system import NEVER, System
from lual_conformance.outcomes import Blocked, Violation, expect
from lual_conformance.registry import rule

#: An option that nobody has.
UNKNOWN = "no_such_option_of_any_backend"


@rule(
    "1.1",
    "`lual_backend_info()` returns the same `BackendInfo` each time, whose name is the entry "
    "point's, whose contract is one that lual has, and whose capabilities are known ones; the "
    "plugin's hooks, and the backend that they build, can be called as lual does.",
    hint="the plugin module: hooks, names, arguments, and the calls of the backend",
    level="smoke",
)
def the_plugin_is_what_lual_expects(kit: Kit) -> None:
    expect(kit.target.problem is None, kit.target.problem or "")
    first = kit.target.info
    for _ in range(2):
        try:
            again = kit.target.ask()
        except ConfigError as refusal:
            raise Violation(f"asked once more, the plugin is refused: {refusal}") from refusal
        expect(first == again, f"lual_backend_info() returned {first!r}, and {again!r} later")
    expect(
        first.name.strip() == first.name and first.name and not set(first.name) & set(":=[]\n"),
        f"info.name is {first.name!r}, which no entry point can be called",
    )
    claimed = first.capabilities.get("contract", first.contract)
    expect(
        claimed == first.contract,
        f"the capability contract is {claimed!r}, info.contract is {first.contract!r}",
    )
    try:
        kit.system()
    except ConfigError as refusal:
        raise Violation(f"the backend can't be built: {refusal}") from refusal


@rule(
    "1.2",
    "Importing the plugin and calling `lual_backend_info` has no side effects.",
    hint="code at the top of the plugin's modules; leave work to start",
    processes=True,
)
def importing_the_plugin_has_no_side_effects(kit: Kit) -> None:
    found = _effects(kit, "import", "imported")
    expect(not found, f"importing the plugin and asking for its info had effects: {found}")


@rule(
    "1.3",
    "Creating a backend starts nothing; work begins only at `start`.",
    hint="the backend's __init__; threads and processes belong to start",
    processes=True,
)
def creating_a_backend_starts_nothing(kit: Kit) -> None:
    found = _effects(kit, "create", "created")
    expect(not found, f"lual_create_backend(config) had effects: {found}")
    system = kit.system(flush_interval=0.0, batch_size=1)
    system.queue.enqueue(system.item("early", func=system.output))
    system.advance(kit.seconds(1.0))
    begun = system.output.begun
    expect(not begun, f"{begun} reached an output before start was called")


def _effects(kit: Kit, stage: str, until: str) -> list[str]:
    child = kit.child("identity:effects")
    child.until(until)
    return [line.partition(": ")[2] for line in child.so_far() if line.startswith(f"{stage}: ")]


@rule(
    "1.4",
    "An unknown option raises `ConfigError` at creation, naming the option.",
    hint="lual_create_backend: config.check_options(*known) does it",
)
def an_unknown_option_is_refused_at_creation(kit: Kit) -> None:
    good = dict(kit.settings.options)
    wrong: list[tuple[str, dict[str, Any]]] = [
        (UNKNOWN, {**good, UNKNOWN: value}) for value in (1, None, False, "", "on")
    ]
    wrong += [(f"{name}_", {**good, f"{name}_": value}) for name, value in good.items()]
    for name, options in wrong:
        _expect_refusal(kit, name, options)


def _expect_refusal(kit: Kit, name: str, options: dict[str, Any]) -> None:
    config = _config(kit, options)
    with kit.calling("lual_create_backend(config)"):
        try:
            built = kit.target.loaded.create(config)
        except ConfigError as refusal:
            expect(
                name in str(refusal),
                f"with the option {name!r}, ConfigError doesn't name it: {refusal}",
            )
            return
        except Exception as error:
            raise Violation(
                f"with the option {name!r}, creation raised {type(error).__name__} ({error}) "
                "instead of ConfigError"
            ) from error
    raise Violation(
        f"with backend_options {options!r}, creation returned a {type(built).__name__} instead "
        "of raising ConfigError"
    )


def _config(kit: Kit, options: dict[str, Any]) -> BackendConfig:
    """Returns what a backend is built from that nobody ever starts."""
    clock = kit.new_clock()
    return BackendConfig(
        queue=BoundedQueue(100, kit.usual_strategy, clock=clock),
        overflow_strategy=kit.usual_strategy,
        clock=clock,
        pipelines=kit.describe_outputs(kit.new_output),
        options=options,
    )


@rule(
    "1.5",
    "Two backends share no state.",
    hint="attributes of the class or the module that should be the object's",
    assumes=("8.4",),
)
def two_backends_share_no_state(kit: Kit) -> None:
    kit.running().deliver(*(f"alone: {n}" for n in range(5)))  # else nothing can be compared
    one, other = kit.running(), kit.system()
    _fill_its_hand(one)
    counted = one.get_stats().get("messages_submitted")
    other.start()
    _write_beside(other, "other", "while another one had records in hand")
    expect(
        one.get_stats().get("messages_submitted") == counted,
        "records that one backend took were counted by another one",
    )
    other.stop()
    one.output.open()
    _write_beside(one, "one", "when another one had been stopped")
    other.reset()
    _write_beside(one, "one", "when another one had been reset")
    strangers = [name for name in one.output.begun if not name.startswith("one")]
    strangers += [name for name in other.output.begun if not name.startswith("other")]
    expect(not strangers, f"{strangers} came out of a backend that they weren't given to")


def _fill_its_hand(system: System) -> None:
    """Gets a worker stuck with the rest of its batch in hand, if there may be one."""
    names = [f"one: {n}" for n in range(5)]
    if system.kit.isolates:
        system.output.hold(names[0])
        system.submit(*names)
        if not system.push(lambda: names[0] in system.output.begun):
            raise Blocked("no record could be brought into the output")
    else:
        system.submit(*names)


def _write_beside(system: System, name: str, when: str) -> None:
    """Has a backend write records, whatever its neighbour does."""
    try:
        system.deliver(*(f"{name}: {n}" for n in range(11, 21)))
    except Blocked as blocked:
        raise Violation(
            f"a backend wrote nothing {when}; with no other one around it does"
        ) from blocked


@rule(
    "1.6",
    "All time comes from `config.clock`: while that stands still, no interval and no timeout "
    "passes.",
    hint="time.monotonic, time.sleep, or a wait with a timeout where config.clock belongs",
    needs=("clock:injected",),
    stochastic=True,
    assumes=("3.3",),
)
def all_time_comes_from_the_given_clock(kit: Kit) -> None:
    brief = _what_time_ends(kit, kit.glance / 4)
    partly_filled = kit.systems[0]
    endless = _what_time_ends(kit, NEVER)  # shows what ends for another reason
    kit.becomes_true(lambda: any(ended() for ended in brief.values()), kit.glance)
    partly_filled.submit("b")  # some look at the time only when they are called
    found = [what for what, ended in brief.items() if ended() and not endless[what]()]
    expect(not found, f"while config.clock stood still, {' and '.join(found)}")


def _what_time_ends(kit: Kit, seconds: float) -> dict[str, Callable[[], bool]]:
    """Begins what should end so many seconds later; tells which of it has ended."""
    waiting = kit.running(flush_interval=seconds)
    waiting.submit("a")
    ends: dict[str, Callable[[], bool]] = {
        "a partial batch was dispatched": lambda: bool(waiting.output.begun)
    }
    if not kit.isolates:
        return ends
    for what in ("flush", "stop"):
        system = kit.running()
        system.hold()
        call = partial(getattr(system.backend, what), seconds)
        ends[f"a {what} gave up"] = kit.background(call, f"{what}({seconds:g})").has_ended
    if kit.claims("overflow:block"):
        full = kit.running(max_size=1, strategy="block", block_timeout=seconds)
        full.hold()
        full.submit("fills the queue")
        call = partial(full.backend.submit, full.item("waits for room"))
        submit = kit.background(call, "submit('waits for room')")
        # A second worker may have made room: then it is over, and nothing gave up.
        ends["a submit gave up"] = lambda: submit.has_ended() and submit.result() is not True
    return ends


@rule(
    "1.7",
    "Capabilities are honest: what is claimed is there, and what is denied is refused loudly.",
    hint="the capabilities in BackendInfo, against what the backend does",
)
def capabilities_are_honest(kit: Kit) -> None:
    for strategy in kit.capabilities.get("overflow", ()):
        kit.system(strategy=strategy)  # a refusal is raised
    _has_a_worker_to_kill(kit)
    _has_the_workers_it_claims(kit)
    if not kit.claims("restartable"):
        _starts_again_or_refuses(kit)


def _has_a_worker_to_kill(kit: Kit) -> None:
    system = kit.running()
    faults = kit.target.faults(system.backend)
    claimed = kit.claims("restarts_worker")
    can_kill = callable(getattr(faults, "kill_worker", None))
    expect(
        can_kill or not claimed,
        f"it claims restarts_worker, but lual_backend_faults gave {faults!r}, "
        "which has no kill_worker()",
    )
    if can_kill and not claimed:
        kit.note("undeclared: lual_backend_faults is there, restarts_worker isn't claimed")


def _has_the_workers_it_claims(kit: Kit) -> None:
    if not (kit.is_cooperative or kit.claims("lazy_worker")):
        return
    system = kit.system()
    before = Resources.now()

    def workers() -> list[str]:
        now = Resources.now()
        return [*now.threads_since(before), *now.processes_since(before)]

    system.start()
    claim = "lazy_worker" if kit.claims("lazy_worker") else f"worker={kit.capabilities['worker']!r}"
    if not kit.becomes_true(lambda: not workers(), kit.patience):
        raise Violation(f"it claims {claim}, but started {workers()} with no work to do")


def _starts_again_or_refuses(kit: Kit) -> None:
    system = kit.running()
    system.stop()
    try:
        system.start()
    except (UnsupportedError, RuntimeError):
        return
    except Exception as error:
        raise Violation(
            f"it denies restartable; start after stop raised {type(error).__name__} ({error}) "
            "instead of UnsupportedError or RuntimeError"
        ) from error
    taken = system.submit("again")
    done = taken == [True] and system.push(lambda: system.output.done == ["again"])
    expect(
        done,
        "it denies restartable, but start after stop raised nothing: submit answered "
        f"{taken}, and {system.output.done} was written",
    )
    kit.note("undeclared: start after stop works, restartable isn't claimed")


@rule(
    "1.8",
    "Whether a backend is available is told without raising, waiting, or looking at the network.",
    hint="lual_backend_info: available and unavailable_reason",
    must=False,
    processes=True,
)
def availability_is_told_anywhere(kit: Kit) -> None:
    child = kit.child("identity:asks_without_environment")
    child.until("told")
    answer = child.so_far()[0]
    expect(answer == "answered", f"without environment and network, {answer}")
