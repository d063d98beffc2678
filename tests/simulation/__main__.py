"""Runs simulated schedules; see scripts/simulate."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.nature import simulated_nature
from tests.simulation.schedule import STEPS_DEFAULT, Simulator, missing, simulation_folder


def main() -> int:
    """Run what the arguments ask for; return 1 when something failed."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--schedules", type=int, help="how many (default: one, with its trace)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--steps", type=int, default=STEPS_DEFAULT, help="steps of each schedule")
    parser.add_argument("--only", help="run only these steps, by number, comma-separated")
    parser.add_argument("--hashes", action="store_true", help="print the hash of each trace")
    options = parser.parse_args()
    with simulation_folder() as folder, simulated_nature():
        simulator = Simulator(folder)
        if options.schedules is None:
            return _run_one(simulator, options)
        return _run_many(simulator, options)


def _run_one(simulator: Simulator, options: argparse.Namespace) -> int:
    steps = [int(step) for step in options.only.split(",")] if options.only else options.steps
    failure = simulator.run(options.seed, steps=steps, keep_trace=True)
    print("\n".join(simulator.trace))
    print(f"trace hash {simulator.trace_hash}")
    if failure is not None:
        print(failure.render())
    return int(failure is not None)


def _run_many(simulator: Simulator, options: argparse.Namespace) -> int:
    began = time.process_time()
    failed = 0
    for seed in range(options.seed, options.seed + options.schedules):
        failure = simulator.run(seed, steps=options.steps)
        if options.hashes:
            print(f"{seed} {simulator.trace_hash}")
        if failure is not None:
            failed += 1
            print(simulator.minimise(failure).render(), flush=True)
    spent = (time.process_time() - began) / options.schedules * 1000
    print(f"{options.schedules} schedules of {options.steps} steps, {failed} failed, ", end="")
    print(f"{spent:.1f} ms of processor time each")
    for name in missing(simulator.ledger):
        print(f"never reached: {name}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
