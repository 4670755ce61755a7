"""Functions on text, on nulls and choices, hashes and lists."""

from apps.language.functions.spec import STRICT, Section

text = Section("scalar", "Text")

text.add("lower(value: text) -> text", "In small letters.", [('lower("ÄPFEL")', "äpfel"), ("lower(null)", "")])
text.add("upper(value: text) -> text", "In capital letters.", [('upper("äpfel")', "ÄPFEL")])
text.add(
    "trim(value: text) -> text",
    "Without spaces at both ends. Other white space stays.",
    [('trim("  a b ")', "a b"), ('trim("   ")', '""')],
)
text.add("ltrim(value: text) -> text", "Without spaces at the start.", [('concat(ltrim("  a "), "|")', r"a \|")])
text.add("rtrim(value: text) -> text", "Without spaces at the end.", [('concat("|", rtrim(" a  "))', r"\| a")])
text.add(
    "length(value: text) -> int",
    "The number of characters (Unicode code points, not bytes).",
    [('length("Zürich")', "6"), ('length("😀")', "1"), ('length("")', "0")],
)
text.add(
    "substr(value: text, start: int, length?: int) -> text",
    "The text from a position on, of at most `length` characters. Positions count from 1, 0 means 1, negative ones "
    "count from the end.",
    [
        ('substr("Zürich", 2, 3)', "üri"),
        ('substr("hello", 4)', "lo"),
        ('substr("hello", 0, 2)', "he"),
        ('substr("hello", -3, 2)', "ll"),
        ('substr("hello", 9)', '""'),
        ('substr("hello", 2, -1)', '""'),
    ],
)
text.add(
    "left(value: text, count: int) -> text",
    "The first characters; none if the count is below 1.",
    [('left("Zürich", 2)', "Zü"), ('left("ab", 5)', "ab"), ('left("ab", -1)', '""')],
)
text.add(
    "right(value: text, count: int) -> text",
    "The last characters; none if the count is below 1.",
    [('right("Basel", 2)', "el"), ('right("ab", -1)', '""')],
)
text.add(
    "replace(value: text, old: text, new: text) -> text",
    "Each `old` becomes `new`; an empty `old` changes nothing.",
    [('replace("a-b-c", "-", "+")', "a+b+c"), ('replace("abc", "", "x")', "abc"), ('replace("a.b", ".", "")', "ab")],
)
text.add(
    "contains(value: text, part: text) -> bool",
    "Whether the part is in the text, capital and small letters being different.",
    [('contains("Zürich", "üri")', "true"), ('contains("abc", "B")', "false"), ('contains(null, "a")', "")],
)
text.add(
    "starts_with(value: text, part: text) -> bool",
    "Whether the text starts with the part.",
    [('starts_with("abc", "ab")', "true"), ('starts_with("abc", "")', "true")],
)
text.add(
    "ends_with(value: text, part: text) -> bool",
    "Whether the text ends with the part.",
    [('ends_with("report.csv", ".csv")', "true"), ('ends_with("abc", "ab")', "false")],
)
text.add(
    "split_part(value: text, separator: text, position: int) -> text",
    "One piece of a text cut at each separator, counted from 1 or, if negative, from the end; the empty text where "
    "there is no such piece.",
    [
        ('split_part("a,b,c", ",", 2)', "b"),
        ('split_part("a,b,c", ",", -1)', "c"),
        ('split_part("a,b,c", ",", 9)', '""'),
    ],
)
text.add(
    "concat(values...: text) -> text",
    "The texts one after the other.",
    [('concat("a", "b", "c")', "abc"), ('concat("a", null)', "")],
)
text.add(
    "pad_left(value: text, length: int, fill?: text) -> text",
    "Filled up at the left to a length, with spaces unless a fill is given; a longer text is cut at its end.",
    [('pad_left("7", 3, "0")', "007"), ('pad_left("1234", 3, "0")', "123"), ('pad_left("ü", 3, "ab")', "abü")],
)
text.add(
    "pad_right(value: text, length: int, fill?: text) -> text",
    "Filled up at the right to a length, with spaces unless a fill is given; a longer text is cut at its end.",
    [('pad_right("a", 3, "-")', "a--"), ('concat(pad_right("a", 3), "|")', r"a  \|")],
)
text.add("reverse(value: text) -> text", "From the last character to the first.", [('reverse("abü")', "üba")])
text.add(
    "regex_match(value: text, pattern: text) -> bool",
    "Whether the pattern is found anywhere in the text: `^` and `$` hold it to the ends. Patterns are those of RE2, "
    "without look-around and back references.",
    [
        ('regex_match("order-17", "[0-9]+")', "true"),
        ('regex_match("order-17", "^[0-9]+$")', "false"),
        ('regex_match(null, "a")', ""),
    ],
)
text.add(
    "regex_extract(value: text, pattern: text, group?!: int) -> text",
    "What the pattern found first, or one of its groups; null where it finds nothing.",
    [
        ('regex_extract("order-17", "[0-9]+")', "17"),
        ('regex_extract("a=1;b=2", "b=([0-9])", 1)', "2"),
        ('regex_extract("order", "[0-9]+")', ""),
    ],
)
text.add(
    "regex_replace(value: text, pattern: text, new: text) -> text",
    r"Everything that the pattern finds becomes `new`, in which `\1` is the first group.",
    [('regex_replace("a1b22", "[0-9]+", "#")', "a#b#"), (r'regex_replace("ab", "(a)(b)", "\\2\\1")', "ba")],
)

