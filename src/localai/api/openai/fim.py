"""POST /v1/fim/completions: text between two texts, in the shape of Mistral's API that editors speak."""

from typing import Annotated, Any

import msgspec
from pydantic import Field

from localai.api.openai.chat import Asked
from localai.api.openai.fields import TOKEN_LIMIT, Whole
from localai.api.openai.sampling import Sampled
from localai.core.task import Generate, Infill, Prompt, Raw, Sampling


class FimBody(Sampled):
    """What is before the gap, and what is behind it. Fields this server does not know are ignored."""

    prompt: Annotated[str, Field(max_length=2**22)]
    suffix: Annotated[str, Field(max_length=2**22)] | None = None
    random_seed: Annotated[Whole, Field(ge=0, le=2**63)] | None = None
    min_tokens: Any = None


def asked(body: FimBody) -> Asked:
    """Translate a request; without anything behind the gap it is a plain continuation."""
    prompt: Prompt = Infill(prefix=body.prompt, suffix=body.suffix) if body.suffix else Raw(text=body.prompt)
    task = Generate(
        prompt=prompt,
        sampling=_sampling(body),
        max_tokens=None if body.max_tokens is None else min(body.max_tokens, TOKEN_LIMIT),
        stop=body.stop or (),
        cache=body.cache_prompt is not False,
        adapters=body.adapters(),
    )
    return Asked(
        tasks=(task,),
        stream=bool(body.stream),
        usage=False,
        logprobs=False,
        legacy=False,
        progress=False,
        customs=frozenset(),
        keep_alive=body.keep_alive,
    )


def _sampling(body: FimBody) -> Sampling:
    sampling = body.sampling()
    if body.random_seed is None or sampling.seed is not None:
        return sampling
    return msgspec.structs.replace(sampling, seed=body.random_seed % (2**32 - 1))
