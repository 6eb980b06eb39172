"""The guarded expat: what it refuses, how fast, and what it lives with."""

import time
import tracemalloc

import pytest

from telemetry.errors import Code, TelemetryError
from telemetry.formats import xml_stream
from telemetry.formats.xml_root import root_element
from telemetry.formats.xml_stream import MAX_DEPTH, MAX_TOKEN_BYTES, Name, XmlStream, blocks


class Recorder:
    """Keeps every element with its text."""

    def __init__(self) -> None:
        self.started: list[tuple[Name, dict[str, str]]] = []
        self.texts: list[tuple[str, str | None]] = []

    def start(self, name: Name, attributes: dict[str, str]) -> None:
        self.started.append((name, dict(attributes)))

    def end(self, name: Name, text: str | None) -> None:
        self.texts.append((name[1], text))


def _parse(document: bytes, piece: int = 1 << 20) -> Recorder:
    recorder = Recorder()
    stream = XmlStream(recorder)
    stream.collecting = True
    for begin in range(0, len(document), piece):
        stream.feed(document[begin : begin + piece])
    stream.close()
    return recorder


def _refusal(document: bytes, piece: int = 1 << 16) -> TelemetryError:
    with pytest.raises(TelemetryError) as caught:
        _parse(document, piece)
    return caught.value


LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE gpx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<gpx>&c;</gpx>"""
EXTERNAL = b"""<!DOCTYPE gpx [<!ENTITY x SYSTEM "file:///etc/passwd">]><gpx>&x;</gpx>"""


@pytest.mark.parametrize("document", [LAUGHS, EXTERNAL, b"<!DOCTYPE gpx><gpx/>", LAUGHS.decode().encode("utf-16")])
def test_document_types_are_forbidden_with_their_line(document: bytes) -> None:
    error = _refusal(document)
    assert error.code is Code.XML_FORBIDDEN
    assert error.detail.startswith("line ")


def test_an_undeclared_entity_is_malformed() -> None:
    assert _refusal(b"<gpx>\n &nbsp;</gpx>").detail == "line 2, column 2: undefined entity"


@pytest.mark.parametrize(
    "document",
    [
        b'<gpx a="' + b"x" * (8 << 20) + b'"/>',
        b'<gpx a="' + b">" * (8 << 20) + b'"/>',
        b"<gpx><!--" + b"<" * (8 << 20) + b"--></gpx>",
        b"<gpx><?x " + b"<" * (8 << 20) + b"?></gpx>",
        b"<" + b"g" * (8 << 20) + b"/>",
    ],
    ids=["attribute", "attribute of >", "comment", "instruction", "name"],
)
def test_an_endless_token_is_refused_soon(document: bytes) -> None:
    began = time.process_time()
    tracemalloc.start()
    error = _refusal(document)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.code is Code.XML_MALFORMED
    assert f"longer than {MAX_TOKEN_BYTES} bytes" in error.detail
    assert time.process_time() - began < 2
    assert peak < 4 * MAX_TOKEN_BYTES


def test_depth_names_and_namespaces_are_bounded() -> None:
    assert "nested deeper" in _refusal(b"<a>" * (MAX_DEPTH + 1)).detail
    _parse(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH)
    names = b"".join(b"<n%d/>" % n for n in range(200_000))
    assert "different names" in _refusal(b"<a>" + names + b"</a>").detail
    declared = b"".join(b' xmlns:p%d="u"' % n for n in range(20_000))
    assert "namespaces" in _refusal(b"<a" + declared + b"/>").detail


def test_long_text_is_cut_so_that_it_is_no_number() -> None:
    text = _parse(b"<a>" + b"1" * 100_000 + b"</a>").texts[0][1]
    assert text is not None
    assert len(text) <= xml_stream.MAX_TEXT_CHARACTERS + 1
    assert not text.isdigit()


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    "document",
    [
        "<g><t>Zürich – 12</t></g>".encode(),
        b"\xef\xbb\xbf" + "<g><t>Zürich – 12</t></g>".encode(),
        b" \r\n\t" + '<?xml version="1.0"?><g><t>Zürich – 12</t></g>'.encode(),
        b"\n\xef\xbb\xbf\n" + '<?xml version="1.0"?><g><t>Zürich – 12</t></g>'.encode(),
        "<g><t>Zürich – 12</t></g>".encode("utf-16"),
        '\ufeff<?xml version="1.0" encoding="UTF-8"?><g><t>Zürich – 12</t></g>'.encode("utf-16-be"),
        '<?xml version="1.0" encoding="UTF-16"?><g><t>Zürich – 12</t></g>'.encode("utf-16-le"),
        '<?xml version="1.0" encoding="UTF-16"?><g><t>Zürich – 12</t></g>'.encode(),
        '<?xml version="1.0" encoding="windows-1252"?><g><t>Zürich – 12</t></g>'.encode("cp1252"),
        '<?xml version="1.0" encoding="klingon"?><g><t>Zürich – 12</t></g>'.encode(),
    ],
)
def test_encodings_and_lies_about_them(document: bytes, piece: int) -> None:
    assert _parse(document, piece).texts[0] == ("t", "Zürich – 12")


@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_latin1_bytes_in_a_document_that_claims_utf8(piece: int) -> None:
    document = '<?xml version="1.0" encoding="UTF-8"?><g><t>Zürich</t><t>ok é</t></g>'.encode("latin-1")
    assert [text for _, text in _parse(document, piece).texts[:2]] == ["Zürich", "ok é"]


def test_zeros_behind_the_end_are_padding_and_anything_else_is_damage() -> None:
    assert _parse(b"<g><t>1</t></g>\n" + b"\0" * 5000, 512).texts[0] == ("t", "1")
    assert "junk after document" in _refusal(b"<g><t>1</t></g>\nx").detail
    assert _refusal(b"").detail == "line 1, column 1: no element found"


def test_prefixes_resolve_to_namespaces_in_their_scope() -> None:
    document = b'<p:a xmlns:p="one" xmlns="two"><b xmlns="three"><p:c/></b><b/><q:d x="1"/></p:a>'
    assert [name for name, _ in _parse(document).started] == [
        ("one", "a"),
        ("three", "b"),
        ("one", "c"),
        ("two", "b"),
        ("q:", "d"),
    ]


def test_places_of_errors_count_what_was_skipped() -> None:
    whole = b"<g>\n" + b" " * 2000 + b"\n<s>\n<p>1</p>\n <p>2</p> <p>3</p>\n<p>4</q></s></g>"
    expected = _refusal(whole).detail
    assert expected.startswith("line 6, ")
    recorder = Recorder()
    stream = XmlStream(recorder)
    begin = whole.index(b"<p>2")
    end = whole.index(b"<p>4")
    stream.feed(whole[:begin])
    assert stream.settled
    stream.skip(whole, begin, end)
    with pytest.raises(TelemetryError) as caught:
        stream.feed(whole[end:])
    assert caught.value.detail == expected
    one_line = whole.replace(b"\n", b"")
    stream = XmlStream(recorder)
    stream.feed(one_line[: one_line.index(b"<p>2")])
    stream.skip(one_line, one_line.index(b"<p>2"), one_line.index(b"<p>4"))
    with pytest.raises(TelemetryError) as caught:
        stream.feed(one_line[one_line.index(b"<p>4") :])
    assert caught.value.detail == _refusal(one_line).detail


SETTLED = {
    b"<g>": True,
    b"<g> \r\n\t": True,
    b"<g><p></p>": True,
    b"<g><p/>\n": True,
    b"<g><!-- < > -->\n": True,
    b"<g><!-->x-->": True,
    b"<g><?pi x?> ": True,
    b"<g><![CDATA[ <x> ]]>\n": True,
    b"<g>text": False,
    b"<g": False,
    b"<g><": False,
    b"<g><!": False,
    b"<g><!-- ": False,
    b"<g><!-- --": False,
    b"<g><!-- --> <!-- > ": False,
    b"<g><![CDATA[ </p> ": False,
    b"<g><?pi > ": False,
    b"<g>&am": False,
    b'<g a=">': False,
    b'<g a=">">': False,  # where such a tag ends is not asked
    b"<g>\xc3": False,
}


@pytest.mark.parametrize(("beginning", "settled"), SETTLED.items())
def test_settled_means_nothing_is_pending(beginning: bytes, settled: bool) -> None:
    stream = XmlStream(Recorder())
    stream.feed(b"<?xml version='1.0'?>" + b"<!--" + b"x" * 2000 + b"-->")
    stream.feed(beginning)
    assert stream.settled is settled


class Trickle:
    """Gives fewer bytes than asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int, /) -> bytes:
        size = min(size, 3)
        piece, self.data = self.data[:size], self.data[size:]
        return piece


def test_blocks_do_not_depend_on_how_bytes_arrive() -> None:
    assert list(blocks(Trickle(b"0123456789"), 4)) == [b"0123", b"4567", b"89"]
    assert list(blocks(Trickle(b""), 4)) == []


def test_root_element_of_any_prologue() -> None:
    head = b'\xef\xbb\xbf\n<?xml version="1.0"?><!-- <gpx> --><?x y?>\n<n:gpx a="1 &amp; 2" b=\'3\'>'
    root = root_element(head)
    assert root is not None
    assert (root.name, root.attributes) == ("gpx", {"a": "1 & 2", "b": "3"})
    assert root_element("<kml/>".encode("utf-16")) is not None
    for other in (b"", b"gpx", b"<", b"{}", b"<!-- <gpx> -->", b"time,lat\n"):
        assert root_element(other) is None
    hostile = b"<?a?>" * 10_000 + b"<!--" * 5_000
    began = time.process_time()
    assert root_element(hostile[: 1 << 16]) is None
    assert time.process_time() - began < 2
