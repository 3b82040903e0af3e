"""Items as turns."""

import base64

import pytest

from localai.api.openai.chat import ChatBody
from localai.api.openai.chat import asked as chat_asked
from localai.api.responses.items import read
from localai.api.responses.parts import Reader
from localai.api.responses.sealed import seal, unseal
from localai.api.responses.turns import turns
from localai.core.errors import InvalidRequest, NotFound
from localai.core.task import AudioPart, Call, ImagePart, Message, TextPart
from localai.service.media import Media
from localai.storage.objects import Stored

PNG = b"\x89PNG\r\n\x1a\n0000"
WAV = b"RIFF0000WAVE0000"


class FakeFiles:
    """Ann has a text file and a picture."""

    kept = {"file-t": ("notes.txt", b"my notes"), "file-p": ("p.png", PNG), "file-x": ("x.pdf", b"%PDF-1.7")}

    async def get(self, owner, id):  # noqa: A002
        if owner != "ann" or id not in self.kept:
            raise NotFound("There is no such file.", param="id")
        payload = {"filename": self.kept[id][0], "bytes": len(self.kept[id][1])}
        facts = {"parent": None, "state": "", "created": 0.0, "updated": 0.0, "expires": None}
        return Stored(number=1, id=id, owner=owner, kind="file", payload=payload, **facts)

    async def read(self, owner, id, limit):  # noqa: A002
        return self.kept[id][1]


async def made(*items, owner="ann", files=True):
    bodies = [(f"input.{place}", item) for place, item in enumerate(read(list(items)))]
    return await turns(bodies, Reader(Media(), FakeFiles() if files else None, owner))


def url(data, kind="application/octet-stream"):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def user(*parts):
    return {"role": "user", "content": list(parts)}


CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"x":1}'}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "found"}
THOUGHT = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
ANSWER = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}


async def test_roles():
    """Developer and system messages are system messages; the others are what they are."""
    items = [{"role": role, "content": role} for role in ("developer", "system", "user", "assistant")]
    found = await made(*items)
    assert [message.role for message in found] == ["system", "system", "user", "assistant"]
    assert found[0].content == (TextPart(text="developer"),)


async def test_a_thought_an_answer_and_calls_are_one_turn():
    """What the model thought, said and called in a row is one turn of the assistant."""
    second = {**CALL, "call_id": "c2"}
    found = await made(user("hi"), THOUGHT, ANSWER, CALL, second, RESULT, THOUGHT, CALL, RESULT)
    calls = tuple(Call(id=name, name="look", arguments='{"x":1}') for name in ("c1", "c2"))
    result = Message(role="tool", content=(TextPart(text="found"),), call_id="c1")
    assert found[1:] == (
        Message(role="assistant", content=(TextPart(text="ok"),), thought="hm", calls=calls),
        result,
        Message(role="assistant", thought="hm", calls=calls[:1]),
        result,
    )


async def test_the_same_conversation_is_the_same_prompt_as_in_the_chat_api():
    """A conversation with thoughts, calls and results is turn for turn what the chat API makes of it."""
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"x":1}'}}
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]
    chat = (await chat_asked(ChatBody.model_validate({"messages": messages}), Media())).tasks[0].prompt.messages
    parts = ({"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"})
    system = {"role": "system", "content": "s"}
    assert await made(system, user("hi"), THOUGHT, CALL, RESULT, ANSWER, user(*parts)) == chat


async def test_free_form_calls_and_namespaces():
    """A free-form call is a call with one text; a call in a namespace has the model's name of it."""
    free = {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": 'say "hü"', "namespace": "n"}
    output = {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "done"}]}
    call, result = await made(free, output)
    assert call.calls == (Call(id="c", name="n__patch", arguments='{"input": "say \\"hü\\""}'),)
    assert (result.role, result.content) == ("tool", (TextPart(text="done"),))


async def test_thoughts_come_back_in_any_form():
    """A thought is its content, else what was sealed here, else its summary; another maker's seal says nothing."""
    said = {"type": "summary_text", "text": "in short"}
    for fields, thought in (
        ({"encrypted_content": seal("sealed"), "summary": [said]}, "sealed"),
        ({"encrypted_content": "gAAAA", "summary": [said]}, "in short"),
        ({"encrypted_content": "gAAAA"}, None),
    ):
        found = await made(user("x"), {"type": "reasoning", **fields}, ANSWER)
        assert [message.thought for message in found] == [None, thought]


async def test_a_thought_that_led_to_nothing_stays():
    """A thought before a message of the user, or at the end, is a turn of its own."""
    found = await made(THOUGHT, user("x"), THOUGHT)
    assert [(message.role, message.thought) for message in found] == [
        ("assistant", "hm"),
        ("user", None),
        ("assistant", "hm"),
    ]


