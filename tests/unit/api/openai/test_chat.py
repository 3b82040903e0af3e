"""The chat request as tasks."""

import pytest
from pydantic import ValidationError

from localai.api.answer import Answer
from localai.api.openai.chat import ChatBody, asked, reply
from localai.api.openai.head import Head
from localai.core.errors import ContextLengthExceeded, InvalidRequest
from localai.core.event import Chosen, Done, Logprobs, Text, Thought, Timings, TokenLogprob, ToolCall, Usage
from localai.core.task import (
    AnyJson,
    AudioPart,
    Call,
    FreeText,
    Grammar,
    ImagePart,
    Message,
    Sampling,
    Schema,
    TextPart,
    Tool,
    ToolChoice,
)
from localai.service.media import Media

HI = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
HEAD = Head(id="chatcmpl-1", created=5, model="m", fingerprint="fp_1")


async def ask(**fields):
    return await asked(ChatBody.model_validate({"messages": HI, **fields}), Media())


async def task(**fields):
    return (await ask(**fields)).tasks[0]


async def test_a_plain_request_leaves_every_choice_to_the_model():
    """A request of messages alone sets nothing but the prompt."""
    wanted = await ask()
    assert wanted.tasks[0].prompt.messages == (Message(role="user", content=(TextPart(text="Hi"),)),)
    assert wanted.tasks[0].sampling == Sampling()
    assert (wanted.tasks[0].max_tokens, wanted.tasks[0].stop, wanted.tasks[0].logprobs) == (None, (), None)
    assert wanted.tasks[0].format == FreeText()
    assert not (wanted.stream or wanted.usage or wanted.legacy)


async def test_roles_become_the_four_roles():
    """Developer messages are system messages, function messages are tool messages."""
    messages = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "ann"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"x":1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": ""}},
        {"role": "function", "name": "old", "content": "gone"},
        {"role": "assistant", "content": "So.", "reasoning_content": "I think"},
        {"role": "assistant", "content": None, "refusal": "No."},
    ]
    turns = (await task(messages=messages)).prompt.messages
    assert [turn.role for turn in turns] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
        "assistant",
        "assistant",
    ]
    assert turns[1] == Message(role="user", content=(TextPart(text="a"), TextPart(text="b")), name="ann")
    assert turns[2].calls == (Call(id="c1", name="look", arguments='{"x":1}'),)
    assert turns[3].call_id == "c1"
    assert turns[4].calls == (Call(id="call_old", name="old", arguments="{}"),)
    assert turns[5].call_id == turns[4].calls[0].id
    assert turns[6].thought == "I think"
    assert turns[7].content == (TextPart(text="No."),)


async def test_images_and_sound_arrive_as_bytes():
    """Parts with files carry their bytes, in order with the text."""
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGODlh", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "SUQzBA==", "format": "mp3"}},
    ]
    turns = (await task(messages=[{"role": "user", "content": parts}])).prompt.messages
    image, sound = ImagePart(data=b"GIF89a"), AudioPart(data=b"ID3\x04", format="mp3")
    assert turns[0].content == (TextPart(text="What is this?"), image, sound)
    with pytest.raises(InvalidRequest, match="at most 64"):
        await task(messages=[{"role": "user", "content": [parts[1]] * 65}])


