"""Requests of the chat and generate routes as tasks."""

import base64

import pytest
from pydantic import ValidationError

from localai.api.ollama import chat, generate
from localai.core.errors import ContextLengthExceeded, InvalidRequest
from localai.core.task import Call, Chat, ImagePart, Infill, Message, Raw, TextPart, ToolChoice
from localai.service.media import Media

HI = [{"role": "user", "content": "Hi"}]
PNG = b"\x89PNG\r\n\x1a\n...."
PICTURE = base64.b64encode(PNG).decode()
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "required": None}}}


async def chatting(**fields):
    return await chat.asked(chat.ChatBody.model_validate({"messages": HI, **fields}), Media())


async def generating(*, chats=True, **fields):
    return await generate.asked(generate.GenerateBody.model_validate(fields), Media(), chats=chats)


def text(words):
    return (TextPart(text=words),)


async def test_a_plain_chat():
    """A request of messages alone sets nothing but the prompt."""
    asked = await chatting()
    assert asked.task.prompt == Chat(messages=(Message(role="user", content=text("Hi")),))
    assert (asked.task.max_tokens, asked.task.stop, asked.task.logprobs) == (None, (), None)
    assert (asked.keep_alive, asked.room, asked.logprobs) == (None, None, False)


async def test_a_conversation_with_tools():
    """Calls without ids get one by their place, and each result answers the oldest open call of its name."""
    call = {"function": {"name": "look", "arguments": {"at": "x"}}}
    messages = [
        {"role": "system", "content": "Be kind."},
        *HI,
        {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [call, {"function": {"name": "hear"}}]},
        {"role": "tool", "content": "noise", "tool_name": "hear"},
        {"role": "tool", "content": "light", "tool_name": "look"},
        {"role": "assistant", "tool_calls": [{"id": "mine", "function": {"name": "look", "arguments": '{"at":1}'}}]},
        {"role": "tool", "content": "dark", "tool_call_id": "mine"},
        {"role": "tool", "content": "lost"},
    ]
    turns = (await chatting(messages=messages)).task.prompt.messages
    assert turns[2].calls == (
        Call(id="call_0", name="look", arguments='{"at":"x"}'),
        Call(id="call_1", name="hear", arguments="{}"),
    )
    assert turns[2].thought == "hm"
    assert [turn.call_id for turn in turns[3:]] == ["call_1", "call_0", None, "mine", "call_unknown"]
    assert turns[5].calls == (Call(id="mine", name="look", arguments='{"at":1}'),)


async def test_images():
    """Images come as base64 or as `data:` URLs, after the text of their message."""
    message = {"role": "user", "content": "What?", "images": [PICTURE, f"data:image/png;base64,{PICTURE}"]}
    (turn,) = (await chatting(messages=[message])).task.prompt.messages
    assert turn.content == (TextPart(text="What?"), ImagePart(data=PNG), ImagePart(data=PNG))
    with pytest.raises(InvalidRequest) as caught:
        await chatting(messages=[*HI, {"role": "user", "images": [PICTURE, "AAAA"]}])
    assert caught.value.param == "messages.1.images.1"
    with pytest.raises(InvalidRequest, match="64 images"):
        await chatting(messages=[{"role": "user", "images": ["A"] * 40}] * 2)


async def test_a_last_assistant_message_goes_on():
    """An answer that was begun is continued; one that ends in calls is not."""
    begun = [*HI, {"role": "assistant", "content": "Well"}]
    assert (await chatting(messages=begun)).task.prompt.continue_last
    assert not (await chatting()).task.prompt.continue_last
    called = [*HI, {"role": "assistant", "tool_calls": [{"function": {"name": "look"}}]}]
    assert not (await chatting(messages=called)).task.prompt.continue_last


async def test_tool_choice_is_honoured():
    """The rule for choosing a tool, which Ollama ignores, reaches the task; so do the tools, without nulls."""
    asked = (await chatting(tools=[TOOL], tool_choice="required")).task.prompt
    assert asked.tool_choice == ToolChoice(mode="required")
    assert asked.tools[0].parameters == {"type": "object"}
    named = {"type": "function", "function": {"name": "look"}}
    assert (await chatting(tools=[TOOL], tool_choice=named)).task.prompt.tool_choice.name == "look"
    with pytest.raises(InvalidRequest):
        await chatting(tool_choice="required")


