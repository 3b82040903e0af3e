"""Requests of the messages API as tasks."""

import asyncio
import base64
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localai.api.anthropic.body import CountBody, MessagesBody, asked, chat
from localai.api.anthropic.sources import Sources
from localai.api.anthropic.thinking import signature
from localai.api.body import parse
from localai.core.errors import InvalidRequest, LocalAIError
from localai.core.task import FreeText, ImagePart, Message, Schema, TextPart, ToolChoice
from localai.service.media import Media

PNG = b"\x89PNG\r\n\x1a\nrest"
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}


def wanted_of(messages, **fields):
    body, _ = parse(json.dumps({"messages": messages, **fields}).encode(), MessagesBody)
    return asyncio.run(asked(body, Sources(Media())))


def turns_of(*contents, **fields):
    """The turns of a conversation of one user message for each content."""
    return wanted_of([{"role": "user", "content": content} for content in contents], **fields).task.prompt.messages


def user(*parts):
    return Message(role="user", content=tuple(TextPart(text=part) if isinstance(part, str) else part for part in parts))


def refused(messages, **fields):
    with pytest.raises(LocalAIError) as caught:
        wanted_of(messages, **fields)
    return caught.value


def test_text_is_text_as_a_string_or_in_blocks():
    """A content is a string or a list of blocks; blocks of text stay pieces of one message."""
    assert turns_of("Hi") == (user("Hi"),)
    assert turns_of([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]) == (user("a", "b"),)


def test_the_system_prompt_comes_first_in_paragraphs():
    """`system` is a string or blocks, which become paragraphs of one message."""
    assert turns_of("Hi", system="Be kind.")[0] == Message(role="system", content=(TextPart(text="Be kind."),))
    blocks = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
    (first, _) = turns_of("Hi", system=blocks)
    assert "".join(part.text for part in first.content) == "a\n\nb"
    assert turns_of("Hi", system="") == turns_of("Hi", system=[]) == (user("Hi"),)


def test_a_changing_billing_header_changes_nothing():
    """Two requests that differ in Claude Code's billing header only are the same task."""

    def task(header):
        blocks = [{"type": "text", "text": header}, {"type": "text", "text": "You are an agent."}]
        return wanted_of([{"role": "user", "content": "Hi"}], system=blocks).task

    one = task("x-anthropic-billing-header: cc_version=2.1.328.aaa; cc_entrypoint=cli; cch=00000;")
    other = task("x-anthropic-billing-header: cc_version=2.1.329.bbb; cc_entrypoint=sdk; cch=12345;")
    assert one == other
    assert one.prompt.messages[0].content == (TextPart(text="You are an agent."),)
    inline = turns_of("Hi", system="x-anthropic-billing-header: cch=1;\nYou are an agent.")
    assert inline == one.prompt.messages
    assert turns_of("Hi", system="About x-anthropic-billing-header: lines")[0].role == "system"


def test_a_system_message_may_stand_in_the_middle():
    """A message of the role `system` stays where it is."""
    turns = wanted_of(
        [{"role": "user", "content": "Hi"}, {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}]
    ).task.prompt.messages
    assert [turn.role for turn in turns] == ["user", "system"]


def test_results_of_tools_become_turns_in_their_order():
    """Each `tool_result` is a turn of its own, and the words after it are the user's."""
    turns = wanted_of(
        [
            {"role": "user", "content": "Look."},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "ü", "n": 1}},
                    {"type": "tool_use", "id": "t2", "name": "look", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "a cat"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "t2",
                        "content": [{"type": "text", "text": "x"}, {"type": "tool_reference", "tool_name": "y"}],
                    },
                    {"type": "text", "text": "Go on."},
                ],
            },
        ]
    ).task.prompt.messages
    assert [turn.role for turn in turns] == ["user", "assistant", "tool", "tool", "user"]
    assert [(call.id, call.name, call.arguments) for call in turns[1].calls] == [
        ("t1", "look", '{"at": "ü", "n": 1}'),
        ("t2", "look", "{}"),
    ]
    assert (turns[2].call_id, turns[2].content) == ("t1", (TextPart(text="a cat"),))
    assert (turns[3].call_id, turns[3].content) == ("t2", (TextPart(text="x"),))
    assert turns[4] == user("Go on.")


