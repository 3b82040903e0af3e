"""One file over HTTP into a partial file, in as many requests as it takes."""

import asyncio
import random
import re
from collections.abc import Callable

from localai.core.errors import FetchFailed
from localai.core.task import Value
from localai.fetch.http import Client, Reply
from localai.fetch.partial import Note, Partial, available, room
from localai.fetch.remote import Remote

_BLOCK = 2**20
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class Patience(Value, frozen=True):
    """How often and how soon a failed request is tried again."""

    tries: int = 5
    """Failures in a row, without `gain` new bytes between them, after which the download fails."""
    requests: int = 200
    """Requests in all."""
    gain: int = 64 * 1024
    pause: float = 0.5
    """Seconds before the second request; doubled after each failure in a row, with some chance mixed in."""
    longest: float = 15


PATIENCE = Patience()


class Unfit(FetchFailed):
    """What the server sends is not the file that is wanted."""

    retry = False


class Transfer:
    """Brings all bytes of one remote into a partial file."""

    def __init__(
        self,
        remote: Remote,
        partial: Partial,
        client: Client,
        tell: Callable[[int, int], None],
        patience: Patience,
        *,
        spare: int = 0,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            remote: What to bring.
            partial: Where to; what is there of an earlier run is taken up.
            client: The outbound client.
            tell: Hears (bytes done, bytes in all or 0).
            patience: How often to try.
            spare: Bytes of disk that are needed besides the file.
        """
        self._remote = remote
        self._partial = partial
        self._client = client
        self._tell = tell
        self._patience = patience
        self._spare = spare
        self._size = remote.size
        self._etag: str | None = None
        self._stitched = False
        """The bytes come from more than one response."""

    async def run(self) -> None:
        """Bring the bytes; their hash, where known, is right at the end or the caller will see it is not.

        Raises:
            FetchFailed: Too many failures in a row.
            Unfit: The server has no such file, or another one.
            NotEnoughDisk: It does not fit.
        """
        # Hashed before anything is asked: no timer of the network runs meanwhile.
        note = await asyncio.to_thread(self._partial.resume, self._remote.url)
        if note is not None:
            self._etag, self._size = note.etag, self._remote.size or note.size
            self._stitched = self._partial.size > 0
        failures = 0
        for number in range(self._patience.requests):
            before = self._partial.size
            try:
                await self._request()
                if not await self._spoiled():
                    return
            except FetchFailed as error:
                if not error.retry:
                    await asyncio.to_thread(self._partial.drop)
                    raise
                failures = 1 if self._partial.size - before >= self._patience.gain else failures + 1
                if failures >= self._patience.tries or number + 1 == self._patience.requests:
                    raise
                await asyncio.sleep(max(error.retry_after or 0, self._delay(failures)))

    def _delay(self, failures: int) -> float:
        full = min(self._patience.pause * 2 ** (failures - 1), self._patience.longest)
        return full * (0.5 + random.random() / 2)  # noqa: S311 - spreads retries, guards nothing

    async def _spoiled(self) -> bool:
        """Whether the bytes were put together from several responses and are wrong: then once more from the start."""
        wrong = self._remote.sha256 is not None and self._partial.digest() != self._remote.sha256
        if not (wrong and self._stitched):
            return False
        await self._restart(None)
        return True

    async def _restart(self, note: Note | None) -> None:
        self._stitched = False
        await asyncio.to_thread(self._partial.restart, note)

    async def _request(self) -> None:
        """One request for all that is missing."""
        offset = self._partial.size
        if self._size is not None and offset == self._size > 0:
            self._tell(offset, offset)
            return
        strong = self._etag if self._etag is not None and self._etag.startswith('"') else None
        if offset and ((strong is None and self._remote.sha256 is None) or (self._size or offset) < offset):
            await self._restart(None)  # nothing could tell whether the rest belongs to what is here
            offset = 0
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and strong is not None:
            headers["If-Range"] = strong
        remote = self._remote
        if remote.size is not None:
            await asyncio.to_thread(room, self._partial.path.parent, remote.size - offset + self._spare)
        async with self._client.get(remote.url, headers=headers, secrets=remote.secrets, route=remote.route) as reply:
            await self._begin(reply, offset)
            await self._receive(reply)
        if self._size is not None and self._partial.size < self._size:
            raise FetchFailed(f"`{reply.url.host}` ended the file too early; try again.")
        self._size = self._partial.size
        self._tell(self._size, self._size)

    async def _begin(self, reply: Reply, offset: int) -> None:
        """Check the head of a response, and make the partial file fit to what will come."""
        host = reply.url.host
        etag = reply.headers.get("ETag")
        if reply.status == 206 and offset:
            place = _RANGE.fullmatch(reply.headers.get("Content-Range", ""))
            whole = None if place is None or place[3] == "*" else int(place[3])
            other = (etag or self._etag) != self._etag or (whole is not None and whole != (self._size or whole))
            if place is None or int(place[1]) != offset or other:
                await self._restart(None)
                raise FetchFailed(f"The file at `{host}` changed during the download; try again.")
            self._size = self._size or whole
            self._stitched = True
            return
        await self._check(reply)
        self._etag = etag
        self._size = self._remote.size or reply.size
        await asyncio.to_thread(room, self._partial.path.parent, (self._size or 1) + self._spare)
        await self._restart(Note(url=self._remote.url, etag=etag, size=self._size))

    async def _check(self, reply: Reply) -> None:
        """Refuse everything but the whole file."""
        host, wanted = reply.url.host, self._remote.size
        match reply.status:
            case 200:
                pass
            case 416:
                await self._restart(None)
                raise FetchFailed(f"`{host}` cannot continue this download; try again.")
            case 408 | 425 | 429 | 500 | 502 | 503 | 504:
                raise FetchFailed(f"`{host}` is busy (status {reply.status}); try again.", retry_after=_wait(reply))
            case 401 | 403:
                raise Unfit(f"`{host}` does not give this file without a login (status {reply.status}).")
            case 404 | 410:
                raise Unfit(f"`{host}` has no such file (status {reply.status}); check the address.")
            case status:
                raise Unfit(f"`{host}` answered with status {status} instead of the file.")
        if reply.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise Unfit(f"`{host}` sent a web page instead of the file; check the address.")
        if wanted is not None and reply.size is not None and reply.size != wanted:
            raise Unfit(f"The file at `{host}` has {reply.size} bytes instead of {wanted}.")

    async def _receive(self, reply: Reply) -> None:
        """Write the body; while one block is written, the next is received."""
        folder = self._partial.path.parent
        limit = self._size if self._size is not None else await asyncio.to_thread(available, folder)
        arrived = self._partial.size
        block = bytearray()
        writing: asyncio.Task[None] | None = None
        try:
            async for chunk in reply.chunks():
                arrived += len(chunk)
                if arrived > limit:
                    raise Unfit(f"`{reply.url.host}` sends more than the {limit} bytes that were expected or fit.")
                block += chunk
                if len(block) >= _BLOCK:
                    if writing is not None:
                        await asyncio.shield(writing)
                    writing = asyncio.create_task(asyncio.to_thread(self._partial.write, bytes(block)))
                    block.clear()
                self._tell(arrived, self._size or 0)
        finally:
            # What came before a cut counts: the next request starts after it.
            if writing is not None:
                await asyncio.shield(writing)
            if block:
                await asyncio.to_thread(self._partial.write, bytes(block))


def _wait(reply: Reply) -> float | None:
    text = reply.headers.get("Retry-After", "")
    return min(float(text), 60.0) if text.isascii() and text.isdigit() and len(text) < 6 else None
