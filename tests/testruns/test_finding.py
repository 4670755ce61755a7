"""What in a folder of checks is a case, what is none, and what is said about it."""

from pathlib import Path

from apps.testruns.cases.executables import Found, discover
from apps.testruns.cases.model import DEFAULT_TIMEOUT_SECONDS
from tests.testruns.making import run, sh, write


def sources(found: Found) -> list[str]:
    return [case.source for case in found.cases]


def ignored(found: Found) -> dict[str, str]:
    return {each.path.name: each.why for each in found.ignored}


def test_executables_are_cases_by_layer_and_name(tmp_path: Path) -> None:
    for name in ("L2/b.sh", "L2/a.sh", "L2/redis/answers.sh", "L0/z", "L4/none.sh", "README.md"):
        write(tmp_path, name, "#!/bin/sh\n")
    assert sources(discover(tmp_path)) == ["L0/z", "L2/a.sh", "L2/b.sh", "L2/redis/answers.sh"]
    assert sources(discover(tmp_path, ("L0",))) == ["L0/z"]


def test_a_folder_that_is_not_there_has_no_cases(tmp_path: Path) -> None:
    assert discover(tmp_path / "nowhere") == Found()


def test_pytest_files_are_cases_without_being_executable(tmp_path: Path) -> None:
    write(tmp_path, "L2/test_pages.py", "def test_it(): pass\n", mode=0o644)
    write(tmp_path, "L2/helper.py", "x = 1\n", mode=0o644)
    assert [(case.source, case.kind) for case in discover(tmp_path).cases] == [("L2/test_pages.py", "pytest")]


def test_a_script_that_is_not_executable_fails_and_says_so(tmp_path: Path) -> None:
    write(tmp_path, "L2/case.sh", "#!/bin/sh\n", mode=0o644)
    (result,) = run(tmp_path).results
    assert (result.status, result.source) == ("failed", "L2/case.sh")
    assert "chmod +x case.sh" in result.message


def test_data_beside_a_case_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "L2/orders.csv", "a,b\n", mode=0o644)
    assert discover(tmp_path) == Found()


def test_hidden_files_backups_and_links_that_lead_out_are_ignored_and_listed(tmp_path: Path) -> None:
    outside = write(tmp_path, "outside.sh", "#!/bin/sh\n")
    root = tmp_path / "checks"
    for name in (".hidden", "case.sh~", "#case.sh#", "case.sh.orig", "real.sh"):
        write(root, f"L2/{name}", "#!/bin/sh\n")
    (root / "L2/out.sh").symlink_to(outside)
    (root / "L2/dead.sh").symlink_to("nowhere")
    (root / "L2/loop.sh").symlink_to("loop.sh")
    (root / "L2/in.sh").symlink_to("real.sh")
    (root / "L2/up").symlink_to(root / "L2")
    found = discover(root)
    assert sources(found) == ["L2/in.sh", "L2/real.sh"]
    assert ignored(found) == {
        ".hidden": "hidden",
        "case.sh~": "an editor's backup",
        "#case.sh#": "an editor's backup",
        "case.sh.orig": "an editor's backup",
        "out.sh": "a link that leads out of the folder of checks",
        "dead.sh": "a link that leads nowhere",
        "loop.sh": "a link that leads nowhere",
        "up": "a link to a folder",
    }


def test_a_layer_that_is_a_link_is_no_layer(tmp_path: Path) -> None:
    sh(tmp_path / "elsewhere", "exit 0", "L2/case.sh")
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks/L2").symlink_to(tmp_path / "elsewhere/L2")
    found = discover(tmp_path / "checks")
    assert (found.cases, len(found.ignored)) == ([], 1)


def test_a_file_says_its_options_in_a_comment(tmp_path: Path) -> None:
    sh(tmp_path, "# case: timeout=2.5 retries=3 title=Redis answers in time")
    (case,) = discover(tmp_path).cases
    assert (case.timeout_seconds, case.retries, case.title) == (2.5, 3, "Redis answers in time")


def test_a_file_without_options_has_the_usual_ones(tmp_path: Path) -> None:
    sh(tmp_path, "exit 0")
    (case,) = discover(tmp_path).cases
    assert (case.timeout_seconds, case.retries, case.title) == (DEFAULT_TIMEOUT_SECONDS, 0, "case.sh")


def test_options_that_cannot_be_read_make_the_case_fail(tmp_path: Path) -> None:
    for number, wrong in enumerate(("timeout=soon", "timeout=0", "timeout=99999", "retries=99", "speed=1")):
        sh(tmp_path, f"# case: {wrong}", f"L2/{number}.sh")
    assert [case.kind for case in discover(tmp_path).cases] == ["broken"] * 5
    assert "timeout= (seconds up to 3,600)" in discover(tmp_path).cases[0].problem


def test_names_of_any_bytes_are_cases(tmp_path: Path) -> None:
    (tmp_path / "L2").mkdir()
    path = bytes(tmp_path / "L2") + b"/\xff\xfe case\n.sh"
    with open(path, "wb") as file:
        file.write(b"#!/bin/sh\nexit 0\n")
    Path(path.decode("utf-8", "surrogateescape")).chmod(0o755)
    (result,) = run(tmp_path).results
    assert result.status == "passed"
    result.source.encode()
