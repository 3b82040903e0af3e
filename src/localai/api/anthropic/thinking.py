"""Thinking: whether it is asked for, whether it is shown, and the signature that brings it back when it is not."""

import base64
import binascii
import hashlib
import zlib

from localai.api.openai.fields import Body, Whole

HELD = 256 * 1024
"""Characters of one thought that a signature carries."""
RESTORED = 4 * 2**20
"""Characters that all signatures of one request give back."""

_CARRIES = "thought1."
_NAMES = "digest1."


class ThinkingBody(Body):
    """How to think: `enabled`, `adaptive` or `disabled`, and whether the thoughts are shown."""

    type: str
    budget_tokens: Whole | None = None
    display: str | None = None


def wanted(body: ThinkingBody | None) -> bool | None:
    """What to ask of the model: nothing asked means no thinking, as with Anthropic; None leaves it to the model."""
    if body is None or body.type == "disabled":
        return False
    return True if body.type == "enabled" else None


def is_told(body: ThinkingBody | None) -> bool:
    """Whether the answer has thinking blocks at all."""
    return body is not None and body.type != "disabled"


def is_shown(body: ThinkingBody | None) -> bool:
    """Whether thinking blocks have their text, or only a signature."""
    return is_told(body) and body is not None and body.display != "omitted"


def signature(thought: str, *, shown: bool) -> str:
    """The signature of a thinking block; of a text that is not shown it carries the text itself.

    A client sends thinking blocks back as it got them. The model then reads its own thought again, and what it
    computed for the turn before still holds.
    """
    if shown or len(thought) > HELD:
        return _NAMES + hashlib.sha256(thought.encode()).hexdigest()
    return _CARRIES + base64.b64encode(zlib.compress(thought.encode(), 1)).decode("ascii")


class Recall:
    """Gives thoughts back, within the bounds of one request."""

    def __init__(self) -> None:
        self._left = RESTORED

    def thought(self, text: str, signed: str) -> str:
        """The text of a thinking block, out of its signature where the block shows none; empty when it is lost."""
        if text or not signed.startswith(_CARRIES):
            return text
        found = _restored(signed.removeprefix(_CARRIES), min(4 * HELD, self._left))
        self._left -= len(found)
        return found


def _restored(packed: str, limit: int) -> str:
    """What is no signature of ours is a foreign one: there is nothing to restore then."""
    if limit <= 0:
        return ""
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(packed, validate=True), limit)
        return data.decode() if unpacker.eof else ""
    except (binascii.Error, ValueError, zlib.error):
        return ""
