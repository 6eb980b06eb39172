"""Numbers as XML Schema writes them (`xsd:decimal`, `xsd:double`), whole columns at a time. pyarrow only."""

import pyarrow as pa
import pyarrow.compute as pc

NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
"""What a number looks like; `NaN`, `INF` and a decimal comma are none."""


def parse_number(strings: pa.StringArray) -> pa.DoubleArray:
    """Reads stripped texts. Null where the text is null, empty, no number, or beyond the range of a double."""
    try:
        numbers = pc.cast(strings, pa.float64())
    except pa.ArrowInvalid:
        looks = pc.match_substring_regex(strings, pattern=f"^{NUMBER}$")
        numbers = pc.cast(pc.if_else(looks, strings, pa.scalar(None, pa.string())), pa.float64())
    finite = pc.is_finite(numbers)
    if pc.all(finite).as_py() is False:
        numbers = pc.if_else(finite, numbers, pa.scalar(None, pa.float64()))
    return numbers
