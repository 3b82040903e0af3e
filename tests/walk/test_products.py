"""The requests that products make, as they make them: headers they send or leave out, bodies, what they read back.

Written from the products' own sources and traces; the products themselves cannot run here.
"""

import http.client
import json
from typing import Any, NamedTuple

import pytest

HI = [{"role": "user", "content": "hello there"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "GetTime",
        "description": "The time.",
        "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    },
}
JSON_TYPE = {"Content-Type": "application/json"}


class Step(NamedTuple):
    """One request of a product: what it sends, and the paths of what it reads ("data.0.id")."""

    product: str
    method: str
    path: str
    body: Any = None
    reads: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    stream: bool = False
    status: int = 200


CHAT_READS = ("id", "choices.0.message.content", "choices.0.finish_reason", "usage.prompt_tokens")

STEPS = [
    # Open WebUI, connection of the type OpenAI
    Step("open-webui", "GET", "/v1/models", reads=("data.0.id", "data.0.object"), headers=JSON_TYPE),
    Step(
        "open-webui",
        "POST",
        "/v1/chat/completions",
        {"model": "echo", "messages": HI, "stream": True, "max_tokens": 9, "stream_options": {"include_usage": True}},
        ("choices.0.delta.content",),
        {**JSON_TYPE, "X-OpenWebUI-User-Name": "Ann", "X-OpenWebUI-Chat-Id": "c"},
        stream=True,
    ),
    Step(
        "open-webui",
        "POST",
        "/v1/chat/completions",
        {"model": "parrot", "messages": HI, "stream": False, "metadata": {"chat_id": "c"}, "custom_param": [1]},
        CHAT_READS,
    ),
    Step("open-webui", "POST", "/v1/embeddings", {"input": ["a", "b"], "model": "echo"}, ("data.1.embedding.0",)),
    Step(
        "open-webui",
        "POST",
        "/v1/rerank",
        {"model": "echo", "query": "a", "documents": ["a b", "c"], "top_n": 2},
        ("results.1.index", "results.1.relevance_score"),
    ),
    # Open WebUI, provider llama.cpp: the root without /v1
    Step("open-webui-llama.cpp", "GET", "/models", reads=("data.0.id", "data.0.status.value")),
    Step("open-webui-llama.cpp", "POST", "/models/load", {"model": "echo"}, ("success",)),
    Step(
        "open-webui-llama.cpp",
        "POST",
        "/v1/chat/completions",
        {
            "model": "echo",
            "messages": [*HI, {"role": "assistant", "content": "hel"}],
            "continue_final_message": True,
            "add_generation_prompt": False,
        },
        CHAT_READS,
    ),
    Step("open-webui-llama.cpp", "POST", "/models/unload", {"model": "echo"}, ("success",)),
    Step("open-webui-llama.cpp", "DELETE", "/models?model=none", reads=("error.message",), status=404),
    Step("open-webui-llama.cpp", "POST", "/models", {"model": "org/repo:Q4"}, ("error.message",), status=400),
    # Open WebUI, provider lmstudio
    Step("open-webui-lmstudio", "GET", "/api/v1/models", reads=("models.0.key", "models.0.type")),
    Step(
        "open-webui-lmstudio",
        "POST",
        "/api/v1/models/load",
        {"model": "echo", "context_length": 4096, "flash_attention": True},
        ("instance_id", "status", "load_time_seconds"),
    ),
    Step("open-webui-lmstudio", "POST", "/api/v1/models/unload", {"instance_id": "echo"}, ("instance_id",)),
    Step("open-webui-lmstudio", "GET", "/api/v1/models/download/status/job_1", reads=("error.message",), status=404),
    # Home Assistant: llama_cpp and litellm
    Step("home-assistant", "GET", "/v1/models", reads=("data.0.id",)),
    Step(
        "home-assistant",
        "POST",
        "/v1/chat/completions",
        {"model": "echo", "messages": HI, "tools": [TOOL], "max_tokens": 3, "stream": False},
        ("choices.0.message.role",),
    ),
    Step(
        "home-assistant",
        "POST",
        "/v1/chat/completions",
        {
            "model": "echo",
            "messages": [
                {"role": "system", "content": "You control a home."},
                {"role": "user", "content": "time?"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "GetTime", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "c", "content": '{"time": "12"}'},
            ],
            "tools": [TOOL],
            "user": "01H",
            "stream": True,
            "parallel_tool_calls": True,
        },
        ("choices.0.delta.content",),
        stream=True,
    ),
    # n8n
    Step("n8n", "GET", "/v1/models", reads=("data.0.id",)),
    Step(
        "n8n",
        "POST",
        "/v1/chat/completions",
        {"model": "echo", "messages": HI, "temperature": 0.7, "top_p": 1, "frequency_penalty": 0, "n": 1},
        CHAT_READS,
    ),
    # Flowise (its nodes ChatLocalAI and LocalAIEmbedding)
    Step(
        "flowise",
        "POST",
        "/v1/chat/completions",
        {"model": "echo", "messages": HI, "temperature": 0.9, "stream": True},
        ("choices.0.delta.content",),
        stream=True,
    ),
    Step("flowise", "POST", "/v1/embeddings", {"model": "echo", "input": "text"}, ("data.0.embedding.0",)),
    # Dify: localai and openai_api_compatible; an empty Authorization header
    Step(
        "dify",
        "POST",
        "/v1/chat/completions",
        {"model": "echo", "messages": [{"role": "user", "content": "ping"}], "max_tokens": 5, "stream": False},
        CHAT_READS,
    ),
    Step("dify", "POST", "/v1/completions", {"model": "echo", "prompt": "ping", "max_tokens": 5}, ("choices.0.text",)),
    Step(
        "dify",
        "POST",
        "/v1/rerank",
        {"model": "echo", "query": "a", "documents": ["a b", "c"], "top_n": 1},
        ("results.0.index", "results.0.relevance_score"),
    ),
    Step(
        "dify",
        "POST",
        "/v1/rerank",
        {"model": "echo", "query": "a", "documents": [{"content": [{"type": "text", "text": "a"}]}]},
        ("results.0.relevance_score",),
    ),
    # Continue
    Step("continue", "GET", "/v1/models", reads=("data.0.id",)),
    Step(
        "continue",
        "POST",
        "/v1/completions",
        {"model": "echo", "prompt": "def f(", "suffix": "return", "stream": True, "max_tokens": 8, "stop": ["\n\n"]},
        ("choices.0.text",),
        stream=True,
    ),
    Step(
        "continue",
        "POST",
        "/v1/fim/completions",
        {"model": "echo", "prompt": "def f(", "suffix": "return", "stream": True, "max_tokens": 8},
        ("choices.0.delta.content",),
        stream=True,
    ),
    Step(
        "continue",
        "POST",
        "/v1/rerank",
        {"model": "echo", "query": "a", "documents": ["a b", "c"]},
        ("data.0.index", "data.0.relevance_score"),
    ),
    # LiteLLM: rerank of vLLM's style, no Content-Type
    Step(
        "litellm",
        "POST",
        "/rerank",
        {"model": "echo", "query": "a", "documents": ["a b"], "return_documents": True},
        ("results.0.document.text", "meta.billed_units.search_units", "id"),
    ),
    Step("cohere", "POST", "/v2/rerank", {"model": "echo", "query": "a", "documents": ["a"]}, ("results.0.index",)),
    # llama.vim: warms the cache, then fills
    Step(
        "llama.vim",
        "POST",
        "/infill",
        {
            "input_prefix": "a",
            "input_suffix": "b",
            "input_extra": [],
            "prompt": "",
            "n_predict": 0,
            "cache_prompt": True,
        },
        ("content",),
    ),
    Step(
        "llama.vim",
        "POST",
        "/infill",
        {
            "id_slot": 0,
            "input_prefix": "a\n",
            "input_suffix": "\nb",
            "input_extra": [{"filename": "x.py", "text": "y"}],
            "prompt": "c",
            "n_predict": 8,
            "n_indent": 0,
            "samplers": ["top_k", "top_p", "infill"],
            "t_max_prompt_ms": 500,
            "stream": False,
            "response_fields": ["content", "timings/predicted_n", "truncated"],
        },
        ("content", "timings/predicted_n", "truncated"),
    ),
    # Azure's SDK
    Step(
        "azure",
        "POST",
        "/openai/deployments/echo/chat/completions?api-version=2025-01-01",
        {"model": "gpt-4o", "messages": HI},
        CHAT_READS,
    ),
]


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.product} {step.method} {step.path}")
@pytest.mark.parametrize("spelling", ["bearer", "plain"])
def test_a_request_of_a_product(echo_gateway, step, spelling):
    """Each request is answered as its product needs it, with or without a Content-Type, whatever header has the key."""
    key = echo_gateway.key
    headers = {**step.headers, **({"Authorization": f"Bearer {key}"} if spelling == "bearer" else {"api-key": key})}
    status, kind, text = _ask(echo_gateway, step.method, step.path, step.body, headers)
    assert status == step.status, text
    if not step.stream:
        assert kind.startswith("application/json")
        for path in step.reads:
            _at(json.loads(text), path)
        return
    assert kind.startswith("text/event-stream")
    frames = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert frames[-1] == "[DONE]"
    chunks = [json.loads(frame) for frame in frames[:-1]]
    for path in step.reads:
        assert any(_holds(chunk, path) for chunk in chunks)


def _holds(chunk: Any, path: str) -> bool:
    try:
        return bool(_at(chunk, path))
    except (KeyError, IndexError):
        return False


def test_an_empty_authorization_header_is_no_key(echo_gateway):
    """A header without a key in it counts as no key at all, not as a wrong one beside a right one."""
    for empty in ("", "Bearer", "Bearer "):
        status, _, _ = _ask(echo_gateway, "GET", "/v1/models", None, {"Authorization": empty})
        assert status == 401
        both = {"Authorization": empty, "api-key": echo_gateway.key}
        assert _ask(echo_gateway, "GET", "/v1/models", None, both)[0] == 200


def _ask(gateway, method, path, body, headers):
    """One request with these headers and no others; gives status, content type and text."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    try:
        connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("content-type", ""), answer.read().decode()
    finally:
        connection.close()
