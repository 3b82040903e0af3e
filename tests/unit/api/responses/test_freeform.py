"""The input of free-form tools, read as it comes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai.api.responses.freeform import Input


def fed(pieces):
    reader = Input()
    said = [reader.feed(piece) for piece in pieces]
    return "".join([*said, reader.finish()]), reader.text


@given(st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.integers(1, 9)), st.booleans())
def test_any_text_is_read_in_any_pieces(text, sizes, ascii_only):
    """However JSON writes a text and wherever it is cut, the pieces add up to the text."""
    raw = json.dumps({"input": text}, ensure_ascii=ascii_only)
    pieces, place = [], 0
    for size in [*sizes, len(raw)]:
        pieces.append(raw[place : place + size])
        place += size
    assert fed(pieces) == (text, text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_one_character_at_a_time(text):
    """Also character by character."""
    assert fed(json.dumps({"input": text})) == (text, text)


def test_pieces_come_at_once():
    """What is whole is said at once; half of an escape waits for the other half."""
    reader = Input()
    assert [reader.feed(piece) for piece in ('{"inp', 'ut": "a', "b\\", "n\\ud83d", "\\ude00", 'c"}')] == [
        "",
        "a",
        "b",
        "\n",
        "😀",
        "c",
    ]


@pytest.mark.parametrize("raw", ["", "{}", '{"other": "x"}', "plain words"])
def test_another_form_is_the_input_as_it_is(raw):
    """Arguments that are no object with an input are given as they are, at the end."""
    assert fed([raw]) == (raw, raw)


def test_a_cut_text_is_what_came():
    """Arguments that end in the middle give what was whole."""
    assert fed(['{"input": "half of', " it\\u00"]) == ("half of it", "half of it")
