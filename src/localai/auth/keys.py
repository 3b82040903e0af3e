"""API keys: made, listed, revoked and recognised. The secret is shown once; only its hash is kept."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from localai.core.caller import Caller, Scope
from localai.core.errors import Forbidden, InvalidRequest, LocalAIError, NotFound, Unauthenticated
from localai.core.task import Value
from localai.storage.database import Database
from localai.storage.owned import EVERYONE, Owned, Owner

FRESH = 1.0
"""Seconds for which a recognised key is not looked up again; also the longest a revoked key may still work."""
_CACHE = 1024
_USED = 60.0
"""Seconds between two notes of when a key was last used."""
_SCOPES = frozenset(get_args(Scope)) - {"public"}
_SECRET = re.compile(r"sk-([a-z0-9]{16})-[A-Za-z0-9_-]{43}")
_LENGTH = 3 + 16 + 1 + 43
_NOBODY = hashlib.sha256(b"").digest()


class KeyRow(Value, frozen=True):
    """What is known of a key; times are Unix seconds."""

    id: str
    owner: str
    name: str
    scopes: frozenset[Scope]
    models: tuple[str, ...] | None = None
    created: float = 0
    expires: float | None = None
    revoked: float | None = None
    last_used: float | None = None

    def caller(self) -> Caller:
        """The identity this key stands for."""
        return Caller(id=self.id, owner=self.owner, scopes=self.scopes, models=self.models)


class Keys:
    """The keys of one database."""

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the database, the wall clock (for expiry) and a monotonic clock (for the cache)."""
        self._database = database
        self._now = now
        self._clock = clock
        self._known: dict[str, tuple[float, bytes, KeyRow]] = {}
        self._noted: dict[str, float] = {}
        self._notes: set[asyncio.Task[None]] = set()

    async def create(
        self,
        name: str,
        scopes: Iterable[str],
        models: Iterable[str] | None,
        expires: float | None,
        owner: str,
        *,
        creator: Caller,
    ) -> tuple[KeyRow, str]:
        """Make a key; the second result is the secret, which is never to be had again.

        Args:
            name: For people.
            scopes: What the key may do.
            models: Names of the only models it may use; None for all.
            expires: Seconds from now after which it is void; None for never.
            owner: Whom the things made with it belong to.
            creator: Who asks; a key can never do more than the one who made it.

        Raises:
            InvalidRequest: A field is wrong.
            Forbidden: The key would have a right that its creator lacks.
        """
        wanted = _scopes(scopes)
        allowed = None if models is None else tuple(dict.fromkeys(models))
        _check(name, owner, expires)
        _check_rights(creator, wanted, allowed, owner)
        identifier = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(16))
        secret = f"sk-{identifier}-{secrets.token_urlsafe(32)}"
        now = self._now()
        row = KeyRow(
            id=identifier,
            owner=owner,
            name=name,
            scopes=wanted,
            models=allowed,
            created=now,
            expires=None if expires is None else now + expires,
        )
        await self._rows().add(owner, {**_columns(row), "digest": _digest(secret)})
        return row, secret

    async def list(self, owner: Owner = EVERYONE) -> tuple[KeyRow, ...]:
        """The keys of an owner (by default everyone's), newest first, revoked ones too."""
        return tuple(_row(values) for values in await self._rows().rows(owner))

    async def revoke(self, id: str, owner: Owner = EVERYONE) -> None:  # noqa: A002 - the field's name
        """Make a key void, at once in this process and within FRESH seconds in every other.

        Raises:
            NotFound: There is no such key, or it is somebody else's.
        """
        await self._rows().change(owner, id, {"revoked": self._now()})
        self._known.pop(id, None)

    async def identify(self, secret: str | None) -> Caller:
        """The caller a secret stands for.

        Raises:
            Unauthenticated: It is missing, malformed, unknown, expired or revoked; which of them is not told.
        """
        if secret is None or len(secret) != _LENGTH or (shape := _SECRET.fullmatch(secret)) is None:
            raise Unauthenticated
        identifier = shape[1]
        digest, row = await self._find(identifier)
        right = hmac.compare_digest(digest, _digest(secret))
        if row is None or not right or row.revoked is not None:
            raise Unauthenticated
        if row.expires is not None and self._now() >= row.expires:
            raise Unauthenticated
        self._note(identifier)
        return row.caller()

    async def close(self) -> None:
        """Wait until the last uses are written down."""
        await asyncio.gather(*self._notes, return_exceptions=True)

    async def _find(self, identifier: str) -> tuple[bytes, KeyRow | None]:
        """Digest and row of a key, from the cache for FRESH seconds."""
        now = self._clock()
        cached = self._known.get(identifier)
        if cached is not None and now - cached[0] < FRESH:
            return cached[1], cached[2]
        self._known.pop(identifier, None)
        try:
            values = await self._rows().get(EVERYONE, identifier)
        except NotFound:
            return _NOBODY, None
        row, digest = _row(values), bytes(values["digest"])
        while len(self._known) >= _CACHE:
            del self._known[next(iter(self._known))]
        self._known[identifier] = (now, digest, row)
        return digest, row

    def _note(self, identifier: str) -> None:
        """Write down that the key was used, at most once in _USED seconds and without making the request wait."""
        now = self._clock()
        if now - self._noted.get(identifier, -_USED) < _USED:
            return
        while len(self._noted) >= _CACHE:
            del self._noted[next(iter(self._noted))]
        self._noted[identifier] = now
        task = asyncio.create_task(self._used(identifier))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _used(self, identifier: str) -> None:
        with contextlib.suppress(LocalAIError):  # a missed note is no reason to refuse anybody
            await self._rows().change(EVERYONE, identifier, {"last_used": self._now()})

    def _rows(self) -> Owned:
        from localai.storage.tables import keys  # noqa: PLC0415 - SQLAlchemy is imported once a database is open

        return Owned(self._database, keys, "API key")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _scopes(scopes: Iterable[str]) -> frozenset[Scope]:
    wanted = frozenset(scopes)
    known: frozenset[Scope] = frozenset(scope for scope in _SCOPES if scope in wanted)
    if not wanted or known != wanted:
        raise InvalidRequest(f"Scopes are one or more of {', '.join(sorted(_SCOPES))}.", param="scopes")
    return known


