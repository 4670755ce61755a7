"""What lark could not read, in words a person can use: where it stopped, and what it had read up to there."""

import difflib
import re
from types import SimpleNamespace
from typing import Any

from lark import Token
from lark.exceptions import UnexpectedInput, UnexpectedToken
from lark.parsers.lalr_interactive_parser import InteractiveParser

from apps.language.diagnostics import Diagnostic
from apps.language.pieces import STATEMENTS, Piece, unpaired

JOINS = ("left", "inner", "full", "semi", "anti", "cross", "asof")
OPERATIONS = (
    "where", "derive", "select", "drop", "rename", "cast", *(f"{kind} join" for kind in JOINS), "lookup", "group", "window",
    "sort", "take", "distinct", "dedupe", "union", "unnest", "pivot", "unpivot", "sample", "fill", "sql",
)  # fmt: skip
OPENERS = {each.split()[0]: each for each in OPERATIONS}

# Terminals as a person calls them; an empty text is left out of lists. Keywords are shown as they are written.
WORDS = {
    "NAME": "a name", "QUOTED": "", "STRING": "a text in quotes", "TRIPLE": 'SQL between `"""`', "NUMBER": "a number",
    "MOMENT": "", "DURATION": "", "ROW": "a table row", "COMPARE": "a comparison", "PLUS": "`+`", "TIMES": "`*`",
    "VBAR": "`|`", "EQUAL": "`=`", "COMMA": "`,`", "COLON": "`:`", "DOT": "`.`", "LPAR": "`(`", "RPAR": "`)`",
    "LSQB": "`[`", "RSQB": "`]`", "LBRACE": "`{`", "RBRACE": "`}`", "AT": "", "MINUS": "`-`", "PERCENT": "`%`",
    "ARROW": "`->`", "RANGE": "`..`", "DEFAULT": "`??`", "GIVES": "`=>`", "BY_NAME": "`name`", "$END": "",
}  # fmt: skip
BEGINS = {"MOMENT", "DURATION", "AT", "STRING", "LPAR"}  # all of them: an expression may begin
CONTINUES = {
    "PLUS", "TIMES", "COMPARE", "MINUS", "PERCENT", "DIV", "AND", "OR", "IS", "IN", "NOT", "BETWEEN", "DOT", "DEFAULT",
}  # fmt: skip

