"""Python checks: what they return and raise, their time, and the registry."""

import runpy
import threading
import time

import pytest

from apps.testruns.cases.checks import Registry, Skip, run_check
from apps.testruns.cases.model import Place, Result
from apps.testruns.cases.runner import run_layer
from tests.testruns.making import NEVER, check_case, place, write


@pytest.fixture
def registry() -> Registry:
    return Registry()


def result_of(function, tmp_path, **options) -> Result:
    (result,) = run_check(check_case(function, **options), place(tmp_path), NEVER)
    return result


def test_a_check_that_returns_has_passed(tmp_path):
    assert result_of(lambda: None, tmp_path).status == "passed"


def test_a_text_that_it_returns_is_its_output(tmp_path):
    result = result_of(lambda: "3 ms", tmp_path)
    assert (result.status, result.output) == ("passed", "3 ms")


def test_a_check_that_returns_anything_else_is_a_mistake(tmp_path):
    result = result_of(lambda: False, tmp_path)
    assert result.status == "failed"
    assert "It returned False" in result.message


def test_skip_gives_the_reason(tmp_path):
    def check():
        raise Skip("zsh is not installed")

    result = result_of(check, tmp_path)
    assert (result.status, result.message) == ("skipped", "zsh is not installed")


def test_an_error_is_named_with_its_place(tmp_path):
    def check():
        raise ValueError("no such port")

    result = result_of(check, tmp_path)
    assert result.status == "failed"
    assert "ValueError: no such port (test_checks.py, line" in result.message
    assert "Traceback" in result.output


def test_an_assertion_with_a_text_says_it(tmp_path):
    def check():
        raise AssertionError("the folder is full")

    assert result_of(check, tmp_path).message.startswith("the folder is full (")


def test_a_bare_assertion_says_its_line(tmp_path):
    path = write(tmp_path, "bare.py", "def check():\n    two = 2\n    assert two == 3\n")
    check = runpy.run_path(str(path))["check"]  # pytest has not rewritten its assert
    assert result_of(check, tmp_path).message == "two == 3 is not so (bare.py, line 3)"


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), GeneratorExit()])
def test_nothing_that_is_raised_ends_the_others(tmp_path, error):
    def check():
        raise error

    assert result_of(check, tmp_path).status == "failed"


def test_an_error_that_cannot_say_what_it_is_has_failed(tmp_path):
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError

    def check():
        raise MuteError

    assert result_of(check, tmp_path).status == "failed"


def test_it_is_given_the_place_when_it_takes_it(tmp_path):
    seen = []
    where = Place("staging", tmp_path, {"redis_url": "redis://x"})
    list(run_check(check_case(lambda place: seen.append(place)), where, NEVER))
    assert seen == [where]


def test_one_that_does_not_end_has_failed_and_stops_no_other(tmp_path):
    hang = threading.Event()
    cases = [check_case(lambda: hang.wait(30) and None, timeout_seconds=0.2), check_case(lambda: None)]
    started = time.monotonic()
    outcome = run_layer("L2", cases, place(tmp_path), parallel=1)
    hang.set()
    assert time.monotonic() - started < 2
    assert [each.status for each in outcome.results] == ["failed", "passed"]
    assert "did not end within 0.2 s" in outcome.results[0].message


def test_many_cheap_ones_are_quick(tmp_path):
    cases = [check_case(lambda: None) for _ in range(15)]
    started = time.monotonic()
    assert run_layer("L2", cases, place(tmp_path)).passed == 15
    assert time.monotonic() - started < 0.3


# --- the registry ---------------------------------------------------------------------------------------------


def test_a_registered_function_is_a_case_and_still_a_function(registry):
    @registry.check("L2", title="Redis answers", environments=("dev",), timeout=3, retries=2)
    def redis_answers():
        """Asks Redis
        for a pong.

        More of it.
        """
        return "pong"

    (case,) = registry.cases()
    assert (case.layer, case.title, case.timeout_seconds, case.retries) == ("L2", "Redis answers", 3, 2)
    assert case.source.startswith("tests.testruns.test_checks:")
    assert case.about == "Asks Redis for a pong."
    assert redis_answers() == "pong"


def test_cases_are_chosen_by_environment_and_layer(registry):
    registry.check("L2", title="a", environments=("dev",))(lambda: None)
    registry.check("L0", title="b")(test_cases_are_chosen_by_environment_and_layer)
    assert [case.title for case in registry.cases("dev")] == ["b", "a"]
    assert [case.title for case in registry.cases("staging")] == ["b"]
    assert [case.title for case in registry.cases("dev", "L2")] == ["a"]


def test_a_layer_that_there_is_not_is_refused(registry):
    with pytest.raises(ValueError, match="no layer 'L4'"):
        registry.check("L4", title="a")


def test_two_of_a_name_are_refused_and_the_same_again_is_not(registry):
    def function():
        pass

    registry.check("L2", title="a")(function)
    registry.check("L2", title="a")(function)
    assert len(registry.cases()) == 1
    with pytest.raises(ValueError, match="another name"):
        registry.check("L2", title="b")(function)
