"""Programs and devices as recordings name them: one short line, and the device where it is one. Pure."""

import re

from telemetry.formats.reader import FileDevice

MAX_CREATOR_CHARACTERS = 60

# Creators that name a device rather than a program or a site. Without the maker's name only what is nothing else.
_GARMIN_ALONE = r"eTrex|GPSMAP|Edge \d|Forerunner|f[eē]nix|Oregon \d|Dakota \d|Montana \d|Colorado \d|Rino|Foretrex"
_FAMILIES = {
    "Garmin": (
        r"eTrex|GPSMAP|Edge|Forerunner|f[eē]nix|epix|Oregon|Dakota|Montana|Colorado|Rino|Monterra|VIRB|n[uü]vi|"
        r"z[uū]mo|v[ií]voactive|Instinct|Foretrex|Approach|inReach|Venu|MARQ|Enduro|Descent|Catalyst"
    ),
    "Wahoo": r"ELEMNT",
    "Suunto": r"Ambit|Spartan|Traverse|Race|Vertical|\d",
    "Polar": r"Vantage|Grit X|Pacer|[MV]\d{3}",
    "COROS": r"PACE|APEX|VERTIX|DURA",
    "Bryton": r"Rider|Aero",
    "Columbus": r"[VP]-?\d",
    "Qstarz": r"BT|LT|BL",
}


def clean_creator(creator: str) -> str:
    """The creator as one short line: no addresses, no control characters."""
    without_addresses = re.sub(r"\S+://\S*|\bwww\.\S+|\S+@\S+", " ", creator)
    printable = "".join(c if c.isprintable() else " " for c in without_addresses)
    return " ".join(printable.split()).strip(" -–:,;|")[:MAX_CREATOR_CHARACTERS].rstrip()


def device(creator: str) -> FileDevice | None:
    """The device that a creator names; None where it names a program or a site, as most do."""
    for manufacturer, families in _FAMILIES.items():
        found = re.match(rf"{manufacturer}\s+((?:{families}).*)", creator, re.IGNORECASE)
        if found:
            return FileDevice(manufacturer=manufacturer, model=found[1])
    if re.match(_GARMIN_ALONE, creator):
        return FileDevice(manufacturer="Garmin", model=creator)
    return None
