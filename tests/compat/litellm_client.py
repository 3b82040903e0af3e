"""The real LiteLLM library against a running server.

OPENAI_BASE_URL, OPENAI_API_KEY: where and as whom. COMPAT_MODEL: a model for chat, COMPAT_EMBED and COMPAT_RERANK: for
embeddings and reranking. COMPAT_REAL=1: they are real ones. Prints `ok NAME` for every check.
"""

import os
import warnings

warnings.simplefilter("default")  # the library's own warnings are its own business
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no look at the network

import litellm  # noqa: E402

MODEL = os.environ["COMPAT_MODEL"]
EMBED = os.environ.get("COMPAT_EMBED", MODEL)
RERANK = os.environ.get("COMPAT_RERANK", "")
REAL = os.environ.get("COMPAT_REAL") == "1"
URL, KEY = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
AT = {"api_base": URL, "api_key": KEY}
HI = [{"role": "user", "content": "hello there"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def check_chat():
    """A conversation is answered."""
    answer = litellm.completion(f"openai/{MODEL}", HI, max_tokens=20, temperature=0, **AT)
    text = answer.choices[0].message.content
    assert text if REAL else text == "hello there"
    assert answer.usage.total_tokens > 0


def check_stream():
    """A stream has the pieces of the answer."""
    chunks = litellm.completion(f"openai/{MODEL}", HI, max_tokens=20, temperature=0, stream=True, **AT)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text if REAL else text == "hello there"


def check_tools():
    """A tool that has to be called is called."""
    answer = litellm.completion(f"openai/{MODEL}", HI, tools=[TOOL], tool_choice="required", max_tokens=100, **AT)
    assert answer.choices[0].message.tool_calls[0].function.name == "look"


def check_unknown_model():
    """A model that is not there is the library's own error for it."""
    try:
        litellm.completion("openai/none", HI, num_retries=0, **AT)
    except litellm.NotFoundError:
        return
    raise AssertionError("no error")


def check_embeddings():
    """Texts become vectors."""
    answer = litellm.embedding(f"openai/{EMBED}", ["a", "b"], encoding_format="float", **AT)
    assert len(answer.data) == 2


def check_rerank():
    """Documents are ranked in the ways of vLLM, Jina and Cohere."""
    if not RERANK:
        return
    documents = ["red apple", "blue sky"]
    root = URL.removesuffix("/v1")
    for name, base in (
        (f"hosted_vllm/{RERANK}", root),
        (f"jina_ai/{RERANK}", f"{URL}/rerank"),
        (f"cohere/{RERANK}", f"{root}/v2/rerank"),
    ):
        answer = litellm.rerank(
            model=name, query="blue", documents=documents, top_n=2, api_base=base, api_key=KEY, return_documents=True
        )
        assert len(answer.results) == 2, name
        assert answer.results[0]["index"] == 1, (name, answer.results)


for name, check in list(globals().items()):
    if name.startswith("check_"):
        check()
        print("ok", name.removeprefix("check_"), flush=True)