async def test_arguments_given_as_an_object_become_text():
    """A history whose tool calls carry objects instead of JSON text is understood."""
    call = {"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}
    turns = (await task(messages=[{"role": "assistant", "tool_calls": [call]}])).prompt.messages
    assert turns[0].calls[0].arguments == '{"a":1}'


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user"}, "messages.0.content"),
        ({"role": "user", "content": None}, "messages.0.content"),
        ({"role": "tool", "content": "x"}, "messages.0.tool_call_id"),
        ({"role": "function", "content": "x"}, "messages.0.name"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages.0.content.0.text"),
        ({"role": "user", "content": [{"type": "video_url"}]}, "messages.0.content.0.type"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://x"}}]},
         "messages.0.content.0.image_url"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": "http://x/y.png"}]},
         "messages.0.content.0.image_url"),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "@@", "format": "wav"}}]},
         "messages.0.content.0.input_audio"),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "messages.0.tool_calls.0.function"),
    ],
)  # fmt: skip
async def test_a_message_that_lacks_something_is_refused_by_its_field(message, param):
    """A message that its role or part type does not allow is a 400 that names the field."""
    with pytest.raises(InvalidRequest) as caught:
        await task(messages=[message])
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("messages", {}, ("messages",)),
        ("messages", [], ("messages",)),
        ("messages", [{"role": "owner", "content": "x"}], ("messages", 0, "role")),
        ("messages", [{"role": "user", "content": 5}], ("messages", 0, "content")),
        ("messages", [{"role": "user", "content": [7]}], ("messages", 0, "content", 0)),
        ("temperature", "hot", ("temperature",)),
        ("stream", "yes", ("stream",)),
        ("tools", {}, ("tools",)),
        ("tool_choice", 3, ("tool_choice",)),
        ("response_format", {"type": "xml"}, ("response_format", "type")),
        ("reasoning_effort", "huge", ("reasoning_effort",)),
        ("chat_template_kwargs", {"enable_thinking": "no"}, ("chat_template_kwargs", "enable_thinking")),
        ("keep_alive", "soon", ("keep_alive",)),
    ],
)
async def test_a_known_field_of_a_wrong_type_is_refused_by_its_name(field, value, place):
    """Known fields of a wrong type fail with exactly their own place."""
    with pytest.raises(ValidationError) as caught:
        await task(**{field: value})
    assert caught.value.errors()[0]["loc"] == place


async def test_unknown_and_late_fields_are_dropped():
    """Fields that cost nothing to ignore are ignored, whatever is in them."""
    extra = {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "fast", "verbosity": "low",
             "prediction": {}, "prompt_cache_key": "k", "web_search_options": {}, "n_predict": -2, "id_slot": 0,
             "n_discard": -1, "modalities": ["text"], "safety_identifier": "s", "nonsense": [[]]}  # fmt: skip
    assert await task(**extra) == await task()


async def test_sampling_fields_arrive_by_their_meaning():
    """OpenAI's, llama.cpp's and vLLM's sampling fields all reach the task."""
    made = await task(
        temperature=0, top_p=0.9, top_k=5, min_p=0.1, typical_p=0.5, repetition_penalty=1.1, repeat_last_n=-1,
        presence_penalty=-2, frequency_penalty=2, mirostat=2, mirostat_tau=5, mirostat_eta=0.1, dry_multiplier=0.8,
        dry_sequence_breakers=["\n"], xtc_probability=0.5, samplers=["top_k", "temperature"], seed=7.0,
        ignore_eos=True, logit_bias={"5": -100, "6": 1.5}, stop="END", max_tokens=5, cache_prompt=False,
        lora=[{"name": "poet", "scale": 0.5}],
    )  # fmt: skip
    assert made.sampling == Sampling(
        temperature=0.0, top_p=0.9, top_k=5, min_p=0.1, typical_p=0.5, repeat_penalty=1.1, repeat_last_n=-1,
        presence_penalty=-2.0, frequency_penalty=2.0, mirostat=2, mirostat_tau=5.0, mirostat_eta=0.1,
        dry_multiplier=0.8, dry_sequence_breakers=("\n",), xtc_probability=0.5, samplers=("top_k", "temperature"),
        seed=7, ignore_eos=True, logit_bias=((5, -100.0), (6, 1.5)),
    )  # fmt: skip
    assert (made.stop, made.max_tokens, made.cache, made.adapters) == (("END",), 5, False, (("poet", 0.5),))


async def test_every_choice_has_a_seed_of_its_own():
    """With `n`, choice i is seeded with seed + i; without a seed, or with a negative one, all are random."""
    assert [one.sampling.seed for one in (await ask(n=3, seed=2**32 - 2)).tasks] == [2**32 - 2, 0, 1]
    assert [one.sampling.seed for one in (await ask(n=2, seed=-1)).tasks] == [None, None]


async def test_max_completion_tokens_wins_and_huge_ceilings_are_clamped():
    """The newer ceiling wins over the older one, and a ceiling beyond any context is carried as a large number."""
    assert (await task(max_completion_tokens=7, max_tokens=9)).max_tokens == 7
    assert (await task(max_tokens=2**63)).max_tokens == 2**31 - 1


async def test_logprobs_are_counted():
    """`logprobs` alone asks for the chosen tokens, `top_logprobs` for alternatives as well."""
    assert (await task(logprobs=True)).logprobs == 0
    assert (await task(logprobs=True, top_logprobs=20)).logprobs == 20
    assert (await task(logprobs=False)).logprobs is None
    with pytest.raises(InvalidRequest, match="needs `logprobs"):
        await task(top_logprobs=2)