choice = Section("scalar", "Null and choice")

choice.add(
    "coalesce(values...: T) -> T",
    "The first value that is not null. `a ?? b` is the same for two.",
    [("coalesce(null, 2, 3)", "2"), ("coalesce(null, null, 1.5)", "1.5"), ("coalesce(null, 1) ?? 2", "1")],
    nulls="null if all are null",
)
choice.add(
    "null_if(value: T, other: T) -> T",
    "Null where the two are equal, else the value.",
    [("null_if(0, 0)", ""), ('null_if("a", "b")', "a"), ('null_if("a", null)', "a")],
    nulls="null if the value is null",
)
choice.add(
    "if(test: bool, then: T, otherwise: T) -> T",
    "The one where the test is true, else the other: also where the test is null.",
    [("if(1 < 2, 10, 20)", "10"), ("if(null, 10, 20)", "20"), ("if(true, 1, 2.5)", "1.0")],
    nulls="a null test chooses the second",
    plan="",
)
choice.add(
    "greatest(values...: O) -> O",
    "The largest of the values of one row.",
    [("greatest(1, 3, 2)", "3"), ("greatest(1, 2.5)", "2.5"), ("greatest(1, null)", "")],
)
choice.add(
    "least(values...: O) -> O",
    "The smallest of the values of one row.",
    [("least(2026-01-02, 2026-01-01)", "2026-01-01"), ('least("b", "a")', "a"), ("least(1, null)", "")],
)

hashes = Section("scalar", "Hashes")

hashes.add(
    "md5(value: text) -> text",
    "The MD5 of the text's UTF-8 bytes in small hexadecimal digits.",
    [('md5("abc")', "900150983cd24fb0d6963f7d28e17f72"), ("md5(null)", "")],
)
hashes.add(
    "sha256(value: text) -> text",
    "The SHA-256 of the text's UTF-8 bytes in small hexadecimal digits.",
    [('sha256("ü")', "607474ca475a9724d7360aba71a56d5df77e61350e3f724cfa1f46e857e2d85f")],
)
hashes.add(
    "hash64(value: text) -> int",
    "The first eight bytes of the text's MD5 as a signed number, the same on every engine.",
    [('hash64("abc")', "-8070080442485551184"), ('hash64("ab")', "1765116674205471180"), ("hash64(null)", "")],
)

lists = Section("scalar", "Lists and structs")

lists.add(
    "list_length(items: list(T)) -> int",
    "The number of items, nulls included.",
    [("list_length([1, 2, null])", "3"), ("list_length([])", "0"), ("list_length(null)", "")],
)
lists.add(
    "list_contains(items: list(T), item: T) -> bool",
    "Whether the item is in the list.",
    [("list_contains([1, 2], 2)", "true"), ('list_contains(["a"], "b")', "false")],
)
lists.add(
    "list_get(items: list(T), position: int) -> T",
    "One item, counted from 1 or, if negative, from the end; null where there is none.",
    [("list_get([10, 20], 1)", "10"), ("list_get([10, 20], -1)", "20"), ("list_get([10, 20], 3)", "")],
)
lists.add(
    "list(items...: T) -> list(T)",
    "A list; all items become one type.",
    [("[1, 2.5]", "[1.0, 2.5]")],
    nulls="never null",
    written="[a, b]",
)
lists.add(
    "struct(fields...: any) -> any",
    "A struct with named fields.",
    [('{ a: 1, b: "x" }.b', "x")],
    nulls="never null",
    written="{ name: a }",
)
lists.add(
    "field(value: any, name!: text) -> any",
    "A field of a struct.",
    [("{ a: 1 }.a", "1")],
    nulls=STRICT,
    written="a.name",
)

json = Section("scalar", "JSON")

json.add("json_get(value: json, path!: text) -> json", "The value at a path.", [], supported=False)
json.add("json_text(value: json, path!: text) -> text", "The value at a path as text.", [], supported=False)
