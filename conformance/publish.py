#!/usr/bin/env python3
"""Makes what the documentation says of conformance; needs an environment with the kit.

    python conformance/publish.py pages            rule book and table of backends
    python conformance/publish.py reports [NAME]   runs level full, publishes the reports
    python conformance/publish.py calm [--runs N]  no false alarm under load, N runs each

`python3 dev.py full` does all of it. A report is published as it came out, also one that
isn't good.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lual_conformance.markdown import backend_matrix, rule_book
from lual_conformance.registry import load_rules
from lual_conformance.report import CONTRACT

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
REPORTS = HERE / "reports"
RULE_BOOK = ROOT / "docs" / "reference" / "rules.md"
MATRIX = ROOT / "docs" / "backends" / "index.md"
CALM = REPORTS / "false-alarms.md"

#: Around the part of the page that is made.
BEGIN, END = "<!-- made by conformance/publish.py -->", "<!-- end -->"


def published() -> list[dict[str, Any]]:
    """Returns the published reports, by backend and mode."""
    paths = sorted((REPORTS / CONTRACT).glob("*/*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def pages() -> dict[Path, str]:
    """Returns the text of each page that is made, wholly or in part."""
    page = MATRIX.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = backend_matrix(published())
    return {
        RULE_BOOK: rule_book(load_rules().values()),
        MATRIX: f"{before}{BEGIN}\n\n{table}\n{END}{after}",
    }


def write_pages() -> None:
    """Writes the pages."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


def own_backends() -> list[str]:
    """Returns the backends of this workspace."""
    return sorted(path.name.rpartition("-")[2] for path in ROOT.glob("lual-backend-*"))


def publish_reports(names: Iterable[str]) -> int:
    """Runs each backend at level full, writes its report, and returns the exit status."""
    status = 0
    for name in names:
        made = HERE / "reports" / "new.json"
        command = [sys.executable, "-m", "lual_conformance", "run", name, "--level", "full"]
        status |= subprocess.call([*command, "--quiet", "--report", str(made)], cwd=HERE)
        report = json.loads(made.read_text(encoding="utf-8"))
        backend = report["backend"]
        folder = REPORTS / CONTRACT / backend["dist"]
        folder.mkdir(parents=True, exist_ok=True)
        made.replace(folder / f"{backend['version']}-{backend['mode']}.json")
    write_pages()
    return status


def prove_calm(runs: int) -> int:
    """Runs the perfect backends again and again on a loaded machine, and says how it went."""
    load = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        command = [sys.executable, "-m", "lual_conformance.zoo", "--json"]
        command += ["--repeat", str(runs), "--patient", "perfect"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    finally:
        for process in load:
            process.kill()
            process.wait()
    data = json.loads(done.stdout)
    text = _calm_page(data, runs, len(load))
    CALM.write_text(text, encoding="utf-8")
    print(text)
    return done.returncode


def _calm_page(data: dict[str, Any], runs: int, load: int) -> str:
    outcomes = [outcome for row in data["rows"] for outcome in row["outcomes"].values()]
    judged = sum(outcome == "passed" for outcome in outcomes)
    lines = [
        "# False alarms",
        "",
        f"{datetime.date.today()}, Python {platform.python_version()}, {os.cpu_count()} CPUs, "
        f"{load} processes that kept them busy.",
        "",
        f"- runs: {len(data['rows'])} ({runs} of each perfect backend, level standard)",
        f"- rules that passed: {judged}",
        f"- rules that failed: {sum(outcome == 'failed' for outcome in outcomes)}",
        f"- errors of the kit: {sum(outcome == 'error' for outcome in outcomes)}",
        "",
        "Made by `python conformance/publish.py calm`.",
    ]
    wrong = [f"- {name}: {line}" for name, found in data["wrong"].items() for line in found]
    return "\n".join([*lines, *(["", "What went wrong:", "", *wrong] if wrong else [])]) + "\n"


def main() -> int:
    """Does what the command line asks for and returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["pages", "reports", "calm"])
    parser.add_argument("names", nargs="*", help="backends; none: all of this workspace")
    parser.add_argument("--runs", type=int, default=100, help="for calm")
    options = parser.parse_args()
    if options.what == "calm":
        return prove_calm(options.runs)
    if options.what == "reports":
        return publish_reports(options.names or own_backends())
    write_pages()
    return 0


if __name__ == "__main__":
    sys.exit(main())
