"""What known programs write into their CSV files: one module per program, each ends with its `PROGRAM`s.

Adding a program is one module and its place in `PROGRAMS`. A file of no known program is read by the general rules.
"""

from telemetry.formats.csv_dialect import Layout
from telemetry.formats.csv_dialects import (
    aim,
    alfano,
    flight,
    harrys,
    loggers,
    phones,
    racebox,
    racechrono,
    trackaddict,
)
from telemetry.formats.csv_dialects.program import Program

PROGRAMS: tuple[Program, ...] = (
    *racechrono.PROGRAMS,
    *trackaddict.PROGRAMS,
    *aim.PROGRAMS,
    *alfano.PROGRAMS,
    *harrys.PROGRAMS,
    *racebox.PROGRAMS,
    *flight.PROGRAMS,
    *loggers.PROGRAMS,
    *phones.PROGRAMS,
)

GENERIC = Program(title="CSV", matches=lambda layout: True, speed_unit_varies=True)


def find_program(layout: Layout) -> Program:
    """The program that wrote the file, or `GENERIC`."""
    return next((program for program in PROGRAMS if program.matches(layout)), GENERIC)


__all__ = ["GENERIC", "PROGRAMS", "Program", "find_program"]
