"""What happened in a conflict and what each choice would do, in sentences for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kafkaman_sync.model.changes import Action, ConflictCode
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.store import ConflictRecord, Named, Standing

NAMES_SHOWN_MAX: Final = 3
THIS_DEVICE: Final = "this device"

_REASONS: Final = {
    ConflictCode.FIELD: "edited_by_both",
    ConflictCode.DELETED: "theirs_deleted",
    ConflictCode.CHANGED: "mine_deleted",
}
_DID: Final = {
    Action.CREATE: "created",
    Action.UPDATE: "changed",
    Action.MOVE: "moved",
    Action.DELETE: "deleted",
    Action.RESTORE: "brought back",
}
# No choice between two sides: the server refused what one side did.
ONE_SIDED: Final = frozenset({"permission_gone", "over_limit", "refused"})


@dataclass(frozen=True, slots=True)
class Explanation:
    """A conflict in words; `choices` says for each one that is possible what it would do."""

    reason: str
    sentence: str
    choices: dict[str, str]


def reason_of(record: ConflictRecord) -> str:
    """Return the stable word for the kind of conflict; `docs/conflicts.md` lists them."""
    if record.code in _REASONS:
        return _REASONS[ConflictCode(record.code)]
    if record.refusal == "permission.denied":
        return "permission_gone"
    if record.refusal.startswith("limit."):
        return "over_limit"
    if record.refusal in ("parent.deleted", "parent_refused"):
        return "parent_deleted"
    if record.change.action is Action.MOVE:
        return "move_refused"
    return "parent_deleted" if record.change.action is Action.RESTORE else "refused"


def field_of(record: ConflictRecord) -> str:
    """Return the one field that a conflict is about, empty if there is none or are several."""
    names = list(record.change.fields)
    if record.field or record.change.action is not Action.UPDATE or len(names) != 1:
        return record.field
    return names[0]


def explain(standing: Standing, who: str) -> Explanation:
    """Explain how a conflict stands; `who` names the other side."""
    reason = reason_of(standing.record)
    words = _Words(standing, who)
    return Explanation(reason, *_WRITERS[reason](words))


Written = tuple[str, dict[str, str]]


class _Words:
    """The parts of sentences about one conflict."""

    def __init__(self, standing: Standing, who: str) -> None:
        self.standing = standing
        self.record = standing.record
        self.who = who
        kind = self.record.kind.replace("_", " ") or "entity"
        self.it = f'the {kind} "{self.record.name or self.record.entity[:8]}"'

    @property
    def did(self) -> str:
        """What this device did: "You changed url of the request "List"."""
        action, fields = self.record.change.action, self.record.change.fields
        if action is Action.UPDATE:
            return f"You changed {listed(sorted(fields))} of {self.it}"
        if action is Action.MOVE and self.standing.target is not None:
            return f"You moved {self.it} into {the(self.standing.target)}"
        more = len(self.standing.group)
        changes = "1 more change" if more == 1 else f"{more:,} more changes"
        also = f", with {changes} in it" if more else ""
        return f"You {_DID[action]} {self.it}{also}"

    @property
    def obstacle(self) -> str:
        """What is deleted: "it", or what it lies in."""
        found = self.standing.obstacle
        if found is None or found.id == self.record.entity:
            return "it"
        return f"{the(found)} that it lies in"


def the(named: Named) -> str:
    """Name an entity with its kind."""
    return f'the {_kind(named.kind)} "{named.name}"'


def _kind(kind: Kind) -> str:
    return kind.value.replace("_", " ")


def listed(names: Sequence[str]) -> str:
    """List names as a sentence does."""
    if len(names) > NAMES_SHOWN_MAX:
        return f"{', '.join(names[: NAMES_SHOWN_MAX - 1])} and {len(names) - 2} more fields"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _edited_by_both(words: _Words) -> Written:
    what = f"both changed {words.record.field} of {words.it}"
    sentence = f"You and {words.who} {what}."
    if words.who == THIS_DEVICE:
        sentence = f"You and another device {what}; you have changed it again since."
    choices = {
        "mine": "Your value replaces theirs, on every device.",
        "theirs": "Their value stays; yours is kept in this record.",
        "both": "Both are kept: as one value where they fit together, else as a copy beside it.",
        "value": "Another value replaces both.",
    }
    if words.record.kind in (Kind.ENVIRONMENT_VARIABLE, Kind.GLOBAL_VARIABLE):
        del choices["both"]
    return sentence, choices


def _theirs_deleted(words: _Words) -> Written:
    standing, obstacle = words.standing, words.obstacle
    dropped = "Your change is dropped; it is kept in this record."
    if not standing.present:
        sentence = f"{words.did}; meanwhile it was deleted, and removed for good."
        back = f"{_capital(words.it)} is created anew with your change."
    elif standing.obstacle is None:
        sentence = f"{words.did}; {words.who} had deleted it, and it has been brought back since."
        return sentence, {"mine": "Your change is made again.", "theirs": dropped}
    else:
        sentence = f"{words.did}; meanwhile {words.who} deleted {obstacle}."
        also = "" if obstacle == "it" else f", and {the(standing.obstacle)} with it"
        back = f"{_capital(words.it)} is brought back with your change{also}."
    choices = {
        "mine": back,
        "theirs": "It stays deleted; your change is kept in this record.",
        "to": "It is brought back in PARENT, with your change.",
    }
    if field_of(words.record):
        choices["value"] = "It is brought back with another value."
    return sentence, choices


