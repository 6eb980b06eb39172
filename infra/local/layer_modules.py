"""Keeps NumPy, which development has for its pictures, from code that runs in Lambda without it.

Arrow takes NumPy up wherever it finds it: it then starts later, holds more memory, and goes other ways.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_ABSENT = "numpy"


class _NotInTheLayers(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if fullname == _ABSENT:
            raise ModuleNotFoundError(f"{fullname} is in no layer", name=fullname)
        return None


def hide_numpy() -> None:
    """From now on this process finds none. Doing it again is no error."""
    if not any(isinstance(finder, _NotInTheLayers) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NotInTheLayers())
