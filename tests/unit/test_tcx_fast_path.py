"""The vectorised path of the TCX reader gives exactly what expat alone gives, and is really taken."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.formats.tcx import TcxReader
from tests import real_recordings
from tests.unit.xml_paths import assert_same, points_seen_by_expat

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<TrainingCenterDatabase xmlns="http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns:ns3="http://www.garmin.com/xmlschemas/ActivityExtension/v2">\n'
    f"<!-- {'long enough to tell the encoding by ' * 30} -->\n"
    '<Activities><Activity Sport="Other"><Lap StartTime="2024-05-01T10:00:00Z"><Track>\n'
)
FOOT = "</Track></Lap></Activity></Activities></TrainingCenterDatabase>\n"
NEXT_LAP = (
    '</Track></Lap><Lap StartTime="2024-05-01T10:10:00Z"><TotalTimeSeconds>9.5</TotalTimeSeconds>'
    "<Extensions><ns3:LX><ns3:AvgSpeed>3</ns3:AvgSpeed></ns3:LX></Extensions><Track>\n"
)
GARMIN = 'xmlns="http://www.garmin.com/xmlschemas/ActivityExtension/v2"'


def regular(number: int) -> str:
    return (
        f"  <Trackpoint>\n    <Time>2024-05-01T10:{number // 60 % 60:02}:{number % 60:02}.{number % 1000:03}Z</Time>\n"
        f"    <Position><LatitudeDegrees>{50 + number / 1000:.4f}</LatitudeDegrees>"
        f"<LongitudeDegrees>{number / 777:.5f}</LongitudeDegrees></Position>\n"
        f"    <AltitudeMeters>{number % 90}.5</AltitudeMeters><DistanceMeters>{number}.25</DistanceMeters>\n"
        f'    <HeartRateBpm xsi:type="HeartRateInBeatsPerMinute_t"><Value>{100 + number % 80}</Value></HeartRateBpm>'
        f"<Cadence>{number % 90}</Cadence><SensorState>Absent</SensorState>\n"
        f"    <Extensions><ns3:TPX><ns3:Speed>{number % 50}.25</ns3:Speed><ns3:Watts>{number % 300}</ns3:Watts>"
        "</ns3:TPX></Extensions>\n  </Trackpoint>\n"
    )


def declaring(number: int) -> str:
    """Points whose extensions declare their namespace anew, as Garmin Connect once wrote them."""
    return regular(number).replace("ns3:TPX>", f"TPX {GARMIN}>", 1).replace("ns3:", "")


PLAIN = regular(7)
POSITION = PLAIN[PLAIN.index("<Position>") : PLAIN.index("</Position>") + len("</Position>")]
ODD = {
    "no position": PLAIN.replace(POSITION, ""),
    "empty position": PLAIN.replace(POSITION, "<Position/>"),
    "half a position": PLAIN.replace("<LongitudeDegrees>0.00901</LongitudeDegrees>", ""),
    "position twice": PLAIN.replace(POSITION, POSITION.replace("50", "51") + POSITION),
    "position elsewhere": PLAIN.replace(POSITION, f"<Extensions>{POSITION}</Extensions>"),
    "time alone": "<Trackpoint><Time>2024-05-01T10:00:07Z</Time></Trackpoint>\n",
    "nothing": "<Trackpoint></Trackpoint><Trackpoint/>\n",
    "no time": PLAIN.replace("Time>", "Tame>"),
    "entity in a value": PLAIN.replace("7.5<", "&#55;.5<"),
    "comment inside": PLAIN.replace("<Time>", "<!-- <Time> --><Time>"),
    "comment with a point": f"<!-- {PLAIN} -->\n" + PLAIN,
    "section as value": PLAIN.replace(">7.5<", "><![CDATA[7.5]]><"),
    "unreadable": PLAIN.replace(">7.5<", ">seven<").replace(">107<", ">NaN<"),
    "spaces around": PLAIN.replace(">107<", ">\n  107  <"),
    "declared anew": declaring(7),
    "declared with spaces": declaring(7).replace("/v2", "/\n v2"),
    "declared anew with a new channel": declaring(7).replace("<Watts>", "<Slope>3.5</Slope><Watts>"),
    "foreign children": PLAIN.replace("<AltitudeMeters>", '<AltitudeMeters xmlns="urn:x">'),
    "another namespace": declaring(7).replace("ActivityExtension", "Other"),
    "heart rate without value": PLAIN.replace("<Value>107</Value>", "107"),
    "other text": PLAIN.replace("Absent", "Present"),
    "attribute channel": PLAIN.replace("<ns3:TPX>", '<ns3:TPX CadenceSensor="Bike" level="3">'),
    "new channel": PLAIN.replace("<ns3:Watts>", "<ns3:Slope>3.5</ns3:Slope><ns3:Watts>"),
    "lap between": NEXT_LAP + PLAIN,
    "track between": "</Track><Track>\n" + PLAIN,
    "activity between": (
        '</Track></Lap><Creator><Name>Edge 500</Name></Creator></Activity><Activity><Lap StartTime=""><Track>' + PLAIN
    ),
    "nested point": PLAIN.replace("<AltitudeMeters>", f"<Extensions>{PLAIN}</Extensions><AltitudeMeters>"),
    "similar tag": PLAIN.replace("Trackpoint>", "Trackpoints>"),
    "mismatched": PLAIN.replace("</Position>", "</Positions>"),
    "carriage returns": PLAIN.replace("\n", "\r\n"),
    "document type": "<!DOCTYPE x>" + PLAIN,
    "courses behind": (
        "</Track></Lap></Activity></Activities><Courses><Course><Track>" + PLAIN * 6 + "</Track></Course></Courses>"
        '<Activities><Activity><Lap StartTime="2024-05-01T11:00:00Z"><Track>' + PLAIN
    ),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_odd_points_among_regular_ones(odd: str) -> None:
    before = "".join(regular(n) for n in range(30))
    middle = "".join(regular(n) for n in range(30, 60))
    document = HEAD + before + odd + middle + odd + regular(60) + odd * 6 + regular(61) + FOOT
    assert_same(TcxReader, document.encode(), 1000, 1 << 20)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_files_of_odd_points_alone(odd: str) -> None:
    assert_same(TcxReader, (HEAD + odd * 12 + FOOT).encode(), 600, 1 << 20)


@pytest.mark.parametrize("path", real_recordings.cases(real_recordings.find("files*/tcx/*.tcx")))
def test_recordings(path: Path) -> None:
    assert_same(TcxReader, path.read_bytes(), 3000, 1 << 16, 1 << 20)


@pytest.mark.parametrize("point", [regular, declaring, lambda n: regular(n).replace(POSITION, "")])
def test_the_usual_shapes_are_fast(point: object) -> None:
    assert callable(point)
    laps = [NEXT_LAP if n and n % 500 == 0 else "" for n in range(3000)]
    document = HEAD + "".join(laps[n] + point(n) for n in range(3000)) + FOOT
    assert points_seen_by_expat(TcxReader, document) < 60


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_mutated_documents(data: st.DataObject) -> None:
    """Every outcome is batches and a code of the catalogue, the same by both paths."""
    points = "".join((NEXT_LAP if n % 13 == 12 else "") + (declaring if n % 5 else regular)(n) for n in range(40))
    document = bytearray((HEAD + points + FOOT).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(document) - 1))
        width = data.draw(st.integers(0, 30))
        alphabet = st.sampled_from([*b"<>\"'/&!-[]?= \n\0\x80\xff09.eZ"])
        document[place : place + width] = bytes(data.draw(st.lists(alphabet, max_size=12)))
    assert_same(TcxReader, bytes(document), data.draw(st.sampled_from([300, 2000, 1 << 20])))
