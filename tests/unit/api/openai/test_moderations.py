"""Moderation by a chat model."""

import json

import pytest
from pydantic import ValidationError

from localai.api.answer import Answer
from localai.api.openai.moderations import CATEGORIES, ModerationBody, asked, judge, reply
from localai.core.errors import AnswerTooLarge, InternalError, InvalidRequest
from localai.core.event import Done, Text
from localai.core.task import ImagePart, TextPart
from localai.service.media import Media

PNG = "data:image/png;base64,iVBORw0KGgo="


async def ask(given):
    return await asked(ModerationBody.model_validate({"input": given}), Media())


def judged(finish="stop", **scores):
    answer = Answer()
    answer.hear(Text(text=json.dumps({name: scores.get(name, 0) for name in CATEGORIES})))
    answer.hear(Done(finish=finish))
    return answer


@pytest.mark.parametrize(("given", "texts"), [("a", ["a"]), (["a", "b"], ["a", "b"])])
async def test_each_text_is_judged_for_itself(given, texts):
    """Every text is a task of its own, held to a schema of all categories, and is never an instruction."""
    wanted = await ask(given)
    assert [task.prompt.messages[1].content[0].text for task in wanted.tasks] == texts
    for task in wanted.tasks:
        assert task.prompt.messages[0].role == "system"
        assert task.format.schema["required"] == list(CATEGORIES)
        assert (task.sampling.temperature, task.max_tokens) == (0, 512)


async def test_parts_are_judged_together():
    """Parts are one input, and the answer says what kinds it had."""
    wanted = await ask([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": PNG}}])
    (task,) = wanted.tasks
    assert [type(part) for part in task.prompt.messages[1].content] == [TextPart, ImagePart]
    (result,) = reply([judged(violence=10)], "m", wanted)["results"]
    assert result["category_applied_input_types"]["violence"] == ["text", "image"]


async def test_scores_become_flags():
    """A category applies from half the scale on; the whole is flagged when any does; the answer names the judge."""
    wanted = await ask(["a", "b"])
    answer = reply([judged(hate=5, violence=4), judged(sexual=4)], "judge", wanted)
    assert answer["id"].startswith("modr-")
    assert answer["model"] == "judge"
    first, second = answer["results"]
    assert (first["flagged"], second["flagged"]) == (True, False)
    assert [name for name, applies in first["categories"].items() if applies] == ["hate"]
    assert (first["category_scores"]["violence"], second["category_scores"]["sexual"]) == (0.4, 0.4)
    assert first["category_applied_input_types"]["hate"] == ["text"]
    assert first["category_applied_input_types"]["violence"] == []
    assert len(first["categories"]) == 13


async def test_a_judgement_without_end_is_an_error():
    """A judgement that was cut off is not taken for one."""
    with pytest.raises(AnswerTooLarge):
        reply([judged("length")], "m", await ask("a"))


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", '{"hate": "much"}'])
async def test_an_engine_that_holds_nothing_to_a_schema_cannot_judge(text):
    """A judgement of another form is an error of the server, never a verdict."""
    answer = Answer()
    answer.hear(Text(text=text))
    answer.hear(Done())
    with pytest.raises(InternalError):
        reply([answer], "m", await ask("a"))


@pytest.mark.parametrize("given", [[], "", None, 5, ["a", 5], [{"text": "a"}], ["a"] * 129])
def test_inputs_that_are_none(given):
    """Inputs of other kinds, none or too many are a fault of `input`; an empty text is one."""
    if given == "":
        assert ModerationBody.model_validate({"input": given}).input == [""]
        return
    with pytest.raises(ValidationError) as caught:
        ModerationBody.model_validate({"input": given})
    assert caught.value.errors()[0]["loc"][0] == "input"


async def test_other_parts_are_refused():
    """A part that is neither text nor an image is refused by its place."""
    with pytest.raises(InvalidRequest) as caught:
        await ask([{"type": "text", "text": "a"}, {"type": "sound"}])
    assert caught.value.param == "input.1"


@pytest.mark.parametrize(
    ("asked_for", "name"),
    [(None, None), ("omni-moderation-latest", None), ("text-moderation-stable", None), ("smollm2", "smollm2")],
)
def test_the_classifiers_of_the_cloud_mean_any_model(asked_for, name):
    """A name of OpenAI's classifiers means whichever chat model there is."""
    assert judge(asked_for) == name
