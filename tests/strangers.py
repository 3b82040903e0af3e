"""Another owner at a gateway: a key that is not the administrator's."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from localai.auth.keys import Keys
from localai.core.caller import LOCAL
from localai.storage.database import Database


def key_of(home: Path, owner: str, scopes: Sequence[str] = ("infer",)) -> str:
    """A new key of that owner in the database of a home."""

    async def made() -> str:
        database = await Database.open(home / "state.db")
        keys = Keys(database)
        try:
            _, secret = await keys.create(owner, list(scopes), None, None, owner, creator=LOCAL)
        finally:
            await keys.close()
            await database.close()
        return secret

    with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop of its own
        return thread.submit(lambda: asyncio.run(made())).result()