async def test_the_rest_of_a_chat():
    """Thinking, limits, log-probabilities, time and room reach the task."""
    fields = {
        "think": "high",
        "options": {"num_predict": 5, "stop": "x", "num_ctx": 4096},
        "logprobs": True,
        "top_logprobs": 2,
        "keep_alive": "5m",
    }
    asked = await chatting(**fields)
    assert (asked.task.prompt.thinking, asked.task.prompt.effort) == (True, "high")
    assert (asked.task.max_tokens, asked.task.stop, asked.task.logprobs) == (5, ("x",), 2)
    assert (asked.keep_alive, asked.room, asked.logprobs) == (300, 4096, True)
    with pytest.raises(InvalidRequest, match="top_logprobs"):
        await chatting(top_logprobs=2)


def test_too_many_messages():
    """More messages than any context holds are refused before they are looked at."""
    with pytest.raises(ContextLengthExceeded):
        chat.ChatBody.model_validate({"messages": HI * 16385})


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"messages": "hi"}, ("messages",)),
        ({"messages": [{"role": "robot"}]}, ("messages", 0, "role")),
        ({"messages": [{"role": "user", "content": 5}]}, ("messages", 0, "content")),
        ({"messages": [{"role": "user", "images": "x"}]}, ("messages", 0, "images")),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, ("messages", 0, "tool_calls", 0, "function")),
        ({"options": {"temperature": "hot"}}, ("options", "temperature")),
        ({"options": {"num_ctx": -5}}, ("options", "num_ctx")),
        ({"options": {"stop": [""]}}, ("options", "stop")),
        ({"options": 5}, ("options",)),
        ({"stream": "yes"}, ("stream",)),
        ({"model": 5}, ("model",)),
        ({"top_logprobs": 21}, ("top_logprobs",)),
        ({"tools": {}}, ("tools",)),
    ],
)
def test_wrong_types_are_named(fields, place):
    """A known field of a wrong type is refused by its place."""
    with pytest.raises(ValidationError) as caught:
        chat.ChatBody.model_validate(fields)
    assert caught.value.errors()[0]["loc"][: len(place)] == place


async def test_a_plain_generation():
    """A prompt becomes a conversation of one message, with the system message before it."""
    asked = (await generating(prompt="Hi", system="Be kind.", images=[PICTURE], think=False)).task.prompt
    assert asked.messages == (
        Message(role="system", content=text("Be kind.")),
        Message(role="user", content=(TextPart(text="Hi"), ImagePart(data=PNG))),
    )
    assert asked.thinking is False


async def test_prompts_without_a_template():
    """A raw prompt, or one for a model that knows no conversations, is taken as it is."""
    assert (await generating(prompt="Hi", raw=True)).task.prompt == Raw(text="Hi")
    assert (await generating(chats=False, prompt="Hi")).task.prompt == Raw(text="Hi")
    assert isinstance((await generating(chats=False, prompt="Hi", system="x")).task.prompt, Chat)


async def test_a_suffix_makes_a_gap():
    """A suffix asks for what is between it and the prompt; an empty one does not."""
    assert (await generating(prompt="def f(", suffix=")")).task.prompt == Infill(prefix="def f(", suffix=")")
    assert isinstance((await generating(prompt="x", suffix="")).task.prompt, Chat)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"template": "{{ .Prompt }}"}, "template"),
        ({"suffix": "x", "system": "y"}, "system"),
        ({"suffix": "x", "images": [PICTURE]}, "images"),
        ({"suffix": "x", "context": [1]}, "context"),
        ({"raw": True, "system": "y"}, "system"),
        ({"raw": True, "context": [1]}, "context"),
        ({"context": [1], "images": [PICTURE]}, "images"),
        ({"images": ["AAAA"]}, "images.0"),
        ({"top_logprobs": 1}, "top_logprobs"),
    ],
)
async def test_what_excludes_each_other_is_refused(fields, param):
    """Two fields of which one would have to be ignored are refused, and the second is named."""
    with pytest.raises(InvalidRequest) as caught:
        await generating(prompt="Hi", **fields)
    assert caught.value.param == param


@pytest.mark.parametrize("wrong", [[-1], ["a"], "x", [[1]], [1.5]])
def test_context_is_ids(wrong):
    """`context` takes token ids and nothing else."""
    with pytest.raises(ValidationError):
        generate.GenerateBody.model_validate({"context": wrong})


def test_what_is_empty():
    """Without anything to answer a request is about loading the model."""
    cases = (({}, True), ({"prompt": "", "system": "x"}, True), ({"prompt": "x"}, False), ({"suffix": "x"}, False))
    for fields, empty in cases:
        assert generate.GenerateBody.model_validate(fields).empty is empty
