"""Signatures of thinking blocks."""

import base64
import zlib

from hypothesis import given
from hypothesis import strategies as st

from localai.api.anthropic.thinking import HELD, RESTORED, Recall, signature


@given(st.text())
def test_a_hidden_thought_comes_back(thought):
    """The signature of a hidden thought carries it, letter by letter."""
    assert Recall().thought("", signature(thought, shown=False)) == thought


def test_a_shown_thought_has_a_short_signature():
    """What is shown, or too long to be carried, is only named."""
    assert len(signature("long " * 1000, shown=True)) < 100
    assert len(signature("x" * (HELD + 1), shown=False)) < 100
    assert Recall().thought("kept", signature("other", shown=False)) == "kept"


@given(st.binary())
def test_a_foreign_signature_gives_nothing(data):
    """Whatever follows our mark, nothing is raised."""
    packed = base64.b64encode(data).decode()
    assert isinstance(Recall().thought("", "thought1." + packed), str)
    assert Recall().thought("", "thought1.é" + packed) == ""


def test_signatures_cannot_blow_a_request_up():
    """All signatures of a request together give back a bounded number of characters."""
    bomb = "thought1." + base64.b64encode(zlib.compress(b"x" * (64 * 2**20))).decode()
    assert Recall().thought("", bomb) == ""
    recall, signed = Recall(), signature("x" * HELD, shown=False)
    restored = sum(len(recall.thought("", signed)) for _ in range(100))
    assert HELD < restored <= RESTORED
