"""The version that a name and an alias or number mean."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from efficientdet.errors import NotRegisteredError
from efficientdet.registry import ModelVersion


def select(
    place: str, name: str, selector: str, known: Sequence[ModelVersion], names: Callable[[], Sequence[str]]
) -> ModelVersion:
    """The one of a name's `known` versions with this alias or number.

    Raises NotRegisteredError, whose sentence tells the nearest ones; `names` gives those of other models.
    """
    for version in known:
        if selector == version.version or selector in version.aliases:
            return version
    if not known:
        raise NotRegisteredError(f"{place}: there is no model {name!r}; {_nearest(name, names())}")
    selectors = [alias for version in known for alias in version.aliases] + [v.version for v in known]
    raise NotRegisteredError(f"{place}: {name} has no version or alias {selector!r}; {_nearest(selector, selectors)}")


def _nearest(word: str, known: Sequence[str]) -> str:
    if not known:
        return "nothing is registered there yet"
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known[:10])}"
