"""Flows that run in the tests: a quick one, and one that takes a second or more and appends."""

import csv

import duckdb

QUICK = """flow quick {{ description: "Even numbers"{options} }}
param least: int = 0
source numbers = csv("in/numbers.csv") {{ columns: {{ n: int }} }}
step even = numbers | where n % 2 == 0 and n >= @least
expect even {{ not_null(n) fail, n < 6 warn }}
sink even -> csv("out/even.csv")
"""

# Sorting hashes takes long enough to be killed in the middle; what it appends shows a doubled run.
SLOW = """flow slow { description: "Appends the smallest digests" }
source numbers = parquet("in/many.parquet") { columns: { id: int } }
step hashed = numbers
  | derive digest = sha256(concat("a", to_text(id))), other = sha256(concat("b", to_text(id)))
step ranked = hashed
  | window by id % 50 order digest { nth = row_number() }
step kept = ranked
  | where nth <= 10
  | select id, digest
  | sort digest
expect ranked { nth > 0 fail }
sink kept -> parquet("out/kept") { mode: append }
"""
KEPT = 500


def quick(**options):
    return QUICK.format(options="".join(f", {key}: {value}" for key, value in options.items()))


def write_numbers(workspace, numbers=range(10)):
    folder = workspace / "in"
    folder.mkdir(exist_ok=True)
    (folder / "numbers.csv").write_text("n\n" + "".join(f"{each}\n" for each in numbers))


def write_many(workspace, rows):
    (workspace / "in").mkdir(exist_ok=True)
    target = workspace / "in" / "many.parquet"
    _query(f"copy (select i as id from range({rows}) r(i)) to '{target}' (format parquet)")


def _query(sql):
    with duckdb.connect() as connection:
        return connection.execute(sql).fetchall()


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def parts(workspace):
    return sorted((workspace / "out" / "kept").glob("*"))


def count(path):
    return _query(f"select count(*), count(distinct id) from '{path}'")[0]