# What had been read (the end of lark's stack; the word before `:` is the symbol) and what should have followed.
_AFTER: list[tuple[str, str, str]] = [
    (r"FLOW$", "expected the flow's name after `flow`", ""),
    (r"(PARAM|SOURCE|FN|STEP)$", "expected a name after `{0}`", ""),
    (r"PARAM NAME$", "expected `:` and a type after the parameter's name", "write `param name: int`"),
    (r"PARAM NAME COLON$", "expected a type after the `:`", "types are: int, text, date, decimal(12, 2), …"),
    (r"(SOURCE|STEP) NAME$", "expected `=` after the {0}'s name", ""),
    (r"SOURCE NAME EQUAL$", "expected where the source reads from", 'write `source name = csv("in/file.csv")`'),
    (r"(?:SOURCE NAME EQUAL|ARROW) NAME$", "expected `(` after the kind", 'write `csv("file.csv")`'),
    (r"FN NAME$", "expected `(` after the function's name", "write `fn name(a, b) = a + b`"),
    (
        r"FN NAME LPAR(?: arg_names)? RPAR$",
        "expected `=` after the function's arguments",
        "write `fn name(a, b) = a + b`",
    ),
    (r"STEP NAME EQUAL$", "expected the name of a source or of another step after the `=`", ""),
    (r"EXPECT$", "expected the name of a step after `expect`", ""),
    (
        r"EXPECT (?:name|NAME|QUOTED)$",
        "expected `{{` after the step's name",
        "write `expect step {{ a > 0, not_null(b) }}`",
    ),
    (r"SINK$", "expected the name of a step after `sink`", ""),
    (
        r"SINK (?:name|NAME|QUOTED)$",
        "expected `->` after the step's name",
        'write `sink step -> parquet("out/file.parquet")`',
    ),
    (r"SINK name ARROW$", "expected where the sink writes to", 'write `parquet("out/file.parquet")`'),
    (r"TEST$", "expected the test's title, a text in quotes", ""),
    (r"TEST STRING$", "expected `{{` after the test's title", ""),
    (r"TEST STRING LBRACE[ a-z_0-9]*$", "expected `with`, `given`, `then` or `}}`", ""),
    (r"WITH$", "expected the name of a parameter after `with`", ""),
    (r"WITH NAME$", "expected `=` after the parameter's name", ""),
    (r"(GIVEN|THEN)$", "expected the name of a source or a step after `{0}`", ""),
    (r"COLUMNS COLON$", "expected `{{` after `columns:`", "write `columns: {{ id: int, name: text }}`"),
    (
        r"COLUMNS COLON LBRACE(?: \S+)*? (?:name|NAME|QUOTED)$",
        "expected `:` and a type after `{name}`",
        "write `{name}: int`",
    ),
    (r"(?:LBRACE|COMMA) NAME$", "expected `:` after `{name}`", "write `{name}: value`"),
    (r"(?:LEFT|INNER|FULL|SEMI|ANTI|CROSS|ASOF)$", "expected `join`", ""),
    (r"(JOIN|LOOKUP)$", "expected the name of a source or a step after `{0}`", ""),
    (r"BETWEEN \w+$", "expected `and` and the upper bound of `between`", ""),
    (r"IS$", "expected `null` or `not null` after `is`", ""),
    (r"IN$", "expected a list after `in`", "write `in [1, 2]`"),
    (r"CASE$", "expected `{{` after `case`", "write `case {{ test => value, else => value }}`"),
    (r"CASE LBRACE \w+$", "expected `=>` after the test of a case", "write `case {{ test => value, else => value }}`"),
    (r"ELSE$", "expected `=>` after `else`", ""),
    (r"GROUP(?: BY assigns)?$", "expected `{{` and what the group gives", "write `group by key {{ n = count() }}`"),
    (r"TAKE$", "expected how many rows to take", "write `take 10`"),
    (r"SAMPLE NUMBER$", "expected `%` or `rows` after the number", "write `sample 1%` or `sample 1000 rows`"),
    (
        r"FILL (?:name|NAME|QUOTED)$",
        "expected `with` or `forward`",
        "write `fill a with 0` or `fill a forward order b`",
    ),
    (r"UNNEST \w+$", "expected `as` and a name", "write `unnest items as item`"),
    (r"DEDUPE$", "expected `by` and the columns that must differ", "write `dedupe by id keep last at`"),
    (r"KEEP$", "expected `first` or `last` after `keep`", ""),
    (r"CAST(?: \w+)*? (?:name|NAME|QUOTED)$", "expected `:` and a type after the column", "write `cast a: int`"),
    (r"RENAME (?:name|NAME|QUOTED)$", "expected `=` after the new name", "write `rename new = old`"),
    (r"AT$", "expected the name of a parameter after `@`", ""),
]


def complain(error: UnexpectedInput, piece: Piece, part: str = "") -> Diagnostic:
    """The one diagnostic for a piece that does not parse. `part` is the rule it was read by, if not a statement."""
    found = _Stop(error, piece, part)
    for explain in _EXPLANATIONS:
        if diagnostic := explain(found):
            return diagnostic
    return _listing(found)


def next_statement(error: UnexpectedInput, piece: Piece) -> int | None:
    """Where the next statement begins, if it is a statement's keyword that stopped the reading of a whole one."""
    stop = _Stop(error, piece)
    return stop.at if stop.word in (*STATEMENTS, "flow") and "$END" in stop.expected else None


# What a piece is called that was read by one rule of the grammar.
_PARTS = {"operation": "operation", "rule": "rule", "option": "option", "clause": "clause"}


# The little that lark's interactive parser wants of a lexer to try tokens out.
_LEXER: Any = SimpleNamespace(_Token=Token)


