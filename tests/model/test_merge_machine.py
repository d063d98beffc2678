"""Several people edit copies of one request, and bring them together in any order."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kafkaman_sync.model.urls import join_url, parse_url
from tests.model.merging import CLASH, entry, merged, pretty, raw

PEOPLE = ("ada", "bob", "cyd")
LISTS = ("header", "variable", "query", "formdata")
MAPS = ("json", "extra")
URL = "https://{{host}}/v1?page=1"

people = st.sampled_from(PEOPLE)
places = st.integers(0, 8)
# No line breaks: a text that begins with both people's lines would be for a person to order.
values = st.sampled_from(["1", "2", "{{token}}", "é"])


def field_of(part: str) -> str:
    return {"query": "url", "formdata": "body", "json": "body"}.get(part, part)


class Request:
    """A copy of the request: what a person has, or what the server has."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {
            "header": [entry("Accept: */*"), entry("Host: h")],
            "variable": [],
            "query": {"raw": URL, **parse_url(URL)},
            "formdata": {"mode": "formdata", "formdata": [entry("file: x")]},
            "json": raw(pretty({"shared": [1, 2, 3]})),
            "extra": {"shared": True},
        }

    def entries(self, part: str) -> list[Any]:
        field = self.fields[part]
        found: list[Any] = field if isinstance(field, list) else field[part]
        return found

    def map(self, part: str) -> dict[str, Any]:
        field = self.fields[part]
        found: dict[str, Any] = json.loads(field["raw"]) if part == "json" else field
        return found

    def change(self, part: str, key: str, value: str | None, place: int) -> None:
        if part in MAPS:
            found = self.map(part)
            found.pop(key, None)
            if value is not None:
                found[key] = value
            self.fields[part] = raw(pretty(found)) if part == "json" else found
            return
        entries = self.entries(part)
        old = next((each for each in entries if each["key"] == key), None)
        if value is None:
            entries[:] = [each for each in entries if each is not old]
        elif old is None:
            entries.insert(place, entry(f"{key}: {value}"))
        else:
            old["value"] = value
        self.tell()

    def tell(self) -> None:
        """Do what a client does: make the URL's text anew."""
        self.fields["query"]["raw"] = join_url(self.fields["query"])

    def shown(self) -> dict[tuple[str, str], str]:
        """Everything that somebody has put into it."""
        found = {
            (part, each["key"]): each["value"] for part in LISTS for each in self.entries(part)
        }
        found |= {(part, key): value for part in MAPS for key, value in self.map(part).items()}
        return {where: value for where, value in found.items() if "-" in where[1]}


class MergingMachine(RuleBasedStateMachine):
    """Whoever brings their copy to the server merges it with what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.server = Request()
        self.copies = {person: Request() for person in PEOPLE}
        self.bases = {person: Request() for person in PEOPLE}
        self.done: dict[str, dict[tuple[str, str], str]] = {person: {} for person in PEOPLE}
        self.brought: dict[str, dict[tuple[str, str], str]] = {person: {} for person in PEOPLE}

    @rule(
        person=people,
        part=st.sampled_from(LISTS + MAPS),
        key=st.sampled_from("xyz"),
        value=values,
        place=places,
    )
    def put(self, person: str, part: str, key: str, value: str, place: int) -> None:
        own = f"{person}-{key}"
        self.copies[person].change(part, own, value, place)
        self.done[person][part, own] = value

    @rule(person=people, part=st.sampled_from(LISTS + MAPS), key=st.sampled_from("xyz"))
    def remove(self, person: str, part: str, key: str) -> None:
        own = f"{person}-{key}"
        self.copies[person].change(part, own, None, 0)
        self.done[person].pop((part, own), None)

    @rule(person=people, part=st.sampled_from(LISTS), places=places)
    def turn(self, person: str, part: str, places: int) -> None:
        entries = self.copies[person].entries(part)
        entries[:] = entries[places:] + entries[:places]
        self.copies[person].tell()

    @rule(person=people)
    def bring(self, person: str) -> None:
        copy = self.copies[person]
        for part, base in self.bases[person].fields.items():
            found = merged(field_of(part), base, copy.fields[part], self.server.fields[part])
            assert found is not CLASH
            self.server.fields[part] = found
        self.copies[person] = deepcopy(self.server)
        self.bases[person] = deepcopy(self.server)
        self.brought[person] = dict(self.done[person])

    @rule(order=st.permutations(PEOPLE))
    def meet(self, order: list[str]) -> None:
        for person in [*order, *order]:
            self.bring(person)
        assert all(copy.fields == self.server.fields for copy in self.copies.values())

    @invariant()
    def the_server_has_what_everybody_brought(self) -> None:
        expected: dict[tuple[str, str], str] = {}
        for brought in self.brought.values():
            expected |= brought
        assert self.server.shown() == expected

    @invariant()
    def everybody_sees_their_own_edits(self) -> None:
        for person, copy in self.copies.items():
            shown = copy.shown()
            own = {where: shown[where] for where in shown if where[1].startswith(person)}
            assert own == self.done[person]

    @invariant()
    def the_url_s_text_tells_its_parts(self) -> None:
        url = self.server.fields["query"]
        assert url["raw"] == join_url(url)


TestMerging = MergingMachine.TestCase
