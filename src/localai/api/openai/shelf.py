"""The routes about models: list, describe, tell what they can do, remove."""

from starlette.requests import Request
from starlette.responses import Response

from localai.api.anthropic import models as anthropic
from localai.api.openai import models
from localai.api.replies import json_reply
from localai.api.table import Row
from localai.core.caller import Caller
from localai.service.manage import Manage
from localai.service.perform import Perform

_TAG = "OpenAI"


def rows(perform: Perform, manage: Manage | None = None) -> list[Row]:
    """The rows; without `manage` nothing can be removed."""
    shelf = _Shelf(perform, manage)
    found = [
        Row("GET", "/v1/models", shelf.models, "infer", "List the installed models", tag=_TAG),
        Row("GET", "/v1/engines", shelf.models, "infer", "List the installed models", tag=_TAG, listed=False),
        Row("GET", "/v1/models/capabilities", shelf.capabilities, "infer", "What each model can do", tag=_TAG),
        Row("GET", "/v1/models/{model:path}", shelf.model, "infer", "Describe a model", tag=_TAG),
    ]
    if manage is not None:
        found.append(Row("DELETE", "/v1/models/{model:path}", shelf.remove, "models", "Remove a model", tag=_TAG))
    return found


class _Shelf:
    """The handlers."""

    def __init__(self, perform: Perform, manage: Manage | None) -> None:
        self._perform = perform
        self._manage = manage

    async def models(self, request: Request, caller: Caller) -> Response:
        await self._perform.refresh()
        found = await self._perform.about(self._perform.models(caller))
        if anthropic.is_asked(request):
            return json_reply(anthropic.listing(found, request, caller), headers=anthropic.named(request))
        return json_reply(models.listing(found, caller))

    async def model(self, request: Request, caller: Caller) -> Response:
        await self._perform.refresh()
        name = request.path_params["model"]
        (found,) = await self._perform.about([self._perform.model(caller, name)])
        if anthropic.is_asked(request):
            return json_reply(anthropic.row(found, name), headers=anthropic.named(request))
        return json_reply(models.row(found, name))

    async def capabilities(self, request: Request, caller: Caller) -> Response:
        await self._perform.refresh()
        return json_reply(models.capabilities(await self._perform.about(self._perform.models(caller)), caller))

    async def remove(self, request: Request, caller: Caller) -> Response:
        assert self._manage is not None, "there is no such row"  # noqa: S101 - a mistake of ours
        name = request.path_params["model"]
        await self._manage.remove(caller, name)
        return json_reply({"id": name, "object": "model", "deleted": True})
