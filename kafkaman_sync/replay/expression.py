r"""Expressions: what `--where` and the stepper's breakpoints ask of an event.

    device == laptop and (action in (delete, purge) or fields contains "url")
    field.body.raw matches "\"amount\": [0-9]{4,}" and at > 2h
    before.url != after.url and not kind == folder

An expression is read by the grammar below, its names are looked up and its types are checked before
the first event is looked at. `str(expression)` is its canonical spelling, which reads back as the
same expression. What the names say of an event stands in `terms`, what the signs mean in
`conditions`; docs/replay.md tells people.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from lark import Lark, Token, Tree, UnexpectedInput, UnexpectedToken

from kafkaman_sync.errors import UsageError
from kafkaman_sync.model.moments import parse_moment
from kafkaman_sync.replay.conditions import (
    Both,
    Comparison,
    Condition,
    Contains,
    Either,
    Exists,
    Flag,
    Literal,
    Matches,
    Named,
    Not,
    Operand,
    Within,
    quoted,
)
from kafkaman_sync.replay.patterns import Pattern, PatternError
from kafkaman_sync.replay.terms import CHOICES, TERMS, Moment, Sort, field_term

__all__ = ["GRAMMAR", "Expression", "Moment", "parse_expression"]

EXPRESSION_CHARS_MAX: Final = 4000
# Deeper than anybody nests by hand, and far from the depth that Python can recurse to.
DEPTH_MAX: Final = 50

GRAMMAR: Final = r"""
?start: either
?either: both ("or" both)*
?both: inverse ("and" inverse)*
?inverse: "not" inverse -> negation
    | "(" either ")"
    | test
?test: operand SIGN operand -> comparison
    | operand "contains" operand -> contains
    | operand "matches" STRING -> matches
    | operand "in" several -> within
    | operand "not" "in" several -> without
    | operand "exists" -> exists
    | operand -> flag
several: "(" operand ("," operand)* ")"
?operand: PATH | STRING | WORD

SIGN: "==" | "!=" | "<=" | ">=" | "<" | ">"
STRING: /"(?:[^"\\]|\\.)*"/s | /'(?:[^'\\]|\\.)*'/s
PATH.2: /(?:field|before|after)(?:\.(?:[\w-]+|"(?:[^"\\]|\\.)*"))+/s
WORD: /-?\w[\w.:+-]*/

%ignore /[ \t\r\n]+/
"""

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_STEP: Final = re.compile(r'\.(?:([\w-]+)|("(?:[^"\\]|\\.)*"))', re.DOTALL)
_PLAIN: Final = re.compile(r"[\w-]+")
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r"}
_WORDS: Final = {"true": (Sort.FLAG, True), "false": (Sort.FLAG, False), "null": (Sort.NULL, None)}
_TIME_MAX: Final = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000)
_IN_ORDER: Final = frozenset({Sort.NUMBER, Sort.TIME, Sort.TEXT, Sort.ANY})
_TEXTUAL: Final = frozenset({Sort.TEXT, Sort.KNOWN, Sort.WRITTEN, Sort.ANY})
_EXAMPLE: Final = 'For example: action == update and fields contains "url".'
_FIELD_HINT: Final = "A field is named as in field.url, before.url or after.url."


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition on an event and the state of its entity before and after it."""

    condition: Condition

    def matches(self, moment: Moment) -> bool:
        """Tell whether it holds of a moment."""
        return self.condition.holds(moment)

    @property
    def needs_state(self) -> bool:
        """Whether it looks at the entity before or after the event."""
        return any(each.term.needs_state for each in self._names())

    @property
    def needs_kind(self) -> bool:
        """Whether it asks for the entity's kind, which only the event of its creation tells."""
        return any(each.term.needs_kind for each in self._names())

    @property
    def needs_event(self) -> bool:
        """Whether it asks for more of the event than what came of it."""
        return any(each.term.of_event for each in self._names())

    def _names(self) -> list[Named]:
        return [each for each in self.condition.operands() if isinstance(each, Named)]

    def __str__(self) -> str:
        return str(self.condition)


def parse_expression(text: str, now: datetime | None = None) -> Expression:
    """Read an expression; times in it are told from `now`, the local time unless given.

    Raises UsageError `usage.expression`, which names the place, for anything else.
    """
    if len(text) > EXPRESSION_CHARS_MAX:
        raise _wrong(
            f"It has {len(text):,} characters; allowed are {EXPRESSION_CHARS_MAX:,}.", text, 0
        )
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise _unreadable(text, error) from error
    return Expression(_Reader(text, now or datetime.now().astimezone()).condition(tree))


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True)


