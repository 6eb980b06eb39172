"""A guarded expat for recordings in XML (GPX, TCX, KML): bytes in, elements out, in bounded memory and time.

What it adds to expat: document types and entities are refused at once; the sizes of a tag, of a text, of the nesting
and of the vocabulary are bounded; leading white space, byte order marks and wrong encoding declarations are lived
with; prefixes are resolved to namespaces, also where a careless writer never declared them; what another path has
read can be skipped without losing count of lines. Standard library only.
"""

import codecs
import re
from collections.abc import Iterator, Mapping
from typing import Protocol
from xml.parsers import expat

from telemetry.errors import Code, TelemetryError
from telemetry.formats.reader import ByteSource

Name = tuple[str, str]
"""Namespace URI (or `""`) and local name."""

FEED_BYTES = 1 << 18
MAX_TOKEN_BYTES = 1 << 20
MAX_TEXT_CHARACTERS = 4096
MAX_DEPTH = 128
MAX_NAMES = 10_000

_SPACE = b" \t\r\n"
_MARK = codecs.BOM_UTF8
_SNIFFED_BYTES = 1024
_DECLARED = re.compile(rb"""^<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["']""")
# Code pages that hold ASCII in its own place, one byte a character, so that markup looks the same in all of them.
_CODE_PAGES = ("iso8859-", "cp125", "koi8-", "mac-", "cp437", "cp850", "cp852", "cp866")


class XmlHandler(Protocol):
    """Takes the elements of a document."""

    def start(self, name: Name, attributes: dict[str, str]) -> None:
        """An element opens. `attributes` by their names as written."""

    def end(self, name: Name, text: str | None) -> None:
        """An element closes. `text` is stripped; None where the element held elements."""


def blocks(source: ByteSource, size: int) -> Iterator[bytes]:
    """The whole of `source` in blocks of exactly `size` bytes, but for the last, however it was delivered."""
    pending: list[bytes] = []
    held = 0
    while data := source.read(size - held):
        pending.append(data)
        held += len(data)
        if held == size:
            yield b"".join(pending)
            pending.clear()
            held = 0
    if held:
        yield b"".join(pending)


