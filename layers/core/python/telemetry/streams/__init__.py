"""Canonical streams: their schemas, units, normalisation, quality report and Parquet files.

Knows no AWS, no database and no source format.
"""
