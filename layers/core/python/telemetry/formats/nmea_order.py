"""Puts sentences without a time behind those of their epoch. Vectorised; state goes from block to block.

GSA and VTG tell no time, and the epochs take them as what follows a sentence with one, as most receivers write. Others
lead each epoch with them: then each such run is moved behind the sentence that it leads.
"""

from dataclasses import dataclass
from itertools import takewhile

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.nmea_sentences import GSA, NONE, VTG, Sentences

_UNTIMED = frozenset({GSA, VTG})
_UNTIMED_SET = pa.array(sorted(_UNTIMED), pa.int32())
DECIDING_SENTENCES = 256
MAX_WAITING_SENTENCES = 4096


@dataclass(slots=True)
class EpochOrder:
    """Takes the blocks of a log and gives them again, each run without a time behind a sentence of its epoch."""

    _leads: bool | None = None
    _waiting: Sentences = NONE

    def push(self, sentences: Sentences) -> Sentences:
        """What can be given by now."""
        if self._leads is False:
            return sentences
        sentences = sentences.after(self._waiting)
        if self._leads is None:
            self._leads = leading(sentences.kinds.slice(0, DECIDING_SENTENCES).to_pylist())
        if self._leads is None:
            self._waiting = sentences
            return NONE
        if not self._leads:
            self._waiting = NONE
            return sentences
        moved, self._waiting = _moved(sentences)
        return moved

    def finish(self) -> Sentences:
        """The rest."""
        rest, self._waiting = self._waiting, NONE
        return rest


def leading(kinds: list[int]) -> bool | None:
    """Whether a log that begins so leads its epochs with sentences without a time; None when that does not show yet.

    It does when it begins with some, and the same stand in front of the next sentence of the type that follows them:
    a log cut in the middle of an epoch begins with any part of them.
    """
    run = list(takewhile(_UNTIMED.__contains__, kinds))
    if not run:
        return False if kinds else None
    led = kinds[len(run)] if len(run) < len(kinds) else None
    if led is None or led not in kinds[len(run) + 1 :]:
        return None if len(kinds) < DECIDING_SENTENCES else False
    again = kinds.index(led, len(run) + 1)
    before = kinds[:again][::-1]
    return list(takewhile(_UNTIMED.__contains__, before))[::-1] == run


def _moved(sentences: Sentences) -> tuple[Sentences, Sentences]:
    """The sentences in their new order, and those at the end whose epoch has not come yet."""
    untimed = pc.is_in(sentences.kinds, value_set=_UNTIMED_SET)
    led = pc.fill_null_backward(pc.if_else(untimed, None, pa.arange(0, len(sentences))))
    waiting = sentences.filter(pc.is_null(led))
    if len(waiting) > MAX_WAITING_SENTENCES:
        led, waiting = pc.fill_null(led, len(sentences)), NONE
    place = pc.add(pc.multiply(led, 2), untimed.cast(pa.int64())).drop_null()
    # Arrow sorts stably: a run keeps its order.
    return sentences.take(pc.array_sort_indices(place)), waiting