class _Stop:
    """Where lark stopped: the word there (empty at the end), what was read, and what could have come."""

    def __init__(self, error: UnexpectedInput, piece: Piece, part: str = "") -> None:
        self.piece = piece
        self.whole = _PARTS.get(part, "statement")
        state: Any = error.state
        # All was read, and then came more: lark knows of nothing that could follow.
        self.expected: set[str] = InteractiveParser(None, state, _LEXER).accepts() or {"$END"}
        stack: list[Any] = state.value_stack
        self.read = " ".join(each.type if isinstance(each, Token) else str(getattr(each, "data", "")) for each in stack)
        self.last = stack[-1] if stack else None
        self.at, self.end = self._place(error)
        self.rest = piece.text[self.at :] if self.end > self.at else ""
        self.word = piece.text[self.at : self.end]
        self.is_word = re.match(r"[^\W\d]", self.word) is not None
        _, broken, before = piece.text[: self.at].rpartition("\n")
        self.on_new_line = not before.strip() and (bool(broken) or not piece.pad)

    def _place(self, error: UnexpectedInput) -> tuple[int, int]:
        text = self.piece.text
        token = error.token if isinstance(error, UnexpectedToken) else None
        if token is not None and token.type == "$END":
            end = max(len(self.piece.bare.rstrip()), self.piece.pad)
            return end, end
        start: int = (error.pos_in_stream or 0) if token is None else token.start_pos
        word = re.compile(r"\w+").match(text, start)
        if word:
            return start, word.end()
        if token is None or token.type == "ROW":  # a bar where rows were possible too
            return start, start + 1
        return start, start + len(str(token).split("\n", 1)[0])

    def diagnostic(self, code: str, message: str, hint: str = "", at: int = -1) -> Diagnostic:
        start, end = (at, at + 1) if at >= 0 else (self.at, max(self.end, self.at + 1))
        if at < 0 and not self.word:  # the end: the last character that was read
            start, end = max(0, self.at - 1), self.at
        return Diagnostic(code, message, self.piece.span(start, end), hint)


def _unclosed(stop: _Stop) -> Diagnostic | None:
    if stop.rest.startswith('"""'):
        return stop.diagnostic("E105", "this SQL is not closed", 'write `"""` at its end')
    if stop.rest.startswith('"') and not re.match(r'"(?:\\.|[^"\\\n])*"', stop.rest):
        return stop.diagnostic("E105", "this text is not closed", 'write `"` at its end; a quote inside is `\\"`')
    if stop.rest.startswith("`") and not re.match(r"`[^`\n]+`", stop.rest):
        return stop.diagnostic("E105", "this name is not closed", "write a backquote at its end")
    return None


def _bracket(stop: _Stop) -> Diagnostic | None:
    """A bracket without its partner, where that is what stopped the reading."""
    found = unpaired(stop.piece)
    if not found:
        return None
    at, bracket = found
    if bracket in ")]}":
        if at == stop.at:
            return stop.diagnostic("E117", f"this `{bracket}` closes nothing that is open", "", at)
        return None
    closing = {"(": "RPAR", "[": "RSQB", "{": "RBRACE"}[bracket]
    waits = closing in stop.expected or not stop.word
    if waits and (not stop.word or "\n" in stop.piece.text[at : stop.at] or stop.word in ")]}|"):
        return stop.diagnostic(
            "E117", f"this `{bracket}` is not closed", f"write `{_partner(bracket)}` after its end", at
        )
    return None


def _partner(bracket: str) -> str:
    return {"(": ")", "[": "]", "{": "}"}[bracket]


def _comparison(stop: _Stop) -> Diagnostic | None:
    if stop.word == "=" and ("COMPARE" in stop.expected or "DEFAULT" in stop.expected):
        return stop.diagnostic("E106", "`=` does not compare", "write `==` to compare")
    return None


_FOREIGN = [
    ("'", "a text stands in double quotes", 'write `"text"`'),
    (";", "a `;` does not belong here", "nothing ends a statement: remove it"),
    ("&&", "`&&` does not belong here", "write `and`"),
    ("||", "`||` does not belong here", "write `or`, or `concat(a, b)` to join texts"),
    ("<>", "`<>` does not belong here", "write `!=`"),
    (":=", "`:=` does not belong here", "write `=`"),
    ("--", "`--` does not belong here", "a comment begins with `#`"),
    ("//", "`//` does not belong here", "a comment begins with `#`; a division of whole numbers is `div`"),
    ("!", "`!` does not belong here", "write `not`"),
]


