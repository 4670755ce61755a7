"""bridge.sh under dash and bash: any text, no process, one line a result, and an answer that is true."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from apps.bridge.protocol import Bridge
from apps.bridge.states import State
from tests.bridge.driving import ROOT, bring_to, manage

LIBRARY = ROOT / "apps/bridge/shell/bridge.sh"
SHELLS = [
    pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"there is no {name} here"))
    for name in ("dash", "bash")
]
HOSTILE = [
    "plain",
    "it's \"quoted\"",
    "back\\slash \\n \\t \\\\ \\",
    "two\nlines\n\nand a last one\n",
    "tab\there",
    "\r\x01\x02\x1b[31m\x7f",
    "Zażółć ☃ 𝄞 Ё éà أهلا 日本",
    "$(touch evil) `touch evil` ${HOME} $HOME; touch evil & %s %d %n",
    "*",
    "-n -e --help",
    "  spaces  ",
    "[x] {y} ~ !! #",
]  # fmt: skip

pytestmark = pytest.mark.parametrize("shell", SHELLS)


@pytest.fixture
def running(bridge: Bridge) -> Bridge:
    bridge.init()
    bridge.begin_layer("L0")
    return bridge


def run(shell: str, script: str, data: Path, *words: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """A script that has sourced the library, in a clean environment."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(data),
        "FLOWCONTROL_DATA": str(data),
        "FLOWCONTROL_ENV": "dev",
        "FLOWCONTROL_HOME": str(ROOT),
        "FLOWCONTROL_PYTHON": sys.executable,
        **more,
    }
    environment = {name: value for name, value in environment.items() if value}
    return subprocess.run(
        [shell, "-c", f'. "{LIBRARY}"\n{script}', "suite.sh", *words],
        env=environment, cwd=data, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


def cases(bridge: Bridge) -> list[dict[str, object]]:
    bridge.status()
    return bridge.results()["cases"]


@pytest.mark.parametrize("locale", ["C.UTF-8", "C", ""])
def test_titles_and_messages_of_any_text_are_kept(shell: str, locale: str, running: Bridge, data: Path):
    script = 'for text; do bridge_case fail "$text" 1.5 "$text" || exit 9; done'
    done = run(shell, script, data, *HOSTILE, LC_ALL=locale)
    assert (done.returncode, done.stderr) == (0, b"")
    found = cases(running)
    assert sorted((each["title"], each["message"]) for each in found) == sorted((text, text) for text in HOSTILE)
    assert {(each["status"], each["seconds"], each["source"]) for each in found} == {("failed", 1.5, "suite.sh")}
    assert not list(data.glob("evil"))


def test_bytes_that_are_no_text_are_replaced(shell: str, running: Bridge, data: Path):
    done = run(shell, "bridge_case pass \"$(printf 'a\\377b')\"", data)
    assert done.returncode == 0
    assert [each["title"] for each in cases(running)] == ["a\ufffdb"]


def test_the_words_of_the_shell_become_results(shell: str, running: Bridge, data: Path):
    run(shell, "bridge_case pass a; bridge_case fail b 2 why; bridge_case skip c '' 'not here'", data)
    assert [(each["title"], each["status"], each["seconds"], each["message"]) for each in cases(running)] == [
        ("a", "passed", 0, ""),
        ("b", "failed", 2, "why"),
        ("c", "skipped", 0, "not here"),
    ]


def test_a_whole_session_from_a_script(shell: str, bridge: Bridge, data: Path):
    bridge.init()
    done = run(
        shell, "bridge_layer L0 && bridge_case pass a && bridge_layer L1 && bridge_case pass b && bridge_offer", data
    )
    assert (done.returncode, done.stdout) == (0, b"")
    assert bridge.status().session.state == State.HANDOFF_OFFERED
    assert [(each["layer"], each["title"]) for each in cases(bridge)] == [("L0", "a"), ("L1", "b")]
    bridge.accept()


def test_a_layer_that_is_refused_answers_so(shell: str, running: Bridge, data: Path):
    done = run(shell, "bridge_layer L7; echo $?; bridge_layer L1; echo $?; bridge_layer L0; echo $?", data)
    assert done.stdout == b"2\n0\n1\n"
    assert b"cannot begin" in done.stderr


def test_a_result_starts_no_process(shell: str, running: Bridge, data: Path):
    """Nothing can be found to start: PATH is empty."""
    done = run(
        shell, 'PATH=; n=0; while [ $n -lt 300 ]; do bridge_case pass "case $n" || exit 9; n=$((n + 1)); done', data
    )
    assert done.returncode == 0, done.stderr
    assert len(cases(running)) == 300
    # A subshell would be a process too: the shell's own number is all that the files are named after.
    assert len(list((data / "bridge/spool").iterdir())) == 1


@pytest.mark.parametrize(
    "words", ["maybe title", "pass ''", "pass", "'' title", "pass title 1s", "pass title 1.2.3", "pass title ."]
)
def test_wrong_use_answers_two(shell: str, words: str, running: Bridge, data: Path):
    done = run(shell, f"bridge_case {words}", data)
    assert done.returncode == 2
    assert done.stderr.startswith(b"bridge: ")
    assert cases(running) == []


def test_without_a_session_or_a_layer_it_answers_one(shell: str, bridge: Bridge, data: Path):
    assert run(shell, "bridge_case pass a", data).returncode == 1
    bridge.init()
    assert b"no layer is running" in run(shell, "bridge_case pass a", data).stderr
    assert run(shell, "bridge_case pass a", data, FLOWCONTROL_ENV="staging").returncode == 1


def test_a_full_disk_is_told_and_harms_no_other_result(shell: str, running: Bridge, data: Path):
    """A limit on the size of files stands for the disk: the line is written in part."""
    script = """
    trap '' XFSZ
    bridge_case pass first || exit 9
    ulimit -f 1
    n=0
    while [ $n -lt 20 ]; do
        bridge_case fail "does not fit $n" 0 "$1" && exit 8
        n=$((n + 1))
    done
    exit 7
    """
    done = run(shell, script, data, "m" * 2500)
    assert done.returncode in (7, 8), done.stderr
    told = done.stderr.count(b"could not be written")
    assert told >= 1
    whole = [each for each in cases(running) if each["message"] == "m" * 2500 or each["title"] == "first"]
    assert len([each for each in cases(running) if each["title"] == "first"]) == 1
    assert len(whole) == len(cases(running)), "half a line is no result"


def test_dev_full_is_told(shell: str, running: Bridge, data: Path):
    """The library's own file, replaced by one that is always full."""
    script = 'bridge_case pass a; rm "$BRIDGE__FILE"; ln -s /dev/full "$BRIDGE__FILE"; bridge_case pass b; echo $?; bridge_case pass c; echo $?'
    done = run(shell, script, data)
    assert done.stdout == b"1\n0\n"
    (data / "bridge/spool").joinpath(
        *[each.name for each in (data / "bridge/spool").iterdir() if each.is_symlink()]
    ).unlink()
    assert [each["title"] for each in cases(running)] == ["c"]


@pytest.mark.parametrize("options", ["set -e", "set -u", "set -C", "set -eu -C -f"])
def test_it_works_under_strict_options(shell: str, options: str, running: Bridge, data: Path):
    done = run(shell, f"{options}\nbridge_case pass a\nbridge_case pass b\ncase $- in *C*) echo C;; esac", data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (done.stdout == b"C\n") == ("-C" in options), "an option stays as it was"
    assert len(cases(running)) == 2


def test_subshells_and_scripts_report_beside_each_other(shell: str, running: Bridge, data: Path):
    script = """
    bridge_case pass first
    for name in a b c d; do
        ( n=0; while [ $n -lt 50 ]; do bridge_case pass "$name $n" 0 "$1"; n=$((n + 1)); done ) &
    done
    "$2" -c '. "$1"; bridge_case pass child' child.sh "$3"
    wait
    """
    done = run(shell, script, data, "m" * 2000, shell, str(LIBRARY))
    assert done.returncode == 0
    found = cases(running)
    assert len(found) == len({each["title"] for each in found}) == 202
    assert {each["status"] for each in found} == {"passed"}


def test_a_script_reports_to_the_layer_in_which_it_was_started(shell: str, bridge: Bridge, data: Path):
    bridge.init()
    script = 'bridge_layer L0; bridge_case pass a; bridge_layer L1; BRIDGE_LAYER=L0 "$1" -c \'. "$1"; bridge_case pass late\' x "$2"'
    assert run(shell, script, data, shell, str(LIBRARY)).returncode == 0
    assert [(each["layer"], each["title"]) for each in cases(bridge)] == [("L0", "a"), ("L0", "late")]


def test_a_session_that_is_inherited_is_not_taken_for_another_folder(shell: str, running: Bridge, data: Path):
    other = data.with_name("other")
    other.mkdir()
    bring_to(Bridge(other, "dev"), State.SHELL_RUNNING)
    script = 'bridge_layer L1; FLOWCONTROL_DATA="$1"; bridge_case pass there'
    assert run(shell, script, data, str(other)).returncode == 0
    assert cases(running) == []
    assert "there" in [each["title"] for each in cases(Bridge(other, "dev"))]


def test_long_texts_are_cut_to_one_write(shell: str, running: Bridge, data: Path):
    done = run(shell, 'bridge_case fail "$1" 0 "$2"', data, "é" * 2000, "\\" * 5000)
    assert done.returncode == 0
    (file,) = (data / "bridge/spool").iterdir()
    assert file.stat().st_size < 4096
    (found,) = cases(running)
    assert str(found["title"]).startswith("é" * 499)
    assert found["status"] == "failed"


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_half_a_line_is_no_result_and_a_broken_one_fails(shell: str, ending: bytes, running: Bridge, data: Path):
    run(shell, "bridge_case pass whole", data)
    (file,) = (data / "bridge/spool").iterdir()
    whole = file.read_bytes()
    with file.open("ab") as spool:
        spool.write(whole.strip()[:30] + ending)
    assert [(each["status"], each["title"] == "whole") for each in cases(running)] == (
        [("passed", True), ("failed", False)] if ending else [("passed", True)]
    )
    assert len(cases(running)) == 1 + len(ending), "and counts once"


def test_shellcheck_has_nothing_to_say(shell: str):
    if shutil.which("shellcheck") is None:
        pytest.skip("there is no shellcheck here")
    done = subprocess.run(
        ["shellcheck", "--shell", "sh" if shell == "dash" else shell, "--severity=style", str(LIBRARY)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def test_the_command_takes_in_what_the_shell_wrote(shell: str, running: Bridge, data: Path):
    run(shell, "bridge_case pass a", data)
    assert manage(data, "status").returncode == 0
    assert [each["title"] for each in running.results()["cases"]] == ["a"]
