"""GNSS telemetry ingest: raw recordings in, canonical Parquet streams and laps out.

The map of the house stands in README.md; of the rooms this file imports none, so that a function loads only what it
uses.
"""

import os
import sys

from telemetry.cold_start import prepare

# Which allocator Arrow uses; it looks when it is first imported. jemalloc gives memory back sooner: 113 MB instead of
# 129 MB peak for a CSV file of 5 M rows, and 2 % less CPU. (`pa.set_memory_pool` does not reach all of Arrow.)
if sys.platform == "linux":
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
# pydantic looks for plugins in the metadata of all packages; there are none.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
# Each deployment has its own, or one's alarms would hear the other; this is for processes without one.
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "Telemetry")
prepare()

PIPELINE_VERSION = "4"
"""Part of every run and every canonical file: equal bytes give equal content within one pipeline version."""
