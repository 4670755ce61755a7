"""Executables as they are run: three protocols, their surroundings, their end, and what they may say."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from apps.testruns.cases import process
from apps.testruns.cases.model import LONGEST, WHOLE
from tests.testruns.making import (
    is_running,
    memory_grows_by_less_than,
    only,
    open_files,
    pid_in,
    place,
    results_of,
    run,
    sh,
    until,
    write,
)

# --- the exit code -----------------------------------------------------------------------------------------


def test_exit_code_0_has_passed(tmp_path: Path) -> None:
    result = only(tmp_path, "echo fine; echo too >&2")
    assert (result.status, result.title, result.source) == ("passed", "case.sh", "L2/case.sh")
    assert sorted(result.output.splitlines()) == ["fine", "too"]


def test_any_other_exit_code_has_failed_with_its_last_lines(tmp_path: Path) -> None:
    result = only(tmp_path, "echo looking; echo no redis here >&2; exit 3")
    assert result.status == "failed"
    assert "no redis here" in result.message


def test_a_failure_without_a_word_says_its_exit_code(tmp_path: Path) -> None:
    assert "exit code 3" in only(tmp_path, "exit 3").message


def test_exit_code_77_is_skipped_with_the_last_line_as_the_reason(tmp_path: Path) -> None:
    result = only(tmp_path, "echo looking; echo docker is not installed; exit 77")
    assert (result.status, result.message) == ("skipped", "docker is not installed")


def test_a_signal_is_named(tmp_path: Path) -> None:
    assert "SIGSEGV" in only(tmp_path, "kill -SEGV $$").message


# --- TAP ---------------------------------------------------------------------------------------------------


def outcomes(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    return [(each.title, each.status) for each in results_of(tmp_path, text)]


def test_each_point_is_a_case_of_its_own(tmp_path: Path) -> None:
    text = "echo 1..3; echo ok 1 - a; echo 'not ok 2 - b # TODO later'; echo 'ok 3 - c # SKIP no'"
    assert outcomes(tmp_path, text) == [("a", "passed"), ("b", "skipped"), ("c", "skipped")]
    assert [each.order for each in run(tmp_path).results] == [1, 2, 3]


def test_a_version_or_plan_after_other_text_makes_it_tap(tmp_path: Path) -> None:
    assert outcomes(tmp_path, "echo starting; echo ok 1 - a; echo 1..1") == [("a", "passed")]


def test_a_word_ok_in_other_text_does_not_make_it_tap(tmp_path: Path) -> None:
    assert outcomes(tmp_path, "echo starting; echo ok; exit 0") == [("case.sh", "passed")]


def test_a_plan_that_is_not_met_is_one_failure_more(tmp_path: Path) -> None:
    assert outcomes(tmp_path, "echo 1..3; echo ok 1 - a") == [("a", "passed"), (WHOLE, "failed")]


def test_a_bail_out_a_crash_and_a_plan_not_met_together_are_one_failure(tmp_path: Path) -> None:
    text = "echo 1..3; echo ok 1 - a; echo 'Bail out! gone'; kill -KILL $$"
    results = results_of(tmp_path, text)
    assert [each.title for each in results] == ["a", WHOLE]
    assert "bailed out: gone" in results[1].message
    assert "SIGKILL" in results[1].message


def test_a_non_zero_exit_with_all_points_well_is_one_failure_more(tmp_path: Path) -> None:
    results = results_of(tmp_path, "echo 1..1; echo ok 1 - a; echo oops >&2; exit 9")
    assert [each.status for each in results] == ["passed", "failed"]
    assert "exit code 9" in results[1].message
    assert "oops" in results[1].message


def test_a_non_zero_exit_after_a_failed_point_says_nothing_new(tmp_path: Path) -> None:
    assert outcomes(tmp_path, "echo 1..1; echo not ok 1 - a; exit 1") == [("a", "failed")]


def test_a_crash_after_a_failed_point_does(tmp_path: Path) -> None:
    assert len(outcomes(tmp_path, "echo 1..1; echo not ok 1 - a; kill -SEGV $$")) == 2


def test_a_failed_point_shows_what_was_said_on_standard_error(tmp_path: Path) -> None:
    (result,) = results_of(tmp_path, "echo 1..1; echo not ok 1 - a; echo expected 3 >&2; exit 1")
    assert "expected 3" in result.output


def test_a_plan_of_nothing_is_one_skipped_case(tmp_path: Path) -> None:
    result = only(tmp_path, "echo '1..0 # SKIP no docker here'")
    assert (result.status, result.message) == ("skipped", "no docker here")


def test_titles_are_not_twice_in_a_source(tmp_path: Path) -> None:
    titles = [each.title for each in results_of(tmp_path, "echo 1..3; echo ok - a; echo ok - a; echo 'ok - a (2)'")]
    assert titles == ["a", "a (2)", "a (2) (2)"]


# --- one JSON object a line -----------------------------------------------------------------------------------


def test_each_json_line_is_a_case_of_its_own(tmp_path: Path) -> None:
    text = """
    echo '{"title": "a", "status": "pass", "seconds": 1.5}'
    echo stray
    echo '{"title": "b", "status": "fail", "message": "why"}'
    echo '{"title": "c", "status": "skip"}'
    """
    results = results_of(tmp_path, text)
    assert [(each.title, each.status) for each in results] == [("a", "passed"), ("b", "failed"), ("c", "skipped")]
    assert (results[0].seconds, results[1].message, results[2].message) == (1.5, "why", "it gave no reason")


@pytest.mark.parametrize(
    "line",
    [
        '{"title": "b"',
        '{"title": "b", "status": "good"}',
        '{"title": 3, "status": "pass"}',
        '{"status": "pass"}',
        "{" * 9_000,
    ],
)
def test_a_line_that_is_no_result_is_a_failed_one(tmp_path: Path, line: str) -> None:
    write(tmp_path, "L2/line", line, mode=0o644)
    results = results_of(tmp_path, f'echo \'{{"title": "a", "status": "pass"}}\'; cat {tmp_path}/L2/line; echo')
    assert [each.status for each in results] == ["passed", "failed"]
    assert "This line is no result" in results[1].message


def test_a_non_zero_exit_after_good_json_is_one_failure_more(tmp_path: Path) -> None:
    results = results_of(tmp_path, 'echo \'{"title": "a", "status": "pass"}\'; exit 1')
    assert [each.status for each in results] == ["passed", "failed"]


def test_json_that_is_no_result_leaves_the_exit_code_to_decide(tmp_path: Path) -> None:
    assert only(tmp_path, "echo '{\"version\": 1}'").title == "case.sh"


def test_half_a_surrogate_pair_can_be_stored(tmp_path: Path) -> None:
    result = only(tmp_path, r"""printf '%s\n' '{"title": "\ud800 \u0000", "status": "pass"}'""")
    result.title.encode()
    assert "\0" not in result.title


# --- what cannot be run ------------------------------------------------------------------------------------


def test_a_file_without_a_first_line_says_what_to_add(tmp_path: Path) -> None:
    write(tmp_path, "L2/case", "echo hello\n")
    (result,) = run(tmp_path).results
    assert result.status == "failed"
    assert "#!/bin/sh" in result.message


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    write(tmp_path, "L2/case", "#!/nowhere/python9\n")
    (result,) = run(tmp_path).results
    assert "/nowhere/python9 is missing" in result.message


def test_a_program_of_another_kind_of_machine_fails(tmp_path: Path) -> None:
    write(tmp_path, "L2/case", b"\x7fELF\x02\x01\x01" + b"\0" * 57)
    (result,) = run(tmp_path).results
    assert result.status == "failed"


# --- its surroundings ---------------------------------------------------------------------------------------


def test_it_is_given_a_declared_environment_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hidden")
    sh(tmp_path, "env")
    (result,) = run(tmp_path).results
    found = dict(line.split("=", 1) for line in result.output.splitlines())
    assert found.keys() - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        *("FLOWCONTROL_CASE", "FLOWCONTROL_DATA", "FLOWCONTROL_ENV", "FLOWCONTROL_LAYER"),
        *("HOME", "LANG", "PATH", "TMPDIR"),
    }
    assert (found["FLOWCONTROL_ENV"], found["FLOWCONTROL_LAYER"]) == ("dev", "L2")
    assert found["FLOWCONTROL_DATA"] == str(tmp_path)


def test_its_folder_is_its_own_and_gone_afterwards(tmp_path: Path) -> None:
    sh(tmp_path, "touch here; mkdir -p deep/er; pwd; ls -A; [ $PWD = $HOME ] && [ $PWD = $TMPDIR ]")
    for _ in range(2):
        (result,) = run(tmp_path).results
        folder, *listed = result.output.splitlines()
        assert (result.status, sorted(listed)) == ("passed", ["deep", "here"])
        assert not Path(folder).exists()
        assert not Path(folder).parent.exists()


def test_it_reads_nothing(tmp_path: Path) -> None:
    assert only(tmp_path, "cat; echo end").output == "end"


def test_it_has_no_file_of_the_portal(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        assert str(tmp_path / "open") not in only(tmp_path, "ls -l /proc/$$/fd").output


# --- its end ------------------------------------------------------------------------------------------------


def test_a_case_that_takes_too_long_has_failed(tmp_path: Path) -> None:
    started = time.monotonic()
    result = only(tmp_path, "# case: timeout=0.3\necho begun; sleep 30")
    assert time.monotonic() - started < 2
    assert result.status == "failed"
    assert "did not end within 0.3 s" in result.message
    assert "begun" in result.message


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.2)
    started = time.monotonic()
    result = only(
        tmp_path, "# case: timeout=0.3\ntrap '' TERM\necho $$ > $FLOWCONTROL_DATA/pid\nwhile :; do sleep 0.05; done"
    )
    assert time.monotonic() - started < 2
    assert result.status == "failed"
    assert not is_running(pid_in(tmp_path / "pid"))


def test_one_that_tidies_up_at_sigterm_may(tmp_path: Path) -> None:
    results = results_of(
        tmp_path,
        "# case: timeout=0.3\ntrap 'echo not ok 2 - b; exit 1' TERM\necho 1..2; echo ok 1 - a; sleep 30 & wait",
    )
    assert [each.title for each in results] == ["a", "b", WHOLE]


def test_what_it_leaves_in_the_background_is_killed(tmp_path: Path) -> None:
    started = time.monotonic()
    assert only(tmp_path, "sleep 60 & echo $! > $FLOWCONTROL_DATA/pid").status == "passed"
    assert time.monotonic() - started < 2, "it waited for the pipe that the grandchild held"
    until(lambda: not is_running(pid_in(tmp_path / "pid")), "the grandchild has gone")


@pytest.mark.skipif(shutil.which("setsid") is None, reason="setsid is not installed")
def test_what_it_leaves_in_another_session_is_killed(tmp_path: Path) -> None:
    text = "setsid sh -c 'echo $$ > $FLOWCONTROL_DATA/pid; exec sleep 60' & while [ ! -s $FLOWCONTROL_DATA/pid ]; do :; done"
    assert only(tmp_path, text).status == "passed"
    assert not is_running(pid_in(tmp_path / "pid"))


# --- what it may say -----------------------------------------------------------------------------------------


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    result = only(tmp_path, r"printf 'a\0b\377\376\033[31m\n'; head -c 100000 /dev/urandom; exit 1")
    assert result.status == "failed"
    result.output.encode()
    assert "\0" not in result.output + result.message


def test_50_megabytes_are_read_in_little_memory(tmp_path: Path) -> None:
    sh(tmp_path, "echo begun; yes 'a line of some length, again and again' | head -c 50000000; echo ended; exit 1")
    with memory_grows_by_less_than(16_000_000):
        (result,) = run(tmp_path).results
    assert result.output.startswith("begun")
    assert result.output.endswith("ended")
    assert "lines left out" in result.output
    assert len(result.output) <= LONGEST["output"]


def test_an_endless_line_is_cut(tmp_path: Path) -> None:
    sh(tmp_path, "# case: timeout=0.5\ntr '\\0' x < /dev/zero")
    with memory_grows_by_less_than(16_000_000):
        (result,) = run(tmp_path).results
    assert (result.status, len(result.output) <= LONGEST["output"]) == ("failed", True)


def test_endless_points_are_one_failure_more(tmp_path: Path) -> None:
    results = results_of(tmp_path, "# case: timeout=3\nyes 'ok - again' | head -n 12000; echo 1..12000")
    assert len(results) == 10_001
    assert "split the file" in results[-1].message


def test_no_file_and_no_thread_is_left_open(tmp_path: Path) -> None:
    for number in range(20):
        sh(tmp_path, "echo 1..1; echo ok", f"L2/{number}.sh")
    run(tmp_path)
    before, threads = open_files(), threading.active_count()
    run(tmp_path)
    assert (open_files(), threading.active_count()) == (before, threads)


def test_it_works_where_the_kernel_has_no_process_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    sh(tmp_path, "echo 1..2; echo ok 1; sleep 0.1; echo ok 2; sleep 60 &")
    assert [each.status for each in run(tmp_path).results] == ["passed", "passed"]


def test_variables_of_the_place_reach_it(tmp_path: Path) -> None:
    from apps.testruns.cases.executables import discover
    from apps.testruns.cases.runner import run_layer

    sh(tmp_path, "echo $APP_PORT $FLOWCONTROL_ENV")
    where = place(tmp_path, variables={"APP_PORT": "8080", "FLOWCONTROL_ENV": "other"})
    (result,) = run_layer("L2", discover(tmp_path).cases, where).results
    assert result.output == "8080 dev"
