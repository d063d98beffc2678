"""Results of a collection run: newman's JSON reporter, and the run that the app exports.

Long lists (executions, failures, results) are cut into several fields, `executions.0000`,
`executions.0001` and so on: a field has a limit, and an edit then carries only its part.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from kafkaman_sync.formats.draft import Draft, Value, as_map, as_names
from kafkaman_sync.formats.limits import CHUNK_BYTES, encoded_bytes
from kafkaman_sync.formats.shape import Fields, read_fields, shape, write_fields

_REPORT: Final = shape(
    "collection environment globals stats=run.stats timings=run.timings"
    " transfers=run.transfers error=run.error",
    section="run",
    order="collection environment globals run stats timings executions transfers failures error",
)
_APP: Final = shape(
    "id name timestamp collection_id folder_id environment_id totalPass totalFail delay persist"
    " status startedAt count totalTime collection",
    order="id name timestamp collection_id folder_id environment_id totalPass totalFail delay"
    " persist status startedAt results count totalTime collection",
)
_REPORT_LISTS: Final = ("executions", "failures")
_APP_LISTS: Final = ("results",)


def read_run(document: Fields) -> Draft:
    """Read a run: the app's has `results` at its outside, newman's has `run`."""
    from_app = "run" not in document
    form, lists = (_APP, _APP_LISTS) if from_app else (_REPORT, _REPORT_LISTS)
    holder = document if from_app else as_map(document["run"])
    rest = {key: value for key, value in holder.items() if not _is_list(key, value, lists)}
    fields = read_fields(form, rest if from_app else {**document, "run": rest})
    lacks: list[Value] = [name for name in lists if name not in holder]
    source: Fields = {"app": True} if from_app else {}
    source |= as_map(fields.get("source"))
    if lacks:
        source["absent"] = lacks
    if source:
        fields["source"] = source
    for name in lists:
        value = holder.get(name)
        if isinstance(value, list):
            fields.update(_chunks(name, value))
    return Draft("collection_run", fields)


def is_from_app(fields: Fields) -> bool:
    """Tell whether a run came from the app, and not from newman."""
    return bool(as_map(fields.get("source")).get("app"))


def _is_list(key: str, value: Value, lists: tuple[str, ...]) -> bool:
    return key in lists and isinstance(value, list)


def run_name(fields: Fields) -> str | None:
    """Make a run's name: the collection's, and when it started, in UTC (newman counts in ms)."""
    name = as_map(as_map(fields.get("collection")).get("info")).get("name")
    if not isinstance(name, str):
        name = fields.get("name")
    started = as_map(fields.get("timings")).get("started")
    when = fields.get("startedAt")
    if isinstance(started, int) and 0 <= started < 253402300800000:
        when = datetime.fromtimestamp(started // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    words = [word for word in (name, when) if isinstance(word, str) and word]
    return " ".join(words) or None


def _chunks(name: str, values: list[Value]) -> Fields:
    fields: Fields = {}
    chunk: list[Value] = []
    size = 0
    for value in values:
        more = max(encoded_bytes(value), 0)
        if chunk and size + more > CHUNK_BYTES:
            fields[f"{name}.{len(fields):04}"] = chunk
            chunk, size = [], 0
        chunk.append(value)
        size += more
    if chunk:
        fields[f"{name}.{len(fields):04}"] = chunk
    return fields


def write_run(root: Draft) -> Value:
    """Write a run in the form in which it came; a run made by hand as newman's report."""
    source = as_map(root.fields.get("source"))
    from_app = is_from_app(root.fields)
    form, lists = (_APP, _APP_LISTS) if from_app else (_REPORT, _REPORT_LISTS)
    fields = dict(root.fields)
    extra_field = "extra" if from_app else form.section_extra
    extra = dict(as_map(fields.get(extra_field)))
    for name in lists:
        chunks = sorted(field for field in fields if field.startswith(f"{name}."))
        joined: list[Value] = []
        for field in chunks:
            chunk = fields[field]
            joined.extend(chunk if isinstance(chunk, list) else [chunk])
        if chunks or not (name in extra or name in as_names(source.get("absent"))):
            extra[name] = joined
    fields[extra_field] = extra
    return write_fields(form, fields, [])
