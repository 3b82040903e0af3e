"""Tasks and the capability each needs."""

import pytest

from localai.core.task import (
    Chat,
    Detokenize,
    Embed,
    Generate,
    Ids,
    Infill,
    Raw,
    Render,
    Rerank,
    Tokenize,
    verb,
)

CHAT = Chat(messages=())


@pytest.mark.parametrize(
    ("task", "needs"),
    [
        (Generate(prompt=CHAT), "chat"),
        (Generate(prompt=Raw(text="x")), "complete"),
        (Generate(prompt=Ids(ids=(1,))), "complete"),
        (Generate(prompt=Infill(prefix="", suffix="")), "infill"),
        (Embed(inputs=("x",)), "embed"),
        (Rerank(query="q", documents=("d",)), "rerank"),
        (Tokenize(text="x"), "tokenize"),
        (Detokenize(ids=(1,)), "tokenize"),
        (Render(chat=CHAT), "chat"),
    ],
)
def test_a_task_names_what_it_needs(task, needs):
    """Every task maps to the one capability a model must have for it."""
    assert verb(task) == needs


def test_tasks_are_values():
    """A task cannot be changed after it was made."""
    with pytest.raises(AttributeError):
        Tokenize(text="x").text = "y"
