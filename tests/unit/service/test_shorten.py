"""Conversations that are too long."""

import pytest

from localai.core.errors import ContextLengthExceeded
from localai.core.event import Done, Progress, Text
from localai.core.task import Call, Chat, Generate, Message, Raw, TextPart
from localai.service.shorten import shortening, without_oldest


def message(role, text="x", **fields):
    return Message(role=role, content=(TextPart(text=text),), **fields)


SYSTEM = message("system")
CALL = message("assistant", calls=(Call(id="c", name="f", arguments="{}"),))


def talk(turns):
    return (SYSTEM, *(message("user" if place % 2 == 0 else "assistant", str(place)) for place in range(turns)))


def texts(messages):
    return [part.text for each in messages for part in each.content]


def test_a_quarter_of_the_oldest_turns_goes():
    """A quarter of the turns goes, at least one, the oldest first; system messages and the last turn never."""
    assert texts(without_oldest(talk(9))) == ["x", *map(str, range(2, 9))]
    assert texts(without_oldest(talk(2))) == ["x", "1"]
    assert without_oldest(talk(1)) == talk(1)
    assert without_oldest((SYSTEM,)) == (SYSTEM,)


def test_a_result_goes_with_its_call():
    """The results of a call are part of its turn."""
    results = (message("tool", "r1", call_id="c"), message("tool", "r2", call_id="c"))
    assert without_oldest((CALL, *results, message("user", "u"))) == (message("user", "u"),)
    assert without_oldest((message("tool", "lone", call_id="c"), message("user", "u"))) == (message("user", "u"),)


class Model:
    """Takes so many messages."""

    def __init__(self, room):
        self.room = room
        self.tasks = []

    async def stream(self, task):
        self.tasks.append(task)
        if isinstance(task.prompt, Raw) or len(task.prompt.messages) > self.room:
            raise ContextLengthExceeded
        yield (Text(text="fits"),)
        yield (Done(),)


async def test_turns_go_until_the_rest_fits():
    """A prompt that does not fit is tried again shorter, and the answer is that of the first that fits."""
    model = Model(room=7)
    task = Generate(prompt=Chat(messages=talk(20)), max_tokens=5)
    batches = [batch async for batch in shortening(model.stream, task)]
    assert batches == [(Text(text="fits"),), (Done(),)]
    sizes = [len(each.prompt.messages) for each in model.tasks]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= 7 < sizes[-2]
    assert {each.max_tokens for each in model.tasks} == {5}
    assert texts(model.tasks[-1].prompt.messages)[-1] == "19"


async def test_what_never_fits_is_an_error():
    """When not even the last turn fits, or the prompt is no conversation, the error is told."""
    for prompt in (Chat(messages=talk(20)), Raw(text="x")):
        with pytest.raises(ContextLengthExceeded):
            async for _ in shortening(Model(room=0).stream, Generate(prompt=prompt)):
                pass


async def test_an_answer_that_has_begun_is_not_begun_again():
    """What fails after its first word is an error, whatever it fails of; progress is no word."""

    async def breaks(task):
        yield (Progress(stage="prefill", done=1, total=2),)
        if len(task.prompt.messages) > 10:
            raise ContextLengthExceeded
        yield (Text(text="half"),)
        raise ContextLengthExceeded

    heard = []

    async def listen():
        async for batch in shortening(breaks, Generate(prompt=Chat(messages=talk(20)))):
            heard.extend(batch)

    with pytest.raises(ContextLengthExceeded):
        await listen()
    assert heard.count(Text(text="half")) == 1