def test_seals():
    """A seal gives its text back; what is no seal of ours gives nothing."""
    assert unseal(seal("grüße")) == "grüße"
    for other in ("", "gAAAA", "localai.1.%%%", "localai.1._w=="):
        assert unseal(other) is None


async def test_unknown_items_say_nothing():
    """Items of OpenAI's cloud do not disturb the turns around them."""
    searched = {"type": "web_search_call", "id": "ws", "status": "completed"}
    assert await made(searched, user("x"), searched, ANSWER, searched, CALL) == await made(user("x"), ANSWER, CALL)


async def test_parts():
    """Text, pictures, sound and files of text become what engines take."""
    found = await made(
        user(
            "plain",
            {"type": "input_image", "image_url": url(PNG), "detail": "auto"},
            {"type": "image_url", "image_url": {"url": url(PNG)}},
            {"type": "input_image", "file_id": "file-p"},
            {"type": "input_audio", "input_audio": {"data": base64.b64encode(WAV).decode(), "format": "wav"}},
            {"type": "input_file", "filename": "a.txt", "file_data": url(b"in a file", "text/plain")},
            {"type": "input_file", "file_data": base64.b64encode(b"bare").decode()},
            {"type": "input_file", "file_id": "file-t"},
            {"type": "refusal", "refusal": "no"},
        )
    )
    image = ImagePart(data=PNG)
    assert found[0].content == (
        TextPart(text="plain"),
        image,
        image,
        image,
        AudioPart(data=WAV, format="wav"),
        TextPart(text="File `a.txt`:\nin a file\n"),
        TextPart(text="File `file`:\nbare\n"),
        TextPart(text="File `notes.txt`:\nmy notes\n"),
        TextPart(text="no"),
    )


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "message", "content": "x"}, "input.0.role"),
        ({"role": "user"}, "input.0.content"),
        ({**CALL, "call_id": None}, "input.0.call_id"),
        ({**CALL, "name": None}, "input.0.name"),
        ({"type": "function_call_output", "output": "x"}, "input.0.call_id"),
        ({"type": "function_call_output", "call_id": "c"}, "input.0.output"),
        ({"type": "compaction", "encrypted_content": "gAAAA"}, "input.0.encrypted_content"),
        ({"type": "compaction_trigger"}, "input.0.type"),
        (user({"type": "input_text"}), "input.0.content.0.text"),
        (user({"type": "input_image"}), "input.0.content.0.image_url"),
        (user({"type": "input_image", "image_url": "ftp://x"}), "input.0.content.0.image_url"),
        (user("a", {"type": "input_audio"}), "input.0.content.1.input_audio"),
        (user({"type": "hologram"}), "input.0.content.0.type"),
        (user({"type": "input_file"}), "input.0.content.0.file_data"),
        (user({"type": "input_file", "file_url": "https://x/y"}), "input.0.content.0.file_url"),
        (user({"type": "input_file", "file_data": "%%%"}), "input.0.content.0.file_data"),
        (user({"type": "input_file", "file_data": "data:text/plain,x"}), "input.0.content.0.file_data"),
        (user({"type": "input_file", "file_data": url(b"%PDF-1.7")}), "input.0.content.0.file_data"),
        (user({"type": "input_file", "file_id": "file-x"}), "input.0.content.0.file_id"),
    ],
)
async def test_what_is_missing_or_unusable_is_named(item, param):
    """An item that lacks what its type needs, or carries what no engine takes, is refused by the path of the field."""
    with pytest.raises(InvalidRequest) as caught:
        await made(item)
    assert caught.value.param == param


async def test_another_owners_file_is_not_there():
    """A stored file is found for its owner only; a server without files says that it keeps none."""
    item = user({"type": "input_file", "file_id": "file-t"})
    with pytest.raises(NotFound) as caught:
        await made(item, owner="bob")
    assert caught.value.param == "input.0.content.0.file_id"
    with pytest.raises(InvalidRequest, match="keeps no files"):
        await made(item, files=False)


async def test_files_are_counted():
    """A request carries only so many files."""
    part = {"type": "input_file", "file_id": "file-t"}
    with pytest.raises(InvalidRequest, match="at most 64"):
        await made(*[user(part)] * 65)


async def test_a_compaction_is_read_by_its_maker():
    """A compaction made here comes back as what it summed up."""
    (message,) = await made({"type": "compaction", "encrypted_content": seal("we met Ann")})
    assert message.role == "user"
    assert message.content[0].text.endswith("we met Ann")
