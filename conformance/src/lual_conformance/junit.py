"""Reports in the XML form that build servers read."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from typing import Any


def junit_xml(reports: Iterable[Mapping[str, Any]]) -> str:
    """Returns reports as one JUnit document."""
    root = ET.Element("testsuites")
    for report in reports:
        rows = report["rules"]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=f"lual-conformance {report['backend']['name']}",
            tests=str(len(rows)),
            failures=str(sum(row["outcome"] in ("failed", "unexpected_pass") for row in rows)),
            errors=str(sum(row["outcome"] == "error" for row in rows)),
            skipped=str(sum(_is_skipped(row) for row in rows)),
            time=f"{sum(row['ms'] for row in rows) / 1000:.3f}",
        )
        for row in rows:
            _case(suite, report, row)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _is_skipped(row: Mapping[str, Any]) -> bool:
    return row["outcome"] not in ("passed", "failed", "unexpected_pass", "error")


def _case(suite: ET.Element, report: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=f"lual-conformance.{report['backend']['name']}.{row['id'].partition('.')[0]}",
        name=f"{row['id']} {row['title']}",
        time=f"{row['ms'] / 1000:.3f}",
    )
    message = printable(row.get("message", ""))
    if row["outcome"] in ("failed", "unexpected_pass", "error"):
        kind = "error" if row["outcome"] == "error" else "failure"
        found = ET.SubElement(case, kind, message=message)
        found.text = printable(
            f"contract: {row['promise']}\nlook at: {row['hint']}\n{row.get('details', '')}"
        )
    elif _is_skipped(row):
        ET.SubElement(case, "skipped", message=f"{row['outcome']}: {message}")


def printable(text: str) -> str:
    """Returns a text without the control characters that XML can't hold."""
    return "".join(c if c >= " " or c in "\t\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
