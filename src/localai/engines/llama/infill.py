"""Filling in the middle: the prompt of a gap, written out of the tokens that a model has for it.

llama.cpp's own infill route cuts what is before and after the gap to its batch size; here nothing is cut.
"""

from typing import Any

from localai.core.errors import TaskNotSupported
from localai.core.task import Infill
from localai.engines.llama.side import Side

_MARKS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),
    ("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),
    ("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"),
    ("<PRE>", "<SUF>", "<MID>"),
    ("[PREFIX]", "[SUFFIX]", "[MIDDLE]"),
)
"""What models call the tokens before, after and in the gap, family by family."""
_FILES = ("<|file_sep|>", "<file_sep>")


class Gaps:
    """The marks of one model."""

    def __init__(self, side: Side) -> None:
        """Find out which marks the vocabulary knows, by asking for each."""
        self._side = side
        self._marks: tuple[int, ...] = ()
        for names in _MARKS:
            found = [self._ids(name, special=True) for name in names]
            if all(len(ids) == 1 for ids in found):
                self._marks = tuple(ids[0] for ids in found)
                break
        files = [self._ids(name, special=True) for name in _FILES] if self._marks else []
        self._file = next((ids[0] for ids in files if len(ids) == 1), None)
        self._start = self._begin() if self._marks else []

    def __bool__(self) -> bool:
        """Whether the model can fill gaps."""
        return bool(self._marks)

    def prompt(self, gap: Infill) -> list[int]:
        """The token ids of a gap: other files, then what is before, then what is after.

        Raises:
            TaskNotSupported: The model has no tokens for it.
        """
        if not self._marks:
            raise TaskNotSupported("This model cannot fill in the middle: it has no tokens for it.")
        before, after, middle = self._marks
        ids = list(self._start)
        for name, text in gap.extra:
            ids += [self._file] if self._file is not None else []
            ids += self._ids(f"{name}\n{text}\n")
        ids += [self._file] if self._file is not None and gap.extra else []
        return [*ids, before, *self._ids(gap.prefix + gap.prompt), after, *self._ids(gap.suffix), middle]

    def _ids(self, text: str, *, special: bool = False) -> list[int]:
        answer: Any = self._side.post("/tokenize", {"content": text, "add_special": False, "parse_special": special})
        return [int(token) for token in answer["tokens"]]

    def _begin(self) -> list[int]:
        """The token that begins every text, for models that want one."""
        bare, whole = self._ids("a"), self._side.post("/tokenize", {"content": "a", "add_special": True})["tokens"]
        at = next((place for place in range(len(whole)) if whole[place : place + len(bare)] == bare), 0)
        return [int(token) for token in whole[:at]]
