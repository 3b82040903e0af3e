"""Fields of today's OpenAI API that are understood and change nothing on a server of one's own."""

from typing import Any

from localai.api.openai.fields import Body


class Accepted(Body):
    """Fields about OpenAI's own cloud: billing, storing, caching, moderating; any value of theirs is fine."""

    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    moderation: Any = None
    prediction: Any = None
    verbosity: Any = None
    modalities: Any = None
    audio: Any = None
    web_search_options: Any = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
