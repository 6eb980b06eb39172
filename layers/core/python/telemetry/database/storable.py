"""Text and JSON as PostgreSQL can store them. Pure; standard library only.

File names, error texts and source channels come from outside: a NUL or half a surrogate pair in one of them must
never make the write fail that reports it.
"""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable_text(text: str) -> str:
    """The text with NUL and lone surrogates replaced by U+FFFD, and surrogate pairs joined; else the same."""
    if "\0" in text:
        text = text.replace("\0", _REPLACEMENT)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def storable_json(value: Any) -> str:
    """JSON text for a jsonb column: texts made storable, NaN and infinities null, ids and times as text.

    Raises
    ------
    TypeError : a value that has no place in JSON.
    """
    return json.dumps(_storable(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {storable_text(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value
