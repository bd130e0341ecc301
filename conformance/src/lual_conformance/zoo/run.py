"""Running all rules against all mutants, each in a process of its own."""

from __future__ import annotations

import json
import os
import pkgutil
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from lual_conformance.harness.process import use_spawner
from lual_conformance.registry import Rule, load_rules
from lual_conformance.runner import Run, planned
from lual_conformance.settings import RunSettings
from lual_conformance.target import Target, installed_names
from lual_conformance.zoo.fork_server import ForkServer, preload
from lual_conformance.zoo.registry import PERFECT, Mutant, load_mutants

#: Seconds; only broken backends reach them, and nobody measured how soon a busy machine does.
WATCHDOG = 2.0

#: Rules that take most of the processor's time, of those that start no process.
COSTLY = ("7.4", "7.6", "7.10", "8.3", "9.4", "11.1", "11.3")

#: Seconds after which a whole row is given up.
ROW_LIMIT = 150.0


class Row(NamedTuple):
    """What the rules say of one backend.

    Args:
        reference: The backend.
        outcomes: By rule id.
        messages: By rule id, where there is one.
        seconds: How long it took.
        fault: Why there are no outcomes, if so.
    """

    reference: str
    outcomes: dict[str, str]
    messages: dict[str, str]
    seconds: float
    fault: str = ""

    def failed(self) -> set[str]:
        """Returns the rules that failed."""
        return {id for id, outcome in self.outcomes.items() if outcome == "failed"}

    def with_outcome(self, outcome: str) -> set[str]:
        """Returns the rules with an outcome."""
        return {id for id, found in self.outcomes.items() if found == outcome}


def verdict(mutant: Mutant, row: Row) -> list[str]:
    """Returns what is wrong with a mutant's row: it must fail exactly where expected."""
    if row.fault:
        return [row.fault]
    wrong = []
    for id, fragment in mutant.expect.items():
        outcome, message = row.outcomes.get(id, "absent"), row.messages.get(id, "")
        if outcome != "failed":
            wrong.append(f"{id} should fail, but was {outcome} {message}".rstrip())
        elif fragment not in message:
            wrong.append(f"{id} failed with another message: {message}")
    for id in sorted(row.failed() - set(mutant.expect)):
        wrong.append(f"{id} failed as well: {row.messages.get(id)}")
    for id in sorted(row.with_outcome("error")):
        wrong.append(f"{id} is an error of the kit: {row.messages.get(id)}")
    return wrong


def perfect_verdict(row: Row) -> list[str]:
    """Returns what is wrong with a perfect backend's row: nothing may fail."""
    if row.fault:
        return [row.fault]
    fine = ("passed", "not_supported", "not_applicable")
    return [
        f"{id} was {outcome}: {row.messages.get(id, '')}"
        for id, outcome in row.outcomes.items()
        if outcome not in fine
    ]


def unguarded_rules(mutants: Mapping[str, Mutant]) -> list[str]:
    """Returns the MUST rules whose deletion would leave every mutant found."""
    sole = {next(iter(m.expect)) for m in mutants.values() if len(m.expect) == 1}
    return [rule.id for rule in load_rules().values() if rule.must and rule.id not in sole]


def rules_for(mutant: Mutant | None, settings: RunSettings, *, thorough: bool) -> list[Rule]:
    """Returns the rules that a row runs.

    Rules that start processes cost more than all others together, and a few of those a third
    of what is left. Without `thorough` they are left out for mutants that aren't expected to
    break one of them.

    Args:
        mutant: None for a backend that isn't one.
        settings: Of the run.
        thorough: Whether all rules run.
    """
    rules = planned(settings)
    if thorough or mutant is None:
        return rules
    starts = _starts_processes(mutant)
    return [
        rule
        for rule in rules
        if rule.id in mutant.expect or not (rule.id in COSTLY or (rule.processes and not starts))
    ]


def _starts_processes(mutant: Mutant) -> bool:
    """Tells whether a rule that the mutant must break starts processes."""
    rules = load_rules()
    return any(rules[id].processes for id in mutant.expect)


