"""Aggregates, window functions, and what expectations add. Their examples read the rows of `examples.TABLE`."""

from apps.language.functions.spec import ERROR, SKIPS, Section

aggregates = Section("aggregate", "Aggregates")

aggregates.add(
    ["count() -> int", "count(value: any) -> int"],
    "The number of rows; with a value the number of rows in which it is not null.",
    [("count()", "4"), ("count(n)", "3")],
    nulls="never null",
)
aggregates.add(
    "count_if(test: bool) -> int",
    "The number of rows for which the test is true.",
    [("count_if(n > 1)", "2"), ("count_if(n is null)", "1")],
    nulls="never null",
)
aggregates.add(
    "count_distinct(value: any) -> int",
    "The number of different values that are not null.",
    [("count_distinct(n)", "2"), ("count_distinct(word)", "3")],
    nulls="never null",
)
aggregates.add(
    ["sum(value: int) -> int", "sum(value: decimal(p, s)) -> decimal(38, s)", "sum(value: double) -> double"],
    "The sum. One of ints is an int, and too large a one an error.",
    [("sum(n)", "7"), ("sum(price)", "4.00"), ("sum(if(false, n, null))", ""), ("sum(if(n > 1, 9_000_000_000_000_000_000, 0))", ERROR)],
    nulls=SKIPS,
)  # fmt: skip
aggregates.add(
    "mean(value: double) -> double",
    "The mean.",
    [("mean(ratio)", "1.5"), ("round(mean(n), 3)", "2.333")],
    nulls=SKIPS,
)
aggregates.add(
    "min(value: O) -> O",
    "The smallest value. Texts compare by their characters' code points.",
    [("min(price)", "0.25"), ("min(word)", "fig"), ("min(day)", "2026-01-15")],
    nulls=SKIPS,
)
aggregates.add(
    "max(value: O) -> O",
    "The largest value.",
    [("max(price)", "2.25"), ("max(word)", "Äpfel"), ("max(n) - min(n)", "2")],
    nulls=SKIPS,
)
aggregates.add("median(value: double) -> double", "`quantile(value, 0.5)`.", [("median(n)", "3")], nulls=SKIPS)
aggregates.add(
    "quantile(value: double, share!: double) -> double",
    "The value below which that share (0 to 1) of the values lies, between two values in proportion.",
    [("quantile(ratio, 0.75)", "2"), ("quantile(n, 0)", "1")],
    nulls=SKIPS,
)
aggregates.add(
    "stddev(value: double) -> double",
    "The standard deviation of a sample.",
    [("stddev(ratio)", "1"), ("stddev(if(n == 1, n, null))", "")],
    nulls="skips nulls; null for fewer than two values",
)
aggregates.add(
    "variance(value: double) -> double",
    "The variance of a sample.",
    [("variance(ratio)", "1")],
    nulls="skips nulls; null for fewer than two values",
)
aggregates.add(
    "corr(a: double, b: double) -> double",
    "The correlation of two columns, -1 to 1.",
    [("round(corr(id, ratio), 6)", "1")],
    nulls="skips rows in which either is null; null for fewer than two rows",
)
aggregates.add(
    "first(value: T) -> T",
    "The first value that is not null, in the order of the sort that stands before the group in its step. Without such "
    "a sort there is no first: `arg_min(value, by)` names the order itself.",
    [("first(word)", "pear")],
    nulls=SKIPS,
    ordered=True,
)
aggregates.add(
    "last(value: T) -> T",
    "The last value that is not null, in the order of the sort that stands before the group in its step.",
    [("last(word)", "fig")],
    nulls=SKIPS,
    ordered=True,
)
aggregates.add(
    "arg_min(value: T, by: O) -> T",
    "The value in the row with the smallest `by`; one of them where several rows have it.",
    [("arg_min(word, price)", "fig")],
    nulls="skips rows in which either is null; null if there is no other",
)
aggregates.add(
    "arg_max(value: T, by: O) -> T",
    "The value in the row with the largest `by`; one of them where several rows have it.",
    [("arg_max(word, price)", "Äpfel")],
    nulls="skips rows in which either is null; null if there is no other",
)
aggregates.add(
    "string_agg(value: text, separator!: text) -> text",
    "The texts one after the other, in the order of the sort that stands before the group, without one in ascending "
    "order; in a window in its order.",
    [('string_agg(word, ", ")', "pear, Äpfel, fig")],
    nulls=SKIPS,
)
aggregates.add(
    "list_agg(value: T) -> list(T)",
    "A list of the values, in the order of the sort that stands before the group, without one in ascending order; in a "
    "window in its order.",
    [("list_agg(n)", "[3, 1, 3]")],
    nulls=SKIPS,
)
aggregates.add(
    "any(test: bool) -> bool", "Whether the test is true for a row.", [("any(ok)", "true"), ("any(n > 5)", "false")],
    nulls=SKIPS,
)  # fmt: skip
aggregates.add(
    "every(test: bool) -> bool",
    "Whether the test is true for every row.",
    [("every(ok)", "false"), ("every(n > 0)", "true")],
    nulls=SKIPS,
)

