"""Decisions in OpenAI's shape and in that of System One."""

import math

import pytest
from pydantic import ValidationError

from localai.api.answer import Answer
from localai.api.openai import decisions, systemone
from localai.core.errors import InvalidRequest, TaskNotSupported
from localai.core.event import Chosen, Done, Logprobs, Text, TokenLogprob, Usage
from localai.core.task import TextPart
from localai.service.media import Media

PNG = "data:image/png;base64,iVBORw0KGgo="
CHOICES = [{"value": "a"}, {"value": True, "description": "yes"}, {"value": "true"}]
LEVELS = [{"label": "low"}, {"label": "high"}]
PREDICATE = {"type": "predicate", "instructions": "It rains.", "name": "rain"}
CHOICE = {"type": "choice", "instructions": "Which?", "choices": CHOICES}
SCORE = {"type": "score", "instructions": "How?", "levels": LEVELS}


def answered(*weights):
    """An answer in which the letters from A on have these probabilities."""
    answer = Answer()
    top = tuple(
        TokenLogprob(id=number, token="ABCDE"[number], logprob=math.log(weight))
        for number, weight in enumerate(weights)
    )
    answer.hear(Text(text="A"))
    if top:
        answer.hear(Logprobs(tokens=(Chosen(token=top[0], top=top),)))
    answer.hear(Done(finish="length", usage=Usage(prompt=10, completion=1, cached=4)))
    return answer


def parse(**fields):
    return decisions.DecisionBody.model_validate({"input": "wet", "questions": [PREDICATE], **fields})


async def said(given):
    """The text of the input as the model reads it."""
    wanted = await decisions.asked(parse(input=given), Media())
    content = wanted.tasks[0].prompt.messages[1].content
    return "".join(part.text if isinstance(part, TextPart) else "<image>" for part in content)


async def test_an_answer_for_each_question():
    """Each kind of question is answered in its own shape, in order, under its name."""
    body = parse(questions=[PREDICATE, CHOICE, SCORE])
    wanted = await decisions.asked(body, Media())
    answer = decisions.reply([answered(0.8, 0.2), answered(0.25, 0.5, 0.25), answered(0.5, 0.5)], "m", body, wanted)
    assert answer["answers"] == [
        {"type": "predicate", "name": "rain", "probability": pytest.approx(0.8)},
        {
            "type": "choice",
            "name": None,
            "choice": True,
            "confidence": pytest.approx(0.25),
            "probabilities": [
                {"value": "a", "probability": pytest.approx(0.25)},
                {"value": True, "probability": pytest.approx(0.5)},
                {"value": "true", "probability": pytest.approx(0.25)},
            ],
        },
        {
            "type": "score",
            "name": None,
            "score": pytest.approx(0.5),
            "confidence": pytest.approx(0),
            "probabilities": [
                {"value": 0, "label": "low", "probability": pytest.approx(0.5)},
                {"value": 1, "label": "high", "probability": pytest.approx(0.5)},
            ],
        },
    ]
    assert answer["model"] == "m"
    assert (answer["usage"]["input_tokens"], answer["usage"]["total_tokens"]) == (30, 33)
    assert answer["usage"]["input_tokens_details"]["cached_tokens"] == 12


async def test_a_model_that_answers_otherwise_refuses():
    """A question that the model answers with no option is a refusal; the others stand."""
    body = parse(questions=[PREDICATE, CHOICE])
    wanted = await decisions.asked(body, Media())
    answer = decisions.reply([answered(), answered(0.5, 0.3, 0.2)], "m", body, wanted)
    assert answer["answers"][0] == {"type": "refusal", "name": "rain"}
    assert answer["answers"][1]["choice"] == "a"


