"""`scripts/crash`: as many cycles of kill -9 as wanted, with what they did."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import time
import traceback
from collections import Counter
from typing import Final

from tests.crash.cycles import open_cycles

# What has been deleted stays in the stores: a new set of processes begins with empty ones.
CYCLES_PER_SET: Final = 100
_TELL_EVERY: Final = 10


async def run(cycles: int, seed: int) -> None:
    """Run the cycles and tell of them; raise what does not hold."""
    began, done, acknowledged, events = time.monotonic(), 0, 0, 0
    kills, moments = Counter[str](), Counter[str]()
    print(f"{cycles} cycles, seed {seed}: a server and three devices, two people at each")
    while done < cycles:
        async with open_cycles(seed + done) as crashing:
            for _ in range(min(CYCLES_PER_SET, cycles - done)):
                await crashing.run()
                done += 1
                if done % _TELL_EVERY == 0 or done == cycles:
                    said = acknowledged + crashing.acknowledged
                    passed = time.monotonic() - began
                    print(
                        f"{done:6} of {cycles}: {said:,} acknowledged, {passed:.0f} s", flush=True
                    )
            await crashing.end()
            acknowledged += crashing.acknowledged
            events += crashing.log.seq
            kills += crashing.kills
            moments += crashing.moments
    print(
        f"\nHeld: {acknowledged:,} acknowledged calls, {events:,} changes in the logs; "
        "none lost, none twice, every proof equal."
    )
    print("Killed:", _counts(kills))
    print("Moments:", _counts(moments))


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counter.items()))


def main() -> int:
    """Run it; 0 only if everything held."""
    parser = argparse.ArgumentParser(prog="scripts/crash", description=__doc__)
    parser.add_argument("--cycles", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--seed", type=int, help="repeat the plans of another run")
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    try:
        asyncio.run(run(options.cycles, seed))
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001  whatever it is, it did not hold
        traceback.print_exc()
        print(f"\nIt did not hold. Again: scripts/crash --cycles {options.cycles} --seed {seed}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
