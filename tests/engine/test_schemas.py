"""Columns and types sniffed from files."""

from pathlib import Path

import duckdb
import pytest

from apps.engine.schemas import schema_reader
from apps.language.checker import SchemaUnavailable
from tests.engine.running import write


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return write(tmp_path, "ws/in/.keep", "").parent.parent


def columns(workspace: Path, kind: str, path: str, **options: object) -> dict[str, str]:
    return {column.name: str(column.type) for column in schema_reader(workspace)(kind, path, options)}


def refused(workspace: Path, kind: str, path: str) -> str:
    with pytest.raises(SchemaUnavailable) as caught:
        schema_reader(workspace)(kind, path, {})
    assert caught.value.hint, "each refusal says what to do"
    assert str(workspace) not in str(caught.value)
    return f"{caught.value.message} {caught.value.hint}"


def test_csv_types_are_found(workspace: Path) -> None:
    write(
        workspace,
        "a.csv",
        "i,d,t,day,at,yes,empty\n1,1.5,x,2026-01-01,2026-01-01 10:00:00,true,\n2,2,y,2026-01-02,2026-01-01 10:00:01,false,\n",
    )
    assert columns(workspace, "csv", "a.csv") == {
        "i": "int",
        "d": "double",
        "t": "text",
        "day": "date",
        "at": "timestamp",
        "yes": "bool",
        "empty": "text",
    }


def test_a_date_in_another_order_is_a_text(workspace: Path) -> None:
    write(workspace, "a.csv", "day,at\n31/12/2026,31/12/2026 10:00:00\n")
    assert columns(workspace, "csv", "a.csv") == {"day": "text", "at": "text"}


def test_csv_options_are_heard(workspace: Path) -> None:
    write(workspace, "a.csv", "made by hand\na;b\n1;'x;y'\nNA;z\n")
    found = columns(workspace, "csv", "a.csv", delimiter=";", quote="'", null="NA", skip=1)
    assert found == {"a": "int", "b": "text"}


def test_names_are_kept_as_they_are(workspace: Path) -> None:
    write(workspace, "a.csv", '"a b","say ""hi""",ünï,SELECT\n1,2,3,4\n')
    assert list(columns(workspace, "csv", "a.csv")) == ["a b", 'say "hi"', "ünï", "SELECT"]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_names(workspace: Path) -> None:
    (workspace / "a.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n1,x\r\n")
    assert columns(workspace, "csv", "a.csv") == {"a": "int", "b": "text"}


def test_a_header_alone_has_text_columns(workspace: Path) -> None:
    write(workspace, "a.csv", "a,b\n")
    assert columns(workspace, "csv", "a.csv") == {"a": "text", "b": "text"}


def test_jsonl_types_are_found(workspace: Path) -> None:
    write(workspace, "a.jsonl", '{"i": 1, "l": [1, 2], "s": {"x": "y"}}\n{"i": 2, "more": 1.5}\n')
    assert columns(workspace, "jsonl", "a.jsonl") == {
        "i": "int",
        "l": "list(int)",
        "s": "struct(x: text)",
        "more": "double",
    }


def test_parquet_types_are_widened_to_ours(workspace: Path) -> None:
    types = "TINYINT INTEGER UINTEGER UBIGINT HUGEINT FLOAT DOUBLE DECIMAL(12,2) VARCHAR DATE TIMESTAMP TIMESTAMPTZ UUID BOOLEAN INTEGER[]"
    chosen = ", ".join(f"CAST(NULL AS {name}) AS c{number}" for number, name in enumerate(types.split()))
    duckdb.execute(f"COPY (SELECT {chosen}) TO '{workspace}/a.parquet'")
    assert list(columns(workspace, "parquet", "a.parquet").values()) == [
        "int", "int", "int", "decimal(20, 0)", "double", "double", "double", "decimal(12, 2)", "text", "date", "timestamp",
        "timestamptz", "text", "bool", "list(int)",
    ]  # fmt: skip


def test_of_several_files_the_first_one_shows_the_columns(workspace: Path) -> None:
    write(workspace, "in/b.csv", "y\n2\n")
    write(workspace, "in/a.csv", "x\n1\n")
    assert columns(workspace, "csv", "in/*.csv") == {"x": "int"}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_what_cannot_be_read_is_refused_with_a_cure(workspace: Path, kind: str) -> None:
    assert f"no file 'in/none.{kind}'" in refused(workspace, kind, f"in/none.{kind}")
    assert "No file of the workspace matches" in refused(workspace, kind, "in/*.none")
    write(workspace, f"empty.{kind}", "")
    assert "is empty" in refused(workspace, kind, f"empty.{kind}")
    (workspace / f"bytes.{kind}").write_bytes(bytes(range(256)) * 4)
    refused(workspace, kind, f"bytes.{kind}")
    refused(workspace, kind, "in")
    refused(workspace, kind, "../x")
    refused(workspace, kind, "/etc/passwd")


def test_a_column_of_a_type_that_flows_have_not_is_refused(workspace: Path) -> None:
    duckdb.execute(f"COPY (SELECT 'x'::BLOB AS b) TO '{workspace}/a.parquet'")
    assert "type blob" in refused(workspace, "parquet", "a.parquet")


def test_a_column_without_a_name_is_refused(workspace: Path) -> None:
    write(workspace, "a.csv", "a,,c\n1,2,3\n")
    assert "Column 2 of 'a.csv' has no name" in refused(workspace, "csv", "a.csv")


def test_without_a_header_the_columns_must_be_written_out(workspace: Path) -> None:
    write(workspace, "a.csv", "1,2\n")
    with pytest.raises(SchemaUnavailable) as caught:
        schema_reader(workspace)("csv", "a.csv", {"header": False})
    assert "columns" in caught.value.hint


def test_a_workspace_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "workspace" in refused(tmp_path / "none", "csv", "a.csv")


def test_it_leaves_nothing_in_the_workspace(workspace: Path) -> None:
    write(workspace, "a.csv", "a\n1\n")
    columns(workspace, "csv", "a.csv")
    assert sorted(path.name for path in workspace.iterdir()) == ["a.csv", "in"]
