"""What the tests of the formats share: comparing JSON strictly, and odd documents to import."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from kafkaman_sync.formats import Draft, render
from kafkaman_sync.model.values import decode_value, encode_value

JSON = Any


def same_json(left: bytes, right: bytes) -> bool:
    """Tell whether two UTF-8 files hold the same JSON; numbers by value, `true` is not 1."""
    read: Callable[[bytes], JSON] = lambda data: json.loads(  # noqa: E731
        data.decode("utf-8-sig"), parse_float=Decimal, parse_int=Decimal
    )
    return same_value(read(left), read(right))


def same_value(left: JSON, right: JSON) -> bool:
    """Compare two JSON values strictly, to any depth."""
    pending = [(left, right)]
    while pending:
        one, other = pending.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, dict):
            if one.keys() != other.keys():
                return False
            pending.extend((one[key], other[key]) for key in one)
        elif isinstance(one, list):
            if len(one) != len(other):
                return False
            pending.extend(zip(one, other, strict=True))
        elif one != other:
            return False
    return True


def through_the_model(draft: Draft) -> Draft:
    """Take each field through the bytes in which a workspace keeps it."""
    fields = {name: decode_value(encode_value(value)) for name, value in draft.fields.items()}
    return Draft(draft.kind, fields, tuple(map(through_the_model, draft.children)))


@pytest.fixture
def collection() -> Callable[..., bytes]:
    """Make the bytes of a 2.1 collection from its items and other root keys."""

    def make(*items: JSON, **others: JSON) -> bytes:
        url = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
        document = {"info": {"name": "C", "schema": url}, "item": list(items), **others}
        return json.dumps(document).encode()

    return make


@pytest.fixture
def shown() -> Callable[..., JSON]:
    """Give what a draft is exported as, read again."""
    return lambda draft, **options: json.loads(render(draft, **options))


@pytest.fixture
def strictly_same() -> Callable[[bytes, bytes], bool]:
    return same_json


@pytest.fixture
def stored() -> Callable[[Draft], Draft]:
    return through_the_model
