"""Which dialect a path speaks, and how its errors look."""

import pytest

from localai.api.dialect import shape, spoken, status
from localai.core.errors import (
    ContextLengthExceeded,
    EngineCrashed,
    InvalidRequest,
    LocalAIError,
    ModelNotFound,
    NotEnoughMemory,
    Overloaded,
    RateLimited,
    Unauthenticated,
)


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/chat/completions", "openai"),
        ("/chat/completions", "openai"),
        ("/v1/messages", "anthropic"),
        ("/v1/messages/count_tokens", "anthropic"),
        ("/messages", "anthropic"),
        ("/api/chat", "ollama"),
        ("/api/administer", "ollama"),
        ("/api/admin/models", "problem"),
        ("/api/v1/models", "openai"),
        ("/nothing", "openai"),
    ],
)
def test_a_path_speaks_one_dialect(path: str, dialect: str):
    """The path alone decides which dialect an answer speaks."""
    assert spoken({"path": path, "headers": []}) == dialect


def test_the_version_header_makes_a_shared_path_anthropics():
    """On a path that two dialects share, `anthropic-version` asks for Anthropic's shape; our own routes stay ours."""
    headers = [(b"anthropic-version", b"2023-06-01")]
    assert spoken({"path": "/v1/models", "headers": headers}) == "anthropic"
    assert spoken({"path": "/api/admin/models", "headers": headers}) == "problem"


@pytest.mark.parametrize(
    ("error", "number", "kind"),
    [
        (ModelNotFound("m"), 404, "not_found_error"),
        (Unauthenticated(), 401, "authentication_error"),
        (RateLimited("m"), 429, "rate_limit_error"),
        (Overloaded(), 529, "overloaded_error"),
        (EngineCrashed(), 502, "api_error"),
        (NotEnoughMemory("m"), 507, "api_error"),
    ],
)
def test_anthropics_errors(error: LocalAIError, number: int, kind: str):
    """An Anthropic client gets its own error type, the request's id, and 529 for a full server."""
    assert status(error, "anthropic") == number
    body = shape(error, "anthropic", "req_1")
    assert body == {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InvalidRequest("It is odd.", param="tools.0.name"), "tools.0.name: It is odd."),
        (InvalidRequest("`tools` is odd.", param="tools"), "`tools` is odd."),
        (
            ContextLengthExceeded("The prompt has 9000 tokens; this model takes 8192 with its answer."),
            (
                "prompt is too long: 9000 tokens > 8192 maximum. "
                "The prompt has 9000 tokens; this model takes 8192 with its answer."
            ),
        ),
        (ContextLengthExceeded("20000 messages fit nowhere."), "prompt is too long. 20000 messages fit nowhere."),
    ],
)
def test_anthropics_messages_say_what_agents_look_for(error: LocalAIError, message: str):
    """The field at fault stands in the message, and a prompt that is too long in the words that agents act on."""
    assert shape(error, "anthropic")["error"]["message"] == message


def test_ollamas_errors_are_strings():
    """An Ollama client gets `error` as a string, with the status of the case."""
    assert shape(ModelNotFound("no `x`"), "ollama") == {"error": "no `x`"}
    assert status(Overloaded(), "ollama") == 503
