"""pytest files: each test a result, and what happens when there is none or the process dies."""

import time

from apps.testruns.cases.model import WHOLE
from tests.testruns.making import run, write


def results_of(root, text, name="L2/test_it.py"):
    write(root, name, text, mode=0o644)
    return run(root).results


def statuses(root, text):
    return {each.title: each.status for each in results_of(root, text)}


def test_each_test_is_a_case_of_its_own(tmp_path):
    text = """
import pytest

def test_passes(): pass
def test_fails(): assert 1 + 1 == 3
@pytest.mark.skip(reason="not here")
def test_skips(): pass
@pytest.mark.xfail(reason="a known bug")
def test_known(): assert False
@pytest.fixture
def broken(): raise RuntimeError("no database")
def test_set_up(broken): pass
class TestPages:
    @pytest.mark.parametrize("page", ["a", "b"])
    def test_page(self, page): pass
"""
    results = {each.title: each for each in results_of(tmp_path, text)}
    assert {title: each.status for title, each in results.items()} == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_skips": "skipped",
        "test_known": "skipped",
        "test_set_up": "failed",
        "TestPages::test_page[a]": "passed",
        "TestPages::test_page[b]": "passed",
    }
    assert results["test_fails"].message == "assert (1 + 1) == 3 (test_it.py, line 5)"
    assert results["test_skips"].message == "not here"
    assert results["test_known"].message == "expected to fail: a known bug"
    assert results["test_set_up"].message.startswith("error in setup: RuntimeError: no database")
    assert [each.source for each in results.values()] == ["L2/test_it.py"] * 7


def test_what_a_test_prints_is_its_output(tmp_path):
    (result,) = results_of(tmp_path, "def test_a():\n    print('looking')\n    assert False\n")
    assert "looking" in result.output
    assert "def test_a" in result.output


def test_an_error_after_a_test_makes_it_fail(tmp_path):
    text = "import pytest\n@pytest.fixture\ndef f():\n    yield\n    1 / 0\ndef test_a(f): pass\n"
    (result,) = results_of(tmp_path, text)
    assert (result.status, result.message[:18]) == ("failed", "error in teardown:")


def test_a_strict_expected_failure_that_passes_has_failed(tmp_path):
    text = "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_a(): pass\n"
    assert statuses(tmp_path, text) == {"test_a": "failed"}


def test_a_file_that_cannot_be_imported_has_failed_with_the_cause(tmp_path):
    (result,) = results_of(tmp_path, "import nothing_of_this_name\n")
    assert (result.status, result.title) == ("failed", "collection")
    assert "nothing_of_this_name" in result.message


def test_a_file_without_tests_has_failed(tmp_path):
    (result,) = results_of(tmp_path, "x = 1\n")
    assert (result.status, result.title) == ("failed", WHOLE)
    assert "It has no tests" in result.message


def test_a_file_that_skips_itself_is_skipped(tmp_path):
    (result,) = results_of(tmp_path, "import pytest\npytest.importorskip('nothing_of_this_name')\n")
    assert result.status == "skipped"
    assert "nothing_of_this_name" in result.message


def test_a_process_that_dies_is_one_failure_more_and_names_the_test(tmp_path):
    results = results_of(tmp_path, "import os\ndef test_a(): pass\ndef test_b(): os._exit(3)\n")
    assert [(each.title, each.status) for each in results] == [("test_a", "passed"), (WHOLE, "failed")]
    assert "exit code 3" in results[1].message
    assert "It was running test_b." in results[1].message


def test_a_test_that_takes_too_long_is_named(tmp_path):
    started = time.monotonic()
    text = "# case: timeout=3\nimport time\ndef test_a(): time.sleep(30)\n"
    (result,) = results_of(tmp_path, text)
    assert time.monotonic() - started < 10
    assert "did not end within 3 s" in result.message
    assert "It was running test_a." in result.message


def test_settings_and_conftest_of_folders_above_do_not_count(tmp_path):
    write(tmp_path, "pytest.ini", "[pytest]\naddopts = --no-such-option\n", mode=0o644)
    write(tmp_path, "conftest.py", "raise RuntimeError\n", mode=0o644)
    assert statuses(tmp_path, "def test_a(): pass\n") == {"test_a": "passed"}


def test_it_is_given_the_environment(tmp_path):
    assert statuses(tmp_path, "import os\ndef test_a(): assert os.environ['FLOWCONTROL_ENV'] == 'dev'\n") == {
        "test_a": "passed"
    }
