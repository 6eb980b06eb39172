"""`python -m tests.fuzz [seconds [seed]]`: damaged and invented recordings, one after another, until the time is over.

Damage begins with the small recordings of every format and, where the real recordings are at hand, with the small ones
of those. An input that ends in anything but files or a code is written to `.fuzz/`; then the exit status is 1.
"""

import hashlib
import resource
import sys
import time
import traceback
from collections import Counter
from random import Random

from tests import real_recordings
from tests.fuzz.judge import judge
from tests.fuzz.mutation import mutate
from tests.fuzz.seeds import ROOT, seeds
from tests.fuzz.structures import STRUCTURES

LARGEST_SEED = 150_000
MOST_MEMORY_MB = 600
STRUCTURES_SHARE = 0.4


def main() -> int:
    """Fuzzes for so many seconds, 60 by default."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    begins = dict(seeds())
    for path in real_recordings.find("files/**/*.*"):
        if path.stat().st_size <= LARGEST_SEED:
            begins[path.name] = path.read_bytes()
    names, others = list(begins), list(begins.values())
    rng, outcomes, failures = Random(seed), Counter[str](), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if rng.random() < STRUCTURES_SHARE:
            structure = rng.choice(STRUCTURES)
            name, data = structure.__name__, structure(rng)
        else:
            name = rng.choice(names)
            data = mutate(begins[name], others, rng)
        try:
            outcomes[judge(data, name)] += 1
        except Exception:
            failures += 1
            kept = ROOT / ".fuzz" / f"{hashlib.sha256(data).hexdigest()[:12]}-{name}"
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes(data)
            sys.stdout.write(f"{kept.relative_to(ROOT)}\n{traceback.format_exc()}\n")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write("".join(f"  {count:>8} {outcome}\n" for outcome, count in outcomes.most_common()))
    sys.stdout.write(
        f"{sum(outcomes.values())} inputs in {seconds:.0f} s from {len(names)} recordings (seed {seed}), "
        f"{failures} failures, peak memory {peak_mb:.0f} MB\n"
    )
    return 1 if failures or peak_mb > MOST_MEMORY_MB else 0


if __name__ == "__main__":
    sys.exit(main())
