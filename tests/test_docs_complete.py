"""The reference names everything there is, and no link leads nowhere."""

from __future__ import annotations

import importlib.util
import json
import re
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import attrs
import click
import pytest

import lual
import lual.backend
from lual.backend.contract import CAPABILITIES, BackendConfig, BackendInfo
from lual.backend.queue import BoundedQueue
from lual.cli import program
from lual.configuration.settings import NAMES, SCALARS, Settings
from lual.levels import level_name
from lual.pipelines.layout import EXPRESSIONS
from lual_conformance.outcomes import OUTCOMES
from lual_conformance.pytest_plugin import _OPTIONS

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "*/README.md", "docs/**/*.md")
    for path in ROOT.glob(pattern)
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)


def _load_publish() -> ModuleType:
    """Returns the program that makes pages, which is no part of a distribution."""
    spec = importlib.util.spec_from_file_location("publish", ROOT / "conformance" / "publish.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


publish = _load_publish()
PAGES = publish.pages()

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(\s*([^)\s]+)\s*\)")


def prose(path: Path) -> str:
    """Returns a document without its fences."""
    return FENCE.sub("", path.read_text())


def coded(name: str) -> set[str]:
    """Returns the words that a page of the reference sets as code, and its headings."""
    text = prose(REFERENCE / name)
    code = " ".join([*CODE.findall(text), *HEADING.findall(text)])
    return set(re.findall(r"[\w-]+", code))


def section(name: str, heading: str) -> str:
    """Returns what stands under a heading of a page, up to the next one of any depth."""
    text = prose(REFERENCE / name)
    parts = re.split(rf"^#+ +{re.escape(heading)}$", text, flags=re.MULTILINE)
    assert len(parts) == 2, f"{name} has {len(parts) - 1} headings {heading!r}"
    return re.split(r"^#+ ", parts[1], flags=re.MULTILINE)[0]


