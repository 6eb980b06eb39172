"""The catalogue of error codes, and the one exception type that carries a code. Standard library only.

Whether an error is retried is decided here, once. README.md lists the catalogue; a test compares the two.
"""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Stable codes; clients may branch on them."""

    # Recordings
    CSV_NO_TIME_COLUMN = "CSV_NO_TIME_COLUMN"
    CSV_NO_POSITION_COLUMNS = "CSV_NO_POSITION_COLUMNS"
    CSV_MALFORMED = "CSV_MALFORMED"
    GPX_NO_TRACK_POINTS = "GPX_NO_TRACK_POINTS"
    GPX_NO_TIME = "GPX_NO_TIME"
    XML_MALFORMED = "XML_MALFORMED"
    XML_FORBIDDEN = "XML_FORBIDDEN"
    FIT_CORRUPT = "FIT_CORRUPT"
    FILE_CORRUPT = "FILE_CORRUPT"
    NO_TIME_DATA = "NO_TIME_DATA"
    NO_POSITION_DATA = "NO_POSITION_DATA"
    NO_VALID_ROWS = "NO_VALID_ROWS"
    FORMAT_UNRECOGNISED = "FORMAT_UNRECOGNISED"
    FILE_EMPTY = "FILE_EMPTY"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    ARCHIVE_TOO_LARGE = "ARCHIVE_TOO_LARGE"
    ARCHIVE_UNSUPPORTED = "ARCHIVE_UNSUPPORTED"
    # Uploads
    CHECKSUM_MISMATCH = "CHECKSUM_MISMATCH"
    SIZE_MISMATCH = "SIZE_MISMATCH"
    UPLOAD_NOT_RECEIVED = "UPLOAD_NOT_RECEIVED"
    UPLOAD_EXPIRED = "UPLOAD_EXPIRED"
    UPLOAD_ALREADY_FINALISED = "UPLOAD_ALREADY_FINALISED"
    UPLOAD_ALREADY_RECEIVED = "UPLOAD_ALREADY_RECEIVED"
    TOO_MANY_UPLOADS = "TOO_MANY_UPLOADS"
    DUPLICATE_ARTIFACT = "DUPLICATE_ARTIFACT"
    RAW_DISCARDED = "RAW_DISCARDED"
    # Requests
    REQUEST_INVALID = "REQUEST_INVALID"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    SESSION_NOT_READY = "SESSION_NOT_READY"
    SESSION_STATE_CONFLICT = "SESSION_STATE_CONFLICT"
    # Processing
    WORKER_LOST = "WORKER_LOST"
    PROCESSING_TIMEOUT = "PROCESSING_TIMEOUT"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    SETTINGS_INVALID = "SETTINGS_INVALID"
    INTERNAL_ERROR = "INTERNAL_ERROR"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the catalogue says of a code.

    Attributes
    ----------
    title : what was wrong, for the person who sees it.
    remedy : what that person can do.
    retryable : True when the same request or job may succeed later without any change to it.
    http_status : status where the API answers with this code, else None.
    """

    title: str
    remedy: str
    retryable: bool = False
    http_status: int | None = None


_EXPORT_AGAIN = "Export or copy the recording again and upload the new file."
_TRY_LATER = "Nothing is lost: try again in a few minutes."

