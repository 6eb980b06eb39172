"""How long a failed job waits before its next attempt. Pure; randomness is a parameter.

The queue computes the same in SQL with the database's clock; a test holds the two together.
"""

from datetime import timedelta

FIRST_DELAY_S = 30.0
LONGEST_DELAY_S = 900.0


def backoff(attempt: int, random_fraction: float) -> timedelta:
    """Delay after failed attempt number `attempt` (1, 2, …): half of it fixed, half jittered.

    Parameters
    ----------
    attempt : the attempt that failed, 1 for the first.
    random_fraction : uniform in [0, 1).
    """
    if attempt < 1:
        raise ValueError(f"attempt counts from 1, not {attempt}")
    # The exponent is capped before the power is taken: 2.0 ** 2000 overflows.
    full = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempt - 1, 10))
    return timedelta(seconds=(0.5 + 0.5 * random_fraction) * full)
