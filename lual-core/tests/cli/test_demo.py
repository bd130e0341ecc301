from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile

import pytest

import lual
import lual.cli.demo as module
from lual.cli import main
from lual.cli.demo import AboveBar
from lual.cli.demo_input import read_lines
from lual.cli.log_files import log_files

SMALL = ("--records", "200", "--rate", "0")


@pytest.fixture
def demo(capsys, tmp_path, monkeypatch):
    """Runs `lual demo` and returns exit status, standard output and standard error."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()

    def demo(*arguments):
        status = main(["demo", *map(str, arguments)])
        return status, *capsys.readouterr()

    return demo


@pytest.fixture
def kept(demo, tmp_path):
    """Returns the folder of a run that holds."""
    folder = tmp_path / "kept"
    assert demo(*SMALL, "--keep", folder)[0] == 0
    return folder


@pytest.fixture
def thief(monkeypatch):
    """Takes a line out of the log between writing and proof, and returns what it took."""
    taken = []

    def replay_and_steal(plan, progress):
        run = module_replay(plan, progress)
        taken.append(steal(plan.folder / "demo.log"))
        return run

    module_replay = module.replay
    monkeypatch.setattr(module, "replay", replay_and_steal)
    return taken


def steal(path):
    """Takes the first line out of a file, packed or not, and returns its entry."""
    read, write = (gzip.decompress, gzip.compress) if path.suffix == ".gz" else (bytes, bytes)
    lines = read(path.read_bytes()).splitlines(keepends=True)
    entry = json.loads(lines.pop(0))
    path.write_bytes(write(b"".join(lines)))
    return entry


def left(tmp_path):
    return list((tmp_path / "temporary").iterdir())


def test_the_sample_is_replayed_and_proved(demo):
    status, out, _ = demo("--rate", "0", "--records", "2000")
    assert status == 0
    assert "2,000 records of 4 threads, made from 402 lines" in out
    assert "messages_submitted    2,000" in out
    assert "p99.9" in out
    assert "The proof holds" in out


def test_the_report_is_plain_text(demo):
    _, out, _ = demo(*SMALL)
    assert all(line.isprintable() for line in out.splitlines())


def test_json_alone_stands_on_standard_output(demo):
    status, out, _ = demo(*SMALL, "--json")
    found = json.loads(out)
    assert status == 0
    assert list(found) == ["settings", "replay", "statistics", "latency_ns", "proof"]
    assert found["settings"]["backend"] == "threads"
    assert found["statistics"]["messages_submitted"] == 200
    assert (found["proof"]["ok"], found["proof"]["produced"]) == (True, 200)


def test_threads_and_records_are_those_asked_for(demo):
    _, out, _ = demo("--threads", "3", "--records", "31", "--rate", "0", "--json")
    found = json.loads(out)
    assert found["settings"]["threads"] == 3
    assert found["proof"]["written"] == 31


def test_any_file_can_be_replayed(demo, tmp_path):
    source = tmp_path / "odd.log"
    source.write_bytes(bytes(range(256)) * 3 + b"\n\n%s %(x)d {y}\nno line feed")
    status, out, _ = demo("--input", source, *SMALL, "--json")
    assert status == 0
    assert json.loads(out)["settings"]["lines"] == 7


def test_an_input_with_more_lines_than_usual_is_replayed_as_a_whole(demo, tmp_path):
    source = tmp_path / "long.log"
    source.write_text("short\n" * 20_001)
    _, out, _ = demo("--input", source, "--rate", "0", "--json")
    assert json.loads(out)["proof"]["produced"] == 20_001


def test_the_folder_goes_when_the_proof_holds(demo, tmp_path):
    demo(*SMALL)
    assert left(tmp_path) == []


def test_the_folder_stays_and_is_named_when_the_proof_fails(demo, tmp_path, thief):
    status, _, err = demo(*SMALL)
    (folder,) = left(tmp_path)
    assert status == 1
    assert str(folder) in err


def test_a_line_stolen_before_the_proof_makes_the_demo_fail(demo, thief):
    status, out, _ = demo(*SMALL)
    assert status == 1
    assert "The proof FAILS" in out
    (entry,) = thief
    assert f"producer {entry['producer']}, number {entry['number']} " in out


def test_verify_proves_again(demo, kept):
    status, out, _ = demo("--verify", kept)
    assert status == 0
    assert "The proof holds: 200 records" in out


@pytest.mark.parametrize("pattern", ["demo.log", "demo.log.*.gz"])
def test_verify_fails_and_names_a_line_deleted_by_hand(demo, kept, pattern):
    entry = steal(next(kept.glob(pattern)))
    status, out, _ = demo("--verify", kept)
    name = f"producer {entry['producer']}, number {entry['number']} ({entry['level']})"
    assert status == 1
    assert f"{name} is missing, and no drop was counted for it" in out


def test_verify_tells_its_result_as_json_too(demo, kept):
    steal(kept / "demo.log")
    status, out, _ = demo("--verify", kept, "--json")
    proof = json.loads(out)["proof"]
    assert (status, proof["ok"], proof["missing"], proof["dropped"]) == (1, False, 1, 0)


def test_verify_names_a_deleted_line_among_thousands_of_drops(demo, tmp_path):
    folder = tmp_path / "kept"
    _, out, _ = demo("--rate", "0", "--records", "30000", "--keep", folder, "--json")
    assert json.loads(out)["proof"]["ok"]
    entry = steal(log_files(folder / "demo.log")[0])
    status, out, _ = demo("--verify", folder)
    assert status == 1
    assert f"producer {entry['producer']}, number {entry['number']} " in out


def test_verify_logs_nothing_so_other_options_are_refused(demo, kept):
    status, _, err = demo("--verify", kept, "--threads", "2")
    assert status == 2
    assert "--threads has no meaning with --verify" in err


def test_verify_of_another_folder_is_refused(demo, tmp_path):
    status, _, err = demo("--verify", tmp_path)
    assert status == 2
    assert "holds no run" in err


def test_keep_refuses_a_folder_with_something_in_it(demo, kept):
    status, _, err = demo(*SMALL, "--keep", kept)
    assert status == 2
    assert "isn't empty" in err


def test_keep_refuses_a_place_that_cannot_be_written(demo, tmp_path):
    (tmp_path / "file").touch()
    status, _, err = demo(*SMALL, "--keep", tmp_path / "file" / "folder")
    assert status == 2
    assert "--keep can't use" in err


def test_an_unknown_backend_is_refused_with_the_names_there_are(demo, tmp_path):
    status, out, err = demo(*SMALL, "--backend", "nix")
    assert (status, out) == (2, "")
    assert "no installed package offers the backend 'nix'" in err
    assert left(tmp_path) == []


def test_an_attempt_that_is_refused_leaves_the_kept_folder_empty(demo, tmp_path):
    demo(*SMALL, "--keep", tmp_path / "kept", "--backend", "nix")
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [("--threads", "0"), ("--records", "0"), ("--rate", "-1"), ("--input", "/nowhere/x.log")],
)
def test_values_that_cannot_be_used_are_refused(demo, wrong):
    assert demo(*SMALL, *wrong)[0] == 2


def test_an_empty_input_is_refused(demo, tmp_path):
    (tmp_path / "empty.log").touch()
    status, _, err = demo("--input", tmp_path / "empty.log")
    assert status == 2
    assert "has no line" in err


def test_lual_has_its_defaults_afterwards(demo):
    demo(*SMALL)
    assert not lual.get_config()["async_enabled"]


def test_the_console_is_standard_error(demo):
    _, out, err = demo(*SMALL)
    assert "demo.p1.shop" in err
    assert "demo.p1.shop" not in out


def test_lines_go_above_the_bar(capsys):
    above = AboveBar(sys.stderr)
    above.write("a line\n")
    above.flush()
    assert capsys.readouterr().err == "\r\x1b[2Ka line\n"
    assert above.isatty() == sys.stderr.isatty()


def test_the_sample_has_what_logs_are_attacked_with():
    with open(os.path.join(os.path.dirname(module.__file__), "sample.log"), "rb") as stream:
        lines = read_lines(stream)
    texts = "\n".join(line.text for line in lines)
    assert len(lines) >= 400
    assert len({line.component for line in lines}) > 20
    assert len({line.level for line in lines}) == 5
    assert all(evil in texts for evil in ("\x1b[2J", "\r", "\x07", "\u202e", "\u2028", "\udcff"))


@pytest.mark.processes
def test_the_demo_ends_like_any_program(tmp_path):
    command = [sys.executable, "-m", "lual", "demo", *SMALL, "--json", "--keep", tmp_path / "kept"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15)
    assert (done.returncode, json.loads(done.stdout)["proof"]["ok"]) == (0, True)
    steal(tmp_path / "kept" / "demo.log")
    command = [sys.executable, "-m", "lual", "demo", "--verify", tmp_path / "kept"]
    assert subprocess.run(command, capture_output=True, timeout=15).returncode == 1
