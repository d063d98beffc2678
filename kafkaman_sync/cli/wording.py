"""Times, counts and states in a person's words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from kafkaman_sync.engine.states import State

if TYPE_CHECKING:
    from kafkaman_sync.client import Status

_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


COLORS: Final = {
    State.OFFLINE: "yellow",
    State.CONNECTING: "blue",
    State.SYNCING: "cyan",
    State.IN_SYNC: "green",
    State.ERROR: "red",
}
"""The colour of each state, everywhere."""


def plural(count: int, noun: str) -> str:
    """Write a count with its noun."""
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("ty") else f"{noun}s"
    return f"{count:,} {noun}"


def moment(value: object) -> datetime | None:
    """Read a time: ISO 8601 text, or milliseconds since 1970."""
    if isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str) and value:
            found = datetime.fromisoformat(value)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        if isinstance(value, int | float) and value > 0:
            return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def clock_time(value: object) -> str:
    """Write a time as the clock on the wall shows it; the date too when it is another day."""
    found = moment(value)
    if found is None:
        return "--:--:--"
    local = found.astimezone()
    today = datetime.now(UTC).astimezone().date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M:%S}"


def ago(value: object) -> str:
    """Write how long ago a time was, or how far off it is, in its largest unit."""
    found = moment(value)
    if found is None:
        return ""
    seconds = round((datetime.now(UTC) - found).total_seconds())
    for size, unit in _UNITS:
        if abs(seconds) >= size:
            span = plural(abs(seconds) // size, unit)
            return f"{span} ago" if seconds > 0 else f"in {span}"
    return "just now"


def writer(by: Mapping[str, Any]) -> str:
    """Say who wrote something, and on which device."""
    if not by["device"]:
        return "the server"
    device = by["device_name"] or by["device"][:8]
    return f"{by['username']} on {'this device' if by['this_device'] else device}"


def state_words(state: State) -> str:
    """Write a state as people read it."""
    return state.value.replace("_", " ")


def status_lines(status: Status) -> list[tuple[str, str]]:
    """Give the lines of a status that have something to say: name and text."""
    lines = [
        ("state", state_words(status.state)),
        ("cause", status.message),
        ("hint", status.hint),
        ("since", f"{clock_time(status.since)} ({ago(status.since)})"),
    ]
    if status.retry_at:
        lines.append(("next try", f"{clock_time(status.retry_at)} ({ago(status.retry_at)})"))
    if status.progress:
        done, total = status.progress["done"], status.progress["total"]
        lines.append(("progress", f"{done:,} of {total:,}"))
    if status.account:
        lines.append(("account", f"{status.account['username']} <{status.account['email']}>"))
    if status.device:
        lines.append(("device", f"{status.device['name']} ({status.device['id'][:8]})"))
    lines.append(("server", status.server or ""))
    lines.append(("pending", plural(status.pending, "edit")))
    lines.append(("conflicts", f"{status.conflicts:,}"))
    if status.unsynced:
        lines.append(("unsynced", f"{plural(status.unsynced, 'archive')}: kafkaman unsynced"))
    if status.damaged:
        where = "set aside: kafkaman unsynced"
        lines.append(("damaged", f"{plural(status.damaged, 'database')} {where}"))
    for workspace in status.workspaces:
        details = [str(workspace.get("role") or ""), f"seq {workspace.get('seq')}"]
        shown = ", ".join(detail for detail in details if detail)
        lines.append(("workspace", f"{workspace.get('name')} ({shown})"))
    return [(name, text) for name, text in lines if text]
