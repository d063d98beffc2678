"""What events changed, and answers of a server that make no sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kafkaman_sync.device.timeline import FieldChange, read_event, steps
from kafkaman_sync.device.writers import iso
from kafkaman_sync.errors import WireError
from kafkaman_sync.model.entities import Entity, Field, Kind, Place
from kafkaman_sync.model.limits import INTEGER_MAX
from kafkaman_sync.model.values import REMOVED

HERE = Entity("a" * 32, Kind.FOLDER, Place("b" * 32, "V"), 1, False, 1, 1, {"name": Field(b"1", 1)})


def event(seq: int, action: str, **parts: Any) -> dict[str, Any]:
    return {"seq": seq, "action": action, "fields": {}, **parts}


def test_each_step_tells_what_was_before_it() -> None:
    events = [
        event(6, "purge"),
        event(5, "move", parent="c" * 32, position="V"),
        event(4, "restore", parent="b" * 32, position="V"),
        event(3, "update", fields={"name": REMOVED, "url": b"3"}),
        event(2, "update", fields={"name": b"2"}),
    ]
    found = steps(HERE, list(map(read_event, events)))
    assert [step.seq for step in found] == [6, 5, 4, 3, 2]
    assert [step.changes for step in found] == [
        (),
        (),
        (),
        (FieldChange("name", b"2", REMOVED), FieldChange("url", REMOVED, b"3")),
        (FieldChange("name", b"1", b"2"),),
    ]
    assert (found[1].before, found[1].after) == (HERE.place, Place("c" * 32, "V"))
    # Restored to where it lay is no move.
    assert found[2].after is None


def test_a_creation_begins_anew() -> None:
    created = event(9, "create", kind="folder", parent="", position="W", fields={"name": b"1"})
    (step,) = steps(HERE, [read_event(created)])
    assert step.changes == (FieldChange("name", REMOVED, b"1"),)
    assert (step.before, step.after) == (None, Place("", "W"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda event: event.pop("seq"),
        lambda event: event.pop("action"),
        lambda event: event.update(seq="1"),
        lambda event: event.update(fields=[1]),
        lambda event: event.update(fields={"name": "text"}),
        lambda event: event.update(parent="b" * 32),
        lambda event: event.update(parent=5, position="V"),
    ],
)
def test_an_event_that_is_not_complete_is_the_servers_fault(
    spoil: Callable[[dict[str, Any]], Any],
) -> None:
    broken = event(2, "update", fields={"name": b"2"})
    spoil(broken)
    with pytest.raises(WireError):
        steps(HERE, [read_event(broken)])
    with pytest.raises(WireError):
        read_event(5)


def test_a_time_beyond_all_calendars_is_still_one() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000+00:00"
    assert iso(INTEGER_MAX).startswith("9999-12-31")
