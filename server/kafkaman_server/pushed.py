"""The changes of a push, read and checked."""

from __future__ import annotations

from itertools import pairwise

from kafkaman_sync.errors import WireError
from kafkaman_sync.model.changes import Change
from kafkaman_sync.protocol.messages import Push
from kafkaman_sync.protocol.records import decode_change


def read_push(push: Push) -> tuple[tuple[Change, bytes], ...]:
    """Return the changes with their bytes; WireError when one is not legal, or out of op order.

    An op may come twice. Behind a gap nothing is decided, so that what came out of order might
    never be answered.
    """
    changes = tuple((decode_change(data), data) for data in push.changes)
    if any(change.op > following.op for (change, _), (following, _) in pairwise(changes)):
        raise WireError("The changes of a push are not in op order.")
    return changes
