"""Tells the documents of office programs, which are zip files too, by the names of what is in them. No input or output.

Formats: ECMA-376 part 2 (Office Open XML packages), OpenDocument 1.3 part 2 section 3.3 (`mimetype`), Apple iWork.
"""

from collections.abc import Collection

CONTENT_TYPES = "[Content_Types].xml"
MEDIA_TYPE = "mimetype"
"""Name of the entry that holds an OpenDocument's media type."""

_SAVE_AS_CSV = "save it as CSV"
_TABLE_AS_CSV = "copy its table into a spreadsheet and save that as CSV"
_OFFICE_OPEN_XML = (
    ("xl/", f"an Excel workbook; {_SAVE_AS_CSV}"),
    ("word/", f"a Word document; {_TABLE_AS_CSV}"),
    ("ppt/", "a PowerPoint presentation"),
)
_OPEN_DOCUMENT = b"application/vnd.oasis.opendocument."


def office_document(names: Collection[str], media_type: bytes = b"") -> str | None:
    """What a zip is if an office program made it, and how its table can be had; None for any other zip.

    Parameters
    ----------
    names : of the zip's entries.
    media_type : what the entry `MEDIA_TYPE` holds, if there is one.
    """
    if CONTENT_TYPES in names:
        for folder, title in _OFFICE_OPEN_XML:
            if any(name.startswith(folder) for name in names):
                return title
        return f"an Office document; {_SAVE_AS_CSV}"
    if media_type.startswith(_OPEN_DOCUMENT + b"spreadsheet"):
        return f"an OpenDocument spreadsheet; {_SAVE_AS_CSV}"
    if media_type.startswith(_OPEN_DOCUMENT):
        return f"an OpenDocument document; {_TABLE_AS_CSV}"
    if any(name.startswith("Index/") and name.endswith(".iwa") for name in names):
        return "a Numbers, Pages or Keynote document; export it as CSV"
    return None
