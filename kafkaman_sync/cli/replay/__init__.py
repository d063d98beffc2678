"""`kafkaman replay`: its commands by topic, each in a module of this package."""

from __future__ import annotations

from typing import Final

from kafkaman_sync.cli.command import LazyGroup

TOPICS: Final = {
    "Reading": {"log": "log", "stats": "stats", "export": "copying", "import": "copying"},
    "Looking back": {"at": "at", "diff": "diff", "blame": "blame", "bisect": "bisect"},
    "Recording": {"record": "record", "run": "run", "to-test": "to_test"},
    "Judging": {"verify": "verify", "compare": "compare", "explain": "explain"},
    "Stepping": {"step": "step", "what-if": "what_if"},
}
"""The commands by topic, each with the module that defines it."""

replay_command = LazyGroup(
    "replay",
    topics=TOPICS,
    package="kafkaman_sync.cli.replay",
    help="See, explain and re-run what the sync did.\n\nReads only, unless told otherwise by name.",
    short_help="See, explain and re-run what the sync did.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=(
        "kafkaman replay log ./srv --last 20        what happened last, in a server's data folder",
        "kafkaman replay verify ./srv               is what is stored what the rules make of it?",
        "kafkaman replay step ./srv                 go through it, event by event",
        "kafkaman replay what-if ./srv --skip 812   what had come out without one event?",
    ),
)