class _Reader:
    """Makes conditions of a syntax tree."""

    def __init__(self, text: str, now: datetime) -> None:
        self._text = text
        self._now = now

    def condition(self, tree: Tree[Token], depth: int = 0) -> Condition:
        if depth > DEPTH_MAX:
            raise self._wrong(f"It is nested more than {DEPTH_MAX} levels deep.", tree)
        children: list[Any] = tree.children
        match tree.data:
            case "either" | "both":
                return _joined(tree.data, [self.condition(each, depth + 1) for each in children])
            case "negation":
                return Not(self.condition(children[0], depth + 1))
            case "comparison":
                return self._comparison(*children)
            case "contains":
                return self._contains(*children)
            case "matches":
                return self._matches(*children)
            case "within" | "without":
                found = self._within(children[0], children[1].children)
                return found if tree.data == "within" else Not(found)
            case "exists":
                return Exists(self._named(children[0]))
            case _:
                return self._flag(children[0])

    def _comparison(self, left: Token, sign: Token, right: Token) -> Condition:
        one, other = self._pair(left, right)
        if sign in ("==", "!="):
            self._check_equal(one, other, right)
        elif not {one.sort, other.sort} <= _IN_ORDER:
            sort = one.sort if one.sort not in _IN_ORDER else other.sort
            raise self._wrong(f"{sort.value.capitalize()} is neither less nor greater.", sign)
        else:
            self._check_equal(one, other, right)
        return Comparison(one, str(sign), other)

    def _contains(self, left: Token, right: Token) -> Condition:
        one = self._named(left)
        if one.sort not in _TEXTUAL:
            raise self._wrong(f"{one} is {one.sort.value}, which contains nothing.", left)
        other = self._operand(right, Sort.TEXT if one.sort is Sort.KNOWN else one.sort)
        if other.sort is not Sort.ANY and one.sort is not Sort.ANY and other.sort is not Sort.TEXT:
            raise self._wrong(f"{one} contains text only.", right, "Put it in quotes.")
        return Contains(one, other)

    def _matches(self, left: Token, right: Token) -> Condition:
        one, text = self._named(left), _unquoted(right)
        if one.sort not in (*_TEXTUAL, *CHOICES):
            raise self._wrong(f"{one} is {one.sort.value}, which no pattern describes.", left)
        try:
            return Matches(one, text, Pattern(text))
        except PatternError as error:
            raise self._wrong(
                f"The pattern cannot be used: {error}.",
                right,
                "It is a regular expression of RE2: without back references and look-around.",
            ) from error

    def _within(self, left: Token, several: list[Token]) -> Condition:
        one = self._named(left)
        found = []
        for token in several:
            other = self._operand(token, one.sort)
            self._check_equal(one, other, token)
            found.append(other)
        return Within(one, tuple(found))

    def _flag(self, token: Token) -> Condition:
        one = self._named(token)
        if one.sort not in (Sort.FLAG, Sort.ANY):
            raise self._wrong(
                f"{one} is {one.sort.value}: what about it?",
                token,
                f"Compare it ({one} == ...), or ask whether it exists ({one} exists).",
            )
        return Flag(one)

    def _pair(self, left: Token, right: Token) -> tuple[Operand, Operand]:
        """Read both sides: what a word stands for is told by the name on the other side."""
        if self._is_name(right) and not self._is_name(left):
            other = self._named(right)
            return self._operand(left, other.sort), other
        one = self._named(left)
        return one, self._operand(right, one.sort)

    @staticmethod
    def _is_name(token: Token) -> bool:
        return token.type == "PATH" or (token.type == "WORD" and token in TERMS)

    def _named(self, token: Token) -> Named:
        if token.type == "PATH":
            whose, *steps = _path(str(token))
            text = ".".join([whose, *map(_step_text, steps)])
            return Named(text, field_term(whose, steps[0], tuple(steps[1:])))
        term = TERMS.get(str(token)) if token.type == "WORD" else None
        if term is not None:
            return Named(str(token), term)
        if str(token).partition(".")[0] in ("field", "before", "after"):
            raise self._wrong("Which field?", token, _FIELD_HINT)
        close = get_close_matches(str(token), TERMS, n=2, cutoff=0.6)
        known = f"Did you mean {' or '.join(close)}?" if close else _known()
        raise self._wrong(f"{_excerpt(str(token))} is no name.", token, known)

    def _operand(self, token: Token, sort: Sort) -> Operand:
        """Read an operand that stands opposite one of `sort`."""
        if self._is_name(token):
            return self._named(token)
        if sort is Sort.TIME:
            return self._time(token)
        if token.type == "STRING":
            return Literal(Sort.TEXT, _unquoted(token))
        word = str(token)
        if sort is Sort.KNOWN or word in CHOICES.get(sort, ()):
            return Literal(Sort.TEXT, word)
        if word in _WORDS:
            return Literal(*_WORDS[word])
        if _NUMBER.fullmatch(word):
            whole, _, rest = word.partition(".")
            rest = rest.rstrip("0")
            return Literal(Sort.NUMBER, Decimal(f"{whole}.{rest}") if rest else int(whole))
        if sort in CHOICES:
            raise self._no_choice(word, sort, token)
        raise self._wrong(
            f"{_excerpt(word)} is no name.",
            token,
            f'Text stands in quotes: "{_excerpt(word)}". {_known()}',
        )

    def _time(self, token: Token) -> Literal:
        text = _unquoted(token) if token.type == "STRING" else str(token)
        try:
            at = parse_moment(text, self._now)
        except UsageError as error:
            raise self._wrong(f"{_excerpt(text)} is no time.", token, error.hint) from error
        if not isinstance(at, datetime):
            raise self._wrong(
                f"{at} is no time.", token, "Compare a place in the log with seq instead."
            )
        since = at - datetime(1970, 1, 1, tzinfo=UTC)
        return Literal(Sort.TIME, min(max(since // timedelta(milliseconds=1), 0), _TIME_MAX))

    def _check_equal(self, one: Operand, other: Operand, token: Token) -> None:
        """Raise where two operands can never be equal, whatever the event."""
        sorts = {one.sort, other.sort}
        if Sort.WRITTEN in sorts:
            raise self._wrong(
                "There may be many fields.", token, 'Ask whether one is there: fields contains "x".'
            )
        for choice in CHOICES.keys() & sorts:
            for each in (one, other):
                if isinstance(each, Literal) and each.literal not in CHOICES[choice]:
                    raise self._no_choice(each.literal, choice, token)
            return
        known = Sort.KNOWN in sorts and sorts <= {Sort.KNOWN, Sort.TEXT}
        if len(sorts) > 1 and Sort.ANY not in sorts and not known:
            raise self._wrong(
                f"{one} is {one.sort.value}, and {other} is {other.sort.value}.", token
            )

    def _no_choice(self, word: object, sort: Sort, token: Token) -> UsageError:
        return self._wrong(
            f"{_excerpt(str(word))} is not {sort.value}.",
            token,
            f"There are: {', '.join(sorted(CHOICES[sort]))}.",
        )

    def _wrong(self, why: str, where: Token | Tree[Token], hint: str = "") -> UsageError:
        position = where.start_pos if isinstance(where, Token) else where.meta.start_pos
        return _wrong(why, self._text, position or 0, hint)


def _joined(how: str, parts: list[Condition]) -> Condition:
    """Join conditions; what is joined the same way inside is taken apart first."""
    kind = Either if how == "either" else Both
    flat: list[Condition] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, kind) else [part])
    return kind(tuple(flat))


def _unreadable(text: str, error: UnexpectedInput) -> UsageError:
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        end = len(text.rstrip())
        return _wrong("It ends too early." if end else "It is empty.", text[:end], end)
    place: int = vars(error)["pos_in_stream"]
    character = text[place]
    if character in "\"'":
        return _wrong("The text that begins here does not end.", text, place, "Add the quote.")
    hint = {"=": "Write == to compare.", "&": "Write and.", "|": "Write or.", "!": "Write not."}
    return _wrong("This was not expected here.", text, place, hint.get(character, ""))


def _wrong(why: str, text: str, place: int, hint: str = "") -> UsageError:
    rest = text[place : place + 20]
    where = f"column {place + 1}" + (f", at {rest!r}" if rest else "")
    return UsageError(
        f"The expression is wrong in {where}: {why}",
        code="usage.expression",
        hint=hint or _EXAMPLE,
        column=place + 1,
    )


def _known() -> str:
    return f"There are {', '.join(TERMS)}, field.NAME, before.NAME and after.NAME."


def _excerpt(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."


def _unquoted(token: str) -> str:
    """Return the text of a string; a backslash before what is no escape stands for itself."""
    return _ESCAPE.sub(_unescape, token[1:-1])


def _unescape(found: re.Match[str]) -> str:
    escaped = found[1]
    if len(escaped) == 5:
        return chr(int(escaped[1:], 16))
    if escaped in "\\\"'/":
        return escaped
    return _ESCAPED.get(escaped, f"\\{escaped}")


def _path(text: str) -> list[str]:
    whose, _, _ = text.partition(".")
    steps = [
        found[1] if found[1] is not None else _unquoted(found[2])
        for found in _STEP.finditer(text, len(whose))
    ]
    return [whose, *steps]


def _step_text(step: str) -> str:
    return step if _PLAIN.fullmatch(step) else quoted(step)
