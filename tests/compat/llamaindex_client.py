"""The real LlamaIndex, its parts for servers like OpenAI's, against a running server.

OPENAI_BASE_URL, OPENAI_API_KEY: where and as whom. COMPAT_MODEL: a model for chat, COMPAT_EMBED: one for embeddings.
COMPAT_REAL=1: they are real ones. Prints `ok NAME` for every check.
"""

import os
import warnings

warnings.simplefilter("default")  # the library's own warnings are its own business

from llama_index.core.llms import ChatMessage  # noqa: E402
from llama_index.embeddings.openai_like import OpenAILikeEmbedding  # noqa: E402
from llama_index.llms.openai_like import OpenAILike  # noqa: E402

MODEL = os.environ["COMPAT_MODEL"]
EMBED = os.environ.get("COMPAT_EMBED", MODEL)
REAL = os.environ.get("COMPAT_REAL") == "1"
AT = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"], "max_retries": 0}


def model(**options):
    return OpenAILike(model=MODEL, temperature=0, max_tokens=20, **AT, **options)


def check_chat():
    """A conversation is answered."""
    answer = model(is_chat_model=True).chat([ChatMessage(role="user", content="hello there")])
    assert answer.message.content if REAL else answer.message.content == "hello there"


def check_stream():
    """A stream has the pieces of the answer."""
    pieces = model(is_chat_model=True).stream_chat([ChatMessage(role="user", content="hello there")])
    text = "".join(piece.delta or "" for piece in pieces)
    assert text if REAL else text == "hello there"


def check_completion():
    """A text is continued by the older API."""
    assert model(is_chat_model=False).complete("one two three").text


def check_embeddings():
    """Texts become vectors."""
    found = OpenAILikeEmbedding(model_name=EMBED, **AT).get_text_embedding_batch(["a", "b"])
    assert len(found) == 2
    assert len(found[0]) > 1


for name, check in list(globals().items()):
    if name.startswith("check_"):
        check()
        print("ok", name.removeprefix("check_"), flush=True)