@pytest.mark.parametrize(
    ("content", "text"), [("no such file", "Error: no such file"), ("<tool_use_error>no</tool_use_error>", None)]
)
def test_a_failed_result_says_that_it_failed(content, text):
    """`is_error` is told to the model, unless the result tells it by itself."""
    block = {"type": "tool_result", "tool_use_id": "t1", "content": content, "is_error": True}
    (turn,) = turns_of([block])
    assert "".join(part.text for part in turn.content) == (text or content)


def test_a_result_may_be_empty_or_a_picture():
    """A result without content is an empty turn; a picture in it is an image."""
    (turn,) = turns_of([{"type": "tool_result", "tool_use_id": "t1"}])
    assert (turn.role, turn.content) == ("tool", ())
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
    inner = [{"type": "image", "source": source}]
    (turn,) = turns_of([{"type": "tool_result", "tool_use_id": "t1", "content": inner}])
    assert turn.content == (ImagePart(data=PNG),)


def test_documents_are_text_between_marks():
    """A document is read from text, from content and from base64, with its title and context."""
    text = {"type": "text", "media_type": "text/plain", "data": "Once."}
    packed = {"type": "base64", "media_type": "text/plain", "data": base64.b64encode(b"Once.").decode()}
    content = {"type": "content", "content": [{"type": "text", "text": "Once."}]}
    said = {
        "".join(part.text for part in turns_of([{"type": "document", "source": source}])[0].content)
        for source in (text, packed, content, {"type": "content", "content": "Once."})
    }
    assert said == {"<document>\nOnce.\n</document>\n"}
    told = turns_of([{"type": "document", "source": text, "title": 'A "tale"', "context": "Old."}])[0].content
    assert "".join(part.text for part in told) == '<document title="A \\"tale\\"">\nOld.\n\nOnce.\n</document>\n'


def test_search_results_are_text_between_marks():
    """A search result tells its title and source."""
    block = {
        "type": "search_result",
        "source": "https://a.example/",
        "title": "A",
        "content": [{"type": "text", "text": "b"}],
    }
    text = "".join(part.text for part in turns_of([block])[0].content)
    assert text == '<search_result title="A" source="https://a.example/">\nb\n</search_result>\n'


@pytest.mark.parametrize(
    "block",
    [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": "odd"},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": {"type": "error", "error_code": "x"}},
        {"type": "mcp_tool_use", "id": "m", "name": "x", "server_name": "y", "input": {}},
        {"type": "redacted_thinking", "data": "opaque"},
        {"type": "something_of_tomorrow", "text": 7},
    ],
)
def test_what_only_their_cloud_understands_is_left_out_of_the_history(block):
    """Blocks of an assistant's answer that no engine here can read are skipped, whatever their fields are."""
    turns = wanted_of(
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [block, {"type": "text", "text": "Hello."}]},
            {"role": "user", "content": "So?"},
        ]
    ).task.prompt.messages
    assert turns[1] == Message(role="assistant", content=(TextPart(text="Hello."),))


def test_thoughts_of_the_history_go_back_to_the_model():
    """A thinking block gives its text, or the one its signature carries; a foreign signature gives nothing."""

    def thought(**block):
        content = [{"type": "thinking", **block}, {"type": "text", "text": "x"}]
        turns = wanted_of([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": content}])
        return turns.task.prompt.messages[1].thought

    assert thought(thinking="hm", signature="any") == "hm"
    assert thought(thinking="", signature=signature("hidden", shown=False)) == "hidden"
    assert thought(thinking="", signature="EqoBCkgIARABGAIiQ") is None


def test_an_assistants_last_message_is_the_beginning_of_the_answer():
    """A conversation that ends with the assistant is continued; one that ends with its calls or a user is not."""
    hi = {"role": "user", "content": "Hi"}
    assert wanted_of([hi, {"role": "assistant", "content": "Well,"}]).task.prompt.continue_last
    assert not wanted_of([hi]).task.prompt.continue_last
    call = {"type": "tool_use", "id": "t", "name": "look", "input": {}}
    assert not wanted_of([hi, {"role": "assistant", "content": [call]}]).task.prompt.continue_last


def test_sampling_and_limits_reach_the_task():
    """Temperature, top_p, top_k, stop sequences and the limit of tokens are the task's."""
    task = wanted_of(
        [{"role": "user", "content": "Hi"}],
        temperature=0.5,
        top_p=0.9,
        top_k=7,
        min_p=0.1,
        seed=3,
        stop_sequences=["a", "b"],
        max_tokens=10**12,
    ).task
    sampling = task.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p, sampling.seed) == (
        0.5,
        0.9,
        7,
        0.1,
        3,
    )
    assert task.stop == ("a", "b")
    assert task.max_tokens == 2**31 - 1
    assert wanted_of([{"role": "user", "content": "Hi"}]).task.max_tokens is None


@pytest.mark.parametrize(
    ("choice", "translated", "parallel"),
    [
        (None, ToolChoice(), True),
        ({"type": "auto"}, ToolChoice(), True),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(), False),
        ({"type": "any"}, ToolChoice(mode="required"), True),
        ({"type": "tool", "name": "look"}, ToolChoice(mode="required", name="look"), True),
        ({"type": "none"}, ToolChoice(mode="none"), True),
    ],
)
def test_tool_choices_are_translated(choice, translated, parallel):
    """`auto`, `any`, `tool` and `none` have their counterparts, and so has the ban of several calls."""
    fields = {} if choice is None else {"tool_choice": choice}
    prompt = wanted_of([{"role": "user", "content": "Hi"}], tools=[TOOL], **fields).task.prompt
    assert (prompt.tool_choice, prompt.parallel_calls) == (translated, parallel)


