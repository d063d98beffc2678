"""Collections of the versions 2.1 and 2.0: a tree of folders, requests and saved responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from kafkaman_sync.errors import FormatError
from kafkaman_sync.formats import dialect
from kafkaman_sync.formats.draft import CHILDREN_KEY, Draft, Value, as_map, as_names, title
from kafkaman_sync.formats.limits import ENTITY_LEVELS_MAX
from kafkaman_sync.formats.shape import Fields, ordered, read_fields, shape, write_fields
from kafkaman_sync.formats.warnings import Warnings

V2_1: Final = "collection.v2.1"
V2_0: Final = "collection.v2.0"
SCHEMA_URLS: Final = {
    V2_1: "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
    V2_0: "https://schema.getpostman.com/json/collection/v2.0.0/collection.json",
}

_COMMON: Final = "event variable=variable|variables protocolProfileBehavior"
_SHAPES: Final = {
    "collection": shape(
        "name=info.name|name description=info.description|description version=info.version"
        f" id=info.id|id _postman_id=info._postman_id|_postman_id auth {_COMMON}",
        section="info",
        children="item",
        order="info _postman_id id name description version schema item auth event variable",
    ),
    "folder": shape(
        f"name description id _postman_id auth {_COMMON}",
        children="item",
        order="id _postman_id name description item auth event variable",
    ),
    "request": shape(
        "name=name|request.name description=request.description|description id _postman_id"
        " method=request.method url=request.url header=request.header body=request.body"
        " auth=request.auth|auth proxy=request.proxy certificate=request.certificate " + _COMMON,
        section="request",
        children="response",
        bare="url",
        order="id _postman_id name event auth method header body url description request response",
    ),
    "response": shape(
        "name id _postman_id originalRequest status code _postman_previewlanguage header cookie"
        " responseTime timings body",
        order="id _postman_id name originalRequest status code _postman_previewlanguage"
        " responseTime timings header cookie body",
    ),
}


@dataclass(slots=True)
class _Node:
    """An entity being read: its draft is built when all below it are."""

    kind: str
    fields: Fields
    parent: _Node | None = None
    index: int = 0
    level: int = 0
    children: list[_Node] = field(default_factory=list)

    def path(self) -> str:
        steps: list[str] = []
        node = self
        while node.parent is not None:
            steps.append(f"{CHILDREN_KEY[node.parent.kind]}[{node.index}]")
            node = node.parent
        return ".".join(reversed(steps))

    def oddity(self) -> str:
        return f"{self.path()} is not an object; it is kept as it is."


def read_collection(document: Fields, version: str, warnings: Warnings) -> Draft:
    """Read a collection object (without any wrapper) into a draft tree."""
    rest = dict(document)
    info = rest.get("info")
    source: Fields = {} if version == V2_1 else {"format": version}
    lacks: list[Value] = []
    if isinstance(info, dict):
        rest["info"] = {key: value for key, value in info.items() if key != "schema"}
        if "schema" not in info:
            lacks.append("info.schema")
        elif info["schema"] != SCHEMA_URLS[version]:
            source["schema"] = info["schema"]
    root = _Node("collection", read_fields(_SHAPES["collection"], rest))
    noted = as_map(root.fields.get("source"))
    lacks += as_names(noted.get("absent"))
    source = {**noted, **source, **({"absent": lacks} if lacks else {})}
    if source:
        root.fields["source"] = source
    return _grow(root, document.get("item"), warnings)


def _grow(root: _Node, items: Value, warnings: Warnings) -> Draft:
    nodes = [root]
    pending = [(root, items)]
    while pending:
        parent, elements = pending.pop()
        for index, element in enumerate(elements if isinstance(elements, list) else ()):
            node, below = _read_one(parent, element)
            node.parent, node.index, node.level = parent, index, parent.level + 1
            if node.level > ENTITY_LEVELS_MAX:
                raise FormatError(
                    f"Folders nest deeper than {ENTITY_LEVELS_MAX} levels: {node.path()[:60]}...",
                    code="format.too_deep",
                    hint="Move the innermost folders up, then export and import again.",
                )
            if not isinstance(element, dict):
                warnings.add(node.oddity)
            parent.children.append(node)
            nodes.append(node)
            pending.append((node, below))
    drafts: dict[int, Draft] = {}
    for node in reversed(nodes):  # a parent comes before its children, so this ends at the root
        below_it = tuple(drafts.pop(id(child)) for child in node.children)
        drafts[id(node)] = Draft(node.kind, node.fields, below_it)
    return drafts[id(root)]


def _read_one(parent: _Node, element: Value) -> tuple[_Node, Value]:
    """Read one element of a list of items or responses; answer it and its children, unread."""
    members = as_map(element)
    if parent.kind == "request":
        kind, below = "response", None
    elif isinstance(members.get("item"), list) or ("item" in members and "request" not in members):
        kind, below = "folder", members["item"]
    else:
        kind, below = "request", members.get("response")
    return _Node(kind, read_fields(_SHAPES[kind], element)), below


def write_collection(root: Draft, version: str | None) -> Value:
    """Write a collection, or a folder, request or response inside a collection of its own.

    Without a version it is written as it came in. Another version than that converts it.
    """
    root = _as_collection(root)
    source = as_map(root.fields.get("source"))
    came_in = V2_0 if source.get("format") == V2_0 else V2_1
    target = version or came_in
    if target not in SCHEMA_URLS:
        raise FormatError(
            f"A collection cannot be written as {target}.",
            code="format.unknown",
            hint=f"Choose one of: {', '.join(SCHEMA_URLS)}.",
        )
    document = as_map(_write_tree(root, target if target != came_in else None))
    info = document.get("info")
    lacks = as_names(source.get("absent"))
    if not isinstance(info, dict):
        return document
    schema: Value = SCHEMA_URLS[target]
    if target == came_in:
        schema = source.get("schema", schema)
    if target != came_in or "info.schema" not in lacks:
        info = {**info, "schema": schema}
    if (
        "name" not in root.fields and "name" not in source
    ):  # made by hand: the format demands a name
        info["name"] = title(root)
    return {**document, "info": ordered(info, _SHAPES["collection"].order)}


def _write_tree(root: Draft, target: str | None) -> Value:
    visited: list[tuple[Draft, list[Value]]] = []  # each with its parent's list of children
    lists: list[list[Value]] = []
    written: list[Value] = []
    pending: list[tuple[Draft, list[Value]]] = [(root, written)]
    while pending:
        draft, siblings = pending.pop()
        children: list[Value] = []
        visited.append((draft, siblings))
        lists.append(children)
        pending.extend((child, children) for child in draft.children)
    for (draft, siblings), children in zip(reversed(visited), reversed(lists), strict=True):
        if draft.kind not in _SHAPES:
            raise FormatError(
                f"A {draft.kind} has no place in a collection file.", code="format.invalid"
            )
        fields = draft.fields if target is None else dialect.convert(draft, target == V2_1)
        siblings.append(write_fields(_SHAPES[draft.kind], fields, children))
    return written[0]


def _as_collection(draft: Draft) -> Draft:
    if draft.kind == "response":
        fields: Fields = {"name": title(draft)}
        original = draft.fields.get("originalRequest")
        if isinstance(original, str):
            fields["url"] = original
        elif isinstance(original, dict):
            taken = read_fields(_SHAPES["request"], {"request": original, "response": []})
            fields = {**taken, "name": title(draft)}
        draft = Draft("request", fields, (draft,))
    if draft.kind in ("folder", "request"):
        draft = Draft("collection", {"name": title(draft)}, (draft,))
    return draft
