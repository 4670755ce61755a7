"""A real suite that nobody here wrote runs as a layer, and its counts are those of `prove`.

It is the one that libostree installs with itself (Debian's package ostree-tests): shell scripts that print TAP. A case
has a folder of its own, and so it is started by prove too.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from apps.testruns.cases.executables import discover
from apps.testruns.cases.model import Case
from apps.testruns.cases.runner import run_layer
from tests.testruns.making import place, write

SUITE = Path("/usr/libexec/installed-tests/libostree")
# Quick, and the same each time. On a busy machine those that sign or serve are not, nor are those that ask for a feature by
# `ostree --version | grep -q`: grep may be done first, and with pipefail they then think that it is not there.
CHOSEN = (
    "basic*",
    "xattrs",
    "config",
    "refs",
    "fsck-*",
    "init-*",
    "cli-*",
    "archivez",
    "parent",
    "switchroot",
    "no-such",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SUITE / "libtest.sh").exists(), reason="Debian's package ostree-tests is not installed"),
    pytest.mark.skipif(shutil.which("prove") is None, reason="prove (Perl's TAP::Harness) is not installed"),
]

# A folder of its own, removed afterwards: then the servers that the suite leaves behind end by themselves.
STARTER = """#!/bin/sh
own=$(mktemp -d) && cd "$own" || exit 99
HOME=$own TMPDIR=$own "$@"
status=$?
cd / && rm -rf "$own"
exit $status
"""

# What prove counts, file by file, by the parser that it is made of.
COUNTER = """
use TAP::Parser;
for my $file (@ARGV) {
    my $parser = TAP::Parser->new({exec => ["./starter", $file]});
    $parser->run;
    my $skipped = $parser->skip_all ? 1 : $parser->skipped;
    my $good = grep { 1 } $parser->actual_passed;
    my $passed = $good - $parser->skipped;
    my $failed = scalar($parser->failed) + ($parser->exit && !$parser->failed || $parser->parse_errors ? 1 : 0);
    print join(" ", $file =~ m{([^/]+)$}, $passed, $failed, $skipped), "\\n";
}
"""


def chosen_cases() -> list[Case]:
    """Found where they are installed: that folder is the layer."""
    patterns = [f"test-{each}.sh" for each in CHOSEN]
    found = discover(SUITE.parent, (SUITE.name,)).cases
    return [case for case in found if any(fnmatch(Path(case.source).name, each) for each in patterns)]


def counts_of_perl(root: Path, files: list[str]) -> dict[str, tuple[int, int, int]]:
    """File → passed, failed, skipped. `root` has a short name: the suite puts sockets below it."""
    write(root, "starter", STARTER)
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(root), "TMPDIR": str(root)}
    done = subprocess.run(
        ["perl", "-e", COUNTER, *files],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    rows = [line.split() for line in done.stdout.splitlines() if re.match(r"test-\S+ \d+ \d+ \d+$", line)]
    return {name: (int(passed), int(failed), int(skipped)) for name, passed, failed, skipped in rows}


@pytest.fixture
def short_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="suite-") as name:
        yield Path(name)


def test_its_counts_are_those_of_prove(short_path: Path) -> None:
    cases = chosen_cases()
    outcome = run_layer("L2", cases, place(short_path))
    counted: dict[str, Counter[str]] = {}
    for each in outcome.results:
        counted.setdefault(Path(each.source).name, Counter())[each.status] += 1
    ours = {name: (found["passed"], found["failed"], found["skipped"]) for name, found in counted.items()}
    assert ours == counts_of_perl(short_path, [str(case.path) for case in cases])
    assert len(outcome.results) >= 100
    assert len(cases) >= 15
    print(f"{len(cases)} files, {outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped")
