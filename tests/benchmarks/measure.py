"""Measures programs side by side on this machine: each in a process of its own, runs interleaved, medians compared.

Only ratios of one run mean anything: another machine, or another hour, gives other seconds.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_WRAPPER = """
import json, resource, runpy, sys, time
hidden = sys.argv[1].split(",") if sys.argv[1] else ()
sys.modules.update(dict.fromkeys(hidden))
sys.argv = sys.argv[2:]
start, cpu = time.perf_counter(), time.process_time()
said = runpy.run_path(sys.argv[0], run_name="__main__").get("FIGURES") or {}
said.update(wall_s=time.perf_counter() - start, cpu_s=time.process_time() - cpu,
            peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(json.dumps(said))
"""


@dataclass(frozen=True, slots=True)
class Contender:
    """A program to measure.

    Attributes
    ----------
    code : Python; imports count. What it leaves in a dictionary `FIGURES` is added to the figures.
    arguments : its `sys.argv[1:]`.
    needs : a module that must be installed; the contender is left out, and said so, where it is not.
    without : modules that are as if they were not installed: what others here need, and the service does not ship.
    """

    name: str
    code: str
    arguments: Sequence[str] = ()
    needs: str = ""
    without: Sequence[str] = ()


def side_by_side(contenders: Sequence[Contender], directory: Path, runs: int = 3) -> dict[str, dict[str, float]]:
    """Medians of `wall_s`, `cpu_s`, `peak_mb` and each contender's own figures, by contender."""
    present = []
    for contender in contenders:
        if contender.needs and importlib.util.find_spec(contender.needs) is None:
            sys.stdout.write(f"  left out: {contender.name} ({contender.needs} is not installed)\n")
        else:
            present.append(contender)
    figures: dict[str, list[dict[str, float]]] = {contender.name: [] for contender in present}
    for _ in range(runs):
        for contender in present:
            figures[contender.name].append(_once(contender, directory))
    return {
        name: {key: statistics.median(one[key] for one in measured) for key in measured[0]}
        for name, measured in figures.items()
    }


def _once(contender: Contender, directory: Path) -> dict[str, float]:
    script = directory / "contender.py"
    script.write_text(contender.code, "utf-8")
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = os.pathsep.join((str(ROOT / "layers/core/python"), str(ROOT), *given))
    # Modules are compiled once, as they are where the service runs; the first run pays for it.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(directory / "compiled")
    done = subprocess.run(
        [sys.executable, "-c", _WRAPPER, ",".join(contender.without), str(script), *contender.arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPATH": paths},
    )
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def table(title: str, figures: Mapping[str, Mapping[str, float]]) -> str:
    """A readable table, one line a contender."""
    lines = [title]
    for name, values in figures.items():
        cells = ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in values.items())
        lines.append(f"  {name:<38} {cells}")
    return "\n".join(lines) + "\n"


def verdict(name: str, ratio: float, goal: float, *, at_most: bool = True) -> bool:
    """Prints one ratio beside its goal; True when it is reached."""
    reached = ratio <= goal if at_most else ratio >= goal
    sign = "≤" if at_most else "≥"
    sys.stdout.write(f"  {'ok    ' if reached else 'MISSED'} {name}: {ratio:.2f} (goal {sign} {goal:g})\n")
    return reached