def _foreign(stop: _Stop) -> Diagnostic | None:
    """What other languages write."""
    for sign, message, hint in _FOREIGN:
        behind = stop.piece.text[max(0, stop.at - 1) :]
        if stop.rest.startswith(sign) or (len(sign) == 2 and behind.startswith(sign)):
            return stop.diagnostic("E106", message, hint)
    if stop.word.lower() != stop.word and stop.word.upper() in stop.expected:
        return stop.diagnostic(
            "E106", f"`{stop.word}` does not belong here", f"keywords are small: `{stop.word.lower()}`"
        )
    if stop.word.lower() in ("asc", "desc") and re.search(r"SORT|ORDER|KEEP", stop.read):
        return stop.diagnostic("E106", f"`{stop.word}` does not belong here", "`sort a` goes up, `sort -a` goes down")
    if stop.word == "*" and stop.read.endswith(("SELECT", "COMMA")):
        return stop.diagnostic(
            "E106", "columns are named one by one", "leave `select` out to keep all; `drop a` leaves a out"
        )
    if re.search(r"\d$", stop.piece.text[: stop.at]) and re.match(r"[a-z]", stop.word):
        return stop.diagnostic(
            "E106", f"`{_short(stop.word)}` is no unit", "a duration is a whole number with ms, s, m, h, d or w: `5m`"
        )
    return None


SYNONYMS = {
    "filter": "where", "having": "where", "mutate": "derive", "extend": "derive", "project": "select", "order": "sort",
    "orderby": "sort", "limit": "take", "head": "take", "aggregate": "group", "summarize": "group", "explode": "unnest",
    "append": "union", "uniq": "distinct", "remove": "drop", "convert": "cast",
}  # fmt: skip


def _operation(stop: _Stop) -> Diagnostic | None:
    if not {"WHERE", "DERIVE"} <= stop.expected:
        return _without_bar(stop)
    shown = stop.word[:40]
    all_of_them = f"operations are: {', '.join(OPERATIONS)}"
    if not shown:
        return stop.diagnostic("E107", "expected an operation after the `|`", all_of_them)
    if not re.match(r"\w", shown):
        return stop.diagnostic("E106", f"expected an operation after the `|`, found `{shown}`")
    if shown == "join":
        return stop.diagnostic("E108", "`join` needs its kind", f"write `inner join` or one of: {', '.join(JOINS)}")
    known = SYNONYMS.get(shown.lower())
    hint = f"did you mean `{known}`?" if known else similar(shown, OPERATIONS) or all_of_them
    return stop.diagnostic("E108", f"unknown operation `{shown}`", hint)


def _severity(stop: _Stop) -> Diagnostic | None:
    if not {"FAIL", "WARN"} <= stop.expected or not stop.is_word:
        return None
    severities = ("fail", "quarantine", "drop", "warn")
    hint = (
        similar(stop.word, (*severities, "and", "or", "between", "max")) or f"severities are: {', '.join(severities)}"
    )
    return stop.diagnostic("E106", f"expected a severity or an operator, found `{_short(stop.word)}`", hint)


def _without_bar(stop: _Stop) -> Diagnostic | None:
    if stop.word in OPENERS and "VBAR" in stop.expected and "STEP" in stop.read:
        return stop.diagnostic(
            "E106", f"expected `|` before the operation `{stop.word}`", f"write `| {OPENERS[stop.word]} …`"
        )
    return None


def _comma(stop: _Stop) -> Diagnostic | None:
    """The next item of a list in braces, without the comma before it."""
    if stop.whole == "option" and "$END" in stop.expected and re.match(r"\w+\s*:", stop.rest):
        return stop.diagnostic("E106", f"expected `,` before `{_short(stop.word)}`")
    return None


def _table(stop: _Stop) -> Diagnostic | None:
    if "ROW" in stop.expected and stop.word and stop.on_new_line and "|" in stop.rest.split("\n", 1)[0]:
        return stop.diagnostic("E106", "a table's row begins with a bar", "write `| a | b |`")
    return None


