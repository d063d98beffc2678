"""What is kept of how a change was judged."""

from __future__ import annotations

import pytest

from kafkaman_sync.model.changes import (
    Action,
    Change,
    ConflictCode,
    Disagreement,
    FieldEdit,
    LostEdit,
    Refusal,
    Verdict,
    basis_of,
    dispute_of,
)
from kafkaman_sync.model.values import hash_value

PRIORS = {"name": b"n" * 16, "url": b"u" * 16}


def change(action: Action) -> Change:
    fields = {name: FieldEdit(name.encode(), 4, prior) for name, prior in PRIORS.items()}
    return Change(3, 2, "w" * 32, action, "e" * 32, 5, fields=fields)


def test_a_basis_has_the_base_and_prior_of_each_accepted_field_of_an_update() -> None:
    basis = basis_of(change(Action.UPDATE), ("url",))
    assert (basis.previous, basis.base, basis.fields) == (2, 5, ((4, PRIORS["url"]),))


@pytest.mark.parametrize("action", [Action.CREATE, Action.MOVE, Action.DELETE, Action.RESTORE])
def test_what_was_accepted_as_a_whole_has_no_basis_of_fields(action: Action) -> None:
    assert basis_of(change(action), tuple(PRIORS)).fields == ()


def test_a_dispute_keeps_hashes_of_what_lost_and_no_values() -> None:
    part = Disagreement(ConflictCode.FIELD, "name", b"theirs", 9)
    verdict = Verdict(3, seq=7, event=True, at=1, accepted=("url",), disagreements=(part,))
    dispute = dispute_of(change(Action.UPDATE), verdict, account="a", device="d", head=8)
    assert dispute is not None
    assert dispute.seq == 7
    assert dispute.fields == {"name": LostEdit(hash_value(b"name"), 4, PRIORS["name"])}
    assert dispute.disagreements == (Disagreement(ConflictCode.FIELD, "name", version=9),)


def test_a_refused_change_is_disputed_at_the_head() -> None:
    refused = Verdict(3, refusal=Refusal("limit.entity", "Too large."))
    dispute = dispute_of(change(Action.UPDATE), refused, account="a", device="d", head=8)
    assert dispute is not None
    assert (dispute.seq, set(dispute.fields)) == (8, set(PRIORS))


def test_what_was_accepted_whole_is_not_disputed() -> None:
    verdict = Verdict(3, seq=7, event=True, accepted=tuple(PRIORS))
    assert dispute_of(change(Action.UPDATE), verdict, account="a", device="d", head=8) is None
