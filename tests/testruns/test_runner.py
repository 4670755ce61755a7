"""A layer: its order, its counts, retries, cancelling, and the death of its runner."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from apps.testruns.cases.executables import discover
from apps.testruns.cases.model import WHOLE
from apps.testruns.cases.runner import run_layer
from tests.testruns.making import check_case, is_running, pid_in, place, run, sh, until

ROOT = Path(__file__).resolve().parents[2]


def test_an_empty_layer_is_a_failure(tmp_path):
    told = []
    outcome = run_layer("L3", [], place(tmp_path), on_result=told.append)
    assert (outcome.status, outcome.failed) == ("failed", 1)
    assert [(each.source, each.layer) for each in told] == [("layer", "L3")]
    assert "There is no case in L3" in told[0].message


def test_it_counts_what_came(tmp_path):
    sh(tmp_path, "echo 1..3; echo ok; echo not ok; echo 'ok # SKIP x'", "L2/a.sh")
    sh(tmp_path, "exit 0", "L2/b.sh")
    outcome = run(tmp_path)
    assert (outcome.status, outcome.passed, outcome.failed, outcome.skipped) == ("failed", 2, 1, 1)


def test_a_layer_of_skipped_cases_has_proven_nothing(tmp_path):
    sh(tmp_path, "echo not here; exit 77")
    assert run(tmp_path).status == "skipped"


def test_results_are_in_the_order_of_cases_whatever_came_first(tmp_path):
    sh(tmp_path, "sleep 0.3", "L2/a.sh")
    sh(tmp_path, "exit 0", "L2/b.sh")
    told = []
    outcome = run(tmp_path, on_result=told.append)
    assert [each.title for each in told] == ["b.sh", "a.sh"]
    assert [each.title for each in outcome.results] == ["a.sh", "b.sh"]


def test_points_are_told_while_their_file_runs(tmp_path):
    sh(tmp_path, "echo 1..3; echo ok - a; echo ok - b; sleep 0.5; echo ok - c")
    told = []
    run(tmp_path, on_result=lambda each: told.append((each.title, time.monotonic())))
    assert [title for title, _ in told] == ["a", "b", "c"]
    assert told[2][1] - told[0][1] > 0.3


def test_the_thread_that_called_is_the_one_that_is_told(tmp_path):
    threads = set()
    for number in range(8):
        sh(tmp_path, "exit 0", f"L2/{number}.sh")
    run(
        tmp_path,
        parallel=4,
        on_result=lambda _: threads.add(threading.get_ident()),
        should_stop=lambda: threads.add(threading.get_ident()) or False,
    )
    assert threads == {threading.get_ident()}


def test_as_many_run_at_once_as_it_is_told(tmp_path):
    lock, now, most = threading.Lock(), [0], [0]

    def busy():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1

    run_layer("L2", [check_case(busy) for _ in range(9)], place(tmp_path), parallel=3)
    assert most == [3]


# --- retries ---------------------------------------------------------------------------------------------------

AT_THE_SECOND = "# case: retries=2\necho x >> $FLOWCONTROL_DATA/tries\n[ $(wc -l < $FLOWCONTROL_DATA/tries) -ge 2 ]"


def test_passed_after_a_retry_is_flaky(tmp_path):
    sh(tmp_path, AT_THE_SECOND)
    outcome = run(tmp_path)
    (result,) = outcome.results
    assert (result.status, result.flaky, result.attempts) == ("passed", True, 2)
    assert (outcome.status, outcome.flaky) == ("passed", 1)


def test_what_fails_each_time_has_failed_after_all_attempts(tmp_path):
    sh(tmp_path, "# case: retries=2\nexit 1")
    (result,) = run(tmp_path).results
    assert (result.status, result.flaky, result.attempts) == ("failed", False, 3)


def test_only_the_point_that_failed_is_flaky(tmp_path):
    sh(tmp_path, f"{AT_THE_SECOND} && now=ok || now='not ok'; echo 1..2; echo ok - a; echo $now - b; true")
    assert [(each.title, each.status, each.flaky) for each in run(tmp_path).results] == [
        ("a", "passed", False),
        ("b", "passed", True),
    ]


def test_after_a_crash_all_that_passes_is_flaky(tmp_path):
    sh(tmp_path, f"{AT_THE_SECOND} && second=1; echo 1..2; echo ok - a; [ $second ] || kill -KILL $$; echo ok - b")
    results = run(tmp_path).results
    assert [(each.title, each.flaky) for each in results] == [("a", True), ("b", True)]


def test_nothing_is_told_before_it_is_final(tmp_path):
    sh(tmp_path, AT_THE_SECOND)
    told = []
    run(tmp_path, on_result=told.append)
    assert [each.status for each in told] == ["passed"]


def test_a_check_is_retried_too(tmp_path):
    tries = []

    def second():
        tries.append(1)
        assert len(tries) > 1

    (result,) = run_layer("L2", [check_case(second, retries=1)], place(tmp_path)).results
    assert (result.status, result.flaky, result.attempts) == ("passed", True, 2)


# --- stopping ----------------------------------------------------------------------------------------------------


def test_a_stop_ends_it_within_a_second(tmp_path):
    sh(
        tmp_path,
        "echo 1..2; echo ok - a; echo ok - b; trap '' TERM; echo $$ > $FLOWCONTROL_DATA/pid; while :; do sleep 1; done",
    )
    sh(tmp_path, "exit 0", "L2/later.sh")
    sh(tmp_path, "sleep 60", "L2/asleep.sh")
    asked = []

    def should_stop():
        if (tmp_path / "pid").exists() and not asked:
            asked.append(time.monotonic())
        return bool(asked)

    outcome = run(tmp_path, should_stop=should_stop)
    assert time.monotonic() - asked[0] < 1
    assert outcome.status == "cancelled"
    assert [each.title for each in outcome.results] == ["a"]
    assert [case.source for case in outcome.unfinished] == ["L2/asleep.sh", "L2/case.sh", "L2/later.sh"]
    assert not is_running(pid_in(tmp_path / "pid"))


def test_a_stop_before_anything_began_runs_nothing(tmp_path):
    sh(tmp_path, "sleep 60")
    started = time.monotonic()
    assert run(tmp_path, should_stop=lambda: True).status == "cancelled"
    assert time.monotonic() - started < 1


def test_a_stop_does_not_wait_for_a_check(tmp_path):
    started = time.monotonic()
    hang = threading.Event()
    cases = [check_case(lambda: hang.wait(30) and None)]
    outcome = run_layer("L2", cases, place(tmp_path), should_stop=lambda: time.monotonic() > started + 0.3)
    hang.set()
    assert time.monotonic() - started < 1.3
    assert outcome.status == "cancelled"


def test_an_error_of_the_one_who_is_told_ends_the_layer_first(tmp_path):
    sh(tmp_path, "exit 0", "L2/a.sh")
    sh(tmp_path, "echo $$ > $FLOWCONTROL_DATA/pid; sleep 60", "L2/b.sh")

    def refuse(result):
        pid_in(tmp_path / "pid")
        raise RuntimeError("the database has gone")

    with pytest.raises(RuntimeError, match="has gone"):
        run(tmp_path, on_result=refuse)
    assert not is_running(pid_in(tmp_path / "pid"))


def test_one_who_is_slow_to_hear_loses_nothing(tmp_path, monkeypatch):
    from apps.testruns.cases import runner

    monkeypatch.setattr(runner, "MOST_WAITING", 2)
    sh(tmp_path, "yes 'ok - again' | head -n 50; echo 1..50")
    told = []
    run(tmp_path, on_result=lambda each: (time.sleep(0.002), told.append(each)))
    assert len(told) == 50


# --- the death of the runner -------------------------------------------------------------------------------------

RUNNER = """
import sys
from pathlib import Path
from tests.testruns.making import run
run(Path(sys.argv[1]))
"""


@pytest.mark.kill
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells a process that its parent has gone")
def test_what_runs_dies_with_its_runner(tmp_path):
    sh(
        tmp_path,
        "trap '' TERM HUP; pwd > $FLOWCONTROL_DATA/folder; echo $$ > $FLOWCONTROL_DATA/pid; while :; do sleep 1; done",
    )
    sh(tmp_path, "setsid sh -c 'echo $$ > $FLOWCONTROL_DATA/other; exec sleep 60' & sleep 60", "L2/other.sh")
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(tmp_path)], cwd=ROOT)
    children = [pid_in(tmp_path / name) for name in ("pid", "other")]
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    until(lambda: not any(is_running(child) for child in children), "its children have gone")
    until(lambda: not Path((tmp_path / "folder").read_text().strip()).parent.exists(), "its folder has gone")


def test_a_thousand_cases_leave_nothing_out(tmp_path):
    for number in range(200):
        sh(tmp_path, f"exit {number % 2}", f"L2/{number:03}.sh")
    cases = discover(tmp_path).cases * 5
    outcome = run_layer("L2", cases, place(tmp_path))
    assert (outcome.passed, outcome.failed) == (500, 500)
    assert WHOLE not in {each.title for each in outcome.results}
