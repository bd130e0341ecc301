"""What a rule gets: everything that it needs to try one backend in one way."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn, TypeVar

from lual_conformance.capabilities import lacking
from lual_conformance.harness.background import Background, mark_call
from lual_conformance.harness.clock import ManualClock, WallClock
from lual_conformance.harness.host import Host, LoopHost, PlainHost
from lual_conformance.harness.output import BatchOutput, Output
from lual_conformance.harness.process import Child, start_child
from lual_conformance.harness.remote import RemoteOutputs
from lual_conformance.harness.system import System
from lual_conformance.outcomes import NotApplicable, NotSupported, Violation, expect
from lual_conformance.settings import RunSettings
from lual_conformance.target import Target

_T = TypeVar("_T")

#: Real seconds that other processes get, however soon a call counts as hung.
_CHILD_PATIENCE = 20.0

#: By how much times are shortened for backends that run in real time.
_WALL_SPEED = 20.0


class Call(NamedTuple):
    """A call of the backend that is in progress on the thread of the check."""

    what: str
    since: float


class Kit:
    """Everything a rule may use; a new one for each.

    Args:
        target: The backend.
        settings: Of the run.
    """

    def __init__(self, target: Target, settings: RunSettings) -> None:
        self.target = target
        self.settings = settings
        self.random = random.Random(settings.seed)  # noqa: S311  chooses tests, no secrets
        self.notes: list[str] = []
        self.deaths: list[threading.ExceptHookArgs] = []
        self.systems: list[System] = []
        self.doing: Call | None = None
        self._host: Host | None = None
        self._loops: list[LoopHost] = []
        self._remotes: list[RemoteOutputs] = []
        self._children: list[Child] = []

    # What the backend is

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What the backend claims."""
        return self.target.capabilities

    def claims(self, need: str) -> bool:
        """Tells whether the backend claims something; `need` as in `capabilities.lacking`."""
        return lacking(self.capabilities, [need]) is None

    @property
    def isolates(self) -> bool:
        """True if a stalled output doesn't hold the threads that submit, flush or stop."""
        return self.claims("isolates_slow_outputs")

    @property
    def is_cooperative(self) -> bool:
        """True if the backend dispatches on the threads that call it."""
        return self.claims("worker:cooperative|none")

    @property
    def is_process(self) -> bool:
        """True if outputs run in another process."""
        return self.claims("worker:process")

    @property
    def keeps_wall_time(self) -> bool:
        """True if its timing follows the real clock."""
        return not self.claims("clock:injected")

    @property
    def usual_strategy(self) -> str:
        """What the queue does when it is full, where a check doesn't care."""
        claimed = tuple(self.capabilities.get("overflow", ()))
        return "drop_oldest" if "drop_oldest" in claimed or not claimed else claimed[0]

    # Time

    @property
    def patience(self) -> float:
        """Real seconds after which a call counts as hung."""
        return self.settings.patience

    @property
    def child_patience(self) -> float:
        """Real seconds after which another process counts as hung: it may have to be started."""
        return max(3 * self.patience, _CHILD_PATIENCE * self.settings.scale)

    @property
    def glance(self) -> float:
        """Real seconds that a check watches for what must not happen."""
        return self.settings.glance

    @property
    def grace(self) -> float:
        """Seconds by which a call may return after its deadline."""
        return 0.06

    def seconds(self, seconds: float) -> float:
        """Returns a duration for this backend: as it is, or shortened if time is real."""
        return seconds / _WALL_SPEED if self.keeps_wall_time else seconds

    def new_clock(self) -> Any:
        """Returns a clock of the kind that the backend follows."""
        return WallClock() if self.keeps_wall_time else ManualClock()

    # Building

    @property
    def host(self) -> Host:
        """Where backends are started."""
        if self._host is None:
            self._host = LoopHost() if self.claims("worker:event_loop") else PlainHost()
        return self._host

    def event_loop(self, *, beats: bool) -> LoopHost:
        """Returns a new event loop that runs in a thread of its own; see `LoopHost`."""
        loop = LoopHost(beats=beats)
        self._loops.append(loop)
        return loop

    def system(self, **settings: Any) -> System:
        """Builds a system around a new backend; see `System` for the settings."""
        with self.calling("lual_create_backend(config)"):
            system = System(self, **settings)
        self.systems.append(system)
        return system

    def running(self, **settings: Any) -> System:
        """Builds a system and starts it."""
        return self.system(**settings).start()

    def new_output(self) -> Output:
        """Returns an output that takes records one by one."""
        return Output(self.patience)

    def new_batch_output(self) -> BatchOutput:
        """Returns an output that takes batches and can be flushed."""
        return BatchOutput(self.patience)

    def describe_outputs(self, output: Callable[[], Any]) -> Any:
        """Returns `BackendConfig.pipelines` for a backend; None where nothing reads it.

        Args:
            output: Called for the output at each use, because a check may replace it.
        """
        if not self.is_process:
            return None
        remote = RemoteOutputs(output)
        self._remotes.append(remote)
        return remote.description

    @property
    def writers(self) -> list[int]:
        """The processes that have called this check's outputs from outside."""
        return [pid for remote in self._remotes for pid in remote.pids]

    def background(self, call: Callable[[], _T], what: str = "the call") -> Background[_T]:
        """Makes a call in another thread."""
        return Background(call, what, self.patience)

    def child(self, place: str, **arguments: Any) -> Child:
        """Starts another process, in which a function of `lual_conformance.children` runs.

        Args:
            place: `module:function` in that package; it is called with the arguments.
            arguments: JSON; `backend` and `options` are added.
        """
        arguments = {
            "backend": self.target.name,
            "options": dict(self.settings.options),
            **arguments,
        }
        child = start_child(place, arguments, self.child_patience)
        self._children.append(child)
        return child

    # Watching

    @contextlib.contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Notes a call, so that it can be named should it never return."""
        before, self.doing = self.doing, Call(what, time.monotonic())
        try:
            yield
        except BaseException as error:
            mark_call(error, what)
            raise
        finally:
            self.doing = before

    def becomes_true(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Tells whether a condition comes true within so many real seconds."""
        deadline, pause = time.monotonic() + seconds, 0.0005
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, 0.01)  # what doesn't come soon isn't worth looking often
        return True

    def eventually(self, condition: Callable[[], bool], observed: str) -> None:
        """Waits for a condition that nothing announces.

        Raises:
            Violation: It never came true.
        """
        expect(self.becomes_true(condition, self.patience), observed)

    def never(self, condition: Callable[[], bool], observed: str) -> None:
        """Watches for a moment that a condition doesn't come true.

        A sound backend can't fail here; a broken one may get through by luck.

        Raises:
            Violation: It came true.
        """
        expect(not self.becomes_true(condition, self.glance), observed)

    def raises(
        self, kinds: type[BaseException] | tuple[type[BaseException], ...], call: Callable[[], Any]
    ) -> BaseException:
        """Returns what a call raises.

        Raises:
            Violation: It raised nothing, or something else.
        """
        wanted = kinds if isinstance(kinds, tuple) else (kinds,)
        names = " or ".join(kind.__name__ for kind in wanted)
        try:
            answer = call()
        except wanted as error:
            return error
        except Violation:
            raise
        except Exception as error:
            raise Violation(
                f"raised {type(error).__name__} ({error}) instead of {names}"
            ) from error
        raise Violation(f"returned {answer!r} instead of raising {names}")

    def note(self, remark: str) -> None:
        """Adds a remark to the result, which changes no verdict."""
        self.notes.append(remark)

    def not_applicable(self, reason: str) -> NoReturn:
        """Ends the check: it can't be made on this machine."""
        raise NotApplicable(reason)

    def not_supported(self, capability: str) -> NoReturn:
        """Ends the check: it is about something that the backend says it lacks."""
        raise NotSupported(capability)

    # The end

    def close(self) -> None:
        """Ends everything that the check has begun."""
        for child in self._children:
            child.end()
        for system in self.systems:
            system.end()
        for remote in self._remotes:
            remote.close()
        for host in (self._host, *self._loops):
            if host is not None:
                host.end()
