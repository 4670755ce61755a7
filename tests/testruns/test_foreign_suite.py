"""A real suite that nobody here wrote runs as a layer, and its counts are those of `prove`.

It is the one that libostree installs with itself (Debian's package ostree-tests): shell scripts that print TAP. A case
has a folder of its own, and so it is started by prove too.
"""

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from apps.testruns.cases.executables import discover
from apps.testruns.cases.runner import run_layer
from tests.testruns.making import place, write

SUITE = Path("/usr/libexec/installed-tests/libostree")
CHOSEN = (
    "config",
    "refs",
    "remote-add",
    "basic*",
    "xattrs",
    "fsck-*",
    "init-*",
    "pull-sizes",
    "cli-*",
    "summary-*",
    "no-such",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SUITE / "libtest.sh").exists(), reason="Debian's package ostree-tests is not installed"),
    pytest.mark.skipif(shutil.which("prove") is None, reason="prove (Perl's TAP::Harness) is not installed"),
]

STARTER = '#!/bin/sh\nown=$(mktemp -d) && cd "$own" && HOME=$own TMPDIR=$own "$@"\n'

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


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checks with the chosen files and what they need beside them."""
    root = tmp_path_factory.mktemp("suite")
    shutil.copytree(SUITE, root / "L2", symlinks=True)  # one of them leads to itself
    keep = {path.name for chosen in CHOSEN for path in (root / "L2").glob(f"test-{chosen}.sh")}
    for path in list((root / "L2").glob("test-*")):
        if path.name not in keep:
            path.unlink()
    return root


def counts_of_perl(root: Path) -> dict[str, tuple[int, int, int]]:
    """File → passed, failed, skipped."""
    write(root, "starter", STARTER)
    files = sorted(str(path) for path in (root / "L2").glob("test-*.sh"))
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(root), "TMPDIR": str(root)}
    done = subprocess.run(
        ["perl", "-e", COUNTER, *files],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    rows = [line.split() for line in done.stdout.splitlines() if re.match(r"test-\S+ \d+ \d+ \d+$", line)]
    return {name: (int(passed), int(failed), int(skipped)) for name, passed, failed, skipped in rows}


def test_its_counts_are_those_of_prove(checks: Path) -> None:
    cases = [case for case in discover(checks).cases if Path(case.source).name.startswith("test-")]
    outcome = run_layer("L2", cases, place(checks))
    counted: dict[str, Counter[str]] = {}
    for each in outcome.results:
        counted.setdefault(Path(each.source).name, Counter())[each.status] += 1
    ours = {name: (found["passed"], found["failed"], found["skipped"]) for name, found in counted.items()}
    assert ours == counts_of_perl(checks)
    assert len(outcome.results) >= 100
    assert len(cases) >= 15
    print(f"{len(cases)} files, {outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped")
