"""From a secret to a caller: the operator's keys first, then the keys of the database."""

import hashlib
import hmac

from localai.auth.keys import Keys
from localai.core.caller import LOCAL, Caller
from localai.core.errors import Unauthenticated

LONGEST = 512
"""Characters of the longest secret that is looked at."""
ADMIN = Caller(id="admin", owner=LOCAL.owner, scopes=frozenset(("admin",)))
"""The caller with the key file's key."""
CONFIGURED = Caller(id="api-key", owner=LOCAL.owner, scopes=frozenset(("admin",)))
"""The caller with the key of the settings."""


class Authenticator:
    """Recognises callers."""

    def __init__(
        self,
        keys: Keys,
        admin_secret: str | None,
        api_key: str | None,
        open: bool = False,  # noqa: A002, FBT001, FBT002 - the name of the setting, given as it is
    ) -> None:
        """Take the ways to be recognised.

        Args:
            keys: The keys of the database.
            admin_secret: The key file's secret.
            api_key: The key of the settings.
            open: The server asks for no key: whoever gives none, or one nobody knows, is LOCAL.
        """
        self._keys = keys
        self._open = open
        self._fixed = tuple(
            (_digest(secret), caller) for secret, caller in ((admin_secret, ADMIN), (api_key, CONFIGURED)) if secret
        )

    async def identify(self, secret: str | None) -> Caller:
        """The caller a secret stands for, in a time that does not depend on how wrong it is.

        Raises:
            Unauthenticated: Nobody knows it.
            StorageFailed: The database does not answer.
        """
        try:
            return await self._recognise(secret)
        except Unauthenticated:
            if self._open:
                return LOCAL
            raise

    async def _recognise(self, secret: str | None) -> Caller:
        if not secret or len(secret) > LONGEST or not secret.isascii():
            raise Unauthenticated
        digest = _digest(secret)
        same = [(hmac.compare_digest(digest, known), caller) for known, caller in self._fixed]
        for equal, caller in same:
            if equal:
                return caller
        return await self._keys.identify(secret)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
