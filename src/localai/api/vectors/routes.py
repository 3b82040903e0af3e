"""The routes of vector stores, as OpenAI has them."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localai.api import visit
from localai.api.body import read
from localai.api.files.query import listing, query
from localai.api.replies import attended, json_reply
from localai.api.table import Row
from localai.api.vectors import shapes
from localai.api.vectors.bodies import (
    AttachBody,
    AttributesBody,
    BatchBody,
    ChangeBody,
    Ranking,
    SearchBody,
    StoreBody,
    attachment,
)
from localai.api.vectors.conditions import condition
from localai.core.caller import Caller
from localai.core.errors import InvalidRequest, LocalAIError
from localai.service.vectors import Vectors
from localai.storage.objects import Stored

PAGE = 100
"""Objects of the longest page."""

_TAG = "Vector stores"
_STATES = ("in_progress", "completed", "failed", "cancelled")


def rows(vectors: Vectors) -> list[Row]:
    """The rows of vector stores."""
    do, of = _Stores(vectors), _Files(vectors)
    every = "/v1/vector_stores"
    one = every + "/{store}"
    file, batch = one + "/files/{file}", one + "/file_batches/{batch}"
    return [
        Row("POST", every, do.create, "infer", "Make a vector store", StoreBody, _TAG),
        Row("GET", every, do.page, "infer", "List vector stores", tag=_TAG),
        Row("GET", one, do.one, "infer", "Describe a vector store", tag=_TAG),
        Row("POST", one, do.change, "infer", "Change a vector store", ChangeBody, _TAG),
        Row("DELETE", one, do.remove, "infer", "Delete a vector store; its files stay", tag=_TAG),
        Row("POST", one + "/search", do.search, "infer", "Search a vector store", SearchBody, _TAG),
        Row("POST", one + "/files", of.attach, "infer", "Add a file to a vector store", AttachBody, _TAG),
        Row("GET", one + "/files", of.page, "infer", "List the files of a vector store", tag=_TAG),
        Row("GET", file, of.one, "infer", "Describe a file in a vector store", tag=_TAG),
        Row("POST", file, of.change, "infer", "Change the attributes of a file", AttributesBody, _TAG),
        Row("DELETE", file, of.remove, "infer", "Take a file out of a vector store", tag=_TAG),
        Row("GET", file + "/content", of.content, "infer", "The text of a file in a vector store", tag=_TAG),
        Row("POST", one + "/file_batches", of.begin, "infer", "Add many files to a vector store", BatchBody, _TAG),
        Row("GET", batch, of.batch, "infer", "Describe a file batch", tag=_TAG),
        Row("POST", batch + "/cancel", of.cancel, "infer", "Stop reading the files of a batch", tag=_TAG),
        Row("GET", batch + "/files", of.page, "infer", "List the files of a batch", tag=_TAG),
    ]


class _Stores:
    """The handlers of stores."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    async def create(self, request: Request, caller: Caller) -> Response:
        body = await read(request, StoreBody)
        store = await self._vectors.stores.create(
            caller,
            name=body.name or "",
            description=body.description,
            metadata=body.metadata or {},
            days=None if body.expires_after is None else body.expires_after.days,
            model=body.embedding_model,
        )
        visit.of(request).model = store.payload["model"] or ""
        wanted = [attachment(file, None, body.chunking_strategy) for file in dict.fromkeys(body.file_ids or ())]
        if wanted:
            try:
                await self._vectors.attach(caller, store, wanted)
            except LocalAIError:
                await self._vectors.remove(store)
                raise
        return json_reply(await self._shape(store))

    async def page(self, request: Request, caller: Caller) -> Response:
        asked = query(request, default=20, most=PAGE)
        found, more = await self._vectors.stores.page(caller.owner, before=_before(request), **asked._asdict())
        return json_reply(listing([await self._shape(store) for store in found], more=more))

    async def one(self, request: Request, caller: Caller) -> Response:
        return json_reply(await self._shape(await self._store(request, caller)))

    async def change(self, request: Request, caller: Caller) -> Response:
        body = await read(request, ChangeBody)
        fields: dict[str, Any] = {}
        if body.name is not None:
            fields["name"] = body.name
        if "metadata" in body.model_fields_set:
            fields["metadata"] = body.metadata or {}
        if "expires_after" in body.model_fields_set:
            fields["days"] = None if body.expires_after is None else body.expires_after.days
        store = await self._store(request, caller)
        return json_reply(await self._shape(await self._vectors.stores.update(store, fields)))

    async def remove(self, request: Request, caller: Caller) -> Response:
        store = await self._store(request, caller)
        await self._vectors.remove(store)
        return json_reply({"id": store.id, "object": "vector_store.deleted", "deleted": True})

    async def search(self, request: Request, caller: Caller) -> Response:
        body = await read(request, SearchBody)
        wanted = None if body.filters is None else condition(body.filters)
        store = await self._store(request, caller)
        visit.of(request).model = store.payload["model"] or ""
        options = body.ranking_options or Ranking()
        queries = [body.query] if isinstance(body.query, str) else body.query
        work = self._vectors.search(
            caller,
            [store.id],
            queries,
            condition=wanted,
            limit=body.max_num_results or 10,
            threshold=options.score_threshold or 0.0,
            weights=options.weights(),
        )
        return json_reply(shapes.results(queries, await attended(request, work)))

    async def _store(self, request: Request, caller: Caller) -> Stored:
        return await self._vectors.stores.get(caller.owner, request.path_params["store"])

    async def _shape(self, store: Stored) -> dict[str, Any]:
        return shapes.store(store, await self._vectors.attached.counts(store.owner, store.id))


