"""Names that people give to files and sessions, made safe to keep and to show. Standard library only."""

import re
import unicodedata

LONGEST_NAME = 255
_LONGEST_SUFFIX = 16
# Marks that reorder what follows them: "gpx.exe" could be shown as "exe.xpg".
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean_name(text: str) -> str:
    """One line without NUL, control characters, half surrogate pairs and reordering marks, at most 255 characters."""
    kept = (
        " " if character.isspace() else character
        for character in text
        if character.isspace() or (unicodedata.category(character) not in ("Cc", "Cs") and character not in _REORDERING)
    )
    return re.sub(" +", " ", "".join(kept)).strip()[:LONGEST_NAME].rstrip()


def clean_file_name(text: str) -> str:
    """The last part of a path as a clean name; a long one is cut before its suffix. Metadata only, never a path."""
    stem, dot, suffix = re.split(r"[/\\]", text.rstrip("/\\"))[-1].rpartition(".")
    if not stem or len(suffix) > _LONGEST_SUFFIX:
        return clean_name(stem + dot + suffix) or "recording"
    suffix = clean_name(suffix)
    return f"{clean_name(stem)[: LONGEST_NAME - len(suffix) - 1]}.{suffix}"


def session_name(file_name: str) -> str:
    """A session's name when none was given: the file's name without its suffixes."""
    stem = re.sub(r"(\.[A-Za-z0-9]{1,8}){1,2}$", "", file_name)
    return stem or file_name
