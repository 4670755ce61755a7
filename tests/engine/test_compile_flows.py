"""Small flows that say by their own tests what each operation means; DuckDB has to agree, and to type them alike."""

from pathlib import Path

import pytest

from apps.engine.bind import verify
from apps.engine.casetests import run_tests
from tests.engine.written import connect, planned

FLOWS = sorted((Path(__file__).parent / "flows").glob("*.flow"))


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
def test_a_flow_means_what_its_tests_say(path: Path) -> None:
    plan = planned(path.read_text())

    with connect() as connection:
        assert verify(plan, connection) == []
    results = run_tests(plan, connect=connect)

    assert results
    assert [f"{result.title}\n{result.message}" for result in results if not result.ok] == []
