"""infra/catalog.yaml: what Athena is told of the Parquet files is what the service writes."""

from typing import Any

import pyarrow as pa
import pytest

from telemetry.domain.streams import BIOMETRICS, GNSS_PVT, IMU, LAP_DELTA
from telemetry.laps.delta import LAP_DELTA_SCHEMA
from telemetry.storage.paths import dataset_path
from telemetry.streams.channels import CHANNELS, GNSS_PVT_SCHEMA
from tests.infra.test_template import nested

# Arrow's types, as they stand in a Parquet file, to Athena's. Its integers are signed, so `uint32` wants a wider one.
TYPES = {
    pa.timestamp("us", tz="UTC"): "timestamp",
    pa.float64(): "double",
    pa.float32(): "float",
    pa.int64(): "bigint",
    pa.uint32(): "bigint",
    pa.int32(): "int",
    pa.int16(): "smallint",
    pa.dictionary(pa.int8(), pa.string()): "string",
}


def tables() -> dict[str, dict[str, Any]]:
    """Every table's input, by name."""
    inputs = [
        resource["Properties"]["TableInput"]
        for resource in nested("catalog")["Resources"].values()
        if resource["Type"] == "AWS::Glue::Table"
    ]
    return {one["Name"]: one for one in inputs}


def fields_of(stream: str) -> list[pa.Field]:
    """The stream's columns, as far as the vocabulary knows them."""
    if stream == GNSS_PVT:
        return list(GNSS_PVT_SCHEMA)
    if stream == LAP_DELTA:
        return list(LAP_DELTA_SCHEMA)
    own = [channel.field for channel in CHANNELS.values() if channel.stream == stream]
    return [CHANNELS["timestamp"].field, CHANNELS["source_row"].field, *own]


@pytest.mark.parametrize("stream", [GNSS_PVT, IMU, BIOMETRICS, LAP_DELTA])
def test_columns_are_the_streams(stream: str) -> None:
    columns = [(column["Name"], column["Type"]) for column in tables()[stream]["StorageDescriptor"]["Columns"]]
    assert columns == [(field.name, TYPES[field.type]) for field in fields_of(stream)]


@pytest.mark.parametrize("stream", [GNSS_PVT, IMU, BIOMETRICS, LAP_DELTA])
def test_partitions_are_projected_to_where_files_lie(stream: str) -> None:
    table = tables()[stream]
    names = [key["Name"] for key in table["PartitionKeys"]]
    assert table["Parameters"]["projection.enabled"] == "true"
    assert all(table["Parameters"][f"projection.{name}.type"] == "injected" for name in names)
    place = table["Parameters"]["storage.location.template"]["Fn::Sub"].replace("${!", "${")
    for name in names:
        place = place.replace(f"${{{name}}}", name)
    partition = {name: name for name in ("tenant_id", "session_id", "run_id")}
    path = dataset_path(**partition, artifact_id="artifact", attempt=1, unique="unique", stream=stream)
    assert f"s3://${{CanonicalBucketName}}/{path}".startswith(place)


def test_every_stream_with_columns_of_its_own_has_a_table() -> None:
    assert set(tables()) == {GNSS_PVT, IMU, BIOMETRICS, LAP_DELTA}
