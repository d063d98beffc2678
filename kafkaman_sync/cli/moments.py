"""An argument that is a moment in the past: a place in the log, or a time."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import click

from kafkaman_sync.model.moments import parse_moment


class Moment(click.ParamType[int | datetime]):
    """A place in the log, or a time."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | datetime:
        """Read a moment."""
        if isinstance(value, int | datetime):
            return value
        return parse_moment(str(value), datetime.now().astimezone())


MOMENT: Final = Moment()