class XmlStream:
    """Parses one document, fed in pieces.

    Parameters
    ----------
    handler : takes the elements.

    Attributes
    ----------
    stack : names of the open elements, outermost first; in `start` and `end` it includes the element itself.
    written : in `start`, the element's name as written.
    scope : the namespaces by prefix; another object in another scope.
    collecting : whether texts are gathered; off by default, as most text of a document is white space.
    """

    def __init__(self, handler: XmlHandler) -> None:
        self.stack: list[Name] = []
        self.written = ""
        self._handler = handler
        # The declaration is overruled: `_Decoder` hands over UTF-8, whatever the document says of itself.
        self._parser = parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        if hasattr(parser, "SetReparseDeferralEnabled"):
            # Deferral guards expat against quadratic time on huge tokens; `MAX_TOKEN_BYTES` does that here.
            parser.SetReparseDeferralEnabled(False)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._forbid
        parser.EntityDeclHandler = self._forbid
        parser.CommentHandler = lambda _: self._mark(b"-->")
        parser.ProcessingInstructionHandler = lambda *_: self._mark(b"?>")
        parser.EndCdataSectionHandler = lambda: self._mark(b"]]>")
        self._head = b""
        self._decoder: _Decoder | None = None
        self._text: list[str] = []
        self._text_length = 0
        self._leaf = False
        self._collecting = False
        self.scope: dict[str, str] = {"xml": "http://www.w3.org/XML/1998/namespace"}
        self._outer_scopes: list[tuple[int, dict[str, str]]] = []
        self._names: dict[str, Name] = {}
        self._ended = False
        self._padding = False
        self._fed_bytes = 0
        self._piece = b""
        self._token_index = -1
        self._token_end = b">"
        self._place = _Place()

    @property
    def collecting(self) -> bool:
        """Whether texts are gathered."""
        return self._collecting

    @collecting.setter
    def collecting(self, wanted: bool) -> None:
        self._collecting = wanted
        self._parser.CharacterDataHandler = self._characters if wanted else None

    @property
    def ascii_markup(self) -> bool:
        """True when bytes below 128 mean ASCII in this document, so that its markup can be searched as bytes."""
        return self._decoder is not None and self._decoder.ascii_markup

    @property
    def mistaken_encoding(self) -> bool:
        """True once bytes were met that are not in the encoding which the document claims."""
        return self._decoder is not None and self._decoder.mistaken

    @property
    def settled(self) -> bool:
        """True when everything fed so far is understood: it ends with a whole tag, comment or section, and space.

        Then the document goes on in the content of `stack[-1]`, not inside a comment, section or tag.
        """
        offset = self._token_index - (self._fed_bytes - len(self._piece))
        if offset < 0 or self._decoder is None or self._decoder.pending:
            return False
        token = self._piece[offset:]
        end = self._token_end
        if end == b">" and not token.startswith(b"<"):
            return not token.strip(_SPACE)  # expat tells the end of `<a/>` behind it
        if end == b">" and (token.count(b">") != 1 or token.count(b"<") != 1):
            return False  # a tag may hold `>` in an attribute: where it ends is not told
        # A comment's own `-->` begins behind its `<!--`, a section's end is the token itself.
        first = token.find(end, 4 if end == b"-->" else 0)
        return first >= 0 and not token[first + len(end) :].strip(_SPACE)

    def resolve(self, written: str) -> Name:
        """Namespace and local name of a tag's name as written, in the scope of the open element."""
        name = self._names.get(written)
        if name is None:
            name = self._names[written] = resolve(written, self.scope)
        return name

    def feed(self, data: bytes) -> None:
        """Parses the next bytes.

        Raises
        ------
        TelemetryError : XML_FORBIDDEN or XML_MALFORMED, with line and column.
        """
        if self._decoder is None:
            self._head += data
            if len(self._head.lstrip(_SPACE)) < _SNIFFED_BYTES and len(self._head) < MAX_TOKEN_BYTES:
                return
            self._open()
        else:
            self._parse(self._decoder.decode(data))

    def skip(self, data: bytes, begin: int, end: int, breaks: int | None = None) -> None:
        """Passes over whole elements that were read elsewhere. Only while `settled`.

        Parameters
        ----------
        breaks : the line breaks in `data[begin:end]`, where the caller knows them.
        """
        self._place.skip(data, begin, end, breaks)

    def close(self) -> None:
        """Ends the document.

        Raises
        ------
        TelemetryError : XML_MALFORMED when elements are still open.
        """
        if self._decoder is None:
            self._open()
        if self._decoder is not None:
            self._parse(self._decoder.decode(b"", final=True))
        self._parse_piece(b"", final=True)

    def _open(self) -> None:
        """Settles the encoding by the first bytes, and parses them."""
        self._decoder = _Decoder(self._head)
        head = self._decoder.decode(self._head)
        self._head = b""
        stripped = head
        while (shorter := stripped.lstrip(_SPACE).removeprefix(_MARK)) != stripped:
            stripped = shorter
        self._place.skip(head, 0, len(head) - len(stripped), None)
        self._parse(stripped)

    def _parse(self, data: bytes) -> None:
        for begin in range(0, len(data), FEED_BYTES):
            self._parse_piece(data[begin : begin + FEED_BYTES])

    def _parse_piece(self, piece: bytes, final: bool = False) -> None:
        if self._padding and not piece.strip(_SPACE + b"\0"):
            return
        parser = self._parser
        before = self._fed_bytes
        self._piece = piece
        self._fed_bytes += len(piece)
        try:
            parser.Parse(piece, final)
        except expat.ExpatError as error:
            rest = piece[max(parser.ErrorByteIndex - before, 0) :]
            if self._ended and not rest.strip(_SPACE + b"\0"):
                # Some loggers write their files in whole sectors: zeros after the end are no damage.
                self._padding = True
                return
            raise self._error(Code.XML_MALFORMED, expat.ErrorString(error.code), error.lineno, error.offset) from None
        self._place.feed(piece)
        if self._fed_bytes - parser.CurrentByteIndex > MAX_TOKEN_BYTES:
            raise self._error(Code.XML_MALFORMED, f"a tag or comment is longer than {MAX_TOKEN_BYTES} bytes")
        if len(parser.intern) > MAX_NAMES:
            raise self._error(Code.XML_MALFORMED, f"more than {MAX_NAMES} different names")

    def _start(self, written: str, attributes: dict[str, str]) -> None:
        if attributes:
            self._declare(attributes)
        name = self._names.get(written) or self.resolve(written)
        self.stack.append(name)
        self.written = written
        if len(self.stack) > MAX_DEPTH:
            raise self._error(Code.XML_MALFORMED, f"elements nested deeper than {MAX_DEPTH}")
        self._mark(b">")
        self._leaf = True
        self._text.clear()
        self._text_length = 0
        self._handler.start(name, attributes)

    def _end(self, _: str) -> None:
        self._mark(b">")
        stack = self.stack
        text = "".join(self._text).strip(" \t\r\n") if self._leaf else None
        self._leaf = False
        self._handler.end(stack[-1], text)
        stack.pop()
        if self._outer_scopes and self._outer_scopes[-1][0] > len(stack):
            self.scope = self._outer_scopes.pop()[1]
            self._names = {}
        self._ended = not stack

    def _mark(self, end: bytes) -> None:
        self._token_index = self._parser.CurrentByteIndex
        self._token_end = end

    def _characters(self, text: str) -> None:
        room = MAX_TEXT_CHARACTERS - self._text_length
        if room >= len(text):
            self._text.append(text)
            self._text_length += len(text)
        elif room > 0:
            # The mark makes the cut text unreadable as a number, instead of a wrong number.
            self._text.append(text[:room] + "…")
            self._text_length = MAX_TEXT_CHARACTERS

    def _declare(self, attributes: dict[str, str]) -> None:
        if declared := declarations(attributes):
            self._outer_scopes.append((len(self.stack) + 1, self.scope))
            self.scope = {**self.scope, **declared}
            self._names = {}
            if len(self.scope) > MAX_NAMES:
                raise self._error(Code.XML_MALFORMED, f"more than {MAX_NAMES} namespaces")

    def _forbid(self, *_: object) -> None:
        raise self._error(Code.XML_FORBIDDEN, "document type or entity declaration")

    def _error(self, code: Code, what: str, line: int | None = None, column: int | None = None) -> TelemetryError:
        line = self._parser.CurrentLineNumber if line is None else line
        column = self._parser.CurrentColumnNumber if column is None else column
        line, column = self._place.of_document(line, column)
        return TelemetryError(code, f"line {line}, column {column + 1}: {what}")


