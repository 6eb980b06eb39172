"""One judgement of times, positions and cells for every format; rows are counted, never fatal."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.streams import normalise as normalise_module
from telemetry.streams.channels import GNSS_PVT_SCHEMA, TIMESTAMP, Flag, channel_field
from telemetry.streams.judgement import Judgement
from telemetry.streams.normalise import HELD_ROWS, Normaliser

START = 1_714_557_600_000_000  # 2024-05-01T10:00:00Z
NAN, INF = float("nan"), float("inf")


def batch(
    times: Sequence[float | None], positions: Sequence[tuple[float | None, float | None]], **columns: Any
) -> pa.RecordBatch:
    """Rows with times in seconds after `START`."""
    micros = [None if t is None else START + round(t * 1_000_000) for t in times]
    arrays = {
        "timestamp": pa.array(micros, pa.int64()).view(TIMESTAMP),
        "latitude_deg": pa.array([p[0] for p in positions], pa.float64()),
        "longitude_deg": pa.array([p[1] for p in positions], pa.float64()),
        **{name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()},
    }
    return pa.RecordBatch.from_pydict(arrays)


def normalise(*batches: pa.RecordBatch) -> tuple[dict[str, pa.Table], Judgement]:
    normaliser = Normaliser()
    out: dict[str, list[pa.RecordBatch]] = {}
    for one in batches:
        for streams in normaliser.push(one):
            for name, part in streams.items():
                out.setdefault(name, []).append(part)
    for streams in normaliser.finish():
        for name, part in streams.items():
            out.setdefault(name, []).append(part)
    return {
        name: pa.concat_tables([pa.Table.from_batches([p]) for p in parts], promote_options="default")
        for name, parts in out.items()
    }, normaliser.judgement


def seconds(table: pa.Table) -> list[float]:
    return [(t.value - START) / 1_000_000 for t in table["timestamp"]]


def flags(table: pa.Table) -> list[int]:
    return list(table["flags"].to_pylist())


def rejected(judgement: Judgement) -> dict[str, tuple[int, list[int]]]:
    return {name: (count.count, count.first_rows) for name, count in judgement.rejected.items()}


HERE = (52.0, -1.0)


def test_missing_columns_are_null_and_the_schema_is_exact() -> None:
    streams, judgement = normalise(batch([0, 1], [HERE, HERE]))
    assert list(streams) == ["gnss_pvt"]
    table = streams["gnss_pvt"]
    assert table.schema.equals(GNSS_PVT_SCHEMA, check_metadata=True)
    assert table["speed_mps"].null_count == table["fix_type"].null_count == 2
    assert flags(table) == [0, 0]
    assert table["source_row"].to_pylist() == [1, 2]
    assert (judgement.rows, judgement.timed, judgement.placed, judgement.kept) == (2, 2, 2, 2)


def test_rows_that_cannot_be_used_are_counted_by_reason() -> None:
    positions = [HERE, (None, 1.0), (91.0, 0.0), (NAN, 0.0), (1.0, INF), (0.5, -180.000001), HERE, (-90.0, 180.0)]
    streams, judgement = normalise(
        batch([0, 1, 2, 3, 4, 5, None, 7], positions, source_row=pa.array(range(11, 19), pa.int64()))
    )
    assert rejected(judgement) == {
        "no_time": (1, [17]),
        "no_position": (1, [12]),
        "position_out_of_range": (2, [13, 16]),
        "position_not_finite": (2, [14, 15]),
    }
    assert seconds(streams["gnss_pvt"]) == [0, 7]
    assert judgement.kept == 2


def test_each_row_is_rejected_for_one_reason() -> None:
    positions = [(None, None), (91.0, 0.0), (NAN, 0.0), (None, None), HERE]
    _, judgement = normalise(batch([None, None, None, 3, 4], positions))
    assert rejected(judgement) == {"no_time": (3, [1, 2, 3]), "no_position": (1, [4])}
    assert sum(tally.count for tally in judgement.rejected.values()) == judgement.rows - judgement.kept


def test_a_block_that_is_only_not_finite_here_and_there() -> None:
    streams, judgement = normalise(batch(range(3), [HERE, (52.0, NAN), HERE]))
    assert seconds(streams["gnss_pvt"]) == [0, 2]
    assert rejected(judgement) == {"position_not_finite": (1, [2])}


@pytest.mark.parametrize(
    ("moment", "kept"),
    [("1970-01-01", 0), ("1980-01-06", 0), ("1981-01-01", 1), ("1999-08-22", 1), ("2098-12-31", 1), ("2099-06-01", 0)],
)
def test_clocks_that_were_never_set_are_refused_by_fixed_bounds(moment: str, kept: int) -> None:
    one = batch([0, 1], [HERE, HERE])
    stamp = pa.array([moment, "2024-05-01"]).cast(pa.timestamp("us")).cast(pa.int64()).view(TIMESTAMP)
    streams, judgement = normalise(one.set_column(0, "timestamp", stamp))
    assert len(streams["gnss_pvt"]) == kept + 1
    assert rejected(judgement) == ({} if kept else {"implausible_time": (1, [1])})


def test_first_source_rows_are_few() -> None:
    _, judgement = normalise(batch(range(100), [(None, None)] * 100))
    assert rejected(judgement) == {"no_position": (100, [1, 2, 3, 4, 5])}
    assert judgement.timed == 100 and judgement.placed == judgement.kept == 0


def test_a_coordinate_of_exactly_zero_is_kept() -> None:
    streams, judgement = normalise(batch(range(4), [(0.0, 6.5), (0.1, 0.0), (0.0, -0.5), (-0.0, 10.0)]))
    assert len(streams["gnss_pvt"]) == 4
    assert judgement.zero_positions == 0


def test_null_island_is_refused_where_real_fixes_lie_elsewhere() -> None:
    zero = (0.0, 0.0)
    streams, judgement = normalise(batch(range(5), [zero, zero, HERE, zero, HERE]))
    assert seconds(streams["gnss_pvt"]) == [2, 4]
    assert rejected(judgement) == {"zero_position": (3, [1, 2, 4])}


def test_null_island_is_kept_where_the_track_passes_it() -> None:
    streams, judgement = normalise(batch(range(3), [(0.0, -0.001), (0.0, 0.0), (0.0, 0.001)]))
    assert len(streams["gnss_pvt"]) == 3
    assert judgement.zero_positions == 1


def test_a_logger_that_never_had_a_fix_is_not_believed() -> None:
    streams, judgement = normalise(batch(range(11), [(0.0, 0.0)] * 11))
    assert "gnss_pvt" not in streams
    assert rejected(judgement) == {"zero_position": (11, [1, 2, 3, 4, 5])}


def test_null_island_alone_is_believed() -> None:
    streams, judgement = normalise(batch(range(3), [(0.0, 0.0)] * 3))
    assert len(streams["gnss_pvt"]) == 3
    assert judgement.zero_positions == 3


def test_leading_null_island_waits_for_the_first_fix_over_batches() -> None:
    rows = 40_000
    zeros = batch(range(rows), [(0.0, 0.0)] * rows)
    fixes = batch(range(rows, 2 * rows), [HERE] * rows)
    streams, judgement = normalise(zeros, fixes)
    assert len(streams["gnss_pvt"]) == rows
    assert rejected(judgement)["zero_position"][0] == rows
    # Bounded: what waits too long is decided without.
    many = [batch(range(rows), [(0.0, 0.0)] * rows)] * (HELD_ROWS // rows + 2)
    streams, judgement = normalise(*many, fixes)
    assert len(streams["gnss_pvt"]) == rows
    assert rejected(judgement)["zero_position"][0] == rows * len(many)


def test_cells_that_are_not_finite_or_cannot_be_are_null_and_counted() -> None:
    streams, judgement = normalise(
        batch(
            range(4), [HERE] * 4, speed_mps=[1.0, NAN, INF, -1.0], altitude_m=[1.0, 2.0, None, -INF],
            heart_rate_bpm=[60.0, 1e300, 61.0, 62.0], satellites=pa.array([7, 99_999, -1, 8], pa.int64()),
        )
    )  # fmt: skip
    track = streams["gnss_pvt"]
    assert track["speed_mps"].to_pylist() == [1.0, None, None, None]
    assert track["altitude_m"].to_pylist() == [1.0, 2.0, None, None]
    assert track["satellites"].to_pylist() == [7, None, None, 8]
    assert streams["biometrics"]["heart_rate_bpm"].to_pylist() == [60.0, 61.0, 62.0]
    counts = {name: (cells.count, cells.first_rows) for name, cells in judgement.bad_cells.items()}
    assert counts == {
        "speed_mps": (3, [2, 3, 4]), "altitude_m": (1, [4]), "heart_rate_bpm": (1, [2]), "satellites": (2, [3, 2]),
    }  # fmt: skip


def test_channels_go_to_their_streams_with_units_kept() -> None:
    one = batch(range(3), [HERE, (None, None), HERE], heart_rate_bpm=[None, 61.0, None], acceleration_x_mps2=[None] * 3)
    one = one.append_column(channel_field("Oil", "bar", "Oil pressure"), pa.array([1.0, None, 3.0]))
    streams, judgement = normalise(one)
    assert set(streams) == {"gnss_pvt", "biometrics", "vehicle"}
    assert streams["biometrics"].schema.names == ["timestamp", "source_row", "heart_rate_bpm"]
    # A row without a position still has its heart rate.
    assert streams["biometrics"]["source_row"].to_pylist() == [2]
    assert streams["vehicle"]["source_row"].to_pylist() == [1, 3]
    assert streams["vehicle"].schema.field("Oil").metadata == {b"unit": b"bar", b"source_name": b"Oil pressure"}
    assert judgement.kept == 2


def test_rows_that_are_no_fixes_are_neither_counted_nor_rejected() -> None:
    samples = batch([0.5, None, 1.5], [(None, None)] * 3, rotation_rate_x_radps=pa.array([0.1, 0.2, 0.3]))
    samples = samples.drop_columns(["latitude_deg", "longitude_deg"])
    tables, judgement = normalise(batch([0, 1], [(52.0, 1.0), (None, None)]), samples, batch([2], [(52.0, 1.0)]))
    assert (judgement.rows, judgement.timed, judgement.placed, judgement.kept) == (3, 3, 2, 2)
    assert {name: count for name, (count, _) in rejected(judgement).items()} == {"no_position": 1}
    assert tables["imu"]["rotation_rate_x_radps"].to_pylist() == pytest.approx([0.1, 0.3])


def test_names_that_repeat_stay_apart() -> None:
    one = batch([0], [HERE]).append_column("Speed", pa.array([1.0])).append_column("Speed", pa.array([2.0]))
    streams, _ = normalise(one)
    assert streams["vehicle"].to_pylist()[0] | {"timestamp": None} == {
        "timestamp": None, "source_row": 1, "Speed": 1.0, "Speed (2)": 2.0,
    }  # fmt: skip


def test_channels_beyond_the_limit_are_left_out_and_the_others_kept_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(normalise_module, "MAX_CHANNELS", 2)
    monkeypatch.setattr(normalise_module, "COALESCED_ROWS", 1)
    place = (52.0, -1.0)
    rows = [batch([t], [place], oil=[1.0], boost=[2.0], fuel=[3.0], gear=[4.0]) for t in range(3)]
    streams, judgement = normalise(*rows)
    vehicle = streams["vehicle"].select(["oil", "boost"]).to_pydict()
    assert vehicle == {"oil": [1.0] * 3, "boost": [2.0] * 3}
    assert streams["vehicle"].schema.names == ["timestamp", "source_row", "oil", "boost"]
    assert judgement.inferred == ["more than 2 further channels: 'fuel' and those after it were left out"]


def test_text_channels_are_kept_and_a_change_of_type_is_survived() -> None:
    first = batch([0], [HERE]).append_column("Gear", pa.array(["N"]))
    second = batch([1], [HERE]).append_column("Gear", pa.array([3.0]))
    streams, _ = normalise(first, second)
    assert streams["vehicle"]["Gear"].to_pylist() == ["N", "3"]
    third = batch([2], [HERE]).append_column("Temp", pa.array([3.5]))
    fourth = batch([3], [HERE]).append_column("Temp", pa.array(["hot"]))
    streams, judgement = normalise(third, fourth)
    assert streams["vehicle"]["Temp"].to_pylist() == [3.5]
    assert judgement.bad_cells["Temp"].count == 1


def test_out_of_order_rows_are_flagged_over_batches() -> None:
    streams, judgement = normalise(
        batch([0, 2, 1, 3], [HERE] * 4),
        batch([2.5, 4, 4], [HERE] * 3, extra=[1.0, 1.0, 1.0]),
        batch([3, 5], [HERE] * 2),
    )
    late = int(Flag.OUT_OF_ORDER)
    assert flags(streams["gnss_pvt"]) == [0, 0, late, 0, late, 0, 0, late, 0]
    assert judgement.out_of_order == 3
    assert judgement.backward_times == 3


def test_the_readers_flags_pass_through() -> None:
    streams, _ = normalise(batch([5, 1], [HERE] * 2, flags=pa.array([int(Flag.SEGMENT_START), None], pa.uint32())))
    assert flags(streams["gnss_pvt"]) == [Flag.SEGMENT_START, Flag.OUT_OF_ORDER]


def test_a_segment_whose_first_rows_were_rejected_starts_at_its_first_kept_row() -> None:
    start = int(Flag.SEGMENT_START)
    first = batch(
        [0, 1, None, 3, 4, None], [HERE, HERE, HERE, (91.0, 0.0), HERE, HERE],
        flags=pa.array([start, 0, start, 0, 0, start], pa.uint32()),
    )  # fmt: skip
    # Without flags, so that it is no part of the same block.
    streams, _ = normalise(first, batch([6, 7], [(None, None), HERE]), batch([8, 9], [HERE] * 2))
    assert seconds(streams["gnss_pvt"]) == [0, 1, 4, 7, 8, 9]
    assert flags(streams["gnss_pvt"]) == [start, 0, start, start, 0, 0]


def test_tiny_batches_are_gathered() -> None:
    normaliser = Normaliser()
    one = batch([0], [HERE])
    given = [streams for _ in range(40_000) for streams in normaliser.push(one)]
    assert len(given) == 1
    given += normaliser.finish()
    assert sum(streams["gnss_pvt"].num_rows for streams in given) == 40_000


def test_fast_rows_with_whole_seconds_are_spread_and_said() -> None:
    # 10 Hz; the first second holds 4 rows, the last 3.
    times = [0] * 4 + [s for s in range(1, 30) for _ in range(10)] + [30] * 3
    streams, judgement = normalise(batch(times, [HERE] * len(times)))
    spread = seconds(streams["gnss_pvt"])
    assert spread == pytest.approx([0.6 + i * 0.1 for i in range(len(times))])
    assert all(f == Flag.INTERPOLATED_TIME for f in flags(streams["gnss_pvt"]))
    assert judgement.interpolated_times == len(times)
    assert "spread" in judgement.inferred[0]


def test_spreading_goes_on_over_batches() -> None:
    times = [s for s in range(2000) for _ in range(25)]
    whole = batch(times, [HERE] * len(times))
    pieces = [whole.slice(at, 3333) for at in range(0, len(times), 3333)]
    streams, _ = normalise(*pieces)
    assert seconds(streams["gnss_pvt"]) == pytest.approx([i * 0.04 for i in range(len(times))])


@pytest.mark.parametrize(
    "counts",
    [
        [10, 9] * 40,
        [10, 9, 9] * 30,
        [10] * 20 + [5] * 40,
        [1] * 150 + [10] * 40,
        [10, 11, 9, 0, 10, 10] * 10,
    ],
    ids=["every second one is lost", "two of three are short", "10 Hz, then 5 Hz", "1 Hz, then 10 Hz", "a second lost"],
)
def test_fast_rows_of_which_some_are_lost_are_spread(counts: list[int]) -> None:
    times = [s for s, count in enumerate(counts) for _ in range(count)]
    streams, judgement = normalise(batch(times, [HERE] * len(times)))
    even = [s + i / count for s, count in enumerate(counts) for i in range(count)]
    assert seconds(streams["gnss_pvt"])[counts[0] : -counts[-1]] == pytest.approx(even[counts[0] : -counts[-1]])
    assert seconds(streams["gnss_pvt"])[-1] > times[-1]
    assert "about 10 rows" in judgement.inferred[0]
    assert judgement.out_of_order == 0


def test_the_last_second_keeps_the_step_of_the_one_before_it() -> None:
    times = [s for s in range(20) for _ in range(10)] + [s for s in range(20, 60) for _ in range(5)] + [60] * 2
    streams, _ = normalise(batch(times, [HERE] * len(times)))
    assert seconds(streams["gnss_pvt"])[-4:] == pytest.approx([59.6, 59.8, 60.0, 60.2])


@pytest.mark.parametrize(
    "times",
    [
        [s for s in range(50) for _ in range(5)],
        [float(s) for s in range(200)],
        [s + 0.5 * (s == 30) for s in range(50) for _ in range(12)],
        [s for s in range(200) for _ in range(12 if s % 15 == 5 else 1)],
        [s for s in range(200) for _ in range(10 if s % 8 == 5 else 5)],
        [s for s in range(100) for _ in range(9)],
    ],
    ids=["5 Hz", "1 Hz", "a fraction somewhere", "1 Hz with duplicates", "5 Hz with duplicates", "9 Hz"],
)
def test_other_times_are_left_alone(times: list[float]) -> None:
    streams, judgement = normalise(batch(times, [HERE] * len(times)))
    assert seconds(streams["gnss_pvt"]) == times
    assert not judgement.inferred


def test_rows_without_time_among_whole_seconds() -> None:
    times: list[float | None] = [s for s in range(20) for _ in range(10)]
    times[55] = None
    streams, judgement = normalise(batch(times, [HERE] * len(times)))
    assert seconds(streams["gnss_pvt"]) == pytest.approx([i / 10 for i in range(200) if i != 55])
    assert rejected(judgement) == {"no_time": (1, [56])}


cells = st.one_of(st.none(), st.floats(-200, 200), st.sampled_from([0.0, NAN, INF, 90.0, -180.0]))


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.tuples(st.one_of(st.none(), st.integers(-5, 50)), cells, cells, cells), max_size=40),
    cut=st.integers(1, 40),
)
def test_batches_make_no_difference(rows: list[tuple[Any, Any, Any, Any]], cut: int) -> None:
    whole = batch(
        [r[0] for r in rows],
        [(r[1], r[2]) for r in rows],
        speed_mps=pa.array([r[3] for r in rows], pa.float64()),
        source_row=pa.array(range(1, len(rows) + 1), pa.int64()),
    )
    # A further column that comes and goes keeps the batches from being gathered into one.
    parted = [
        part.append_column("odd", pa.nulls(part.num_rows, pa.float64())) if index % 2 else part
        for index, part in enumerate(whole.slice(at, cut) for at in range(0, len(rows), cut))
    ]
    one, judged = normalise(whole)
    many, judged_parted = normalise(*parted)
    assert {n: t.to_pylist() for n, t in one.items()} == {n: t.to_pylist() for n, t in many.items()}
    assert judged == judged_parted
    kept = judged.kept
    lost = sum(c.count for c in judged.rejected.values())
    assert kept == len(one["gnss_pvt"]) if "gnss_pvt" in one else kept == 0
    assert kept <= len(rows) <= kept + lost


def test_a_course_outside_the_circle_is_none() -> None:
    courses = pa.array([0.0, 360.0, -1.0, 360.1, 9012.0, None, 90.5, -180.0, -0.5, -181.0], pa.float64())
    streams, judgement = normalise(batch(range(10), [HERE] * 10, course_deg=courses))
    expected = [0.0, 360.0, None, None, None, None, 90.5, 180.0, 359.5, None]
    assert streams["gnss_pvt"]["course_deg"].to_pylist() == expected
    assert judgement.bad_cells["course_deg"].first_rows == [3, 4, 5, 10]