windows = Section("window", "Windows")

windows.add(
    "row_number() -> int",
    "The row's number in the window's order, from 1; rows that are equal in it are numbered in any order.",
    [("row_number()", "1; 2; 3; 4")],
    nulls="never null",
    ordered=True,
)
windows.add(
    "rank() -> int",
    "The row's place, equal rows sharing one: 1, 2, 2, 4.",
    [("rank()", "2; 1; 2; 4", "n")],
    nulls="never null",
    ordered=True,
)
windows.add(
    "dense_rank() -> int",
    "The row's place without gaps: 1, 2, 2, 3.",
    [("dense_rank()", "2; 1; 2; 3", "n")],
    nulls="never null",
    ordered=True,
)
windows.add(
    "percent_rank() -> double",
    "`(rank - 1) / (rows - 1)`: 0 for the first, 1 for the last; 0 for a row that is alone.",
    [("round(percent_rank(), 2)", "0.33; 0; 0.33; 1", "n")],
    nulls="never null",
    ordered=True,
)
windows.add(
    "ntile(parts!: int) -> int",
    "The number of the part, from 1, when the rows are cut into so many parts of equal size, larger ones first.",
    [("ntile(3)", "1; 1; 2; 3")],
    nulls="never null",
    ordered=True,
)
for _name, _which, _first, _second in (
    ("lag", "before", "; 3; 1; 3", "0; 0; 3; 1"),
    ("lead", "after", "1; 3; ; ", "3; ; 0; 0"),
):
    windows.add(
        f"{_name}(value: T, rows?!: int, default?: T) -> T",
        f"The value so many rows {_which} this one in the window's order, one unless given; the default, or null, where "
        "there is no such row. The frame does not matter.",
        [(f"{_name}(n)", _first), (f"{_name}(n, 2, 0)", _second)],
        nulls="the value of that row, also if it is null",
        ordered=True,
    )
windows.add(
    "first(value: T) -> T",
    "The first value of the frame that is not null.",
    [("first(word)", "pear; pear; pear; pear")],
    nulls=SKIPS,
    ordered=True,
)
windows.add(
    "last(value: T) -> T",
    "The last value of the frame that is not null; without `rows` the frame ends with the current row.",
    [("last(word)", "pear; Äpfel; fig; fig")],
    nulls=SKIPS,
    ordered=True,
)

expectations = Section("expectation", "Expectations")

expectations.add(
    "not_null(columns...: any) -> bool", "No row has a null in one of the columns.", [], nulls="never null", plan=""
)
expectations.add(
    "unique(columns...: any) -> bool",
    "No two rows have the same values in the columns together; rows with a null in one of them are left out.",
    [],
    nulls="a null passes",
    plan="",
)
expectations.add(
    "in_set(value: T, items: list(T)) -> bool",
    "The value is one of the items, which are written out.",
    [],
    nulls="null passes",
    plan="",
)
expectations.add(
    "matches(value: text, pattern: text) -> bool",
    "The pattern is found in the text, as by `regex_match`.",
    [],
    nulls="null passes",
    plan="",
)
expectations.add(
    "references(value: any, other: any) -> bool",
    "The value stands in a column of another source or step: `references(customer_id, customers.id)`.",
    [],
    nulls="null passes",
    plan="",
)
expectations.add(
    ["freshness(moment: timestamp) -> duration", "freshness(moment: timestamptz) -> duration"],
    "The time since the latest moment: `freshness(ts) <= 2h`.",
    [],
    nulls="null, which passes, if there is no row",
    plan="",
)
expectations.add("row_count() -> int", "The number of rows: `row_count() > 0`.", [], nulls="never null", plan="")
