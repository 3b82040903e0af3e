"""Vector stores with file search: files that clients attach are read in the background, and searched exactly."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from localai.core.caller import Caller
from localai.core.errors import Conflict
from localai.service.attached import Attached, Attachment
from localai.service.embedder import Embedder
from localai.service.extract import text_of
from localai.service.files import Files
from localai.service.filters import Attribute, Filter
from localai.service.ingest import FILE, Ingest
from localai.service.perform import Perform
from localai.service.ranking import Weights
from localai.service.search import Found, Search, Wanted
from localai.service.stores import Stores
from localai.storage.chunks import Chunks
from localai.storage.database import Database
from localai.storage.objects import Stored


class Vectors:
    """The vector stores of all owners. `start` and `stop` once each, in one event loop."""

    def __init__(
        self,
        *,
        database: Database,
        files: Files,
        perform: Perform,
        model: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the stores; `model` is the embedding model of stores that ask for none."""
        self._files = files
        chunks = Chunks(database)
        self.stores = Stores(database, chunks, perform, model, clock)
        self.attached = Attached(database, chunks, files, clock)
        self._search = Search(
            stores=self.stores, attached=self.attached, chunks=chunks, files=files, embedder=Embedder(perform)
        )
        self._ingest = Ingest(
            stores=self.stores,
            attached=self.attached,
            chunks=chunks,
            files=files,
            perform=perform,
            changed=self._search.forget,
        )

    async def start(self) -> None:
        """Read what is to be read, from now on."""
        self._ingest.start()

    async def stop(self) -> None:
        """Stop reading."""
        await self._ingest.stop()

    async def attach(self, caller: Caller, store: Stored, wanted: Sequence[Attachment]) -> list[Stored]:
        """Attach files to a store; errors as of `Attached.attach`."""
        stored = await self.attached.attach(caller, store.id, wanted)
        await self._begun(store)
        return stored

    async def begin(self, caller: Caller, store: Stored, wanted: Sequence[Attachment]) -> Stored:
        """Attach many files to a store as a batch; errors as of `Attached.attach`."""
        batch = await self.attached.begin(caller, store.id, wanted)
        await self._begun(store)
        return batch

    async def _begun(self, store: Stored) -> None:
        self._search.forget(store.id)
        await self.stores.touch(store)
        self._ingest.wake()

    async def detach(self, owner: str, store: str, file: str) -> None:
        """Take a file out of a store; NotFound when it is not there."""
        await self.attached.detach(owner, store, file)
        self._search.forget(store)

    async def describe(self, stored: Stored, attributes: Mapping[str, Attribute]) -> Stored:
        """Replace the attributes of a file in a store."""
        changed = await self.attached.describe(stored, attributes)
        self._search.forget(stored.parent or "")
        return changed

    async def remove(self, store: Stored) -> None:
        """Remove a store; its files stay."""
        await self.stores.remove(store)
        self._search.forget(store.id)

    async def content(self, stored: Stored) -> str:
        """The text of a file in a store, as it was read.

        Raises:
            Conflict: It was not read (yet).
            NotFound: The file itself was deleted.
        """
        if stored.state != "completed":
            raise Conflict(f"This file is `{stored.state}`; there is content once it is `completed`.")
        data = await self._files.read(stored.owner, stored.payload["file"], FILE)
        return await asyncio.to_thread(text_of, data, stored.payload["filename"])

    async def search(
        self,
        caller: Caller,
        store_ids: Sequence[str],
        query: str | Sequence[str],
        *,
        condition: Filter | None = None,
        limit: int = 10,
        threshold: float = 0.0,
        weights: Weights | None = None,
    ) -> list[Found]:
        """The best chunks of some stores, best first.

        Args:
            caller: Whose stores; who may use their embedding models.
            store_ids: Where to look.
            query: A question, or several of which a chunk may answer any.
            condition: Which files may be found, by their attributes (and their `filename`).
            limit: At most so many chunks.
            threshold: Only chunks of at least this score, 0 to 1.
            weights: What counts how much; by default meaning and words alike.

        Raises:
            NotFound: One of the stores is not there.
            LocalAIError: The embedding model fails.
        """
        queries = (query,) if isinstance(query, str) else tuple(query)
        wanted = Wanted(
            queries=queries,
            condition=condition,
            limit=limit,
            threshold=threshold,
            weights=weights or Weights(),
        )
        return await self._search.find(caller, store_ids, wanted)
