"""Hypothesis strategies for everything that the protocol carries."""

from __future__ import annotations

from hypothesis import strategies as st

from kafkaman_sync.model.changes import (
    Action,
    Change,
    ConflictCode,
    Disagreement,
    Event,
    FieldEdit,
    Refusal,
    Verdict,
)
from kafkaman_sync.model.entities import ROOT, Entity, Field, Kind, Place
from kafkaman_sync.model.limits import INTEGER_MAX, RETRY_AFTER_SECONDS_MAX
from kafkaman_sync.protocol.messages import (
    Call,
    Checkpoint,
    Entities,
    EpochStart,
    Events,
    Goodbye,
    Hello,
    Message,
    Notice,
    Position,
    Push,
    Reply,
    Resend,
    Verdicts,
    Welcome,
    WorkspaceHead,
)

ids = st.text("0123456789abcdef", min_size=32, max_size=32)
counts = st.integers(0, INTEGER_MAX)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
values = st.binary(max_size=40)
hashes = st.binary(min_size=16, max_size=16)
positions = st.from_regex(r"[0-9A-Za-z]{0,20}[1-9A-Za-z]", fullmatch=True)
places = st.builds(Place, st.just(ROOT) | ids, positions)
kinds = st.sampled_from(Kind)
edits = st.dictionaries(names, st.builds(FieldEdit, values, counts, hashes), max_size=4)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    action = draw(st.sampled_from([action for action in Action if action is not Action.PURGE]))
    op = draw(st.integers(1, INTEGER_MAX))
    fields = {}
    if action is Action.CREATE:
        fields = draw(edits)
    elif action is Action.UPDATE:
        fields = draw(edits.filter(bool))
    placed = action in (Action.CREATE, Action.MOVE)
    if action is Action.RESTORE:
        placed = draw(st.booleans())
    return Change(
        op=op,
        previous=draw(st.integers(0, op - 1)),
        workspace=draw(ids),
        action=action,
        entity=draw(ids),
        base=draw(counts),
        kind=draw(kinds) if action is Action.CREATE else None,
        place=draw(places) if placed else None,
        fields=fields,
    )


events = st.builds(
    Event,
    workspace=ids,
    seq=counts,
    action=st.sampled_from(Action),
    entity=ids,
    account=ids,
    device=ids,
    op=counts,
    at=counts,
    kind=st.none() | kinds,
    place=st.none() | places,
    fields=st.dictionaries(names, values, max_size=4),
)
entities = st.builds(
    Entity,
    id=ids,
    kind=kinds,
    place=places,
    place_version=counts,
    deleted=st.booleans(),
    deleted_version=counts,
    version=counts,
    fields=st.dictionaries(names, st.builds(Field, values, counts), max_size=4),
)
disagreements = st.builds(
    Disagreement,
    code=st.sampled_from(ConflictCode),
    field=st.just("") | names,
    theirs=values,
    version=counts,
)


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    seq = draw(st.none() | counts)
    return Verdict(
        op=draw(counts),
        seq=seq,
        event=seq is not None and draw(st.booleans()),
        at=draw(counts),
        accepted=tuple(draw(st.lists(names, max_size=3))),
        disagreements=tuple(draw(st.lists(disagreements, max_size=2))),
        refusal=draw(st.none() | st.builds(Refusal, texts, texts)),
    )


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | texts | values
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
plain_maps = st.dictionaries(texts, plain, max_size=3)


def tuples(items: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(items, max_size=3).map(tuple)


workspace_heads = st.builds(
    WorkspaceHead, ids, texts, texts, counts, tuples(st.builds(EpochStart, texts, counts))
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Call, counts, texts, plain_maps),
    st.builds(
        Hello,
        token=texts,
        device=ids,
        lease=texts,
        positions=tuples(st.builds(Position, ids, texts, counts, counts)),
        confirmed_op=counts,
        highest_base=st.dictionaries(ids, counts, max_size=3),
    ),
    st.builds(Push, tuples(values), counts),
    st.builds(
        Welcome,
        server=texts,
        epoch=texts,
        lease=texts,
        account=texts,
        device=ids,
        last_op=counts,
        workspaces=tuples(workspace_heads),
        limits=plain_maps,
        last_change=hashes | st.just(b""),
    ),
    st.builds(Events, ids, tuples(values | verdicts()), st.none() | hashes),
    st.builds(
        Entities,
        workspace=ids,
        rows=tuples(values),
        mark=counts,
        full=st.booleans(),
        total=counts,
        purged=tuples(st.tuples(ids, counts)),
        through=st.none() | counts,
    ),
    st.builds(Checkpoint, ids, counts, hashes),
    st.builds(Verdicts, tuples(verdicts())),
    st.builds(Resend, counts),
    st.builds(Reply, counts, result=plain_maps),
    st.builds(Reply, counts, error=plain_maps.filter(bool)),
    st.builds(Notice, texts, texts, plain_maps),
    st.builds(Goodbye, texts, texts, st.floats(0, RETRY_AFTER_SECONDS_MAX)),
)
