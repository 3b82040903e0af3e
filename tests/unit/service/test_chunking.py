"""Cutting texts into overlapping chunks by the documented estimate of tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai.service import chunking as module
from localai.service.chunking import OVERLAP, SIZE, Rule, automatic, chunks, estimate

WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=12), min_size=1, max_size=300)
RULES = st.integers(8, 60).flatmap(lambda size: st.builds(Rule, size=st.just(size), overlap=st.integers(0, size // 2)))


def test_the_estimate_counts_by_its_rule():
    """Four letters, three digits or one other character begin a token each; blanks are free."""
    assert estimate("cats and  dogs") == 3
    assert estimate("international") == 4
    assert estimate("1234567") == 3
    assert estimate("a+b=c;") == 6
    assert estimate("漢字かな") == 4
    assert estimate(" \n\t") == 0


@given(WORDS, RULES)
def test_no_chunk_is_larger_than_asked_and_no_word_is_lost(words: list[str], rule: Rule):
    """Every word of the text is in some chunk, whole, in order, and a chunk keeps to its size."""
    numbered = [f"{word}{number}" for number, word in enumerate(words)]
    found = chunks(" ".join(numbered), rule)
    assert set(" ".join(found).split()) == set(numbered)
    assert all(estimate(chunk) <= rule.size for chunk in found)
    firsts = [numbered.index(chunk.split()[0]) for chunk in found]
    assert firsts == sorted(set(firsts))


@given(st.text(max_size=400), RULES)
def test_any_text_is_cut_and_its_visible_characters_are_kept(text: str, rule: Rule):
    """Whatever the text, cutting ends, and no visible character that costs a token is missing."""
    found = chunks(text, rule)
    assert all(chunk.strip() for chunk in found)
    assert {character for character in text if estimate(character)} <= set("".join(found))


def test_a_chunk_ends_with_a_paragraph_or_a_sentence():
    """A chunk ends where a paragraph does, else where a sentence does, when one ends in its second half."""
    text = "One two three four. Five six seven.\n\nEight nine ten eleven twelve. Thirteen fourteen fifteen sixteen."
    first, second, *_ = chunks(text, Rule(size=16, overlap=0))
    assert first == "One two three four. Five six seven."
    assert second.endswith("twelve.")


def test_chunks_overlap_as_asked():
    """A chunk begins with about as many tokens of the one before as were asked for."""
    text = " ".join(f"w{number:03}" for number in range(100))
    first, second, *_ = chunks(text, Rule(size=40, overlap=20))
    shared = set(first.split()) & set(second.split())
    assert 8 <= len(shared) <= 10


def test_the_automatic_rule_fits_the_model():
    """800 tokens with 400 of overlap, unless the model takes fewer: then three quarters of what it takes."""
    assert automatic(8192) == automatic(0) == Rule(size=SIZE, overlap=OVERLAP)
    assert automatic(512) == Rule(size=384, overlap=192)
    assert automatic(16) == Rule(size=50, overlap=25)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch):
    """A text that is worked through in blocks is cut as if it were worked through at once."""
    text = "".join(f"Sentence number {number} of the text. " for number in range(2000))
    whole = chunks(text, Rule(size=100, overlap=50))
    monkeypatch.setattr(module, "BLOCK", 4000)
    assert chunks(text, Rule(size=100, overlap=50)) == whole
    gap = "first" + " " * 10_000 + "second"
    assert chunks(gap, Rule(size=100, overlap=50)) == ["first", "second"]


def test_nothing_gives_nothing():
    """A text without a visible character has no chunks."""
    assert chunks("", Rule()) == chunks(" \n ", Rule()) == []
