"""URLs: merged by their parts, and the text always tells what the parts say."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from kafkaman_sync.model.merge.parts import (
    ABSENT,
    ClashError,
    Manner,
    Part,
    Rule,
    same,
    settle,
    whole,
)
from kafkaman_sync.model.merge.structures import anything, by_key, items, merge_pieces
from kafkaman_sync.model.urls import join_url, parse_url
from kafkaman_sync.model.values import Value, encode_value

_Url = dict[str, Value]


def url_rule(parameter: Rule) -> Rule:
    """Return the rule for URLs, be they text or parts, whose parameters are merged by `parameter`.

    Host and port belong together. Path segments are merged one by one, parameters by name. A text
    beside the parts is made anew from what they have become.
    """
    parts = by_key(
        {
            "host": whole,
            "port": whole,
            "path": _path,
            "query": items(("key",), parameter, repeatable=True),
            "variable": items(("key", "id"), parameter),
        }
    )

    def rule(manner: Manner, base: Part, mine: Part, theirs: Part) -> Part:
        known, ours, others = _lift(base), _lift(mine), _lift(theirs)
        if ours is None or others is None:
            return anything(manner, base, mine, theirs)
        if isinstance(mine, str) and isinstance(theirs, str):
            return _merge_text(parts, manner, (known or {}).get("raw"), mine, theirs)
        return _merge_parts(parts, manner, known or {}, ours, others)

    return rule


def _lift(url: Part) -> _Url | None:
    if isinstance(url, str):
        return {"raw": url, **parse_url(url)}
    return url if isinstance(url, dict) else None


def _merge_text(rule: Rule, manner: Manner, base: Part, mine: Part, theirs: Part) -> str:
    """Merge texts by their parts, if all of them, and the result, can be taken apart in one way."""
    texts = [text for text in (base, mine, theirs) if isinstance(text, str)]
    parsed = [parse_url(text) for text in texts]
    if len(texts) < 3 or [join_url(parts) for parts in parsed] != texts:
        raise ClashError
    _check_origin(*parsed)
    merged = settle(rule, manner, *parsed)
    assert isinstance(merged, dict)
    merged = {key: value for key, value in merged.items() if value != []}
    text = join_url(merged)
    if encode_value(parse_url(text)) != encode_value(merged):
        raise ClashError
    return text


def _merge_parts(rule: Rule, manner: Manner, *urls: _Url) -> _Url:
    _check_origin(*urls)
    without = [{key: value for key, value in url.items() if key != "raw"} for url in urls]
    merged = settle(rule, manner, *without)
    assert isinstance(merged, dict)
    texts = [url.get("raw", ABSENT) for url in urls]
    if texts[1] is ABSENT and texts[2] is ABSENT:
        return merged
    raw = _tell(rule, manner, without, merged, texts)
    return merged if raw is ABSENT else {"raw": raw, **merged}


def _check_origin(*urls: _Url) -> None:
    """Raise ClashError when both sides changed host and port, and not to the same."""
    parts: list[_Url] = [{key: url[key] for key in ("host", "port") if key in url} for url in urls]
    settle(whole, Manner(), *[join_url(each) for each in parts])


def _tell(rule: Rule, manner: Manner, urls: list[_Url], merged: _Url, texts: list[Part]) -> Part:
    """Return the text of merged parts; some clients leave out what is switched off, some do not."""
    for disabled in (False, True):
        tell = partial(join_url, disabled=disabled)
        if all(text in (ABSENT, tell(url)) for text, url in zip(texts[1:], urls[1:], strict=True)):
            return tell(merged)
    # One of the texts says something else than its parts, so none can be made from them. It stays
    # where the parts have become those of its side and the other side has not touched it.
    told = join_url(merged)
    mine, theirs = (join_url(url) == told for url in urls[1:])
    if mine and theirs:
        return _merge_raw(rule, manner, told, texts)
    if mine and same(texts[0], texts[2]):
        return texts[1]
    if theirs and same(texts[0], texts[1]):
        return texts[2]
    raise ClashError


def _merge_raw(rule: Rule, manner: Manner, told: str, texts: list[Part]) -> Part:
    def text_rule(manner: Manner, base: Part, mine: Part, theirs: Part) -> Part:
        if isinstance(mine, str) and isinstance(theirs, str):
            return _merge_text(rule, manner, base, mine, theirs)
        raise ClashError

    return settle(whole if told else text_rule, manner, *texts)


def _path(manner: Manner, base: Part, mine: Part, theirs: Part) -> Part:
    """The rule for paths. Two segments in the place of one would be another path: never both."""
    return merge_pieces("/", replace(manner, both=False), base, mine, theirs)
