"""Finds the chunks that answer a query: by meaning (cosine of vectors), by words (BM25), and by both together.

How scores are made (reciprocal rank fusion). Both searches order all chunks that may be found; a chunk at place r of
an order (from 1) gets w / (60 + r) from it, w being the weight of that search. Chunks that share no word with the
query have the place after the last that does, all the same one; words such as `the` do not count, in a dozen
languages, unless the query has no others. The score is the sum, divided by the largest sum there can be: 1 is a chunk
that comes first in both. With the weight of one search at zero the score is that of the other alone, and what shares
no word is not found by words; by vectors alone (`plain`) the score is the cosine itself, from 0 to 1. Of several
queries a chunk's best score counts.
"""

import importlib
import re
from array import array
from collections.abc import Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from localai.core.task import Value
from localai.storage.chunks import Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SOFT = 60
"""The constant of reciprocal rank fusion."""

_TERM = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")

Place = tuple[str, int]
"""A chunk, by its file and its number within the file."""


class Weights(Value, frozen=True):
    """How much the two searches count, neither below 0; `plain`: vectors alone, scored by their cosine."""

    meaning: float = 1.0
    words: float = 1.0
    plain: bool = False


class Query(Value, frozen=True):
    """A question and its vector (little-endian float32 of unit length)."""

    text: str
    vector: bytes


class Hit(Value, frozen=True):
    """A chunk that was found; `score` from 0 to 1."""

    place: Place
    score: float


def terms(text: str) -> list[str]:
    """The words of a text in lower case; Chinese, Japanese and Korean characters count as words."""
    return _TERM.findall(text.lower())


class Builder:
    """Takes chunks and makes an index of them; slow work, for a thread."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._vectors: list[bytes] = []
        self._documents: list[array[int]] = []
        self._vocabulary: dict[str, int] = {}

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Take chunks; their texts are not kept."""
        known = self._vocabulary
        for chunk in chunks:
            self._places.append((chunk.file, chunk.number))
            self._vectors.append(chunk.vector)
            self._documents.append(array("i", (known.setdefault(term, len(known)) for term in terms(chunk.text))))

    def finish(self) -> "Index":
        """The index of all that was taken."""
        import numpy as np  # noqa: PLC0415 - a quarter of a second, for the first search only

        matrix = np.frombuffer(b"".join(self._vectors), dtype="<f4").astype(np.float32, copy=False)
        return Index(self._places, matrix.reshape(len(self._places), -1), self._vocabulary, self._words())

    def _words(self) -> Any:
        """The BM25 scores of all words in all chunks; None where there are no words at all."""
        import numpy as np  # noqa: PLC0415

        if not self._vocabulary:
            return None
        library = importlib.import_module("bm25s")  # it carries no types
        words = library.BM25(method="lucene")
        corpus = [np.frombuffer(document, dtype=np.int32) for document in self._documents]
        words.index((corpus, dict(self._vocabulary)), show_progress=False)
        return words


class Index:
    """The chunks of one store, ready to be searched; never changed."""

    def __init__(
        self, places: list[Place], matrix: "NDArray[np.float32]", vocabulary: dict[str, int], words: Any
    ) -> None:
        self._places = places
        self._matrix = matrix
        self._vocabulary = vocabulary
        self._words = words

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        scores = 0 if self._words is None else 2 * int(self._words.scores["data"].nbytes)
        return int(self._matrix.nbytes) + scores + 120 * (len(self._places) + len(self._vocabulary))

    @property
    def dimensions(self) -> int:
        """The length of the vectors."""
        return int(self._matrix.shape[1])

    def find(
        self, queries: Sequence[Query], files: Collection[str], weights: Weights, limit: int, threshold: float = 0.0
    ) -> list[Hit]:
        """The best chunks of these files, best first; for a thread.

        Args:
            queries: At least one; their vectors have the length of the index's.
            files: Where to look.
            weights: What counts how much.
            limit: At most so many.
            threshold: Only those of at least this score.
        """
        import numpy as np  # noqa: PLC0415

        rows = np.asarray([row for row, (file, _) in enumerate(self._places) if file in files], dtype=np.intp)
        if not len(rows):
            return []
        scores = np.max([self._scores(query, rows, weights) for query in queries], axis=0)
        best = np.argsort(-scores, kind="stable")[:limit]
        return [
            Hit(place=self._places[int(rows[at])], score=float(scores[at]))
            for at in best
            if scores[at] > 0 and scores[at] >= threshold
        ]

    def _scores(self, query: Query, rows: "NDArray[np.intp]", weights: Weights) -> "NDArray[np.float64]":
        import numpy as np  # noqa: PLC0415

        vector = np.frombuffer(query.vector, dtype="<f4").astype(np.float32)
        cosines = (self._matrix @ vector)[rows].astype(np.float64)
        if weights.plain:
            return np.clip(cosines, 0, 1)
        total = (weights.meaning + weights.words) / (SOFT + 1)
        by_meaning = weights.meaning / (SOFT + _ranks(cosines))
        words = self._word_scores(query.text)[rows]
        by_words = weights.words / (SOFT + _ranks(words))
        scores = (by_meaning + by_words) / total
        return scores if weights.meaning else np.where(words > 0, scores, 0)

    def _word_scores(self, text: str) -> "NDArray[np.float64]":
        import numpy as np  # noqa: PLC0415

        given = terms(text)
        telling = [term for term in given if term not in _common()] or given
        known = [self._vocabulary[term] for term in telling if term in self._vocabulary]
        if not known:
            return np.zeros(len(self._places))
        return np.asarray(self._words.get_scores(known), dtype=np.float64)


@cache
def _common() -> frozenset[str]:
    """Words that tell nothing, of all languages that the BM25 library has lists for."""
    library = importlib.import_module("bm25s.stopwords")
    return frozenset(word for name in dir(library) if name.startswith("STOPWORDS_") for word in getattr(library, name))


def _ranks(values: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """The place of each value in their order, from 1; equal values share the better place."""
    import numpy as np  # noqa: PLC0415

    ordered = np.sort(-values)
    return (np.searchsorted(ordered, -values, side="left") + 1).astype(np.float64)