async def test_inputs_of_every_kind():
    """Messages, calls, outputs, images and JSON are read by the model in their order."""
    items = [
        {"role": "user", "content": "hi"},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "yo"}, {"type": "refusal", "refusal": "no"}],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "42"}]},
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "y"},
        {
            "role": "user",
            "content": [{"type": "input_image", "image_url": PNG}, {"type": "input_json", "data": {"a": [1]}}],
        },
    ]
    text = await said(items)
    lines = ["[user] hi", "[assistant] yono", "[call of f] {}", "[result] 42", "[call of g] x", "[result] y"]
    assert "\n".join([*lines, '[user] <image>{"a":[1]}']) in text
    assert "wet" in await said("wet")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": [{"type": "thing"}]}, "input.0"),
        ({"input": [{"role": "user"}]}, "input.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, None),
        ({"questions": [{**CHOICE, "choices": None}]}, "questions.0.choices"),
        ({"questions": [PREDICATE, {**CHOICE, "choices": [{"value": "a"}] * 2}]}, "questions.1.choices"),
        (
            {"questions": [{**CHOICE, "choices": [{"value": str(number)} for number in range(53)]}]},
            "questions.0.choices",
        ),
        ({"questions": [{**SCORE, "levels": None}]}, "questions.0.levels"),
    ],
)
async def test_what_cannot_be_judged_is_named(fields, param):
    """What is incomplete, twice there or too much is refused by its place."""
    with pytest.raises(InvalidRequest) as caught:
        await decisions.asked(parse(**fields), Media())
    assert param is None or caught.value.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"questions": []},
        {"questions": [PREDICATE] * 401},
        {"questions": [{"type": "guess", "instructions": "x"}]},
        {"questions": [{"type": "predicate"}]},
        {"questions": [{**SCORE, "levels": LEVELS * 6}]},
        {"input": []},
        {"input": 5},
    ],
)
def test_bounds(fields):
    """No questions, too many of them or of their parts, and wrong types are refused."""
    with pytest.raises(ValidationError):
        parse(**fields)


def ask(**fields):
    questions = {"q": {"type": "noul", "instructions": "Wet?"}}
    return systemone.SystemOneBody.model_validate({"state": {"sky": "grey"}, "questions": questions, **fields})


async def test_system_one_answers_under_the_ids():
    """System One's answers stand under the ids of their questions, in its own words."""
    body = ask(
        questions={
            "wet": {"type": "noul", "instructions": {"ask": "Wet?"}, "criteria": {"true": "it rains"}},
            "who": {"type": "choice", "instructions": "Who?", "criteria": {"x": None, "y": "the other"}},
            "how": {"type": "score", "instructions": ["How?"], "criteria": ["low", {"is": "high"}]},
        }
    )
    wanted = await systemone.asked(body, Media())
    text = wanted.tasks[0].prompt.messages[1].content
    assert text[1] == TextPart(text='{"sky":"grey"}')
    assert "A. yes: it rains\nB. no\n" in text[-1].text
    answer = systemone.reply([answered(0.9, 0.1), answered(0.2, 0.8), answered(0.5, 0.5)], "m", body, wanted)
    assert answer["answers"] == {
        "wet": {"type": "noul", "noul": pytest.approx(0.9)},
        "who": {
            "type": "choice",
            "choice": "y",
            "probabilities": {"x": pytest.approx(0.2), "y": pytest.approx(0.8)},
            "confidence": pytest.approx(0.6),
        },
        "how": {
            "type": "score",
            "score": pytest.approx(0.5),
            "legend": {"0": "low", "1": '{"is":"high"}'},
            "probabilities": {"0": pytest.approx(0.5), "1": pytest.approx(0.5)},
            "confidence": pytest.approx(0),
        },
    }
    assert answer["usage"] == {"input_tokens": 30, "output_tokens": 3}


async def test_system_one_has_no_refusal():
    """Where there is no word for a refusal, a model that does not answer is an error that names the question."""
    body = ask()
    wanted = await systemone.asked(body, Media())
    with pytest.raises(TaskNotSupported) as caught:
        systemone.reply([answered()], "m", body, wanted)
    assert caught.value.param == "questions.q"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"state": None}, "state"),
        ({"images": ["data:image/png;base64,AAAA"]}, "images.0"),
        ({"questions": {"q": {"type": "choice", "instructions": "x"}}}, "questions.q.criteria"),
        ({"questions": {"q": {"type": "choice", "instructions": "x", "criteria": {"a": 1}}}}, "questions.q.criteria"),
        ({"questions": {"q": {"type": "score", "instructions": "x", "criteria": ["a"]}}}, "questions.q.criteria"),
        ({"questions": {"q": {"type": "noul", "instructions": "x", "criteria": ["a"]}}}, "questions.q.criteria"),
    ],
)
async def test_system_one_names_what_is_missing(fields, param):
    """A question without what its kind needs is refused by its place."""
    with pytest.raises(InvalidRequest) as caught:
        await systemone.asked(ask(**fields), Media())
    assert caught.value.param == param


async def test_system_one_takes_images():
    """Images stand before the state."""
    wanted = await systemone.asked(ask(files=[PNG], images=[PNG]), Media())
    kinds = [type(part).__name__ for part in wanted.tasks[0].prompt.messages[1].content]
    assert kinds[1:4] == ["ImagePart", "ImagePart", "TextPart"]
