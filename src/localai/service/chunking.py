"""Cuts a text into overlapping chunks, by an estimate of tokens that needs no model.

The rule: a run of Latin letters counts one token for every four letters begun, a run of digits one for every three,
every other visible character one, and blanks nothing. English and source code come out a little higher than the
tokenizers of today count them, scripts without spaces about right, so a chunk seldom has more tokens than asked.
"""

import re
from bisect import bisect_left, bisect_right
from itertools import accumulate

from localai.core.task import Value

SIZE = 800
"""Tokens of a chunk unless the client or the model says otherwise."""
OVERLAP = 400
"""Tokens that a chunk repeats of the one before."""
BLOCK = 256 * 1024
"""Characters that are cut at a time, so that the work takes little memory however long the text."""
SMALLEST, LARGEST = 100, 4096
"""Tokens of a chunk that a client may ask for."""

_PIECE = re.compile(r"[A-Za-z]+|[0-9]+|[^\sA-Za-z0-9]")
_PARAGRAPH = re.compile(r"\n\s*\n\s*")
_SENTENCE = re.compile(r"(?:[.!?。！？][\"')\]]?|\n)\s*")  # noqa: RUF001 - sentences end in these too
_WORD = re.compile(r"\s+")
_INNER = re.compile(r"[A-Za-z0-9]{2}")


class Rule(Value, frozen=True):
    """How to cut: tokens of a chunk, and how many of them it shares with the one before (at most half)."""

    size: int = SIZE
    overlap: int = OVERLAP


def automatic(context: int) -> Rule:
    """The rule for a model that takes `context` tokens (0: not known): 800 and 400, or less where that does not fit."""
    if not context or context >= SIZE + SIZE // 4:
        return Rule()
    size = max(context * 3 // 4, SMALLEST // 2)
    return Rule(size=size, overlap=size // 2)


def estimate(text: str) -> int:
    """How many tokens a text has by the rule."""
    return sum(_cost(piece) for piece in _PIECE.findall(text))


def _cost(piece: str) -> int:
    if piece.isascii() and piece.isalpha():
        return (len(piece) + 3) // 4
    return (len(piece) + 2) // 3


def chunks(text: str, rule: Rule) -> list[str]:
    """The chunks of a text in its order, none of them blank.

    A chunk ends at the last end of a paragraph, else of a sentence, else of a word, that lies in its second half.
    """
    found: list[str] = []
    place = 0
    while place < len(text):
        block = text[place : place + BLOCK]
        pieces, used = _cut(block, rule, last=place + BLOCK >= len(text))
        found += pieces
        place += used
    return found


def _cut(text: str, rule: Rule, *, last: bool) -> tuple[list[str], int]:
    """The chunks of a block, and how many characters of it are done; of the last block, all are."""
    grid = _Grid(text)
    found: list[str] = []
    start = 0
    while start < grid.count:
        end = grid.end(start, rule.size)
        if end >= grid.count and not last and start:
            return found, grid.starts[start]
        found.append(text[grid.starts[start] : grid.offset(end)].strip())
        if end >= grid.count:
            break
        start = max(start + 1, grid.back(end, rule.overlap))
    return found, len(text)


class _Grid:
    """The pieces of a text with what they cost in sum, and where it may be cut."""

    def __init__(self, text: str) -> None:
        pieces = list(_PIECE.finditer(text))
        self._text = text
        self._length = len(text)
        self.starts = [piece.start() for piece in pieces]
        self.count = len(pieces)
        self._sums = [0, *accumulate(_cost(piece[0]) for piece in pieces)]
        self._breaks = [[found.end() for found in pattern.finditer(text)] for pattern in (_PARAGRAPH, _SENTENCE, _WORD)]

    def offset(self, number: int) -> int:
        """Where piece `number` begins in the text; where the text ends, after the last."""
        return self.starts[number] if number < self.count else self._length

    def end(self, start: int, size: int) -> int:
        """The piece before which a chunk that begins with `start` ends."""
        last = max(start + 1, bisect_right(self._sums, self._sums[start] + size) - 1)
        if last >= self.count:
            return self.count
        middle = bisect_left(self._sums, self._sums[start] + size // 2, start + 1, last)
        low, high = self.offset(middle), self.offset(last)
        for breaks in self._breaks:
            place = bisect_right(breaks, high) - 1
            if place >= 0 and breaks[place] > low:
                return max(start + 1, bisect_left(self.starts, breaks[place]))
        while last > start + 1 and self._glued(last):
            last -= 1
        return last

    def back(self, end: int, overlap: int) -> int:
        """The piece with which the chunk after one that ended before `end` begins."""
        first = bisect_left(self._sums, self._sums[end] - overlap, 0, end)
        words = self._breaks[-1]
        place = bisect_left(words, self.offset(first))
        if place < len(words) and words[place] < self.offset(end):
            return bisect_left(self.starts, words[place])
        while first < end and self._glued(first):
            first += 1
        return first

    def _glued(self, number: int) -> bool:
        """Whether piece `number` is in the middle of a word such as `utf8`."""
        place = self.starts[number]
        return place > 0 and _INNER.fullmatch(self._text, place - 1, place + 1) is not None
