"""A DuckDB connection that sees one folder and nothing else.

What it holds back: files outside the workspace (also through `..`, globs and symlinks), the network, extensions,
environment variables, Python variables, and changes of these settings. What it cannot hold back: a hard link that
somebody with access to the workspace made, and memory (DuckDB's limit is not hard), for which flows run in a
process of their own with a limit of the kernel.
"""

from pathlib import Path

from apps.engine import paths
from apps.engine.duck import DuckDBPyConnection
from apps.engine.duck import connect as open_database
from apps.engine.limits import Limits

CONFIG = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_unsigned_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
    "python_scan_all_frames": "false",
}

# With them a step's count would be that of the filter after it, or of a group made before a join.
OPTIMIZERS_OFF = "cte_filter_pusher,partial_aggregate_pushdown"


def connect(workspace: Path, limits: Limits = Limits(), *, scratch: Path | None = None) -> DuckDBPyConnection:  # noqa: B008
    """An empty in-memory database confined to `workspace`, which must exist.

    `scratch` is where it may spill, up to `limits.temp_bytes`; it must be inside the workspace and this
    connection's own. Without one it does not spill. The order of the settings is part of the confinement: the
    allowed folder must be known before access is shut, and everything before the configuration is locked.
    """
    home = paths.root(workspace)
    nowhere = str(home / paths.STATE_FOLDER / "none")
    connection = open_database(
        ":memory:",
        config={
            **CONFIG,
            "threads": limits.threads,
            "memory_limit": f"{limits.memory_bytes // 1024}KiB",
            "temp_directory": str(scratch) if scratch else "",
            "secret_directory": nowhere,  # else the settings show the home directory of the account
            "extension_directory": nowhere,
        },
    )
    try:
        _confine(connection, home, limits, spills=scratch is not None)
    except BaseException:
        connection.close()
        raise
    return connection


def _confine(connection: DuckDBPyConnection, home: Path, limits: Limits, *, spills: bool) -> None:
    folder = str(home).replace("'", "''")
    settings = [
        f"SET allowed_directories = ['{folder}/']",
        "SET enable_external_access = false",
        f"SET max_temp_directory_size = '{limits.temp_bytes // 1024 if spills else 0}KiB'",
        "SET TimeZone = 'UTC'",
        "SET enable_profiling = 'no_output'",  # row counts and times of each step are read from the profile
        f"SET disabled_optimizers = '{OPTIMIZERS_OFF}'",
        "SET enable_progress_bar = true",
        "SET enable_progress_bar_print = false",
        "SET errors_as_json = false",
        "SET lock_configuration = true",
    ]
    for statement in settings:
        connection.execute(statement)
