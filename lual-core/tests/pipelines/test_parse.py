import sys
import types

import pytest

from lual.errors import ConfigError
from lual.pipelines.color import color
from lual.pipelines.json_lines import json
from lual.pipelines.outputs.console import ConsoleOutput
from lual.pipelines.outputs.file import FileOutput
from lual.pipelines.parse import import_object, parse_pipeline
from lual.pipelines.pipeline import pipeline
from lual.pipelines.text import text

WHERE = "pipelines[1]"


def keep_all(record):
    return True


@pytest.fixture
def module(monkeypatch):
    module = types.ModuleType("some_application")
    module.keep_all = keep_all
    module.nested = types.SimpleNamespace(output=print, level=3)
    module.made = text("{message}")
    monkeypatch.setitem(sys.modules, "some_application", module)
    return module


def parse(**settings):
    return parse_pipeline({"outputs": [print], **settings}, WHERE)


def test_a_pipeline_is_taken_as_it_is():
    p = pipeline(outputs=[print])
    assert parse_pipeline(p, WHERE) is p


def test_a_mapping_makes_the_same_as_the_factory():
    settings = {"level": "info", "filters": [keep_all], "presenter": json(), "outputs": [print]}
    assert parse_pipeline(settings, WHERE).is_like(pipeline(**settings))
    assert parse_pipeline({"outputs": [print]}, WHERE).is_like(pipeline(outputs=[print]))


@pytest.mark.parametrize(
    ("presenter", "expected"),
    [
        ("text", text()),
        ("json", json()),
        ("color", color()),
        ({"type": "text", "layout": "{message}"}, text("{message}")),
        ({"type": "json", "pretty": True}, json(pretty=True)),
        ({"type": "color", "level_colors": {"info": "red"}}, color(level_colors={"info": "red"})),
        ("some_application:made", text("{message}")),
    ],
)
@pytest.mark.usefixtures("module")
def test_a_presenter_may_be_a_name_a_table_or_an_import_string(presenter, expected):
    assert parse(presenter=presenter).presenter == expected


@pytest.mark.usefixtures("module")
def test_an_output_may_be_a_name_a_table_an_import_string_or_an_object(tmp_path):
    path = tmp_path / "app.log"
    p = parse(
        outputs=[
            "console",
            {"type": "file", "path": str(path), "max_bytes": 1000},
            "some_application:nested.output",
            repr,
        ]
    )
    console, file, *others = p.outputs
    assert isinstance(console, ConsoleOutput)
    assert isinstance(file, FileOutput)
    assert others == [print, repr]


@pytest.mark.usefixtures("module")
def test_filters_and_transformers_may_be_import_strings():
    p = parse(filters=["some_application:keep_all"], transformers=["some_application:keep_all"])
    assert p.filters == p.transformers == (keep_all,)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            {"presenters": "json"},
            r"pipelines\[1\] has the unknown key 'presenters'.*mean 'presenter'",
        ),
        ({"level": "lod"}, r"pipelines\[1\]\.level is 'lod'"),
        ({"presenter": "jsn"}, r"pipelines\[1\]\.presenter has the unknown type 'jsn'; .*'json'"),
        ({"presenter": {"layout": "x"}}, r"pipelines\[1\]\.presenter has no 'type'; use one of"),
        ({"presenter": {"type": 3}}, r"presenter has the unknown type 3"),
        (
            {"presenter": {"type": "text", "layuot": "x"}},
            r"presenter has the unknown setting 'layuot'; text takes layout, .*mean 'layout'",
        ),
        (
            {"presenter": {"type": "text", "layout": "{x}"}},
            r"pipelines\[1\]\.presenter: layout has the unknown placeholder",
        ),
        ({"presenter": 7}, r"pipelines\[1\]\.presenter must be callable"),
        ({"outputs": "console"}, r"pipelines\[1\]\.outputs must be a list"),
        ({"outputs": []}, r"pipelines\[1\]\.outputs is empty"),
        ({"outputs": [print, "consol"]}, r"outputs\[1\] has the unknown type 'consol'.*'console'"),
        ({"outputs": ["file"]}, r"outputs\[0\] lacks 'path'; write {type = 'file', path"),
        (
            {"outputs": [{"type": "file", "path": "x", "max_byte": 1}]},
            r"outputs\[0\] has the unknown setting 'max_byte'.*mean 'max_bytes'",
        ),
        ({"outputs": [{"type": "file", "path": 3}]}, r"pipelines\[1\]\.outputs\[0\]: "),
        ({"outputs": [7]}, r"pipelines\[1\]\.outputs\[0\] must be a callable"),
        ({"filters": ["keep"]}, r"filters\[0\] is 'keep'; name an object as 'package"),
        ({"filters": keep_all}, r"pipelines\[1\]\.filters must be a list"),
        ({"filters": [3]}, r"pipelines\[1\]\.filters\[0\] must be callable"),
        (
            {"transformers": ["some_application:nested.level"]},
            r"transformers\[0\] must be callable",
        ),
        (
            {"filters": ["some_application:keep_al"]},
            r"'some_application' has no 'keep_al'; did you mean 'keep_all'",
        ),
        (
            {"filters": ["no_such_application.x:y"]},
            r"filters\[0\] is .* there is no module 'no_such_application'",
        ),
    ],
)
@pytest.mark.usefixtures("module")
def test_an_error_names_the_place_and_what_is_allowed(settings, reason):
    with pytest.raises(ConfigError, match=reason):
        parse(**settings)


@pytest.mark.parametrize("value", [None, "json", [print], 3])
def test_what_is_no_mapping_is_an_error(value):
    with pytest.raises(ConfigError, match=r"pipelines\[1\] must be lual\.pipeline"):
        parse_pipeline(value, WHERE)


@pytest.mark.parametrize("path", ["a", "a:", ":b", "a.:b", "a:b:c", "a b:c", "a:b()", "/x.py:y"])
def test_an_import_string_has_one_form(path):
    with pytest.raises(ConfigError, match=r"name an object as 'package\.module:name'"):
        import_object(path, "filters[0]")


def test_a_module_that_fails_to_import_says_why(tmp_path, monkeypatch):
    (tmp_path / "broken_application.py").write_text("raise RuntimeError('half built')\n")
    (tmp_path / "lacking_application.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="raised RuntimeError: half built"):
        import_object("broken_application:x", "filters[0]")
    with pytest.raises(ConfigError, match="no module 'no_such_dependency', which 'lacking_app"):
        import_object("lacking_application:x", "filters[0]")
