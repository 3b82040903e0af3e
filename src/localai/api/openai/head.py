"""What every answer starts with: its id, its time, and the model that gave it."""

import hashlib
import secrets
import time
from typing import Any, NamedTuple

from localai.core.model import Model


class Head(NamedTuple):
    """The fields that all objects of one answer share."""

    id: str
    created: int
    model: str
    fingerprint: str

    def fields(self, kind: str) -> dict[str, Any]:
        """The beginning of an answer object of this kind."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


def head(prefix: str, model: Model) -> Head:
    """Begin an answer: `prefix` is "chatcmpl", "cmpl", ...; the fingerprint changes with the model's files."""
    digest = hashlib.sha256(repr((model.name, model.engine, sorted(model.digests.items()))).encode())
    return Head(
        id=f"{prefix}-{secrets.token_hex(14)}",
        created=int(time.time()),
        model=model.name,
        fingerprint=f"fp_{digest.hexdigest()[:10]}",
    )
