"""Random texts of the language, made from its grammar: whatever the grammar allows comes up, sooner or later."""

import random
from functools import cache

from lark import Lark
from lark.grammar import NonTerminal, Rule, Symbol

from apps.language.parser import GRAMMAR, STARTS

SAMPLES = {
    "NAME": ["a", "b", "amount", "step", "order", "left", "by", "ü", "given", "then", "with", "columns", "rows", "max"],
    "QUOTED": ["`a`", "`odd name`", "`# no comment`", "`|`", '`"`'],
    "STRING": ['""', '"text"', '"# no comment"', r'"a \" \\ \n | { ( "', '"ä 漢字"'],
    "TRIPLE": ['"""select 1"""', '"""\nselect \'#\' -- "\n  from x  \n"""'],
    "NUMBER": ["1", "20", "1_000"],
    "MOMENT": ["2026-01-01", "2026-01-01 10:00", "2026-02-03T04:05:06.789"],
    "DURATION": ["5m", "1_000d", "250ms"],
    "ROW": ["| a |", "| `a b` |", "|   b|"],
    "COMPARE": ["==", "!=", "<", "<=", ">", ">="],
    "PLUS": ["+"],
    "TIMES": ["*", "/"],
}
# Kinds of text for which the grammar allows more than the language does.
RULES = {"type": ["int", "decimal(12, 2)", "list( struct(a :int,b: text))", "timestamptz"]}
COMMENTS = ["# note", "#", '# "quoted" | {', "# step x = = y"]


class Sentences:
    """Makes texts from one stream of random numbers, so that a text can be made again."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.room = 0

    def flow(self) -> list[str]:
        """The tokens of a text with a few statements."""
        found: list[str] = []
        for part in ["header", *["statement"] * self.dice.randint(1, 5)]:
            self.room = 40
            found += self.tokens(NonTerminal(part))
        return found

    def tokens(self, symbol: Symbol) -> list[str]:
        if symbol.is_term:
            self.room -= 1
            return [self.dice.choice(SAMPLES.get(symbol.name) or [literals()[symbol.name]])]
        name = str(symbol.name)
        if name in RULES:
            return [self.dice.choice(RULES[name])]
        room = self.room
        if name == "operation":
            self.room = 20
        chosen = self.dice.choice(self.choices(name))
        found = [token for each in chosen.expansion for token in self.tokens(each)]
        if name == "operation":
            self.room = room - 8
        return found

    def choices(self, name: str) -> list[Rule]:
        """What a rule may become: the shortest where there is no room left, else lists rather longer than not."""
        choices = rules()[name]
        if name == "branch" and self.dice.random() < 0.97:
            choices = [each for each in choices if each.alias != "otherwise"]  # it may stand but once, and last
        if name == "assign" and self.dice.random() < 0.8:
            choices = [each for each in choices if each.alias == "named"]
        if name == "table":
            return choices[:1]
        if self.room <= 0:
            least = min(heights()[each] for each in choices)
            return [each for each in choices if heights()[each] == least]
        longest = max(len(each.expansion) for each in choices)
        if name == "step" or ("_star_" in name and self.dice.random() < 0.7):
            choices = [each for each in choices if len(each.expansion) == longest]
        return choices

    def written(self, tokens: list[str], comments: float = 0.1) -> str:
        """The tokens with random space between them; `comments` is the share of places that have one."""
        pieces: list[str] = []
        for token in tokens:
            space = self.dice.choice([" ", " ", " ", "\n", "\n  ", "\n\n\n", "\t"])
            if self.dice.random() < comments:
                space = self.dice.choice([" ", "\n", "\n\n"]) + self.dice.choice(COMMENTS) + "\n"
            is_row = token.startswith("|") and len(token) > 1
            pieces += ["\n" if is_row and "\n" not in space else "", space, token]
            if is_row:
                pieces.append(self.dice.choice(["", "  ", " # behind a row"]) + "\n")
        return "".join(pieces).lstrip(" \t") + self.dice.choice(["", "\n", "\n# the end", "\n\n\n"])


@cache
def grammar() -> Lark:
    return Lark(GRAMMAR.read_text(encoding="utf-8"), parser="lalr", start=STARTS)


@cache
def rules() -> dict[str, list[Rule]]:
    found: dict[str, list[Rule]] = {}
    for rule in grammar().rules:
        found.setdefault(str(rule.origin.name), []).append(rule)
    return found


@cache
def literals() -> dict[str, str]:
    return {each.name: each.pattern.value for each in grammar().terminals}


@cache
def heights() -> dict[Rule, float]:
    """How many levels each rule needs at least until only tokens are left."""
    found: dict[Rule, float] = {each: float("inf") for each in grammar().rules}
    for _ in range(60):
        for rule in found:
            inner = [
                min(found[each] for each in rules()[str(symbol.name)])
                for symbol in rule.expansion
                if not symbol.is_term
            ]
            found[rule] = 1 + max(inner, default=0)
    return found
