"""What a power cut can leave of a database's files, and what must be read from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.crash.recording import WAL_HEADER_BYTES, Content, Moment

SECTOR_BYTES: Final = 512


@dataclass(frozen=True)
class Image:
    """Files after a power cut; `content` is what the commits before the cut had made of them."""

    story: str
    database: bytes
    wal: bytes
    content: Content

    def lay(self, path: Path, random: Random) -> None:
        """Write the files; of the shared memory anything may be left."""
        path.write_bytes(self.database)
        Path(f"{path}-wal").write_bytes(self.wal)
        index = Path(f"{path}-shm")
        index.unlink(missing_ok=True)
        if random.random() < 0.5:
            index.write_bytes(random.randbytes(32768))


Cut = Callable[[Moment, int, Random], tuple[str, bytes]]
"""Makes a log of which only the first frames are as they were written."""


def ends(moment: Moment, frames: int, _: Random) -> tuple[str, bytes]:
    return "cut at the end of a frame", moment.wal[: moment.end(frames)]


def ends_inside(moment: Moment, frames: int, random: Random) -> tuple[str, bytes]:
    size = moment.end(1) - moment.end(0)
    return "cut in a frame", moment.wal[: moment.end(frames) + random.randrange(size)]


def zeroes(moment: Moment, frames: int, _: Random) -> tuple[str, bytes]:
    kept = moment.wal[: moment.end(frames)]
    return "zeroes behind", kept + bytes(len(moment.wal) - len(kept))


def garbage(moment: Moment, frames: int, random: Random) -> tuple[str, bytes]:
    kept = moment.wal[: moment.end(frames)]
    return "garbage behind", kept + random.randbytes(random.randint(1, 50_000))


def damage(moment: Moment, frames: int, random: Random) -> tuple[str, bytes]:
    """Change one to a sector's bytes of the next frame; all behind it is as it was."""
    begin, end = moment.end(frames), moment.end(frames + 1)
    at = random.randrange(begin, end)
    size = random.choice((1, 1, 8, SECTOR_BYTES))
    wrong = bytes(each ^ random.randint(1, 255) for each in moment.wal[at : min(at + size, end)])
    return "one frame damaged", moment.wal[:at] + wrong + moment.wal[at + len(wrong) :]


def lost_sectors(moment: Moment, frames: int, random: Random) -> tuple[str, bytes]:
    """Of what was written last, only some sectors reached the disk; the others hold the old log."""
    begin = moment.end(frames)
    old = moment.older.ljust(len(moment.wal), b"\0")
    parts = [moment.wal[:begin]]
    # The first bytes of the next frame are among the lost ones, or it might be whole.
    parts.append(old[begin : begin + SECTOR_BYTES])
    for at in range(begin + SECTOR_BYTES, len(moment.wal), SECTOR_BYTES):
        source = random.choice((moment.wal, old))
        parts.append(source[at : at + SECTOR_BYTES])
    return "sectors lost", b"".join(parts)


CUTS: Final[Sequence[Cut]] = (ends, ends_inside, zeroes, garbage, damage, lost_sectors)


def at_every_frame(moment: Moment) -> Iterator[Image]:
    """Yield an image for each frame at which the log may end."""
    for frames in range(moment.frames + 1):
        content = moment.after(frames)
        if content is not None:
            story, wal = ends(moment, frames, Random())
            yield Image(f"{story}, {frames} of {moment.frames}", moment.database, wal, content)


def at_random(moments: Sequence[Moment], random: Random) -> Iterator[Image]:
    """Yield images of every kind without end."""
    while True:
        moment = random.choice(moments)
        chance = random.random()
        if chance < 0.2:
            yield _unfinished_checkpoint(moment, random)
        elif chance < 0.25 and 0 in moment.contents:
            yield _torn_header(moment, random)
        else:
            frames = random.randrange(moment.frames)
            content = moment.after(frames)
            if content is not None:
                story, wal = random.choice(CUTS)(moment, frames, random)
                story = f"{story}, {frames} of {moment.frames}"
                yield Image(story, moment.database, wal, content)


def _torn_header(moment: Moment, random: Random) -> Image:
    """The log was about to begin anew; nothing in it had been synced."""
    at = random.randrange(WAL_HEADER_BYTES)
    wrong = moment.wal[at] ^ random.randint(1, 255)
    wal = moment.wal[:at] + bytes([wrong]) + moment.wal[at + 1 :]
    return Image("the log's header torn", moment.database, wal, moment.contents[0])


def _unfinished_checkpoint(moment: Moment, random: Random) -> Image:
    """Some pages were copied into the main file, and some of these by half; the log is whole."""
    database = bytearray(moment.database)
    latest = dict(moment.page(frame) for frame in range(1, moment.frames + 1))
    share = random.random()
    for number, page in sorted(latest.items()):
        if random.random() > share:
            continue
        begin = (number - 1) * len(page)
        database.extend(bytes(max(0, begin + len(page) - len(database))))
        sectors = range(0, len(page), SECTOR_BYTES)
        torn = random.random() < 0.3
        for at in sectors:
            if not torn or random.random() < 0.5:
                database[begin + at : begin + at + SECTOR_BYTES] = page[at : at + SECTOR_BYTES]
    tail = random.randbytes(random.choice((0, 5000)))
    wal = moment.wal[: moment.end(moment.frames)] + tail
    content = moment.contents[moment.frames]
    return Image(f"a checkpoint broke off at {share:.0%}", bytes(database), wal, content)
