"""GNSS telemetry ingest: raw recordings in, canonical Parquet streams and laps out.

The map of the house stands in README.md; this file imports nothing, so that a function loads only what it uses.
"""

PIPELINE_VERSION = "2"
"""Part of every run and every canonical file: equal bytes give equal content within one pipeline version."""
