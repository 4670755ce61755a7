"""What lark could not read, in words a person can use."""

import difflib
import re

from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

OPERATIONS = (
    "where", "derive", "select", "drop", "rename", "cast", "left join", "inner join", "full join", "semi join", "anti join",
    "cross join", "asof join", "lookup", "group", "window", "sort", "take", "distinct", "dedupe", "union", "unnest",
    "pivot", "unpivot", "sample", "fill", "sql",
)  # fmt: skip
STATEMENTS = ("param", "source", "fn", "step", "expect", "sink", "test")
WORDS = {
    "NAME": "a name", "QUOTED": "", "STRING": "a text in quotes", "TRIPLE": 'SQL in """', "NUMBER": "a number", "MOMENT": "",
    "DURATION": "", "ROW": "a table row", "COMPARE": "a comparison", "PLUS": "`+`", "TIMES": "`*`", "VBAR": "`|`",
    "EQUAL": "`=`", "COMMA": "`,`", "COLON": "`:`", "DOT": "`.`", "LPAR": "`(`", "RPAR": "`)`", "LSQB": "`[`",
    "RSQB": "`]`", "LBRACE": "`{`", "RBRACE": "`}`", "AT": "", "MINUS": "`-`", "PERCENT": "`%`", "__ANON_0": "`->`",
    "__ANON_1": "`..`", "__ANON_2": "`??`", "__ANON_3": "`=>`", "$END": "the end of the statement",
}  # fmt: skip
EXPRESSION = {"MOMENT", "DURATION", "AT", "STRING", "LPAR", "CASE"}
CONTINUES = {"PLUS", "TIMES", "COMPARE", "MINUS", "PERCENT", "DIV", "AND", "OR", "IS", "IN", "NOT", "BETWEEN", "DOT"}


def complain(error: UnexpectedInput, text: str) -> tuple[str, str, str]:
    """Code, message and hint."""
    if isinstance(error, UnexpectedCharacters):
        return _character(text[error.pos_in_stream :], set(error.allowed or ()))
    expected = set(getattr(error, "accepts", None) or getattr(error, "expected", ()) or ())
    token = error.token if isinstance(error, UnexpectedToken) else None
    if token is None or token.type == "$END":
        wanted = expected - {"COMMA"} if {"RPAR", "RSQB", "RBRACE"} & expected else expected
        return "E107", f"the statement ends too early: {listed(wanted)} is missing", _closing(text)
    return _word(str(token), token.type, expected)


def _character(rest: str, expected: set[str]) -> tuple[str, str, str]:
    if rest.startswith('"'):
        return "E105", "this text is not closed", 'write `"` at its end; a quote inside is `\\"`'
    if rest.startswith("`"):
        return "E105", "this name is not closed", "write a backquote at its end"
    if rest.startswith("="):
        return "E106", "`=` does not compare", "write `==` to compare"
    word = re.match(r"\w+", rest)
    if word:
        return _word(word[0], "NAME", expected)
    return "E106", f"`{rest[:1]}` does not belong here: expected {listed(expected)}", ""


def _word(word: str, kind: str, expected: set[str]) -> tuple[str, str, str]:
    shown = word.split("\n")[0][:40]
    if {"WHERE", "DERIVE"} <= expected:
        return (
            "E108",
            f"unknown operation `{shown}`",
            similar(shown, OPERATIONS) or f"operations are: {', '.join(OPERATIONS)}",
        )
    begins = {"STEP", "SOURCE"} <= expected or ("$END" in expected and similar(shown, STATEMENTS))
    if begins and kind == "NAME" and not CONTINUES & expected:
        statements = f"statements are: {', '.join(STATEMENTS)}"
        return "E109", f"`{shown}` begins no statement", similar(shown, STATEMENTS) or statements
    if word == "=" and "COMPARE" in expected:
        return "E106", "`=` does not compare", "write `==` to compare"
    hint = ""
    if kind == "NAME" and (keywords := [each.lower() for each in expected if each.isalpha() and each not in WORDS]):
        hint = similar(shown, keywords)
    return "E106", f"`{shown}` does not belong here: expected {listed(expected)}", hint


def similar(word: str, choices: "tuple[str, ...] | list[str]") -> str:
    close = difflib.get_close_matches(word.lower(), choices, 1, 0.6)
    return f"did you mean `{close[0]}`?" if close else ""


def listed(expected: set[str]) -> str:
    """The few things that a person would think of, not all that the grammar allows."""
    words: list[str] = []
    if expected >= EXPRESSION:
        words.append("an expression")
    elif expected >= CONTINUES:
        words.append("an operator")
        words += [WORDS[each] for each in ("COMMA", "RPAR", "RSQB", "RBRACE", "VBAR", "LBRACE") if each in expected]
    else:
        for each in sorted(expected):
            name = WORDS.get(each, f"`{each.lower()}`")
            if name:
                words.append(name)
    if {"STEP", "SINK", "SOURCE"} <= expected:
        words = [each for each in words if each.strip("`") not in STATEMENTS]
        words.append("the next statement")
    words = list(dict.fromkeys(words))[:6] or ["something else"]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _closing(text: str) -> str:
    bare = re.sub(r'#[^\n]*|"(?:\\.|[^"\\\n])*"', "", text)
    for opening, closing in ("{}", "()", "[]"):
        if bare.count(opening) > bare.count(closing):
            return f"a `{opening}` is not closed"
    return ""
