"""A small streaming client that notes when each piece arrived; the same for every server measured."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Self

import aiohttp


@dataclass
class Heard:
    """One answer: when it was asked, when each piece of text came (monotonic seconds), and what it used."""

    asked: float
    pieces: list[float] = field(default_factory=list)
    ended: float = 0.0
    text: str = ""
    prompt: int = 0
    completion: int = 0
    cached: int = 0

    @property
    def first(self) -> float:
        """Seconds to the first piece."""
        return self.pieces[0] - self.asked

    @property
    def gap(self) -> float:
        """Longest silence between two pieces, in seconds."""
        return max(later - earlier for earlier, later in zip(self.pieces, self.pieces[1:], strict=False))


class Client:
    """Asks one server (base URL, key, model)."""

    def __init__(self, url: str, key: str, model: str, *, keep: bool = False) -> None:
        self.url, self.model = url, model
        self._keep = keep
        self._headers = {"Authorization": f"Bearer {key}"}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, force_close=not self._keep)
        self.session = aiohttp.ClientSession(headers=self._headers, connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def stream(self, content: str, **fields: object) -> Heard:
        """Stream one chat answer to its end."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "stream": True,
            "stream_options": {"include_usage": True},
            **fields,
        }
        heard = Heard(asked=time.monotonic())
        async with self.session.post(f"{self.url}/v1/chat/completions", json=body) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                self._hear(heard, line)
        heard.ended = time.monotonic()
        return heard

    async def whole(self, content: str, **fields: object) -> float:
        """Seconds of one answer that is not streamed."""
        body = {"model": self.model, "messages": [{"role": "user", "content": content}], **fields}
        began = time.monotonic()
        async with self.session.post(f"{self.url}/v1/chat/completions", json=body) as answer:
            answer.raise_for_status()
            await answer.read()
        return time.monotonic() - began

    @staticmethod
    def _hear(heard: Heard, line: bytes) -> None:
        if not line.startswith(b"data: {"):
            return
        chunk = json.loads(line[6:])
        if "error" in chunk:
            raise RuntimeError(chunk["error"])
        if usage := chunk.get("usage"):
            heard.prompt, heard.completion = usage["prompt_tokens"], usage["completion_tokens"]
            heard.cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        for choice in chunk["choices"]:
            if text := choice["delta"].get("content"):
                heard.pieces.append(time.monotonic())
                heard.text += text


async def together(client: Client, prompts: list[str], **fields: object) -> tuple[list[Heard], float]:
    """Run all prompts at once; gives the answers and the tokens per second over all of them."""
    began = time.monotonic()
    heard = await asyncio.gather(*(client.stream(prompt, **fields) for prompt in prompts))
    return list(heard), sum(one.completion for one in heard) / (time.monotonic() - began)