def test_tools_of_their_cloud_are_left_out():
    """Tools with a type of Anthropic's own are skipped, whatever their fields; `custom` and untyped ones are taken."""
    tools = [
        TOOL,
        {"type": "custom", "name": "own", "input_schema": {"type": "object"}, "defer_loading": True, "strict": True},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250728", "name": 5},
        {"type": "computer_toolset_20260801", "configs": {}},
    ]
    offered = wanted_of([{"role": "user", "content": "Hi"}], tools=tools).task.prompt.tools
    assert [(tool.name, tool.description, tool.strict) for tool in offered] == [
        ("look", "Looks.", False),
        ("own", "", True),
    ]


@pytest.mark.parametrize(
    ("body", "thinks", "told", "shown"),
    [
        (None, False, False, False),
        ({"type": "disabled"}, False, False, False),
        ({"type": "enabled", "budget_tokens": 2048}, True, True, True),
        ({"type": "adaptive"}, None, True, True),
        ({"type": "adaptive", "display": "omitted"}, None, True, False),
    ],
)
def test_thinking_is_translated(body, thinks, told, shown):
    """Nothing asked means no thinking; `enabled` asks for it, `adaptive` leaves it to the model, `omitted` hides it."""
    fields = {} if body is None else {"thinking": body}
    wanted = wanted_of([{"role": "user", "content": "Hi"}], **fields)
    assert (wanted.task.prompt.thinking, wanted.thoughts, wanted.shown) == (thinks, told, shown)


def test_a_format_is_a_schema():
    """`output_config.format` and the older `output_format` hold the answer to a schema, without thoughts before it."""
    form = {"type": "json_schema", "schema": {"type": "object"}}
    hi = [{"role": "user", "content": "Hi"}]
    for fields in ({"output_config": {"format": form, "effort": "low"}}, {"output_format": form}):
        task = wanted_of(hi, thinking={"type": "adaptive"}, **fields).task
        assert (task.format, task.prompt.thinking) == (Schema(schema={"type": "object"}), False)
    assert wanted_of(hi, output_config={"effort": "max"}).task.prompt.effort == "max"
    assert wanted_of(hi, output_config={"effort": "max"}).task.format == FreeText()
    assert refused(hi, output_config={"format": form}, output_format=form).param == "output_format"


def test_a_count_is_of_the_same_conversation():
    """What is counted is the very conversation that would be answered."""
    given = {"messages": [{"role": "user", "content": "Hi"}], "system": "s", "tools": [TOOL]}
    body, _ = parse(json.dumps(given).encode(), CountBody)
    assert asyncio.run(chat(body, Sources(Media()))) == wanted_of(**given).task.prompt


