"""Every limit of the model and the wire, each beside its reason.

Limits on fields, changes and entities are checked when a person edits and again when the server
decides, so that what is too large is refused at once, by name, and never queued.
"""

from __future__ import annotations

from typing import Final

MIB: Final = 1024 * 1024

# A field holds one script, body or saved response; larger ones belong in a file, not in a sync.
FIELD_VALUE_BYTES_MAX: Final = 8 * MIB
FIELD_NAME_BYTES_MAX: Final = 128
# Run reports split their executions over many fields; everything else has a dozen.
ENTITY_FIELDS_MAX: Final = 4096
# All names and values of one entity, removed fields included.
ENTITY_BYTES_MAX: Final = 16 * MIB

# Values nest in field values; msgpack itself stops at 512.
VALUE_DEPTH_MAX: Final = 200
# The largest integer: more digits would take ever longer to read, and Python itself refuses more
# than 4,300 of them. 13,600 bits are at most 4,095 digits.
INTEGER_BITS_MAX: Final = 13_600
# Merging happens while messages are applied, so it must end soon: larger values are left to a
# person. No script or body written by hand comes near.
MERGE_BYTES_MAX: Final = MIB
# Levels inside a field that are merged one by one; each takes several frames of the stack.
MERGE_DEPTH_MAX: Final = 32
# Comparisons in finding what two texts have in common, for each of their lines.
MERGE_STEPS_PER_LINE_MAX: Final = 100
# A folder chain; bounds every walk to the root.
TREE_DEPTH_MAX: Final = 512

ID_BYTES: Final = 32
# Names, codes and sentences of the protocol's own.
TEXT_BYTES_MAX: Final = 4096
POSITION_BYTES_MAX: Final = 128
# Above this the device spaces the siblings anew.
POSITION_BYTES_SOFT: Final = 64

# One event or entity row: the largest entity plus names of places, versions and framing.
ROW_BYTES_MAX: Final = ENTITY_BYTES_MAX + MIB
# One message carries at least one row of the largest size.
MESSAGE_BYTES_MAX: Final = ROW_BYTES_MAX + MIB
# What an array or map of a message may hold, rows among them; the target below comes long before.
ITEMS_MAX: Final = 100_000
# Arrays, maps and all that is in them, of one message: an empty one costs a byte on the wire, a
# hundred in memory, and its share of the time in which nobody else is heard.
FRAME_ITEMS_MAX: Final = 1_000_000
# Before a connection has signed in it may only say hello or make a small call.
MESSAGE_BYTES_ANONYMOUS_MAX: Final = 64 * 1024
# What a sender puts into one message while more small rows wait: keeps latency and memory even.
MESSAGE_BYTES_TARGET: Final = MIB

PUSH_CHANGES_MAX: Final = 500
PUSH_BYTES_MAX: Final = MIB
# Changes a device may have sent without a verdict: enough to keep the server's journal busy.
WINDOW_CHANGES_MAX: Final = 4 * PUSH_CHANGES_MAX
WINDOW_BYTES_MAX: Final = 4 * MIB

# Gaps up to this many events are replayed, larger ones are caught up by state.
REPLAY_EVENTS_MAX: Final = 1000

# SQLite integers are signed and 64 bits wide; no counter of ours may exceed them.
INTEGER_MAX: Final = 2**63 - 1

RETRY_AFTER_SECONDS_MAX: Final = 600
DEVICES_PER_ACCOUNT: Final = 3
