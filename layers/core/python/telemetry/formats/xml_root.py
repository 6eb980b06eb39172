"""The root element of an XML document, from its first bytes: what recognition needs. Standard library only."""

import html
import re
from dataclasses import dataclass

from telemetry.formats.xml_stream import decode_head

# Atomic groups: without them a hostile prologue would make the search exponential.
_ROOT = re.compile(
    r"(?>\s*(?><\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>))*+\s*"
    r"<(?:[^\s<>/:]+:)?(?P<name>[^\s<>/:!?]+)(?=[\s/>])(?P<attributes>[^<>]*+)",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""([^\s=<>"']+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


@dataclass(frozen=True, slots=True)
class RootElement:
    """Local name of the root, and its attributes as written."""

    name: str
    attributes: dict[str, str]


def root_element(head: bytes) -> RootElement | None:
    """Finds the root element in a document's first bytes, in any encoding; None where they are no XML."""
    root = _ROOT.match(decode_head(head))
    if root is None:
        return None
    attributes = {
        found[1]: html.unescape(found[2] or found[3] or "") for found in _ATTRIBUTE.finditer(root["attributes"])
    }
    return RootElement(root["name"], attributes)
