"""`python -m tests.benchmarks [name …]`: runs every `bench_*.py`, or those named, and prints their ratios.

Exit 1 when a goal is missed. Benchmarks are not tests: they say how fast, on an idle machine.
"""

import importlib
import sys
from pathlib import Path


def main() -> int:
    """Runs the benchmarks one after the other."""
    there = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    chosen, missed = sys.argv[1:] or there, []
    if unknown := sorted({*chosen} - {*there}):
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(there)}")
    sys.argv = sys.argv[:1]
    for name in chosen:
        if importlib.import_module(f"tests.benchmarks.bench_{name}").main():
            missed.append(name)
        sys.stdout.flush()
    sys.stdout.write(f"missed goals in: {', '.join(missed)}\n" if missed else "every goal reached\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
