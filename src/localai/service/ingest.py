"""Reads the files of vector stores in the background: text, chunks, vectors; one file at a time, each owner in turn.

What is to be done stands in the database, so a server that was killed goes on where it was: with the chunk after the
last that was stored.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from localai.core.caller import Caller
from localai.core.errors import InvalidRequest, LocalAIError, NotFound, PayloadTooLarge, ShuttingDown, StorageFailed
from localai.observe.logs import get
from localai.service.attached import Attached
from localai.service.chunking import Rule, automatic, chunks
from localai.service.embedder import BATCH, Embedder
from localai.service.extract import UnreadableFile, text_of
from localai.service.files import Files
from localai.service.perform import Perform
from localai.service.stores import Stores
from localai.storage.chunks import Chunk, Chunks
from localai.storage.objects import Stored
from localai.storage.owned import EVERYONE

log = get("vectors")

FILE = 16 * 2**20
"""Bytes of a file that is read."""
PIECES = 50_000
"""Chunks of one store."""
OWNED = 200_000
"""Chunks of one owner."""
TRIES = 5
"""How often a busy or crashed model is asked again."""
PAUSE = 1.0
"""Seconds before the second try; each further pause is twice as long."""
SWEEP = 300.0
"""Seconds between two looks for stores whose time is over, and for files that were deleted."""


class Ingest:
    """The reader. `start` and `stop` once each."""

    def __init__(
        self,
        *,
        stores: Stores,
        attached: Attached,
        chunks: Chunks,
        files: Files,
        perform: Perform,
        changed: Callable[[str], None],
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Take the rooms; `changed` hears of every store whose searchable content became another."""
        self._stores = stores
        self._attached = attached
        self._chunks = chunks
        self._files = files
        self._perform = perform
        self._embedder = Embedder(perform, background=True)
        self._changed = changed
        self._pause = pause
        self._work = asyncio.Event()
        self._last = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, or go on with what an earlier server left."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop; what is unfinished is taken up by the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """There may be work."""
        self._work.set()

    async def _run(self) -> None:
        with contextlib.suppress(StorageFailed):
            await self._stores.tidy()
        while True:
            self._work.clear()
            try:
                await self._round()
            except ShuttingDown:
                return
            except Exception as error:  # noqa: BLE001 - the next round tries again
                log.failure("reading failed", error)
                await self._pause(PAUSE)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._work.wait(), SWEEP)

    async def _round(self) -> None:
        for store in (*await self._stores.expire(), *await self._attached.drop_deleted()):
            self._changed(store)
        while (stored := await self._next()) is not None:
            await self._read(stored)

    async def _next(self) -> Stored | None:
        """The oldest file of the owner whose turn it is."""
        owners = await self._attached.objects.owners("in_progress")
        if not owners:
            return None
        self._last = next((owner for owner in owners if owner > self._last), owners[0])
        page, _ = await self._attached.objects.page(self._last, state="in_progress", limit=1, order="asc")
        return page[0] if page else None

    async def _read(self, stored: Stored) -> None:
        """Read one file to its end, whatever that is."""
        store, file = stored.parent or "", stored.payload["file"]
        try:
            done = await self._ingest(stored, store, file)
            state, facts = "completed", {**done, "error": None}
        except ShuttingDown:
            raise
        except LocalAIError as error:
            state, facts = "failed", {"error": [_code(error), error.message]}
        except Exception as error:  # noqa: BLE001 - one file must not stop the others
            log.failure("file not read", error)
            state, facts = "failed", {"error": ["server_error", "The server failed; its log has the details."]}
        log.info("file read", outcome=state)
        ended = await self._attached.objects.patch(stored, facts, state=state, when="in_progress")
        if ended is None or state != "completed":
            await self._chunks.remove(store, [file])
        self._changed(store)

    async def _ingest(self, stored: Stored, store: str, file: str) -> dict[str, Any]:
        """Make and store the chunks of a file; gives what there is to say of them.

        Raises:
            LocalAIError: It cannot be read, or it is too large, or the model fails for good.
        """
        caller = _caller(stored)
        place = await self._stores.get(stored.owner, store)
        data = await self._files.read(stored.owner, file, FILE)
        text = await asyncio.to_thread(text_of, data, stored.payload["filename"])
        model = await self._stores.model(caller, place)
        pieces = await asyncio.to_thread(chunks, text, await self._rule(stored, model, caller))
        if not pieces:
            raise InvalidRequest("This file holds no text.")
        await self._check_room(stored, len(pieces))
        size = 0
        first = await self._chunks.count(store, file)
        for start in range(first, len(pieces), BATCH):
            some = pieces[start : start + BATCH]
            vectors = await self._patiently(caller, model, some)
            await self._measure(place, vectors)
            if not await self._wanted(stored):
                break
            rows = [
                Chunk(file=file, number=start + at, text=text, vector=vector)
                for at, (text, vector) in enumerate(zip(some, vectors, strict=True))
            ]
            await self._chunks.add(stored.owner, store, rows)
            size = len(vectors[0])
        place = await self._stores.get(stored.owner, store)
        size = size or 4 * (place.payload["dimensions"] or 0)
        written = await asyncio.to_thread(lambda: sum(len(piece.encode()) for piece in pieces))
        return {"pieces": len(pieces), "usage_bytes": written + size * len(pieces)}

    async def _rule(self, stored: Stored, model: str, caller: Caller) -> Rule:
        """How the file is cut: as the client said, else by what the model takes; decided once."""
        if stored.payload["rule"] is not None:
            size, overlap = stored.payload["rule"]
            return Rule(size=size, overlap=overlap)
        (about,) = await self._perform.about([self._perform.model(caller, model)])
        rule = automatic(about.context)
        await self._attached.objects.patch(stored, {"rule": [rule.size, rule.overlap]})
        return rule

    async def _check_room(self, stored: Stored, more: int) -> None:
        held = await self._attached.objects.tally(stored.owner, stored.parent or "", "pieces")
        if sum(pieces for _, pieces in held.values()) + more > PIECES:
            raise PayloadTooLarge(f"The vector store would have more than the {PIECES} chunks that it may hold.")
        _, owned = await self._attached.objects.total(stored.owner, "pieces")
        if owned + more > OWNED:
            raise PayloadTooLarge(f"All vector stores together would have more than {OWNED} chunks; delete some files.")

    async def _measure(self, place: Stored, vectors: list[bytes]) -> None:
        """Hold that all vectors of a store are of one length."""
        known = (await self._stores.get(place.owner, place.id)).payload["dimensions"]
        found = {len(vector) // 4 for vector in vectors}
        if known is None and len(found) == 1:
            await self._stores.measure(place, found.pop())
        elif found != {known}:
            raise InvalidRequest(
                f"The embedding model now gives vectors of another length than the {known} numbers of this store; "
                "make a new vector store."
            )

    async def _patiently(self, caller: Caller, model: str, texts: list[str]) -> list[bytes]:
        """Vectors of texts from a model that may be busy or crash."""
        for attempt in range(TRIES - 1):
            try:
                return await self._embedder.vectors(caller, model, texts)
            except ShuttingDown:
                raise
            except LocalAIError as error:
                if not error.retry:
                    raise
                await self._pause(max(error.retry_after or 0, PAUSE * 2**attempt))
        return await self._embedder.vectors(caller, model, texts)

    async def _wanted(self, stored: Stored) -> bool:
        """Whether the file is still in its store, and not cancelled."""
        try:
            now = await self._attached.objects.get(EVERYONE, stored.id)
        except NotFound:
            return False
        return now.number == stored.number and now.state == "in_progress"


def _caller(stored: Stored) -> Caller:
    """Whoever attached the file, as far as models go."""
    models = stored.payload["models"]
    return Caller(
        id=stored.owner,
        owner=stored.owner,
        scopes=frozenset(("infer",)),
        models=None if models is None else tuple(models),
    )


def _code(error: LocalAIError) -> str:
    """The case, in the words of OpenAI's API."""
    if isinstance(error, UnreadableFile):
        return "unsupported_file"
    return "invalid_file" if error.status in {400, 404, 413} else "server_error"
