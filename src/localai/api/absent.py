"""What SDKs may ask for and this server does not offer: a 404 that says so, and what to use instead."""

from localai.core.errors import NotFound

_CLOUD = "it belongs to OpenAI's own cloud"
_ABSENT: dict[str, str] = {
    "assistants": "use `/v1/responses` with a conversation instead",
    "threads": "use `/v1/conversations` with `/v1/responses` instead",
    "fine_tuning": "train elsewhere and install the result with `localai pull`",
    "fine-tunes": "train elsewhere and install the result with `localai pull`",
    "containers": "no code is run for a client here",
    "evals": _CLOUD,
    "videos": "no engine makes videos here",
    "skills": _CLOUD,
    "vaults": _CLOUD,
    "agents": "use `/v1/responses` with tools instead",
    "sessions": _CLOUD,
    "environments": _CLOUD,
    "live": "use `/v1/chat/completions` with `stream` instead",
    "realtime": "use `/v1/chat/completions` with `stream` instead",
    "chatkit": _CLOUD,
    "organization": "`localai keys` manages keys here",
    "projects": "`localai keys` manages keys here",
    "webhooks": "ask for the state of what you started instead",
    "webhook_endpoints": "ask for the state of what you started instead",
    "webhook_event_types": "ask for the state of what you started instead",
    "content_provenance_checks": _CLOUD,
    "safety": _CLOUD,
    "edits": "use `/v1/chat/completions` instead",
    "answers": "use `/v1/chat/completions` instead",
    "search": "use `/v1/rerank` instead",
    "classifications": "use `/v1/decisions` instead",
    "audio": "no engine for sound is installed",
    "images": "no engine for images is installed",
}


def absent(path: str) -> NotFound | None:
    """The error for a path (that no route has) of an API that is not offered; None for any other path."""
    parts = path.removeprefix("/v1").split("/", 2)
    if len(parts) < 2:
        return None
    why = _ABSENT.get(parts[1])
    return None if why is None else NotFound(f"LocalAI does not offer `/v1/{parts[1]}`: {why}.")