def _mine_deleted(words: _Words) -> Written:
    foreign = words.standing.foreign
    own = [each for each in foreign if each.entity.id == words.record.entity]
    if len(foreign) == 1 and own:
        changed = f"changed {listed(sorted(own[0].fields))} of it" if own[0].fields else "moved it"
    elif len(foreign) == 1:
        fields = sorted(foreign[0].fields)
        inner = the(foreign[0].entity)
        changed = (
            f"changed {listed(fields)} of {inner} in it" if fields else f"moved {inner} into it"
        )
    elif foreign:
        changed = f"changed {len(foreign)} things in it"
    else:
        changed = "changed it"
    sentence = f"You deleted {words.it}; meanwhile {words.who} {changed}."
    return sentence, {
        "mine": "It is deleted, with what they changed.",
        "theirs": "It stays, with what they changed.",
    }


def _parent_deleted(words: _Words) -> Written:
    obstacle = words.standing.obstacle
    restored = words.record.change.action is Action.RESTORE
    yours = "it" if restored else "what you created"
    dropped = "It stays deleted." if restored else "What you created is dropped, all of it."
    choices = {"theirs": dropped, "to": f"{_capital(yours)} goes to PARENT."}
    if obstacle is not None:
        sentence = f"{words.did}; meanwhile {words.who} deleted {the(obstacle)} that it lies in."
        mine = f"{_capital(the(obstacle))} is brought back, with {yours} in it."
        return sentence, {"mine": mine, **choices}
    if words.standing.target is not None:
        sentence = f"{words.did}; what it lies in had been deleted, and is back now."
        return sentence, {"mine": f"{_capital(yours)} is made again, there.", **choices}
    return f"{words.did}; what it was to lie in is gone.", choices


def _move_refused(words: _Words) -> Written:
    standing, obstacle = words.standing, words.standing.obstacle
    choices = {
        "theirs": f"{_capital(words.it)} stays where it is.",
        "to": f"{_capital(words.it)} goes to PARENT.",
    }
    if words.record.refusal not in ("move.cycle", ""):
        return f"{words.did}, which the server refused: {words.record.message}", choices
    if obstacle is None:
        gone = "that has changed since" if standing.target else "its new place is gone"
        mine = {"mine": "It is moved again."} if standing.target else {}
        return f"{words.did}, which could not be; {gone}.", mine | choices
    if words.record.refusal:
        inside = standing.target is None or standing.target.id == obstacle.id
        what = the(obstacle) if inside else f"{the(obstacle)}, which holds it,"
        sentence = (
            f"{words.did}; meanwhile {words.who} moved {what} into {words.it}."
            " Neither can lie in the other."
        )
        mine_text = (
            f"{_capital(the(obstacle))} goes beside {words.it} first; then your move is made."
        )
    else:
        deleted = "that it lay in" if obstacle != standing.target else ""
        sentence = f"{words.did}; meanwhile {words.who} deleted {the(obstacle)} {deleted}".rstrip()
        sentence += "."
        mine_text = f"{_capital(the(obstacle))} is brought back, and your move is made."
        if obstacle.id == words.record.entity or deleted:
            choices["theirs"] = "It stays deleted."
    return sentence, {"mine": mine_text, **choices}


def _permission_gone(words: _Words) -> Written:
    sentence = (
        f'{words.did}, but you may no longer change the workspace "{words.standing.workspace}".'
    )
    return sentence, {
        "mine": "It is tried again: once you may change the workspace.",
        "theirs": "Your change is dropped; it is kept in this record.",
    }


def _over_limit(words: _Words) -> Written:
    sentence = f"{words.did}, which is too much. {words.record.message}"
    choices = {
        "mine": "It is tried again: once there is room.",
        "theirs": "Your change is dropped; it is kept in this record.",
    }
    if field_of(words.record):
        choices["value"] = "A smaller value takes the place of yours."
    if words.record.refusal == "limit.depth":
        choices["to"] = f"{_capital(words.it)} goes to PARENT."
    return sentence, choices


def _refused(words: _Words) -> Written:
    sentence = f"{words.did}, which the server refused: {words.record.message}"
    return sentence, {
        "mine": "It is tried again.",
        "theirs": "Your change is dropped; it is kept in this record.",
    }


_WRITERS: Final = {
    "edited_by_both": _edited_by_both,
    "theirs_deleted": _theirs_deleted,
    "mine_deleted": _mine_deleted,
    "parent_deleted": _parent_deleted,
    "move_refused": _move_refused,
    "permission_gone": _permission_gone,
    "over_limit": _over_limit,
    "refused": _refused,
}
