"""Real escapes from a workspace, each refused. The connection is the last wall; apps.engine.paths stands before it."""

import os
from pathlib import Path

import duckdb
import pytest

from apps.engine import paths, sandbox
from apps.engine.errors import PathRefused
from apps.engine.limits import MIB, Limits

SECRET = "the-secret-text"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with one honest file, beside files that must stay unread."""
    folder = tmp_path / "ws"
    (folder / "in").mkdir(parents=True)
    (folder / "in/a.csv").write_text("x\n1\n")
    (tmp_path / "secret.csv").write_text(f"x\n{SECRET}\n")
    (tmp_path / "ws-sibling").mkdir()
    (tmp_path / "ws-sibling/secret.csv").write_text(f"x\n{SECRET}\n")
    return folder


@pytest.fixture
def connection(workspace: Path):
    with sandbox.connect(workspace, Limits(200 * MIB, 10 * MIB, 2), scratch=workspace / "tmp") as connection:
        yield connection


def refused(connection, sql: str) -> str:
    with pytest.raises(duckdb.Error) as caught:
        connection.execute(sql).fetchall()
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_it_reads_and_writes_inside(connection, workspace: Path) -> None:
    assert connection.execute(f"FROM read_csv('{workspace}/in/*.csv')").fetchall() == [(1,)]
    connection.execute(f"COPY (SELECT 1 AS x) TO '{workspace}/out.parquet'")
    assert (workspace / "out.parquet").exists()


@pytest.mark.parametrize(
    "path",
    [
        "{ws}/../secret.csv",
        "{ws}/in/../../secret.csv",
        "{ws}-sibling/secret.csv",
        "{ws}*/secret.csv",
        "{ws}/../*.csv",
        "{ws}/**/../../secret.csv",
        "/etc/passwd",
        "~/.bashrc",
        "/proc/self/environ",
        "/proc/self/cwd/../secret.csv",
        "/dev/stdin",
        "file:///etc/passwd",
        "http://127.0.0.1:1/x.csv",
        "https://example.com/x.csv",
        "s3://bucket/x.csv",
        "gcs://bucket/x.csv",
    ],
)
@pytest.mark.parametrize("reader", ["read_csv", "read_text", "read_parquet", "read_json", "glob"])
def test_it_refuses_to_read_elsewhere(connection, workspace: Path, path: str, reader: str) -> None:
    message = refused(connection, f"FROM {reader}('{path.format(ws=workspace)}')")
    assert "Cannot access" in message


@pytest.mark.parametrize("place", ["link.csv", "folder/secret.csv", "glob/*.csv", "*/secret.csv", "deep/**/*.csv"])
def test_it_refuses_symlinks_that_leave(connection, workspace: Path, place: str) -> None:
    outside = workspace.parent
    (workspace / "link.csv").symlink_to(outside / "secret.csv")
    (workspace / "folder").symlink_to(outside / "ws-sibling")
    for folder in ("glob", "deep/er"):
        (workspace / folder).mkdir(parents=True)
        (workspace / folder / "l.csv").symlink_to(outside / "secret.csv")
    message = refused(connection, f"FROM read_csv('{workspace}/{place}')")
    assert "Cannot access" in message
    with pytest.raises(PathRefused):
        paths.expand(workspace, place)


def test_a_hard_link_is_read_like_the_file_that_it_is(connection, workspace: Path) -> None:
    """Not held back, and said so: a hard link cannot be told from a file. A flow cannot make one."""
    os.link(workspace.parent / "secret.csv", workspace / "hard.csv")
    assert connection.execute(f"FROM read_csv('{workspace}/hard.csv')").fetchall() == [(SECRET,)]


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{out}/stolen.csv'",
        "COPY (SELECT 1) TO '{ws}/../stolen.csv'",
        "COPY (SELECT 1 AS x, 2 AS y) TO '{out}/stolen' (FORMAT parquet, PARTITION_BY (x))",
        "COPY (SELECT 1) TO '/dev/stdout'",
        "CREATE TABLE t (x text); COPY t FROM '{out}/secret.csv'",
        "ATTACH '{out}/other.db'",
        "ATTACH 'https://example.com/other.db'",
        "EXPORT DATABASE '{out}/export'",
        "IMPORT DATABASE '{out}/export'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "LOAD '{ws}/evil.duckdb_extension'",
        "INSTALL spatial FROM community",
        "CREATE SECRET (TYPE s3)",
        "CREATE PERSISTENT SECRET s (TYPE http)",
    ],
)
def test_it_refuses_to_reach_out(connection, workspace: Path, sql: str) -> None:
    refused(connection, sql.format(ws=workspace, out=workspace.parent))
    left = sorted(path.name for path in workspace.parent.iterdir())
    assert left == ["secret.csv", "ws", "ws-sibling"]


def test_it_refuses_to_write_through_a_linked_folder(connection, workspace: Path) -> None:
    (workspace / "folder").symlink_to(workspace.parent / "ws-sibling")
    refused(connection, f"COPY (SELECT 1) TO '{workspace}/folder/x.csv'")
    assert not (workspace.parent / "ws-sibling/x.csv").exists()


def test_it_does_not_scan_what_a_name_may_stand_for(connection) -> None:
    stolen = duckdb.sql("SELECT 1 AS x")  # noqa: F841  a Python variable that a replacement scan would find
    assert "does not exist" in refused(connection, "FROM stolen")
    assert "does not exist" in refused(connection, "FROM '/etc/passwd'")
    assert "Cannot access" in refused(connection, "FROM 'https://example.com/x.csv'")
    refused(connection, "FROM '/etc/hosts.csv'")


def test_it_knows_no_environment_variables(connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_TEST_SECRET", SECRET)
    refused(connection, "SELECT getenv('FLOW_TEST_SECRET')")


@pytest.mark.parametrize(
    "sql",
    [
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "RESET allowed_directories",
        "SET memory_limit = '100GB'",
        "SET threads = 64",
        "SET max_temp_directory_size = '1TB'",
        "SET temp_directory = '/tmp'",
        "SET lock_configuration = false",
        "SET profiling_output = '/tmp/profile.json'",
        "SET home_directory = '/root'",
        "PRAGMA enable_profiling = 'json'",
        "CALL enable_logging(storage = 'file', storage_path = '/tmp/log')",
        "SET python_enable_replacements = true",
    ],
)
def test_its_settings_are_locked(connection, sql: str) -> None:
    assert "locked" in refused(connection, sql) or "cannot be" in refused(connection, sql).lower()


def test_its_settings_show_no_path_but_the_workspace(connection, workspace: Path) -> None:
    shown = connection.execute("SELECT value FROM duckdb_settings() WHERE value LIKE '%/%'").fetchall()
    for (value,) in shown:
        rest = value.replace(str(workspace), "")
        assert str(Path.home()) not in rest
        assert str(workspace.parent) not in rest


def test_the_temporary_folder_is_capped(connection, workspace: Path) -> None:
    message = refused(connection, "SELECT count(*) FROM (SELECT md5(i::text) m FROM range(20000000) t(i) ORDER BY m)")
    assert "max_temp_directory_size" in message


def test_without_a_scratch_folder_it_leaves_nothing(workspace: Path) -> None:
    with sandbox.connect(workspace, Limits(200 * MIB, 10 * MIB, 1)) as connection:
        refused(connection, "SELECT count(*) FROM (SELECT md5(i::text) m FROM range(20000000) t(i) ORDER BY m)")
    assert [path.name for path in workspace.iterdir()] == ["in"]


def test_a_workspace_of_an_odd_name_is_one_workspace(tmp_path: Path) -> None:
    folder = tmp_path / "it's [one], ws"
    folder.mkdir()
    (folder / "a[1].csv").write_text("x\n1\n")
    (folder / "a1.csv").write_text("x\n2\n")
    (found,) = paths.expand(folder, "a[1].csv")
    with sandbox.connect(folder) as connection:
        scan = "FROM read_csv('" + str(found).replace("'", "''") + "')"
        assert connection.execute(scan).fetchall() == [(1,)]
        refused(connection, f"FROM read_csv('{tmp_path}/*.csv')")


# --- paths, before DuckDB sees them ----------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../secret.csv", "in/../../secret.csv", "/etc/passwd", "~/x.csv", "", " ", "http://h/x.csv", "s3://b/x", "C:\\x.csv",
        "..\\x.csv", "in/\0.csv", ".flowcontrol/runs/1/manifest.json", "in/../.flowcontrol/lock", "file:in/a.csv",
    ],
)  # fmt: skip
def test_a_path_that_is_not_inside_is_refused_with_a_cure(workspace: Path, path: str) -> None:
    with pytest.raises(PathRefused) as caught:
        paths.inside(workspace, path)
    assert caught.value.hint
    assert str(workspace) not in caught.value.message


def test_a_symlink_inside_the_workspace_is_fine(workspace: Path) -> None:
    (workspace / "in/b.csv").symlink_to("a.csv")
    assert [path.name for path in paths.expand(workspace, "in/*.csv")] == ["a.csv", "b.csv"]


def test_a_link_into_the_engines_folder_is_refused(workspace: Path) -> None:
    (workspace / ".flowcontrol").mkdir()
    (workspace / "mine").symlink_to(".flowcontrol")
    with pytest.raises(PathRefused):
        paths.inside(workspace, "mine/lock")


def test_a_workspace_reached_by_a_symlink_is_the_folder_it_points_to(workspace: Path) -> None:
    (workspace.parent / "alias").symlink_to(workspace)
    assert paths.expand(workspace.parent / "alias", "in/a.csv") == [workspace / "in/a.csv"]


def test_messages_lose_the_workspace(workspace: Path) -> None:
    assert (
        paths.relative(f'cannot open "{workspace}/in/a.csv" in {workspace}', workspace) == 'cannot open "in/a.csv" in .'
    )
