from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lual.engine.discovery import default_name, resolve, scan
from lual.errors import AmbiguousBackendError, UnknownBackendError


class TestScan:
    def test_a_backend_is_found_by_its_entry_point(self, installed):
        place = installed.add("lual-quiet", {"quiet": "lual_quiet:plugin"}, version="2.5")
        (found,) = scan().candidates
        assert found == ("quiet", "lual_quiet:plugin", "lual-quiet", "2.5", str(place))

    def test_a_scan_imports_no_plugin(self, installed):
        installed.backend("loud", "raise SystemExit('imported')")
        assert scan().names() == ["loud"]
        assert "fake_lual_loud" not in sys.modules

    def test_other_groups_are_none_of_its_business(self, installed):
        place = installed.add("other", {})
        (place / "entry_points.txt").write_text("[console_scripts]\nthreads = other:main\n")
        assert scan().candidates == ()

    def test_a_corrupt_file_of_another_package_is_listed_with_its_line(self, installed):
        installed.backend("quiet")
        place = installed.add("broken-dist")
        (place / "entry_points.txt").write_text("[console_scripts]\nthis is no entry\n")
        found = scan()
        assert found.names() == ["quiet"]
        (unreadable,) = found.unreadable
        assert unreadable.distribution == "broken-dist 1.0"
        assert unreadable.file == str(place / "entry_points.txt")
        assert unreadable.line == 2

    def test_a_file_that_is_no_text_is_listed(self, installed):
        installed.backend("quiet")
        place = installed.add("binary-dist")
        (place / "entry_points.txt").write_bytes(b"[lual.backends]\n\xff\xfe = x\n")
        found = scan()
        assert found.names() == ["quiet"]
        assert [unreadable.line for unreadable in found.unreadable] == [None]
        assert "UnicodeDecodeError" in found.unreadable[0].reason

    def test_a_bad_line_leaves_the_good_entries_of_its_file(self, installed):
        place = installed.add("lual-half", {"half": "lual_half"})
        (place / "entry_points.txt").write_text("[lual.backends]\nnonsense\nhalf = lual_half\n")
        assert scan().names() == ["half"]
        assert [unreadable.line for unreadable in scan().unreadable] == [2]

    def test_comments_and_blank_lines_are_no_errors(self, installed):
        place = installed.add("lual-quiet")
        (place / "entry_points.txt").write_text("# c\n\n[ lual.backends ]\n# c\nquiet=q:p [x]\n")
        assert [found.value for found in scan().candidates] == ["q:p [x]"]
        assert scan().unreadable == ()

    def test_a_finder_that_raises_ends_the_search_and_is_listed(self, installed, monkeypatch):
        class Finder:
            @staticmethod
            def find_spec(*_):
                return None

            @staticmethod
            def find_distributions(*_):
                raise RuntimeError("no metadata today")

        installed.backend("quiet")
        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
        found = scan()
        assert found.names() == ["quiet"]
        assert [unreadable.reason for unreadable in found.unreadable] == [
            "the search ended early: RuntimeError: no metadata today"
        ]

    def test_one_distribution_on_the_path_twice_counts_once(self, installed, monkeypatch):
        installed.backend("quiet")
        (installed.add("corrupt") / "entry_points.txt").write_bytes(b"\xff")
        again = installed.folder.parent / "link"
        again.symlink_to(installed.folder)
        monkeypatch.setattr(sys, "path", [str(installed.folder), str(again), *sys.path])
        assert len(scan().candidates) == len(scan().unreadable) == 1
        assert scan().stale == ()

    def test_the_first_on_the_path_is_in_force(self, installed, monkeypatch):
        later = installed.folder.parent / "later"
        installed.add("lual-quiet", {"quiet": "q"}, version="2.0")
        installed.add("lual-quiet", {"quiet": "q"}, version="1.0", folder=later)
        # As the first is there again behind, its place is still the first.
        monkeypatch.setattr(sys, "path", [*sys.path, str(later), str(installed.folder)])
        assert [found.version for found in scan().candidates] == ["2.0"]
        assert scan().stale == ()

    @pytest.mark.parametrize("version", ["0.9", "1.1"])
    def test_an_empty_folder_beside_the_real_one_is_stale_and_hides_nothing(
        self, installed, version
    ):
        installed.backend("quiet")
        place = installed.leftover("lual-quiet", version=version)
        found = scan()
        assert found.names() == ["quiet"]
        assert found.stale == (("quiet", "lual-quiet", version, str(place)),)

    def test_an_empty_folder_of_a_backend_of_ours_is_stale(self, installed):
        installed.leftover("lual-backend-mp", version="0.1.0")
        assert [stale.name for stale in scan().stale] == ["mp"]

    def test_an_empty_folder_of_something_else_is_nobodys_concern(self, installed):
        installed.leftover("requests")
        assert scan().stale == ()

    def test_a_second_full_folder_in_one_place_is_stale(self, installed):
        installed.add("lual-quiet", {"quiet": "q"}, version="1.0")
        installed.add("lual-quiet", {"quiet": "q"}, version="2.0")
        assert len(scan().candidates) == 1
        assert len(scan().stale) == 1

    def test_a_distribution_without_readable_headers_is_named_by_its_folder(self, installed):
        place = installed.add("lual-quiet", {"quiet": "q"}, version="3.0")
        (place / "METADATA").write_bytes(b"\xff\xfe")
        (found,) = scan().candidates
        assert (found.distribution, found.version) == ("lual-quiet", "3.0")

    def test_the_search_is_done_once_for_a_path(self, installed, monkeypatch):
        first = scan()
        installed.backend("quiet")
        assert scan() is first
        monkeypatch.setattr(sys, "path", [*sys.path, str(installed.folder.parent)])
        assert scan().names() == ["quiet"]

    def test_a_search_anew_sees_what_was_installed_in_the_same_moment(self, installed):
        elsewhere = installed.folder.parent / "elsewhere"
        place = installed.add("lual-quiet", {"quiet": "q"}, folder=elsewhere)
        scan()
        moment = installed.folder.stat().st_mtime_ns
        place.rename(installed.folder / place.name)
        os.utime(installed.folder, ns=(moment, moment))
        assert scan(anew=True).names() == ["quiet"]