@pytest.mark.parametrize(
    ("fields", "format"),
    [
        ({"response_format": {"type": "text"}}, FreeText()),
        ({"response_format": {"type": "json_object"}}, AnyJson()),
        ({"response_format": {"type": "json_object", "schema": {"type": "object"}}}, Schema(schema={"type": "object"})),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {}}}},
         Schema(schema={}, name="n")),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, Schema(schema={})),
        ({"guided_json": {"type": "string"}}, Schema(schema={"type": "string"})),
        ({"json_schema": {"type": "string"}}, Schema(schema={"type": "string"})),
        ({"grammar": 'root ::= "a"'}, Grammar(grammar='root ::= "a"')),
        ({"guided_grammar": 'root ::= "a"'}, Grammar(grammar='root ::= "a"')),
        ({"grammar": ""}, FreeText()),
    ],
)  # fmt: skip
async def test_formats_in_all_spellings(fields, format):  # noqa: A002  (the field's name)
    """Response formats, schemas and grammars mean the same however they are spelled."""
    assert (await task(**fields)).format == format


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_object"}, "grammar": "root ::= [a]"}, "grammar"),
        ({"grammar": "x", "guided_json": {}}, "grammar"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tools": [TOOL, TOOL]}, "tools.1"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice"),
        ({"functions": [TOOL["function"]], "function_call": {"name": "other"}}, "function_call"),
        ({"tools": [TOOL], "tool_choice": {"allowed_tools": {"tools": [{"function": {"name": "o"}}]}}}, "tool_choice"),
        ({"continue_final_message": True}, "continue_final_message"),
    ],
)  # fmt: skip
async def test_contradictions_are_refused_by_their_field(fields, param):
    """A request that contradicts itself is a 400 that names the field."""
    with pytest.raises(InvalidRequest) as caught:
        await task(**fields)
    assert caught.value.param == param


LOOK = Tool(name="look", description="d", parameters={"type": "object"})


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice()),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "function": {"name": "look"}}, ToolChoice(mode="required", name="look")),
        ({"type": "function", "name": "look"}, ToolChoice(mode="required", name="look")),
    ],
)
async def test_tool_choices(choice, expected):
    """Every form of `tool_choice` is understood."""
    prompt = (await task(tools=[TOOL, {"type": "web_search"}], tool_choice=choice)).prompt
    assert (prompt.tools, prompt.tool_choice, prompt.parallel_calls) == ((LOOK,), expected, True)


async def test_allowed_tools_leave_only_those():
    """`allowed_tools` hides the other tools from the model."""
    other = {"type": "function", "function": {"name": "other"}}
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "look"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    prompt = (await task(tools=[TOOL, other], tool_choice=choice, parallel_tool_calls=False)).prompt
    assert (prompt.tools, prompt.tool_choice.mode, prompt.parallel_calls) == ((LOOK,), "required", False)


async def test_functions_are_the_older_tools():
    """`functions` and `function_call` work and are answered in their own form, one call at a time."""
    wanted = await ask(functions=[TOOL["function"]], function_call={"name": "look"})
    assert wanted.legacy
    prompt = wanted.tasks[0].prompt
    assert (prompt.tools, prompt.tool_choice.name, prompt.parallel_calls) == ((LOOK,), "look", False)


async def test_thinking_is_asked_for_in_two_ways():
    """`reasoning_effort: none` turns thinking off; a template variable beats the effort."""
    assert (await task(reasoning_effort="none")).prompt.thinking is False
    high = (await task(reasoning_effort="high")).prompt
    assert (high.thinking, high.effort) == (True, "high")
    kwargs = {"enable_thinking": False, "other": "dropped"}
    assert (await task(reasoning_effort="high", chat_template_kwargs=kwargs)).prompt.thinking is False


async def test_the_last_message_can_be_continued():
    """`continue_final_message` continues the assistant's last words."""
    messages = [*HI, {"role": "assistant", "content": "Well,"}]
    made = await task(messages=messages, continue_final_message=True, add_generation_prompt=False)
    assert made.prompt.continue_last


async def test_too_many_messages_fit_no_context():
    """A hundred thousand messages are refused as a prompt that is too long."""
    with pytest.raises(ContextLengthExceeded):
        await task(messages=HI * 100_000)