def _statement(stop: _Stop) -> Diagnostic | None:
    """A word where the next statement could begin."""
    if not stop.is_word or not ("$END" in stop.expected or {"STEP", "SOURCE"} <= stop.expected):
        return None
    hint = similar(stop.word, STATEMENTS)
    if not stop.on_new_line and not (hint and stop.whole == "statement"):
        return None
    if CONTINUES & stop.expected and not hint:
        return None
    if stop.word in OPENERS:
        hint = f"an operation stands in a step, behind a bar: `| {OPENERS[stop.word]} …`"
    hint = hint or f"statements are: {', '.join(STATEMENTS)}"
    return stop.diagnostic("E109", f"`{stop.word[:40]}` begins no statement", hint)


def _after(stop: _Stop) -> Diagnostic | None:
    for pattern, message, hint in _AFTER:
        found = re.search(rf"(?:^| )(?:{pattern})", stop.read)
        if not found:
            continue
        words = [each.lower() for each in found.groups() if each]
        last = stop.last if isinstance(stop.last, Token) else next(iter(getattr(stop.last, "children", [])), "")
        name = str(last)
        message, hint = message.format(*words, name=name), hint.format(*words, name=name)
        if stop.word and "ROW" not in stop.expected:
            return stop.diagnostic("E106", f"{message}, found `{_short(stop.word)}`", hint)
        return stop.diagnostic("E107", message, hint)
    return None


_EXPLANATIONS = (_unclosed, _bracket, _comparison, _foreign, _operation, _severity, _comma, _table, _statement, _after)


def _listing(stop: _Stop) -> Diagnostic:
    """Nothing better is known: what could stand here."""
    words = listed(stop.expected, stop.whole)
    if not stop.word:
        return stop.diagnostic("E107", f"the {stop.whole} ends too early: expected {words}")
    hint = ""
    if stop.is_word:
        keywords = [each.lower() for each in stop.expected if each.isalpha() and each not in WORDS]
        hint = similar(stop.word, keywords)
    return stop.diagnostic("E106", f"expected {words}, found `{_short(stop.word)}`", hint)


def _short(word: str) -> str:
    return word if len(word) <= 40 else word[:40] + "…"


TYPES = (
    "bool", "int", "double", "text", "date", "time", "timestamp", "timestamptz", "duration", "json", "decimal", "list", "struct",
)  # fmt: skip
FOREIGN_TYPES = {
    "integer": "int", "bigint": "int", "long": "int", "string": "text", "str": "text", "varchar": "text", "char": "text",
    "float": "double", "real": "double", "boolean": "bool", "numeric": "decimal(12, 2)", "number": "decimal(12, 2)",
    "datetime": "timestamp", "interval": "duration", "array": "list(text)", "map": "struct(a: int)",
}  # fmt: skip


def type_hint(name: str) -> str:
    """What was meant by a type that is none, or that is not written as it must be."""
    match name:
        case "decimal":
            return "write `decimal(12, 2)`: digits in all (at most 38), and digits after the point"
        case "list":
            return "write `list(text)`"
        case "struct":
            return "write `struct(name: text, amount: int)`"
    if name in TYPES:
        return f"write `{name}` alone"
    known = FOREIGN_TYPES.get(name.lower())
    found = f"did you mean `{known}`?" if known else similar(name, TYPES)
    return found or f"types are: {', '.join(TYPES[:-3])}, decimal(p, s), list(type), struct(name: type, …)"


def similar(word: str, choices: "tuple[str, ...] | list[str]") -> str:
    close = difflib.get_close_matches(word.lower()[:40], choices, 1, 0.6)
    return f"did you mean `{close[0]}`?" if close else ""


def listed(expected: set[str], whole: str) -> str:
    """The few things that a person would think of, not all that the grammar allows."""
    words: list[str] = []
    rest = set(expected)
    if {"STEP", "SOURCE"} <= rest:
        rest -= {each.upper() for each in STATEMENTS}
    if rest >= BEGINS:
        words.append("an expression")
        rest &= {"RPAR", "RSQB", "RBRACE"}
    elif len(rest & CONTINUES) > 3:
        words.append("an operator")
        rest &= {"COMMA", "RPAR", "RSQB", "RBRACE", "VBAR", "LBRACE", "GIVES", "AND", "AS", "BRING"}
    words += [shown for each in sorted(rest) if (shown := WORDS.get(each, f"`{each.lower()}`"))]
    if rest == expected and "$END" in rest and words:
        words.append(f"the end of the {whole}")
    words = list(dict.fromkeys(words))[:7] or [f"the end of the {whole}"]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]
