"""A skip is listed with its cause, and one that isn't on the list fails the run."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

SKIPS = """
import pytest

@pytest.mark.skip(reason="no broker here")
def test_broker(): pass

@pytest.mark.parametrize("n", [1, 2])
def test_passes(n): pass

@pytest.mark.xfail(reason="known", strict=True)
def test_expected_failure(): assert False
"""

#: Where the tests run: in pytest's own process, in a worker that sends it reports.
MODES = pytest.mark.parametrize("mode", [("-n", "0"), ("-n", "1")], ids=["alone", "worker"])


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest((ROOT / "conftest.py").read_text())
    pytester.makepyfile(test_it=SKIPS)
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    # Hypothesis is slow to import, and imported anew in every run.
    options = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    return project.runpytest_inprocess(*options, *arguments)


@pytest.mark.processes
@MODES
def test_a_skip_that_is_not_listed_fails_the_run(project, mode):
    result = run(project, *mode)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(
        ["*FAILED: skipped, and not on the list*", "test_it.py::test_broker | no broker here"]
    )


@pytest.mark.processes
@MODES
def test_a_listed_skip_is_shown_with_its_cause_and_passes(project, mode):
    project.path.joinpath("skips.txt").write_text("# why\n\ntest_it.py::* | no broker *\n")
    result = run(project, *mode)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["*skipped, as skips.txt allows*", "test_it.py::test_broker | no broker here"]
    )


@pytest.mark.parametrize(
    "line", ["test_it.py::test_broker | no queue", "test_other.py::* | no broker here"]
)
def test_a_listed_skip_must_agree_in_test_and_reason(project, line):
    project.path.joinpath("skips.txt").write_text(line)
    assert run(project).ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.processes
@MODES
def test_a_file_that_is_skipped_as_a_whole_counts_as_a_skip(project, mode):
    project.makepyfile(test_it="import pytest\npytest.importorskip('no_such_module')\n")
    result = run(project, *mode)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["test_it.py | could not import 'no_such_module'*"])


@pytest.mark.processes
def test_a_skip_of_a_test_that_starts_processes_is_known_by_its_plain_id(project):
    project.makepyfile(
        test_it="import pytest\n@pytest.mark.processes\ndef test_it(): pytest.skip('why')\n"
    )
    project.path.joinpath("skips.txt").write_text("test_it.py::test_it | why")
    assert run(project, "-n", "1", "--dist", "loadgroup").ret == pytest.ExitCode.OK


def test_a_run_without_skips_passes_and_speaks_of_none(project):
    result = run(project, "-k", "passes")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*skips.txt*")


def test_a_line_without_a_reason_is_refused(project):
    project.path.joinpath("skips.txt").write_text("# fine\ntest_it.py::test_broker\n")
    result = run(project)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*skips.txt, line 2: 'test_it.py::test_broker' must read:*"])


def test_a_slow_test_has_more_time(project):
    project.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.slow
        def test_slow(request):
            assert request.node.get_closest_marker("timeout").args == (300,)

        @pytest.mark.slow
        @pytest.mark.timeout(1)
        def test_own_limit(request):
            assert request.node.get_closest_marker("timeout").args == (1,)

        def test_quick(request):
            assert request.node.get_closest_marker("timeout") is None
        """
    )
    run(project).assert_outcomes(passed=3)
