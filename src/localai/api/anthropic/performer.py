"""One answer of this dialect without a connection, as batches ask for it."""

import asyncio

import orjson

from localai.api.anthropic import body as bodies
from localai.api.anthropic import message
from localai.api.anthropic.sources import Shelf, Sources
from localai.api.body import LARGE, parse
from localai.api.flow import collect
from localai.api.merge import merge
from localai.core.caller import Caller
from localai.service.media import Media
from localai.service.perform import Perform
from localai.service.runner import Performer


def performer(perform: Perform, media: Media, files: Shelf) -> Performer:
    """Who answers a request of the messages API whole; give what runs `behind` live traffic."""

    async def answer(caller: Caller, raw: bytes) -> bytes:
        kind = bodies.MessagesBody
        body, _ = await asyncio.to_thread(parse, raw, kind) if len(raw) > LARGE else parse(raw, kind)
        wanted = await bodies.asked(body, Sources(media, files, caller.owner))
        await perform.refresh()
        model = perform.choose(caller, body.model, wanted.task)
        (found,) = await collect(merge([perform.stream(caller, body.model, wanted.task)]), 1)
        return orjson.dumps(message.reply(found, message.new_id(), model.name, wanted))

    return answer
