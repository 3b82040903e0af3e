"""The input of a free-form tool, out of the JSON that the model writes its arguments in, as it comes."""

import json
import re

_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_BODY = re.compile(
    r"""(?:[^"\\]
    |\\["\\/bfnrt]
    |\\u(?![dD][89abAB])[0-9a-fA-F]{4}
    |\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}
    )*""",
    re.VERBOSE,
)
"""Whole characters of a JSON string; what is left behind them may become one with what follows."""
_HELD = 16
"""Characters that an unfinished one may have; what is longer is none."""


class Input:
    """Reads `{"input": "..."}` piece by piece."""

    def __init__(self) -> None:
        self._raw: list[str] = []
        self._rest = ""
        self._begun = False
        self._ended = False
        self._said: list[str] = []

    def feed(self, text: str) -> str:
        """Take a piece of the arguments; gives the piece of the input that it completes, maybe none."""
        self._raw.append(text)
        if self._ended:
            return ""
        self._rest += text
        if not self._begun:
            head = _HEAD.match(self._rest)
            if head is None:
                return ""
            self._begun = True
            self._rest = self._rest[head.end() :]
        return self._read()

    def finish(self) -> str:
        """What is left to say: arguments of another form are the input as they are."""
        if self._begun:
            return ""
        raw = "".join(self._raw)
        self._said.append(raw)
        return raw

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(self._said)

    def _read(self) -> str:
        found = _BODY.match(self._rest)
        end = found.end() if found is not None else 0
        piece, self._rest = self._rest[:end], self._rest[end:]
        self._ended = self._rest.startswith('"') or len(self._rest) > _HELD
        text = json.loads(f'"{piece}"', strict=False)
        self._said.append(text)
        return text
