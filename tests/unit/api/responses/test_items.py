"""Items as they are read and as they are shown."""

import pytest
from pydantic import TypeAdapter, ValidationError

from localai.api.responses.items import Items, prefix, read, shown
from localai.core.errors import ContextLengthExceeded

READER = TypeAdapter(Items)


def items(given):
    return READER.validate_python(given)


def test_a_text_is_a_message_of_the_user():
    """A bare text, also an empty one, is one message of the user."""
    for text in ("hello", ""):
        (item,) = items(text)
        assert (item.type, item.role) == ("message", "user")
        assert shown(item, "msg_1")["content"] == [{"type": "input_text", "text": text}]


def test_a_message_needs_no_type():
    """Without a type an item is a message, or a reference when there is only an id."""
    easy, reference = items([{"role": "user", "content": "hi"}, {"id": "msg_1"}])
    assert (easy.type, reference.type) == ("message", "item_reference")


def test_unknown_kinds_are_kept_whole_and_not_looked_into():
    """Items that only mean something in OpenAI's cloud are kept as they are, whatever their fields hold."""
    sent = {"type": "shell_call", "id": "sh_1", "role": 5, "output": [{"stdout": "x"}], "action": {"commands": []}}
    (item,) = items([sent])
    assert item.output is None
    assert shown(item, "item_1") == {**sent, "id": "item_1"}


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        {},
        ["text"],
        [{"type": 5}],
        [{"role": "robot", "content": "x"}],
        [{"role": "user", "content": 5}],
        [{"type": "function_call", "name": 5}],
        [{"type": "function_call_output", "call_id": "c", "output": {"a": 1}}],
    ],
)
def test_known_fields_have_their_types(wrong):
    """What is known and of a wrong type is refused."""
    with pytest.raises(ValidationError):
        items(wrong)


def test_there_are_only_so_many():
    """More items than fit any context are refused before they are looked at."""
    with pytest.raises(ContextLengthExceeded):
        items([5] * 20000)


def test_items_are_shown_as_they_are_listed():
    """A shown item has the id that it is given, parts for its content, and a status where its kind has one."""
    given = [
        {"role": "assistant", "content": ["so", {"type": "output_text", "text": "said"}], "id": "mine"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
    ]
    message, call, custom, reasoning = (shown(item, "x_1") for item in items(given))
    assert message["content"] == [
        {"type": "output_text", "text": "so", "annotations": []},
        {"type": "output_text", "text": "said", "annotations": []},
    ]
    assert message["status"] == call["status"] == "completed"
    assert "status" not in custom
    assert reasoning["summary"] == []
    assert [prefix(item) for item in items(given)] == ["msg", "fc", "ctc", "rs"]


def test_what_is_stored_can_be_read_again():
    """Reading shown items gives items that are shown the same."""
    given = items([{"role": "user", "content": "hi"}, {"type": "web_search_call", "id": "ws"}, {"id": "ref"}])
    stored = [shown(item, f"x_{place}") for place, item in enumerate(given)]
    assert [shown(item, f"x_{place}") for place, item in enumerate(read(stored))] == stored