@pytest.mark.parametrize(("given", "seconds"), [(30, 30.0), ("10m", 600.0), ("-1", -1.0), ("1.5h", 5400.0), (0, 0.0)])
async def test_keep_alive_is_a_time(given, seconds):
    """`keep_alive` is a number of seconds or a text with a unit."""
    assert (await ask(keep_alive=given)).keep_alive == seconds


def heard(*events):
    answer = Answer()
    for event in events:
        answer.hear(event)
    return answer


async def test_a_whole_answer_has_everything_openai_gives():
    """A non-streamed answer has message, finish reason, usage with details and timings."""
    done = Done(usage=Usage(prompt=10, completion=4, cached=6, thought=1), timings=Timings(prompt=0.5, generate=2.0))
    body = reply([heard(Thought(text="hm"), Text(text="a"), Text(text="b"), done)], HEAD, await ask())
    assert body == {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "m", "system_fingerprint": "fp_1",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": "ab", "refusal": None, "annotations": [],
                        "reasoning_content": "hm"},
            "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 6, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 0, "accepted_prediction_tokens": 0,
                                          "rejected_prediction_tokens": 0}},
        "timings": {
            "cache_n": 6, "prompt_n": 4, "prompt_ms": 500.0, "prompt_per_token_ms": 125.0, "prompt_per_second": 8.0,
            "predicted_n": 4, "predicted_ms": 2000.0, "predicted_per_token_ms": 500.0, "predicted_per_second": 2.0},
    }  # fmt: skip


CALLED = (
    ToolCall(index=0, id="c0", name="f", arguments='{"a"'),
    ToolCall(index=1, id="c1", name="g", arguments="{}"),
    ToolCall(index=0, arguments=":1}"),
    Done(finish="tool_calls"),
)


async def test_tool_calls_are_joined_and_content_is_null():
    """Pieces of tool calls become whole calls, in order, beside null content."""
    choice = reply([heard(*CALLED)], HEAD, await ask(tools=[TOOL]))["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "c0", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


async def test_the_older_form_has_one_function_call():
    """A client of `functions` gets `function_call` and no `tool_calls`."""
    choice = reply([heard(*CALLED)], HEAD, await ask(functions=[TOOL["function"]]))["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert "tool_calls" not in choice["message"]


async def test_log_probabilities_are_those_of_the_text():
    """Log-probabilities carry token, bytes and alternatives, and leave out those of thoughts."""
    token = TokenLogprob(id=1, token="é", logprob=-0.5)
    part = TokenLogprob(id=2, token="\ufffd", logprob=-9999.0, data=b"\xc3")
    thought = Logprobs(tokens=(Chosen(token=part),))
    text = Logprobs(tokens=(Chosen(token=token, top=(token, part)),))
    answer = heard(Thought(text="t"), thought, Text(text="é"), text, Done())
    logprobs = reply([answer], HEAD, await ask(logprobs=True, top_logprobs=2))["choices"][0]["logprobs"]
    e = {"token": "é", "logprob": -0.5, "bytes": [0xC3, 0xA9]}
    assert logprobs == {
        "content": [{**e, "top_logprobs": [e, {"token": "\ufffd", "logprob": -9999.0, "bytes": [0xC3]}]}],
        "refusal": None,
    }


async def test_many_choices_count_their_prompt_once():
    """With `n`, usage counts the prompt once and all that was generated."""
    done = Done(usage=Usage(prompt=10, completion=4))
    body = reply([heard(Text(text="a"), done), heard(Text(text="b"), done)], HEAD, await ask(n=2))
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (10, 8)


async def test_sound_as_an_answer_is_refused():
    """No model answers with sound, and a request for it says so instead of getting text alone."""
    assert (await ask(modalities=["text"])).tasks[0].prompt.messages
    with pytest.raises(InvalidRequest) as caught:
        await ask(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"})
    assert caught.value.param == "modalities"


@pytest.mark.parametrize(
    ("fields", "thought"),
    [
        ({"reasoning_content": "a"}, "a"),
        ({"reasoning": "b"}, "b"),
        ({"reasoning_content": "a", "reasoning": "b"}, "a"),
        ({"reasoning": {"effort": "high"}}, None),
        ({}, None),
    ],
)
async def test_reasoning_comes_back_under_both_names(fields, thought):
    """The reasoning of an earlier answer is taken under either name; other forms are left out."""
    messages = [*HI, {"role": "assistant", "content": "x", **fields}, *HI]
    assert (await task(messages=messages)).prompt.messages[1].thought == thought
