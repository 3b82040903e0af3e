"""The routes that ask a chat model for a judgement: moderations, decisions, System One."""

from starlette.requests import Request
from starlette.responses import Response

from localai.api.asking import Asking
from localai.api.body import read
from localai.api.openai import decisions, moderations, systemone
from localai.api.replies import json_reply
from localai.api.table import Row
from localai.core.caller import Caller
from localai.service.media import Media
from localai.service.perform import Perform

_TAG = "OpenAI"


def rows(perform: Perform, media: Media) -> list[Row]:
    """The rows."""
    bench = _Bench(perform, media)
    return [
        Row(
            "POST",
            "/v1/moderations",
            bench.moderate,
            "infer",
            "Judge texts by OpenAI's categories",
            moderations.ModerationBody,
            _TAG,
        ),
        Row(
            "POST",
            "/v1/decisions",
            bench.decide,
            "infer",
            "Answer questions about an input with probabilities",
            decisions.DecisionBody,
            _TAG,
        ),
        Row(
            "POST",
            "/v1/systemone",
            bench.judge,
            "infer",
            "Answer questions about a state with probabilities",
            systemone.SystemOneBody,
            _TAG,
        ),
    ]


class _Bench:
    """The handlers."""

    def __init__(self, perform: Perform, media: Media) -> None:
        self._asking = Asking(perform)
        self._media = media

    async def moderate(self, request: Request, caller: Caller) -> Response:
        body = await read(request, moderations.ModerationBody)
        wanted = await moderations.asked(body, self._media)
        name = moderations.judge(body.model)
        model, answers = await self._asking.answers(request, caller, name, wanted.tasks)
        return json_reply(moderations.reply(answers, model.name, wanted))

    async def decide(self, request: Request, caller: Caller) -> Response:
        body = await read(request, decisions.DecisionBody)
        wanted = await decisions.asked(body, self._media)
        model, answers = await self._asking.answers(request, caller, body.model, wanted.tasks)
        return json_reply(decisions.reply(answers, model.name, body, wanted))

    async def judge(self, request: Request, caller: Caller) -> Response:
        body = await read(request, systemone.SystemOneBody)
        wanted = await systemone.asked(body, self._media)
        model, answers = await self._asking.answers(request, caller, body.model, wanted.tasks)
        return json_reply(systemone.reply(answers, model.name, body, wanted))
