"""What an answer used, as OpenAI counts tokens and as llama.cpp reports times."""

from collections.abc import Sequence
from typing import Any

from localai.core.event import Done, Timings, Usage


def together(usages: Sequence[Usage], *, choices: int = 1) -> Usage:
    """The usage of many generations, `choices` in a row for each prompt; a prompt counts once."""
    firsts = usages[::choices]
    return Usage(
        prompt=sum(usage.prompt for usage in firsts),
        completion=sum(usage.completion for usage in usages),
        cached=sum(usage.cached for usage in firsts),
        thought=sum(usage.thought for usage in usages),
    )


def usage_fields(usage: Usage) -> dict[str, Any]:
    """OpenAI's `usage` object of a generation."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.thought,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def timing_fields(done: Done) -> dict[str, Any]:
    """llama.cpp's `timings` object: milliseconds and tokens a second."""
    usage, timings = done.usage, done.timings
    computed = max(usage.prompt - usage.cached, 0)
    return {
        "cache_n": usage.cached,
        **_pace("prompt", computed, timings.prompt),
        **_pace("predicted", usage.completion, timings.generate),
    }


def timed(done: Done) -> bool:
    """Whether the engine measured anything."""
    return done.timings != Timings()


def _pace(name: str, tokens: int, seconds: float) -> dict[str, Any]:
    return {
        f"{name}_n": tokens,
        f"{name}_ms": round(seconds * 1000, 3),
        f"{name}_per_token_ms": round(seconds * 1000 / tokens, 3) if tokens else 0.0,
        f"{name}_per_second": round(tokens / seconds, 3) if seconds else 0.0,
    }
