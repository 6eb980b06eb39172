"""One reader per recording format, and recognition by content. Raw bytes in, record batches of named channels out.

Knows no AWS and no database. `python -m telemetry.formats FILE` prints what a reader sees.
"""
