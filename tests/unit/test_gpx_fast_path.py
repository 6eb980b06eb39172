"""The vectorised path of the GPX reader gives exactly what expat alone gives, and is really taken."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.formats.gpx import GpxReader
from tests import real_recordings
from tests.unit import xml_paths
from tests.unit.xml_paths import Outcome, points_seen_by_expat

FIXTURES = Path(__file__).parents[2] / "fixtures" / "telemetry"
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<gpx version="1.1" creator="Test" xmlns="http://www.topografix.com/GPX/1/1" '
    'xmlns:g="http://www.garmin.com/xmlschemas/TrackPointExtension/v2">\n'
    f"<!-- {'long enough to tell the encoding by ' * 30} -->\n<trk><trkseg>\n"
)
FOOT = "</trkseg></trk></gpx>\n"


def assert_same(data: bytes, *block_sizes: int) -> Outcome:
    return xml_paths.assert_same(GpxReader, data, *block_sizes)


def regular(number: int) -> str:
    return (
        f'  <trkpt lat="{50 + number / 1000:.4f}" lon="{number / 777:.5f}">\n    <ele>{number % 90}.5</ele>\n'
        f"    <time>2024-05-01T10:{number // 60 % 60:02}:{number % 60:02}.{number % 1000:03}Z</time>\n"
        f"    <extensions><g:TrackPointExtension><g:hr>{100 + number % 80}</g:hr><g:speed>{number % 50}.25</g:speed>"
        "</g:TrackPointExtension></extensions>\n  </trkpt>\n"
    )


PLAIN = regular(7)
ODD = {
    "entity in a value": PLAIN.replace("7.5", "&#55;.5"),
    "entity in an attribute": PLAIN.replace("50.0070", "5&#48;.0070"),
    "comment inside": PLAIN.replace("<time>", "<!-- <time> --><time>"),
    "comment behind": PLAIN + "<!-- <trkpt lat='1' lon='2'> -->\n",
    "comment with a point": f"<!-- {PLAIN} -->\n" + PLAIN,
    "comment over a point boundary": PLAIN.replace("</trkpt>", "</trkpt><!--")
    + regular(8).replace("<ele>", "--><ele>"),
    "section as value": PLAIN.replace("7.5", "<![CDATA[7.5]]>"),
    "section hiding points": f"<name><![CDATA[ {PLAIN} ]]></name>\n{PLAIN}",
    "instruction": PLAIN + "<?pause yes?>\n",
    "other order": '<trkpt lon="1" lat="2"><time>2024-05-01T10:00:00Z</time><ele>3</ele></trkpt>\n',
    "single quotes": PLAIN.replace('"', "'"),
    "mixed quotes": "<trkpt lat=\"1\" lon='2'><time>2024-05-01T10:00:00Z</time></trkpt>\n",
    "angle in attribute": PLAIN.replace("lon=", 'x=">" lon='),
    "more attributes": PLAIN.replace("lon=", 'id="5" lon='),
    "empty values": PLAIN.replace(">7.5<", "><").replace(">107<", ">  <"),
    "empty element": PLAIN.replace("<ele>7.5</ele>", "<ele/>"),
    "no values": '<trkpt lat="1" lon="2"/>\n',
    "no position": '<trkpt lat="" lon="nan"><time>2024-05-01T10:00:00Z</time></trkpt>\n',
    "no longitude": '<trkpt lat="1"><time>2024-05-01T10:00:00Z</time></trkpt>\n',
    "no time": '<trkpt lat="1" lon="2"><ele>3</ele></trkpt>\n',
    "unreadable": PLAIN.replace("7.5", "seven").replace("2024-", "20x4-").replace(">107<", ">NaN<"),
    "infinite": PLAIN.replace(">7.5<", ">1e999<").replace(">7.25<", ">1e300<"),
    "spaces around": PLAIN.replace(">7.5<", "> 7.5\n<").replace('"50.0070"', '" 50.0070 "'),
    "plus sign": PLAIN.replace(">7.5<", ">+7.5<"),
    "comma": PLAIN.replace(">7.5<", ">7,5<"),
    "many digits": PLAIN.replace(">7.5<", f">7.{'5' * 5000}<"),
    "seven digits": PLAIN.replace(".007Z", ".0071234Z"),
    "offset": PLAIN.replace(".007Z", ".007+02:00"),
    "no zone": PLAIN.replace(".007Z", ".007"),
    "leap second": PLAIN.replace(":07.007Z", ":60Z"),
    "date alone": PLAIN.replace("T10:00:07.007Z", ""),
    "duplicate leaves": PLAIN.replace("<g:hr>", "<g:hr>99</g:hr><g:hr>"),
    "duplicate with empty first": PLAIN.replace("<g:hr>", "<g:hr></g:hr><g:hr>"),
    "time twice": PLAIN.replace("<time>", "<time>2020-01-01T00:00:00Z</time><time>"),
    "new channel": PLAIN.replace("<g:hr>", "<throttle>3</throttle><g:hr>"),
    "words in a channel": PLAIN.replace("<g:hr>", "<gear>third</gear><g:hr>"),
    "names": PLAIN.replace("<time>", "<name>a ]] b</name><sym>1</sym><time>"),
    "bad text": PLAIN.replace("<time>", "<name>a ]]> b</name><time>"),
    "control character": PLAIN.replace("<time>", "<name>\x01</name><time>"),
    "null character": PLAIN.replace("7.5", "7.5\0"),
    "umlaut": PLAIN.replace("<time>", "<name>Zürich</name><time>"),
    "fix": PLAIN.replace("<time>", "<fix>3d</fix><sat>7</sat><time>"),
    "odd fix": PLAIN.replace("<time>", "<fix>9d</fix><sat>7.5</sat><time>"),
    "attribute channel": PLAIN.replace("<g:hr>", '<m s="3" t="x"/><g:hr>'),
    "attribute and text": PLAIN.replace("<g:hr>", '<m s="3">4</m><g:hr>'),
    "redeclared prefix": PLAIN.replace("<g:TrackPointExtension>", '<g:TrackPointExtension xmlns:g="urn:x">'),
    "redeclared default": PLAIN.replace("<extensions>", '<extensions xmlns="urn:y"><speed>9</speed>'),
    "foreign child": PLAIN.replace("<ele>", '<ele xmlns="urn:x">'),
    "prefix declared inside": PLAIN.replace("<g:hr>", '<w:throttle xmlns:w="urn:w">3</w:throttle><g:hr>'),
    "undeclared prefix": PLAIN.replace("<g:hr>", "<q:hr>3</q:hr><g:hr>"),
    "prefixed point": PLAIN.replace("<trkpt", "<g:trkpt").replace("</trkpt", "</g:trkpt"),
    "similar tag": PLAIN.replace("<trkpt", "<trkpts").replace("</trkpt>", "</trkpts>"),
    "text between": "gap " + PLAIN + "gap & gap",
    "word between": PLAIN + "gap\n",
    "segment between": "</trkseg>\n<trkseg>\n" + PLAIN,
    "track between": "</trkseg></trk><trk><name>x</name><trkseg>\n" + PLAIN,
    "empty segment between": "</trkseg><trkseg/><trkseg></trkseg><trkseg>" + PLAIN,
    "scope between": '</trkseg></trk><trk xmlns:g="urn:z"><trkseg>' + PLAIN,
    "route between": '</trkseg></trk><rte><rtept lat="1" lon="2"/></rte><trk><trkseg>' + PLAIN,
    "nested point": PLAIN.replace("<ele>", f"<extensions>{PLAIN}</extensions><ele>"),
    "mismatched": PLAIN.replace("</ele>", "</els>"),
    "swapped ends": PLAIN.replace("</g:TrackPointExtension></extensions>", "</extensions></g:TrackPointExtension>"),
    "unclosed": PLAIN.replace("</trkpt>", ""),
    "stray close": PLAIN + "</trkpt>",
    "stray angle": PLAIN.replace("7.5", "7<5"),
    "double attribute": PLAIN.replace("lon=", 'lat="3" lon='),
    "carriage returns": PLAIN.replace("\n", "\r\n"),
    "other white space": PLAIN.replace("\n    ", "\n\t"),
    "space in tags": PLAIN.replace("<ele>", "<ele >").replace("</ele>", "</ele >"),
    "document type": "<!DOCTYPE x>" + PLAIN,
    "end of document": FOOT + PLAIN,
    "zeros": "\0\0\0\0" + PLAIN,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_odd_points_among_regular_ones(odd: str) -> None:
    before = "".join(regular(n) for n in range(30))
    middle = "".join(regular(n) for n in range(30, 60))
    document = HEAD + before + odd + middle + odd + regular(60) + odd * 6 + regular(61) + FOOT
    assert_same(document.encode(), 1000, 1 << 20)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_files_of_odd_points_alone(odd: str) -> None:
    assert_same((HEAD + odd * 12 + FOOT).encode(), 600, 1 << 20)


def test_a_zone_here_and_none_there() -> None:
    points = [regular(n).replace("Z</time>", "</time>" if n % 3 else "Z</time>") for n in range(90)]
    strict = assert_same((HEAD + "".join(points) + FOOT).encode())
    assert strict.findings.inferred == ["60 times without a zone were read as UTC, as GPX defines them"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252", "cp037", "utf-7"])
def test_encodings(encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    document = (HEAD + "".join(regular(n) for n in range(50)) + ODD["umlaut"] + FOOT).replace("UTF-8", declared)
    assert_same(document.encode(encoding))


def test_a_lie_about_the_encoding() -> None:
    points = "".join(regular(n) for n in range(50))
    document = (HEAD + points + ODD["umlaut"] + points + FOOT).encode("latin-1")
    assert "Latin-1" in assert_same(document).findings.inferred[0]


def test_prefixed_documents_and_white_space_of_every_kind() -> None:
    points = "".join(regular(n).replace("\n", "\n" * (n % 3 + 1)) for n in range(60))
    document = (HEAD + points + FOOT).replace("<gpx ", '<n:gpx xmlns:n="http://www.topografix.com/GPX/1/1" ')
    for tag in ("trkseg", "trkpt", "trk", "ele", "time", "extensions"):
        document = re.sub(rf"<(/?){tag}(?=[\s>])", rf"<\1n:{tag}", document)
    assert assert_same(document.replace("</gpx>", "</n:gpx>").encode()).table.num_rows == 60


@pytest.mark.parametrize("newline", ["\n", "\r\n", ""])
def test_errors_name_the_same_place(newline: str) -> None:
    points = "".join(regular(n) for n in range(200))
    document = (HEAD + points + ODD["comment inside"] + points + ODD["mismatched"] + FOOT).replace("\n", newline)
    strict = assert_same(document.encode())
    assert strict.error is not None
    assert strict.table.num_rows == 401


RECORDINGS = [*sorted(FIXTURES.glob("*.gpx")), *real_recordings.find("files*/gpx/*.gpx")]


@pytest.mark.parametrize("path", real_recordings.cases(RECORDINGS))
def test_recordings(path: Path) -> None:
    assert_same(path.read_bytes(), 3000, 1 << 16, 1 << 20)


def test_rare_oddities_cost_only_themselves() -> None:
    count = 4000
    blocks = len(regular(0)) * count // (1 << 16) + 2
    points = [regular(n) for n in range(count)]
    assert points_seen_by_expat(GpxReader, HEAD + "".join(points) + FOOT) <= 3 + blocks
    odd = [name for name in ODD if name.startswith(("entity", "comment", "section", "instruction", "spaces", "umlaut"))]
    for number, name in enumerate(odd):
        points[250 * (number + 1)] = ODD[name]
    assert points_seen_by_expat(GpxReader, HEAD + "".join(points) + FOOT) <= 3 + blocks + 3 * len(odd)


def test_several_shapes_are_each_fast() -> None:
    shapes = (
        regular,
        lambda n: regular(n).replace("<g:hr>", "<g:cad>80</g:cad><g:hr>"),
        lambda n: re.sub(r"<extensions>.*</extensions>", "<speed>3.5</speed><name>p</name>", regular(n)),
    )
    points = [shapes[(n * 7 // 3) % 3](n) for n in range(3000)]
    document = HEAD + "".join(points) + FOOT
    assert_same(document.encode(), 1 << 16)
    assert points_seen_by_expat(GpxReader, document) < 60


_texts = st.sampled_from(
    [
        "1",
        "-2.5",
        "1e3",
        "",
        " 4 ",
        "x",
        "&lt;",
        "<!-- -->5",
        "<![CDATA[6]]>",
        "NaN",
        "9" * 40,
        "+1",
        "1,5",
        "é",
        "<b/>",
    ]
)
_times = st.sampled_from(
    [
        "2024-05-01T10:00:00Z",
        "2024-05-01T10:00:00.1234567Z",
        "2024-05-01 10:00:00",
        "2024-05-01T12:00:00+02:00",
        "",
        "x",
    ]
)
_leaves = st.one_of(
    st.tuples(st.sampled_from(["ele", "speed", "sat", "fix", "name", "zzz"]), _texts),
    st.tuples(st.just("time"), _times),
)
_extensions = st.tuples(st.sampled_from(["g:hr", "g:speed", "speed", "power", "q:new", "word"]), _texts)
_gaps = st.sampled_from(
    ["", "\n", " \n ", "<!-- c -->", "<?p?>", "</trkseg><trkseg>", "x", "</trkseg></trk><trk><trkseg>"]
)


@st.composite
def _documents(draw: st.DrawFn) -> str:
    """Documents of a few shapes of points, each used many times over, with different gaps between."""
    shapes = draw(
        st.lists(st.tuples(st.lists(_leaves, max_size=4), st.lists(_extensions, max_size=3)), min_size=1, max_size=4)
    )
    document = [HEAD]
    for index in draw(st.lists(st.integers(0, len(shapes) - 1), max_size=60)):
        leaves, extensions = shapes[index]
        inner = "".join(f"<{name}>{text}</{name}>" for name, text in leaves)
        inner += "<extensions>" + "".join(f"<{name}>{text}</{name}>" for name, text in extensions) + "</extensions>"
        document.append(f'<trkpt lat="{index}.5" lon="-{len(document)}">{inner}</trkpt>')
        document.append(draw(_gaps) if draw(st.integers(0, 9)) == 0 else "\n")
    return "".join([*document, FOOT])


@settings(max_examples=60, deadline=None)
@given(_documents(), st.integers(200, 5000))
def test_generated_documents(document: str, block_bytes: int) -> None:
    assert_same(document.encode(), block_bytes)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_documents(data: st.DataObject) -> None:
    """Every outcome is batches and a code of the catalogue, the same by both paths."""
    document = bytearray((HEAD + "".join(regular(n) for n in range(40)) + FOOT).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(document) - 1))
        width = data.draw(st.integers(0, 30))
        alphabet = st.sampled_from([*b"<>\"'/&!-[]?= \n\0\x80\xff09.eZ"])
        document[place : place + width] = bytes(data.draw(st.lists(alphabet, max_size=12)))
    assert_same(bytes(document), data.draw(st.sampled_from([300, 2000, 1 << 20])))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_end_in_a_code(data: bytes) -> None:
    assert assert_same(data, 64, 1 << 20).error is not None