def _check(name: str, owner: str, expires: float | None) -> None:
    for field, text in (("name", name), ("owner", owner)):
        if len(text) > 256 or not text.isprintable():
            raise InvalidRequest(f"The {field} of a key has at most 256 printable characters.", param=field)
    if expires is not None and not 0 < expires <= 100 * 366 * 86400:
        raise InvalidRequest("A key expires after more than 0 seconds and less than 100 years.", param="expires")


def _check_rights(creator: Caller, scopes: frozenset[Scope], models: tuple[str, ...] | None, owner: str) -> None:
    """A child is never more than its parent."""
    for scope in sorted(scopes):
        creator.require(scope)
    if creator.models is not None and (models is None or not set(models) <= set(creator.models)):
        raise Forbidden("A key may not use models that its creator may not use.", param="models")
    if owner != creator.owner and "admin" not in creator.scopes:
        raise Forbidden("Only an administrator makes keys for another owner.", param="owner")


def _columns(row: KeyRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "scopes": json.dumps(sorted(row.scopes)),
        "models": None if row.models is None else json.dumps(row.models),
        "created": row.created,
        "expires": row.expires,
    }


def _row(values: Mapping[str, Any]) -> KeyRow:
    return KeyRow(
        id=values["id"],
        owner=values["owner"],
        name=values["name"],
        scopes=_scopes(json.loads(values["scopes"])),
        models=None if values["models"] is None else tuple(json.loads(values["models"])),
        created=values["created"],
        expires=values["expires"],
        revoked=values["revoked"],
        last_used=values["last_used"],
    )
