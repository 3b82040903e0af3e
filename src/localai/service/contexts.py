"""Contexts larger than planned, asked for by requests: which version of a model a request runs on.

Every change of a model's context loads it anew. So a request that wants less than there is changes nothing; a context
grows to a power of two, so that it grows a few times at most; and once a larger one is loaded everybody gets it, for
as long as it stays: two clients that want different contexts never make a model load back and forth.
"""

import asyncio
from typing import NamedTuple

import msgspec

from localai.core.model import Model
from localai.fleet.fleet import Fleet
from localai.loader.catalog import Catalog

_REMEMBERED = 512
_THERE = frozenset(("waiting", "starting", "ready"))


class _Grown(NamedTuple):
    base: Model
    larger: Model
    context: int


class Contexts:
    """Remembers which models run with a larger context than their definition says."""

    def __init__(self, catalog: Catalog, fleet: Fleet, default: int) -> None:
        """Take the rooms; `default` is the context in tokens of a model whose file names none."""
        self._catalog = catalog
        self._fleet = fleet
        self._default = default
        self._grown: dict[str, _Grown] = {}

    async def fit(self, model: Model, wanted: int | None) -> Model:
        """The version of `model` that a request for `wanted` tokens of context runs on.

        More than the model was trained for cannot be had, unless its file stretches it: it gets what it was trained
        for. Whether the memory is enough is the fleet's to say (NotEnoughMemory), and no prompt is ever cut.
        """
        grown = self._grown.get(model.name)
        if wanted is None and grown is None:
            return model
        there = self._there(model.name)
        if grown is not None and (grown.base != model or not there):
            del self._grown[model.name]
            grown = None
        current = grown.larger if grown is not None and there >= grown.context else model
        planned = model.context or self._default
        if wanted is None or wanted <= max(there, planned):
            return current
        wanted = await self._possible(model, 1 << (wanted - 1).bit_length())
        if wanted <= max(there, min(planned, wanted)):
            return current
        return self._grow(model, wanted)

    def _grow(self, model: Model, context: int) -> Model:
        larger = msgspec.structs.replace(model, context=context)
        if len(self._grown) >= _REMEMBERED:
            self._grown.clear()
        self._grown[model.name] = _Grown(model, larger, context)
        return larger

    def _there(self, name: str) -> int:
        """The context of what is loaded, or about to be; 0 for nothing."""
        rows = self._fleet.snapshot().models
        return max((row.context for row in rows if row.name == name and row.state in _THERE), default=0)

    async def _possible(self, model: Model, wanted: int) -> int:
        if any(key.startswith(("rope_", "yarn_")) for key in model.options):
            return wanted
        header = await asyncio.to_thread(self._catalog.header, model)
        return min(wanted, header.context) if header is not None and header.context else wanted