def references(names: Iterable[str]) -> list[str]:
    """Returns the backends to run.

    Args:
        names: Of mutants and installed backends, references, `perfect`; none means the whole
            zoo.

    Raises:
        ValueError: There is nothing of that name.
    """
    mutants = load_mutants()
    wanted = list(names)
    if not wanted:
        # The slowest first, so that none of them is left alone at the end.
        slow = [m.reference for m in mutants.values() if _starts_processes(m)]
        quick = [m.reference for m in mutants.values() if not _starts_processes(m)]
        return [*slow, *PERFECT, *quick]
    found: list[str] = []
    for name in wanted:
        if name == "perfect":
            found += PERFECT
        elif ":" in name or name in installed_names():
            found.append(name)
        elif name in mutants:
            found.append(mutants[name].reference)
        else:
            raise ValueError(f"the zoo has no mutant {name!r}")
    return found


class _Pen(NamedTuple):
    reference: str
    pid: int
    since: float
    chunks: list[bytes]


def run_rows(
    wanted: Iterable[str],
    settings: RunSettings,
    jobs: int,
    listener: Callable[[Row], Any],
    *,
    thorough: bool,
) -> list[Row]:
    """Runs the rules against each backend, several at once.

    Args:
        wanted: References.
        settings: Of each run.
        jobs: How many at once; most of the time they wait.
        listener: Told of each row at once.
        thorough: See `rules_for`.

    Raises:
        BecomeChild: In each process that a row's check has asked for.
    """
    planned(settings)  # imports everything once, before the forks
    preload()
    mutants = {mutant.reference: mutant for mutant in load_mutants().values()}
    waiting, pens, rows = list(wanted), dict[int, _Pen](), list[Row]()
    while waiting or pens:
        while waiting and len(pens) < jobs:
            reference = waiting.pop(0)
            rules = rules_for(mutants.get(reference), settings, thorough=thorough)
            descriptor, pen = _open_pen(reference, settings, rules)
            pens[descriptor] = pen
        ready, _, _ = select.select(list(pens), [], [], 1.0)
        for descriptor in ready:
            chunk = os.read(descriptor, 65536)
            if chunk:
                pens[descriptor].chunks.append(chunk)
            else:
                rows.append(_close_pen(descriptor, pens.pop(descriptor), ""))
                listener(rows[-1])
        for descriptor, pen in list(pens.items()):
            if time.monotonic() - pen.since > ROW_LIMIT:
                rows.append(_close_pen(descriptor, pens.pop(descriptor), "it never ended"))
                listener(rows[-1])
    return rows


def _open_pen(reference: str, settings: RunSettings, rules: list[Rule]) -> tuple[int, _Pen]:
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.close(read)
        _prepare(reference)
        use_spawner(ForkServer(write))  # what hangs must not hold the row open
        try:
            os.write(write, _row_json(reference, settings, rules))
        except Exception:  # noqa: BLE001  it is shown, and the row is without results
            traceback.print_exc()
        os._exit(0)  # a mutant's threads may be stuck for ever
    os.close(write)
    return read, _Pen(reference, pid, time.monotonic(), [])


def _prepare(reference: str) -> None:
    """Lets a backend of this package do what needs a process with one thread."""
    if ":" in reference:
        getattr(pkgutil.resolve_name(reference), "before_rules", int)()


def _row_json(reference: str, settings: RunSettings, rules: list[Rule]) -> bytes:
    # What was left out on purpose isn't run after all because others build on it.
    run = Run(Target.find(reference), settings, premises=bool(settings.rules))
    run.all(rules)
    results = run.results.values()
    return json.dumps(
        {
            "outcomes": {r.id: r.outcome for r in results},
            "messages": {r.id: r.message for r in results if r.message},
        }
    ).encode()


def _close_pen(descriptor: int, pen: _Pen, fault: str) -> Row:
    os.close(descriptor)
    for _ in range(2):  # its process, and whatever that one has left behind
        try:
            os.killpg(pen.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            break
    os.waitpid(pen.pid, 0)
    seconds = time.monotonic() - pen.since
    try:
        data = json.loads(b"".join(pen.chunks))
    except ValueError:
        return Row(pen.reference, {}, {}, seconds, fault or "it ended without results")
    return Row(pen.reference, data["outcomes"], data["messages"], seconds)
