"""The part of DuckDB's Python package that runs need: its extension module.

`import duckdb` gives the same classes and takes 90 ms, for relations, expressions and Arrow, which no run uses; the
extension alone takes 20. Every run starts with it, so it counts.
"""

from _duckdb import (
    BinderException,
    ConversionException,
    DuckDBPyConnection,
    Error,
    OutOfMemoryException,
    OutOfRangeException,
    PermissionException,
    connect,
)

__all__ = [
    "BinderException",
    "ConversionException",
    "DuckDBPyConnection",
    "Error",
    "OutOfMemoryException",
    "OutOfRangeException",
    "PermissionException",
    "connect",
]