HI = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("messages", "fields", "param"),
    [
        ([], {}, "messages"),
        ([{"role": "tool", "content": "x"}], {}, "messages.0.role"),
        ([{"role": "user", "content": 7}], {}, "messages.0.content"),
        ([{"role": "user"}], {}, "messages.0.content"),
        ([{"role": "user", "content": [{"text": "x"}]}], {}, "messages.0.content.0.type"),
        ([{"role": "user", "content": [{"type": "text"}]}], {}, "messages.0.content.0.text"),
        ([{"role": "user", "content": [{"type": "video"}]}], {}, "messages.0.content.0.type"),
        ([{"role": "user", "content": [{"type": "thinking", "thinking": "x"}]}], {}, "messages.0.content.0.type"),
        ([{"role": "user", "content": [{"type": "tool_result"}]}], {}, "messages.0.content.0.tool_use_id"),
        ([{"role": "user", "content": [{"type": "image"}]}], {}, "messages.0.content.0.source"),
        (
            [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "?"}}]}],
            {},
            "messages.0.content.0.source.data",
        ),
        (
            [{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}],
            {},
            "messages.0.content.0.source.url",
        ),
        (
            [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}],
            {},
            "messages.0.content.0.source.file_id",
        ),
        (
            [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "https://a/"}}]}],
            {},
            "messages.0.content.0.source.type",
        ),
        (
            [{"role": "user", "content": [{"type": "document", "source": {"type": "content", "content": None}}]}],
            {},
            "messages.0.content.0.source.content",
        ),
        ([{"role": "assistant", "content": [{"type": "image"}]}], {}, "messages.0.content.0.type"),
        ([{"role": "assistant", "content": [{"type": "tool_use", "id": "x"}]}], {}, "messages.0.content.0"),
        ([HI], {"system": [{"type": "image"}]}, "system.0"),
        ([HI], {"max_tokens": "many"}, "max_tokens"),
        ([HI], {"temperature": 3}, "temperature"),
        ([HI], {"stop_sequences": [""]}, "stop_sequences"),
        ([HI], {"stream": "yes"}, "stream"),
        ([HI], {"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ([HI], {"tools": [TOOL, TOOL]}, "tools.1.name"),
        ([HI], {"tool_choice": {"type": "any"}}, "tool_choice"),
        ([HI], {"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ([HI], {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name"),
        ([HI], {"tool_choice": {"type": "perhaps"}}, "tool_choice.type"),
        ([HI], {"output_config": {"effort": "huge"}}, "output_config.effort"),
        ([HI], {"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ],
)
def test_what_is_wrong_is_named(messages, fields, param):
    """A known field of a wrong type or place is refused with its path."""
    assert refused(messages, **fields).param == param


def test_a_pdf_is_refused_in_words():
    """A PDF is not read, and the error says what is."""
    source = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(b"%PDF-1.7").decode()}
    error = refused([{"role": "user", "content": [{"type": "document", "source": source}]}])
    assert isinstance(error, InvalidRequest)
    assert "PDF" in error.message


def test_pictures_are_bounded():
    """More than 64 pictures in a request are refused, also inside results and documents."""
    source = {"type": "base64", "data": base64.b64encode(PNG).decode()}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": source}] * 65}
    assert refused([{"role": "user", "content": [result]}]).param == "messages"


_KINDS = ("text", "image", "document", "search_result", "tool_use", "tool_result", "thinking", "server_tool_use")
_WORDS = st.sampled_from((*_KINDS, "base64", "content", "url", "file", "x-anthropic-billing-header:", "", "😀\n"))
_NAMES = st.sampled_from(
    ["type", "text", "source", "content", "data", "url", "id", "name", "input", "tool_use_id", "thinking", "signature"]
)
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_BLOCK = st.fixed_dictionaries(
    {"type": _WORDS}, optional=dict.fromkeys(["text", "source", "content", "input"], _ANYTHING)
)
_MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system", "tool"]),
        "content": st.lists(_BLOCK | _ANYTHING, max_size=3) | _ANYTHING,
    }
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(_MESSAGE, max_size=3), _ANYTHING, _ANYTHING, _ANYTHING)
def test_whatever_comes_is_a_task_or_a_refusal(messages, system, tools, thinking):
    """No body, however odd, gives anything but a task or an error that a client may see."""
    fields = {"system": system, "tools": tools, "thinking": thinking}
    try:
        wanted = wanted_of(messages, **{name: value for name, value in fields.items() if value is not None})
    except LocalAIError as error:
        status = error.status
    else:
        status = 200
        assert all(isinstance(turn, Message) for turn in wanted.task.prompt.messages)
    assert status in {200, 400, 413}