CATALOGUE: dict[Code, Entry] = {
    Code.CSV_NO_TIME_COLUMN: Entry(
        "The CSV file has no column that holds time",
        "Export it again with a time column (for example `timestamp`), and upload the new file.",
    ),
    Code.CSV_NO_POSITION_COLUMNS: Entry(
        "The CSV file has no latitude and longitude columns",
        "Export it again with positions switched on, and upload the new file.",
    ),
    Code.CSV_MALFORMED: Entry("The file could not be read as a CSV table", _EXPORT_AGAIN),
    Code.GPX_NO_TRACK_POINTS: Entry(
        "The GPX file has no track points, only waypoints, a route or nothing",
        "Export the recorded track rather than a planned route, and upload the new file.",
    ),
    Code.GPX_NO_TIME: Entry(
        "No track point of the GPX file has a time",
        "Export the recording with times; a planned track without times cannot be used.",
    ),
    Code.XML_MALFORMED: Entry("The file is not well-formed XML", _EXPORT_AGAIN),
    Code.XML_FORBIDDEN: Entry(
        "The XML file declares a document type or entities, which are not accepted",
        "Remove the DOCTYPE declaration, or export the recording again.",
    ),
    Code.FIT_CORRUPT: Entry("The FIT file is damaged", _EXPORT_AGAIN),
    Code.FILE_CORRUPT: Entry("The file is damaged or cut off before its first usable fix", _EXPORT_AGAIN),
    Code.NO_TIME_DATA: Entry(
        "The recording says nothing about when it was made",
        "Export it again with times switched on, and upload the new file.",
    ),
    Code.NO_POSITION_DATA: Entry(
        "The recording holds no positions",
        "Record with GNSS switched on and wait for a fix before you start.",
    ),
    Code.NO_VALID_ROWS: Entry(
        "No row of the recording has both a usable time and a usable position",
        "Check the recording on its own device, and export it again.",
    ),
    Code.FORMAT_UNRECOGNISED: Entry(
        "The file is in no format that is read here",
        "Export it as one of the formats that are read, for example CSV or GPX.",
    ),
    Code.FILE_EMPTY: Entry("The file is empty", _EXPORT_AGAIN, http_status=422),
    Code.FILE_TOO_LARGE: Entry(
        "The file is larger than is accepted",
        "Split the recording, or compress it with gzip.",
        http_status=413,
    ),
    Code.ARCHIVE_TOO_LARGE: Entry(
        "The archive unpacks to more than is accepted", "Upload the recording itself instead of the archive."
    ),
    Code.ARCHIVE_UNSUPPORTED: Entry(
        "No recording could be taken out of the archive",
        "Upload the recording itself; each on its own where there are several.",
    ),
    Code.CHECKSUM_MISMATCH: Entry(
        "The bytes received are not the ones announced", "Upload the file again.", http_status=409
    ),
    Code.SIZE_MISMATCH: Entry("The size received is not the one announced", "Upload the file again.", http_status=409),
    Code.UPLOAD_NOT_RECEIVED: Entry(
        "The file has not arrived yet",
        "PUT the file to the upload address first, then finalise.",
        retryable=True,
        http_status=409,
    ),
    Code.UPLOAD_EXPIRED: Entry(
        "The upload was given up, or not finished in time", "Start a new upload.", http_status=410
    ),
    Code.UPLOAD_ALREADY_FINALISED: Entry(
        "The upload already belongs to a session", "Use the session it belongs to.", http_status=409
    ),
    Code.UPLOAD_ALREADY_RECEIVED: Entry(
        "All bytes of the upload have arrived already", "Finalise the upload.", http_status=409
    ),
    Code.TOO_MANY_UPLOADS: Entry(
        "Too many uploads are open",
        "Finalise or abandon some of them first; those forgotten expire.",
        retryable=True,
        http_status=429,
    ),
    Code.DUPLICATE_ARTIFACT: Entry(
        "The same bytes were given twice for one session", "Finalise with each file once.", http_status=409
    ),
    Code.RAW_DISCARDED: Entry("The raw file is no longer kept", "Upload the recording again.", http_status=409),
    Code.REQUEST_INVALID: Entry(
        "The request is not as the API describes it", "Mend what the detail names.", http_status=422
    ),
    Code.REQUEST_TOO_LARGE: Entry(
        "The request's body is larger than is accepted",
        "Send a smaller one; a file goes to its upload address instead.",
        http_status=413,
    ),
    Code.UNAUTHENTICATED: Entry(
        "The request carries no valid token", "Sign in again and repeat the request.", http_status=401
    ),
    Code.FORBIDDEN: Entry(
        "The token does not allow this", "Sign in with the permission that the detail names.", http_status=403
    ),
    Code.NOT_FOUND: Entry("There is no such thing here", "Check the address and the id.", http_status=404),
    Code.METHOD_NOT_ALLOWED: Entry(
        "This address does not take this method", "Check the API description.", http_status=405
    ),
    Code.SESSION_NOT_READY: Entry(
        "The session is still being processed",
        "Ask again when its status is `ready`.",
        retryable=True,
        http_status=409,
    ),
    Code.SESSION_STATE_CONFLICT: Entry(
        "The session's state does not allow this", "Look at the session's status first.", http_status=409
    ),
    Code.WORKER_LOST: Entry(
        "Processing was interrupted too many times",
        "Try again; if it happens again, the recording may be too large.",
    ),
    Code.PROCESSING_TIMEOUT: Entry(
        "Processing took longer than is allowed", "Split the recording and upload the parts."
    ),
    Code.STORAGE_UNAVAILABLE: Entry(
        "The file storage could not be reached", _TRY_LATER, retryable=True, http_status=503
    ),
    Code.DATABASE_UNAVAILABLE: Entry("The database could not be reached", _TRY_LATER, retryable=True, http_status=503),
    Code.SETTINGS_INVALID: Entry(
        "The service is set up wrongly", "Tell the people who run the service.", http_status=500
    ),
    Code.INTERNAL_ERROR: Entry("Something went wrong inside the service", _TRY_LATER, retryable=True, http_status=500),
}


OUTAGES = frozenset({Code.STORAGE_UNAVAILABLE, Code.DATABASE_UNAVAILABLE})
"""Another system does not answer: the very same work succeeds once it does."""


class TelemetryError(Exception):
    """Any failure that a person or a client is told about, as a code of the catalogue.

    Parameters
    ----------
    code : the catalogue's code.
    detail : where and what, for example ``line 12: 3 cells, 5 expected``. Shown to the owner and kept in the
        run, so it names lines, bytes, elements and columns, and never coordinates, tokens or internals.
    """

    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else str(code))
        self.code = code
        self.detail = detail

    @property
    def entry(self) -> Entry:
        """What the catalogue says of this error."""
        return CATALOGUE[self.code]

    @property
    def retryable(self) -> bool:
        """True when trying again without any change may succeed."""
        return self.entry.retryable

    @property
    def message(self) -> str:
        """For the person: what was wrong, where, and what to do."""
        return user_message(self.code, self.detail)


def user_message(code: Code, detail: str | None = None) -> str:
    """The sentence shown to a person: what was wrong, where (`detail`), and what to do."""
    entry = CATALOGUE[code]
    wrong = f"{entry.title}: {detail}" if detail else entry.title
    return f"{wrong.rstrip('.')}. {entry.remedy}"
