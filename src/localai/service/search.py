"""Searches vector stores: builds the index of a store when it is first asked, and keeps those used last in memory."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from localai.core.caller import Caller
from localai.core.errors import InvalidRequest, NotFound
from localai.core.task import Value
from localai.service.attached import Attached
from localai.service.embedder import Embedder
from localai.service.files import Files
from localai.service.filters import Attribute, Filter, meets
from localai.service.ranking import Builder, Hit, Index, Query, Weights
from localai.service.stores import Stores
from localai.storage.chunks import Chunks
from localai.storage.objects import Stored

MEMORY = 256 * 2**20
"""Bytes of all indexes that are kept; a store whose index is larger is built anew for each search."""
AGAIN = 3
"""How often a search is repeated because files that it found were deleted."""


class Label(Value, frozen=True):
    """What a store knows of a file."""

    filename: str
    attributes: dict[str, Attribute]


class Wanted(Value, frozen=True):
    """What to look for, and how."""

    queries: tuple[str, ...]
    condition: Filter | None = None
    limit: int = 10
    threshold: float = 0.0
    weights: Weights = Weights()


class Found(Value, frozen=True):
    """A chunk that answers; `score` from 0 to 1 (see `service.ranking`)."""

    store: str
    file: str
    filename: str
    attributes: dict[str, Attribute]
    score: float
    text: str


class Entry(Value, frozen=True):
    """The searchable content of a store; no index where there is nothing."""

    index: Index | None
    labels: dict[str, Label]


class Search:
    """Finds chunks in the stores of a caller."""

    def __init__(
        self,
        *,
        stores: Stores,
        attached: Attached,
        chunks: Chunks,
        files: Files,
        embedder: Embedder,
        memory: int = MEMORY,
    ) -> None:
        self._stores = stores
        self._attached = attached
        self._chunks = chunks
        self._files = files
        self._embedder = embedder
        self._memory = memory
        self._kept: OrderedDict[str, Entry] = OrderedDict()
        self._building: dict[str, asyncio.Task[Entry]] = {}

    def forget(self, store: str) -> None:
        """The content of a store became another: what is known of it, or just being built, is old."""
        self._kept.pop(store, None)
        self._building.pop(store, None)

    async def find(self, caller: Caller, ids: Sequence[str], wanted: Wanted) -> list[Found]:
        """The best chunks of some stores, best first.

        Raises:
            NotFound: One of the stores is not there or not the caller's.
            LocalAIError: The embedding model fails.
        """
        found: list[Found] = []
        for store in [await self._stores.get(caller.owner, one) for one in dict.fromkeys(ids)]:
            await self._stores.touch(store)
            found += await self._alive(caller, store, wanted)
        return sorted(found, key=lambda each: -each.score)[: wanted.limit]

    async def _alive(self, caller: Caller, store: Stored, wanted: Wanted) -> list[Found]:
        """The best chunks of one store, of files that are not deleted."""
        for _ in range(AGAIN):
            hits = await self._within(caller, store, wanted)
            gone = await self._drop_deleted(store, hits)
            if not gone:
                return hits
        return []

    async def _within(self, caller: Caller, store: Stored, wanted: Wanted) -> list[Found]:
        entry = await self._entry(store)
        if entry.index is None:
            return []
        model = await self._stores.model(caller, store)
        vectors = await self._embedder.vectors(caller, model, wanted.queries)
        if any(len(vector) != 4 * entry.index.dimensions for vector in vectors):
            raise InvalidRequest(
                f"The model `{model}` gives vectors of another length than this vector store has; make a new one.",
                param="vector_store_id",
            )
        queries = [Query(text=text, vector=vector) for text, vector in zip(wanted.queries, vectors, strict=True)]
        condition = wanted.condition
        files = {
            file
            for file, label in entry.labels.items()
            if condition is None or meets({"filename": label.filename, **label.attributes}, condition)
        }
        hits = await asyncio.to_thread(entry.index.find, queries, files, wanted.weights, wanted.limit, wanted.threshold)
        return await self._with_texts(store, entry, hits)

    async def _with_texts(self, store: Stored, entry: Entry, hits: Sequence[Hit]) -> list[Found]:
        texts = await self._chunks.texts(store.owner, store.id, [hit.place for hit in hits])
        return [
            Found(
                store=store.id,
                file=hit.place[0],
                filename=entry.labels[hit.place[0]].filename,
                attributes=entry.labels[hit.place[0]].attributes,
                score=hit.score,
                text=texts[hit.place],
            )
            for hit in hits
            if hit.place in texts
        ]

    async def _drop_deleted(self, store: Stored, hits: Sequence[Found]) -> bool:
        """Take files that were deleted for good out of the store as well; whether there were any."""
        gone: list[str] = []
        for file in dict.fromkeys(hit.file for hit in hits):
            try:
                await self._files.get(store.owner, file)
            except NotFound:
                gone.append(file)
        for file in gone:
            try:
                await self._attached.detach(store.owner, store.id, file)
            except NotFound:  # another search was quicker
                continue
        if gone:
            self.forget(store.id)
        return bool(gone)

    async def _entry(self, store: Stored) -> Entry:
        """What is searched in a store; built once, however many ask."""
        kept = self._kept.get(store.id)
        if kept is not None:
            self._kept.move_to_end(store.id)
            return kept
        building = self._building.get(store.id)
        if building is None:
            building = self._building[store.id] = asyncio.create_task(self._build(store))
        return await asyncio.shield(building)

    async def _build(self, store: Stored) -> Entry:
        task = asyncio.current_task()
        try:
            entry = await self._content(store)
            if self._building.get(store.id) is task:
                self._keep(store.id, entry)
            return entry
        finally:
            if self._building.get(store.id) is task:
                del self._building[store.id]

    async def _content(self, store: Stored) -> Entry:
        rows = await self._attached.objects.all(store.owner, store.id, "completed")
        labels = {
            row.payload["file"]: Label(filename=row.payload["filename"], attributes=row.payload["attributes"])
            for row in rows
        }
        builder, some = Builder(), False
        async for page in self._chunks.pages(store.owner, store.id):
            chunks = [chunk for chunk in page if chunk.file in labels]
            if chunks:
                some = True
                await asyncio.to_thread(builder.add, chunks)
        return Entry(index=await asyncio.to_thread(builder.finish) if some else None, labels=labels)

    def _keep(self, store: str, entry: Entry) -> None:
        self._kept[store] = entry
        while self._kept and sum(_size(each) for each in self._kept.values()) > self._memory:
            self._kept.popitem(last=False)


def _size(entry: Entry) -> int:
    labels = 200 * len(entry.labels) + sum(len(str(label.attributes)) for label in entry.labels.values())
    return labels + (entry.index.size if entry.index is not None else 0)