class _Files:
    """The handlers of the files of stores, and of their batches."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    async def attach(self, request: Request, caller: Caller) -> Response:
        body = await read(request, AttachBody)
        (stored,) = await self._vectors.attach(caller, await self._store(request, caller), [body.attachment()])
        return json_reply(shapes.file(stored))

    async def page(self, request: Request, caller: Caller) -> Response:
        """Those of a store, or of a batch where the path has one."""
        asked = query(request, default=20, most=PAGE)
        state = request.query_params.get("filter") or None
        if state is not None and state not in _STATES:
            raise InvalidRequest(f"`filter` must be one of {', '.join(_STATES)}.", param="filter")
        batch = (await self._batch(request, caller)).id if "batch" in request.path_params else None
        store = await self._store(request, caller)
        found, more = await self._vectors.attached.page(
            caller.owner, store.id, state=state, batch=batch, before=_before(request), **asked._asdict()
        )
        return json_reply(listing([shapes.file(stored) for stored in found], more=more))

    async def one(self, request: Request, caller: Caller) -> Response:
        return json_reply(shapes.file(await self._file(request, caller)))

    async def change(self, request: Request, caller: Caller) -> Response:
        body = await read(request, AttributesBody)
        stored = await self._file(request, caller)
        return json_reply(shapes.file(await self._vectors.describe(stored, body.attributes or {})))

    async def remove(self, request: Request, caller: Caller) -> Response:
        store, file = await self._store(request, caller), request.path_params["file"]
        await self._vectors.detach(caller.owner, store.id, file)
        return json_reply({"id": file, "object": "vector_store.file.deleted", "deleted": True})

    async def content(self, request: Request, caller: Caller) -> Response:
        text = await self._vectors.content(await self._file(request, caller))
        return await asyncio.to_thread(lambda: json_reply(shapes.content(text)))  # up to 16 MiB

    async def begin(self, request: Request, caller: Caller) -> Response:
        body = await read(request, BatchBody)
        store = await self._store(request, caller)
        return json_reply(await self._shape(await self._vectors.begin(caller, store, body.attachments())))

    async def batch(self, request: Request, caller: Caller) -> Response:
        return json_reply(await self._shape(await self._batch(request, caller)))

    async def cancel(self, request: Request, caller: Caller) -> Response:
        batch = await self._batch(request, caller)
        return json_reply(await self._shape(await self._vectors.attached.cancel(batch)))

    async def _store(self, request: Request, caller: Caller) -> Stored:
        return await self._vectors.stores.get(caller.owner, request.path_params["store"])

    async def _file(self, request: Request, caller: Caller) -> Stored:
        store = await self._store(request, caller)
        return await self._vectors.attached.get(caller.owner, store.id, request.path_params["file"])

    async def _batch(self, request: Request, caller: Caller) -> Stored:
        store = await self._store(request, caller)
        return await self._vectors.attached.batch(caller.owner, store.id, request.path_params["batch"])

    async def _shape(self, batch: Stored) -> dict[str, Any]:
        counts = await self._vectors.attached.counts(batch.owner, batch.parent or "", batch.id)
        return shapes.batch(batch, counts)


def _before(request: Request) -> str | None:
    return request.query_params.get("before") or None