def anchors(path: Path) -> set[str]:
    """Returns the anchors that a viewer gives to the headings of a document."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", path.read_text())):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number, unique = 0, anchor
        while unique in found:
            number += 1
            unique = f"{anchor}-{number}"
        found.add(unique)
    return found


def commands(
    command: click.Command = program, path: tuple[str, ...] = ("lual",)
) -> dict[tuple[str, ...], click.Command]:
    """Returns the command and all below it, by the words that call them."""
    found = {path: command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found |= commands(below, (*path, name))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_a_section(name):
    assert f"\n### {name}\n" in prose(REFERENCE / "settings.md")


@pytest.mark.parametrize("name", SCALARS)
def test_the_overview_tells_the_default_of_a_setting(name):
    value = getattr(Settings(), name)
    if name.endswith("level"):
        value = level_name(value).lower()
    shown = f"{value:_}" if type(value) is int else repr(value).replace("'", '"')
    row = re.search(
        rf"^\| \[{name}\]\(#{name}\) \|([^|]*)\|", prose(REFERENCE / "settings.md"), re.M
    )
    assert row is not None
    assert row[1].strip() == f"`{shown}`"


@pytest.mark.parametrize("key", sorted(lual.get_stats()))
def test_every_key_of_the_statistics_is_explained(key):
    assert re.search(rf"^\| `{key}` \|", prose(REFERENCE / "stats.md"), re.MULTILINE)


@pytest.mark.parametrize("name", sorted(CAPABILITIES))
def test_every_capability_is_explained(name):
    assert re.search(rf"^\| `{name}` \|", section("backend.md", "Capabilities"), re.MULTILINE)


@pytest.mark.parametrize("name", sorted(lual.__all__))
def test_every_public_name_is_in_the_reference(name):
    assert name in coded("api.md")


@pytest.mark.parametrize("name", sorted(lual.async_writer.__all__))
def test_every_name_of_the_async_writer_is_explained(name):
    assert f"| `{name}(" in section("api.md", "async_writer")


@pytest.mark.parametrize("name", sorted(n for n in vars(lual.Logger) if not n.startswith("_")))
def test_every_member_of_a_logger_is_in_the_reference(name):
    twins = {f"a{n}" for n in vars(lual.Logger)}  # told by their rule
    assert name in twins or name in re.findall(r"\w+", section("api.md", "Logger"))


@pytest.mark.parametrize("name", sorted(lual.backend.__all__))
def test_every_name_for_authors_of_backends_is_explained(name):
    assert name in coded("backend.md")


@pytest.mark.parametrize("kind", [BackendConfig, BackendInfo], ids=lambda kind: kind.__name__)
def test_every_attribute_of_a_backends_objects_is_explained(kind):
    names = {field.name for field in attrs.fields(kind)}
    assert names - set(re.findall(r"\w+", section("backend.md", kind.__name__))) == set()


def test_every_call_of_the_queue_is_explained():
    names = {n for n, v in vars(BoundedQueue).items() if callable(v) and not n.startswith("_")}
    # How a backend makes the queue book in its ledger, which lual's own do for it.
    names -= {"bind"}
    assert names - set(re.findall(r"\w+", section("backend.md", "BoundedQueue"))) == set()


@pytest.mark.parametrize("name", sorted(EXPRESSIONS))
def test_every_placeholder_is_explained(name):
    assert f"`{{{name}}}`" in section("outputs.md", "text")


@pytest.mark.parametrize("path", sorted(commands()), ids=" ".join)
def test_every_command_and_option_is_explained(path):
    command = commands()[path]
    if isinstance(command, click.Group) and len(path) > 1:
        return  # its commands are tests of their own
    heading = " ".join(path) if len(path) > 1 else "The command line"
    told = section("cli.md", heading)
    options = {o for p in command.params if isinstance(p, click.Option) for o in p.opts}
    assert {o for o in options if not re.search(rf"`{re.escape(o)}[ `]", told)} == set()


def test_the_reference_explains_no_command_that_does_not_exist():
    headings = re.findall(r"^## (lual .+)$", prose(REFERENCE / "cli.md"), re.MULTILINE)
    assert {tuple(heading.split()) for heading in headings} - commands().keys() == set()


@pytest.mark.parametrize("name", ["--lual-conformance", *(name for name, _ in _OPTIONS)])
def test_every_option_of_the_kit_in_pytest_is_explained(name):
    assert re.search(rf"^\| `{name}[ `]", section("conformance.md", "Options of pytest"), re.M)


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_outcome_of_a_rule_is_explained(name):
    assert f"`{name}`" in section("conformance.md", "Outcomes")


def test_every_key_of_a_report_is_explained():
    schema = json.loads(files("lual_conformance").joinpath("schema/report-1.json").read_text())
    told = set(re.findall(r"\w+", section("conformance.md", "The report")))
    properties = schema["properties"]
    keys = [*properties, *properties["rules"]["items"]["properties"]]
    assert set(keys) - told == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_that_is_made_is_up_to_date(path):
    assert path.read_text() == PAGES[path], "run: python conformance/publish.py pages"


@pytest.mark.parametrize("name", publish.own_backends())
def test_every_backend_has_a_published_report_of_its_version(name):
    found = [r for r in publish.published() if r["backend"]["name"] == name]
    assert found, f"run: python conformance/publish.py reports {name}"
    assert {(r["level"], r["verdict"]) for r in found} == {("full", "conformant")}
    assert lual.__version__ in {r["backend"]["version"] for r in found}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_internal_link_leads_somewhere(path):
    broken = []
    for link in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)
    assert broken == []


def test_every_page_is_reached_from_the_index():
    index = ROOT / "docs" / "index.md"
    listed = {
        (index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(prose(index))
    }
    pages = set((ROOT / "docs").rglob("*.md")) - {index}
    assert pages - listed == set()


def first_example(page: str) -> str:
    """Returns the first Python fence of a page."""
    found = re.search(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_backend_of_the_guide_stays_under_sixty_lines():
    assert first_example("docs/guides/write-a-backend.md").count("\n") < 60


def test_lual_finds_and_runs_the_backend_of_the_guide(tmp_path, monkeypatch):
    source = first_example("docs/guides/write-a-backend.md")
    (tmp_path / "lual_backend_named.py").write_text(source)
    metadata = tmp_path / "lual_backend_named-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: lual-backend-named\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text("[lual.backends]\nnamed = lual_backend_named\n")
    monkeypatch.syspath_prepend(tmp_path)
    texts = []
    try:
        lual.config(
            level="info",
            async_enabled=True,
            backend="named",
            pipelines=[
                {"presenter": lual.text("{message}"), "outputs": [lambda t, r: texts.append(t)]}
            ],
        )
        lual.logger("guide").info("found")
        assert lual.flush()
    finally:
        lual.shutdown()
        lual.reset_config()
    assert texts == ["found"]