class TestDefault:
    def test_the_environment_comes_first(self, installed, monkeypatch):
        installed.backend("coroutines")
        monkeypatch.setenv("LUAL_BACKEND", "quiet")
        assert default_name() == ("quiet", "LUAL_BACKEND is set to it")

    def test_an_empty_variable_is_as_good_as_none(self, installed, monkeypatch):
        installed.backend("quiet")
        monkeypatch.setenv("LUAL_BACKEND", " ")
        assert default_name()[0] == "quiet"

    def test_coroutines_is_taken_wherever_it_is_installed(self, installed):
        for name in ("another", "coroutines", "threads"):
            installed.backend(name)
        assert default_name()[0] == "coroutines"

    def test_the_only_one_installed_is_taken(self, installed):
        installed.backend("quiet")
        assert default_name() == ("quiet", "it is the only one installed")

    def test_there_is_none_among_several(self, installed):
        installed.backend("quiet")
        installed.backend("threads")
        name, reason = default_name()
        assert name is None
        assert "quiet, threads" in reason

    def test_there_is_none_if_none_is_installed(self, installed):
        assert default_name() == (
            None,
            "no backend is installed; install one with: pip install lual-backend-threads",
        )


class TestResolve:
    def test_a_name_is_found(self, installed):
        installed.backend("quiet")
        assert resolve("quiet").distribution == "lual-quiet"

    def test_no_name_takes_the_default(self, installed):
        installed.backend("quiet")
        assert resolve(None).name == "quiet"

    def test_no_name_among_several_is_an_error_that_lists_them(self, installed):
        installed.backend("quiet")
        installed.backend("threads")
        with pytest.raises(UnknownBackendError, match="quiet, threads"):
            resolve(None)

    def test_no_name_and_none_installed_names_the_command(self, installed):
        with pytest.raises(UnknownBackendError, match="pip install lual-backend-threads"):
            resolve(None)

    def test_an_unknown_name_gets_the_nearest_one_and_the_list(self, installed):
        installed.backend("quiet")
        installed.backend("noisy")
        with pytest.raises(UnknownBackendError) as caught:
            resolve("quite")
        assert str(caught.value) == (
            "no installed package offers the backend 'quite'; did you mean 'quiet'? "
            "(installed: noisy, quiet)"
        )

    def test_a_backend_of_ours_that_is_missing_names_its_distribution(self, installed):
        installed.backend("quiet")
        with pytest.raises(UnknownBackendError) as caught:
            resolve("mp")
        assert str(caught.value) == (
            "no installed package offers the backend 'mp'; "
            "install it with: pip install lual-backend-mp (installed: quiet)"
        )

    def test_an_unknown_name_in_the_environment_is_said_to_come_from_there(
        self, installed, monkeypatch
    ):
        installed.backend("quiet")
        monkeypatch.setenv("LUAL_BACKEND", "zzz")
        with pytest.raises(UnknownBackendError, match="'zzz', which LUAL_BACKEND asks for"):
            resolve(None)

    def test_an_unknown_name_mentions_what_could_not_be_read(self, installed):
        place = installed.add("lual-quiet")
        (place / "entry_points.txt").write_text("[lual.backends\nquiet\n[x]\nquiet\n")
        with pytest.raises(UnknownBackendError, match=r"could not read .*entry_points\.txt"):
            resolve("quiet")

    def test_an_unknown_name_mentions_its_left_over_folder(self, installed):
        place = installed.leftover("lual-backend-mp")
        with pytest.raises(UnknownBackendError) as caught:
            resolve("mp")
        assert f"{place} is left over from an uninstall, remove it" in str(caught.value)

    def test_two_distributions_with_one_name_are_an_error_that_names_both(self, installed):
        installed.backend("shm", distribution="b-shm", version="2.0")
        installed.backend("shm", distribution="a-shm")
        with pytest.raises(AmbiguousBackendError) as caught:
            resolve("shm")
        assert str(caught.value) == (
            "the backend 'shm' is offered by a-shm 1.0 (fake_a_shm) and b-shm 2.0 (fake_b_shm); "
            "uninstall one of them, or name the plugin itself with "
            'backend="package.module:plugin"'
        )

    def test_the_order_of_the_path_never_settles_a_conflict(self, installed, monkeypatch):
        elsewhere = installed.folder.parent / "elsewhere"
        installed.add("a-shm", {"shm": "a"})
        installed.add("b-shm", {"shm": "b"}, folder=elsewhere)
        monkeypatch.setattr(sys, "path", [str(elsewhere), *sys.path])
        with pytest.raises(AmbiguousBackendError):
            resolve("shm")

    def test_a_reference_skips_the_scan(self, installed, monkeypatch):
        monkeypatch.setattr("lual.engine.discovery.scan", None)
        found = resolve("package.module:plugin")
        assert (found.name, found.value) == ("package.module:plugin", "package.module:plugin")
        assert found.distribution is None

    def test_what_was_installed_after_the_first_search_is_found(self, installed):
        installed.backend("quiet")
        scan()
        installed.backend("late")
        assert resolve("late").distribution == "lual-late"


_FOREIGN = {"pluggy", "importlib_metadata", "click", "attr", "attrs"}


@pytest.mark.processes
@pytest.mark.parametrize("module", ["lual.engine.discovery", "lual.engine.scan"])
def test_importing_discovery_loads_no_dependency(module):
    code = f"import sys, {module}; sys.exit(' '.join({_FOREIGN} & sys.modules.keys()) or 0)"
    program = [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path}; {code}"]
    run = subprocess.run(program, capture_output=True, text=True, cwd=Path.home(), check=False)
    assert (run.stderr, run.returncode) == ("", 0)


@pytest.mark.processes
def test_using_discovery_loads_the_reader_of_metadata_but_not_pluggy():
    code = "from lual.engine import discovery; discovery.scan(); loaded = sys.modules"
    check = "sys.exit('importlib_metadata' not in loaded or 'pluggy' in loaded)"
    program = [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path}; {code}; {check}"]
    run = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (run.stderr, run.returncode) == ("", 0)
