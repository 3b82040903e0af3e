"""Ranking chunks by meaning, by words, and by both."""

import math
import struct

import pytest

from localai.service.ranking import SOFT, Builder, Query, Weights, terms
from localai.storage.chunks import Chunk

TEXTS = {"cats": "cats purr and sleep", "dogs": "dogs bark", "fish": "fish swim", "none": "..."}
VECTORS = {"cats": (1, 0, 0), "dogs": (0.6, 0.8, 0), "fish": (0, 0, 1), "none": (-1, 0, 0)}


def packed(*values: float) -> bytes:
    norm = math.sqrt(sum(value * value for value in values))
    return struct.pack(f"<{len(values)}f", *(value / norm for value in values))


@pytest.fixture(scope="module")
def index():
    builder = Builder()
    builder.add([Chunk(file=name, number=0, text=TEXTS[name], vector=packed(*VECTORS[name])) for name in TEXTS])
    return builder.finish()


def found(index, text, vector, weights, files=frozenset(TEXTS), **more):
    queries = [Query(text=text, vector=packed(*vector))]
    return [(hit.place[0], hit.score) for hit in index.find(queries, files, weights, more.pop("limit", 10), **more)]


def test_by_vectors_alone_the_score_is_the_cosine(index):
    """With `plain` results come by their cosine, which is their score; what points away is not found."""
    hits = found(index, "dogs", (1, 0, 0), Weights(plain=True))
    assert [name for name, _ in hits] == ["cats", "dogs"]
    assert [score for _, score in hits] == pytest.approx([1.0, 0.6])


def test_both_together_add_what_each_place_is_worth(index):
    """The score is the sum of w / (60 + place) over both orders, divided by the largest sum there can be."""
    hits = dict(found(index, "Do DOGS bark?", (1, 0, 0), Weights(words=2)))
    most = 3 / (SOFT + 1)
    assert hits["dogs"] == pytest.approx((1 / (SOFT + 2) + 2 / (SOFT + 1)) / most)
    assert hits["cats"] == pytest.approx((1 / (SOFT + 1) + 2 / (SOFT + 2)) / most)
    assert hits["none"] == pytest.approx((1 / (SOFT + 4) + 2 / (SOFT + 2)) / most)
    assert max(hits, key=hits.__getitem__) == "dogs"


def test_words_that_tell_nothing_do_not_count(index):
    """Sharing only words such as `and` with the query changes nothing, unless it has no others."""
    assert found(index, "elephants and more", (0, 0, 1), Weights(), limit=1)[0][0] == "fish"
    assert [name for name, _ in found(index, "and", (0, 0, 1), Weights(meaning=0))] == ["cats"]


def test_first_in_both_scores_one(index):
    """A chunk that comes first by meaning and by words has the score 1."""
    assert found(index, "cats", (1, 0, 0), Weights(), limit=1) == [("cats", pytest.approx(1.0))]


def test_weights_decide(index):
    """With the weight of one search at zero only the other counts."""
    assert found(index, "fish", (1, 0, 0), Weights(meaning=0), limit=1)[0][0] == "fish"
    assert found(index, "fish", (1, 0, 0), Weights(words=0), limit=1)[0][0] == "cats"
    assert [name for name, _ in found(index, "fish", (1, 0, 0), Weights(meaning=0))] == ["fish"]


def test_only_allowed_files_take_part(index):
    """What may not be found takes no place either."""
    hits = found(index, "zebra", (1, 0, 0), Weights(), files={"fish", "dogs"})
    assert hits == [("dogs", pytest.approx(1)), ("fish", pytest.approx((1 + (SOFT + 1) / (SOFT + 2)) / 2))]
    assert found(index, "cats", (1, 0, 0), Weights(), files=set()) == []


def test_limit_and_threshold(index):
    """No more than the limit is found, and nothing below the threshold."""
    assert len(found(index, "cats", (1, 0, 0), Weights(), limit=2)) == 2
    assert found(index, "cats", (1, 0, 0), Weights(plain=True), threshold=0.7) == [("cats", pytest.approx(1.0))]


def test_of_several_queries_the_best_counts(index):
    """A chunk has the score of the query that it answers best."""
    queries = [Query(text="x", vector=packed(1, 0, 0)), Query(text="y", vector=packed(0, 0, 1))]
    hits = {hit.place[0]: hit.score for hit in index.find(queries, set(TEXTS), Weights(plain=True), 10)}
    assert hits["cats"] == pytest.approx(1)
    assert hits["fish"] == pytest.approx(1)


def test_an_index_without_words_is_searched_by_vectors():
    """Chunks that hold nothing but signs are found by their vectors."""
    builder = Builder()
    builder.add([Chunk(file="a", number=0, text="...", vector=packed(1, 0))])
    index = builder.finish()
    assert [hit.score for hit in index.find([Query(text="what", vector=packed(1, 0))], {"a"}, Weights(), 5)] == [1.0]
    assert index.dimensions == 2
    assert index.size > 0


def test_terms():
    """Words are compared in lower case; of scripts without spaces each character is a word."""
    assert terms("The Übung-2 漢字かな") == ["the", "übung", "2", "漢", "字", "か", "な"]