def declarations(attributes: Mapping[str, str]) -> dict[str, str]:
    """The namespaces that a tag declares, by prefix; `""` for the default one."""
    return {key[6:]: value for key, value in attributes.items() if key == "xmlns" or key.startswith("xmlns:")}


def resolve(written: str, scope: Mapping[str, str]) -> Name:
    """Namespace and local name of a tag's name as written.

    A prefix that was never declared counts as a namespace of its own: many exporters forget the declaration.
    """
    prefix, _, local = written.rpartition(":")
    return scope.get(prefix, prefix and prefix + ":"), local


def decode_head(head: bytes) -> str:
    """The first bytes of a document as text, without byte order marks and leading white space."""
    return _Decoder(head).decode(head).decode("utf-8", "replace").lstrip("\ufeff \t\r\n")


class _Place:
    """Where the parser's lines and columns lie in the document, parts of which it never saw."""

    def __init__(self) -> None:
        self._fed_line, self._fed_column = 1, 0
        self._line, self._column = 1, 0
        self._skip_fed = (1, 0)
        self._skip_end = (1, 0)

    def feed(self, data: bytes) -> None:
        breaks = data.count(b"\n")
        column = _column(data, 0, len(data), breaks)
        self._fed_line, self._fed_column = self._fed_line + breaks, column + (0 if breaks else self._fed_column)
        self._line, self._column = self._line + breaks, column + (0 if breaks else self._column)

    def skip(self, data: bytes, begin: int, end: int, breaks: int | None) -> None:
        breaks = data.count(b"\n", begin, end) if breaks is None else breaks
        column = _column(data, begin, end, breaks)
        self._line, self._column = self._line + breaks, column + (0 if breaks else self._column)
        self._skip_fed = (self._fed_line, self._fed_column)
        self._skip_end = (self._line, self._column)

    def of_document(self, fed_line: int, fed_column: int) -> tuple[int, int]:
        """The document's line and column (from 0) of a place behind the last skip."""
        line = self._skip_end[0] + fed_line - self._skip_fed[0]
        if fed_line == self._skip_fed[0]:
            fed_column += self._skip_end[1] - self._skip_fed[1]
        return line, fed_column


def _column(data: bytes, begin: int, end: int, breaks: int) -> int:
    """Bytes behind the last line break of `data[begin:end]`, or all of them."""
    return end - (data.rindex(b"\n", begin, end) + 1 if breaks else begin)


class _Decoder:
    """Turns a document's bytes into UTF-8, piece by piece.

    The first bytes say more than the declaration, which writers copy from elsewhere: a file that is not UTF-16 by its
    own bytes is read as some code page, whatever it declares. Bytes that are no UTF-8 count as Latin-1 one by one.
    """

    def __init__(self, head: bytes) -> None:
        self._name = _encoding(head)
        self.ascii_markup = not self._name.startswith("utf-16")
        self.mistaken = False
        self._decoder = codecs.getincrementaldecoder(self._name)("strict")

    @property
    def pending(self) -> bool:
        """True while a character is only half there."""
        return bool(self._decoder.getstate()[0])

    def decode(self, data: bytes, final: bool = False) -> bytes:
        if self.ascii_markup and data.isascii() and not self.pending:
            return data
        state = self._decoder.getstate()
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError:
            self.mistaken = True
            lenient = "telemetry.latin1" if self._name == "utf-8" else "replace"
            self._decoder = codecs.getincrementaldecoder(self._name)(lenient)
            self._decoder.setstate(state)
            text = self._decoder.decode(data, final)
        return text.encode()


def _as_latin1(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("telemetry.latin1", _as_latin1)


def _encoding(head: bytes) -> str:
    """The codec of a document that begins with `head`."""
    if head.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    if head.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    sample = head[:64]
    few, many = len(sample) // 16, len(sample) // 4
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if even <= few and odd > many:
        return "utf-16-le"
    if odd <= few and even > many:
        return "utf-16-be"
    declared = _DECLARED.match(head.lstrip(_SPACE))
    if declared:
        try:
            name = codecs.lookup(declared[1].decode()).name
        except LookupError:
            return "utf-8"
        if name.startswith(_CODE_PAGES):
            return name
    return "utf-8"
