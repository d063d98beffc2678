"""The daemon's process: `python -m kafkaman_sync.device`, for the home that KAFKAMAN_HOME names."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import time
from typing import Final

import structlog

from kafkaman_sync.device import rpc
from kafkaman_sync.device.daemon import Daemon
from kafkaman_sync.device.lock import single_instance
from kafkaman_sync.device.log import open_log
from kafkaman_sync.device.paths import Home
from kafkaman_sync.errors import KafkamanError

FAILED: Final = 1
LOCK_SECONDS_MAX: Final = 15.0
# Python's default of 700 new objects has it search for cycles hundreds of times in each batch of
# changes, which have none: a fifth of all that a burst costs.
NEW_OBJECTS_MAX: Final = 50_000


def main() -> int:
    """Run the daemon; 0 when it was asked to end, and when another one runs already."""
    # Everything that the daemon makes is its user's only.
    os.umask(0o077)
    home = Home.find()
    try:
        home.create()
    except KafkamanError as error:
        return _fail(error)
    deadline = time.monotonic() + LOCK_SECONDS_MAX
    while True:
        with single_instance(home.lock) as only:
            if only:
                return _run(home)
        # The holder is at work, or about to be: then this process is not needed. Or it is about to
        # end, its socket gone already: then this one follows it.
        if _answers(home) or time.monotonic() > deadline:
            return 0
        time.sleep(0.05)


def _run(home: Home) -> int:
    open_log(home.log)
    # What is loaded now stays, and need not be searched.
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_MAX, 20, 100)
    failure: KafkamanError | None = None
    try:
        asyncio.run(Daemon(home).run())
    except KafkamanError as error:
        failure = error
    if failure is None:
        return 0
    structlog.get_logger("kafkaman_sync.device").error("cannot run", **failure.as_dict())
    return _fail(failure)


def _fail(error: KafkamanError) -> int:
    """Tell whoever started the daemon why it ends."""
    sys.stdout.buffer.write(rpc.dump_line(error.as_dict()))
    sys.stdout.flush()
    return FAILED


def _answers(home: Home) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(home.socket))
        except OSError:
            return False
        return True


if __name__ == "__main__":
    sys.exit(main())
