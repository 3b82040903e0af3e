"""The real `llm` command against a running server, as its user types it.

OPENAI_BASE_URL, OPENAI_API_KEY: where and as whom. COMPAT_MODEL: a model for chat. COMPAT_REAL=1: it is a real one.
Prints `ok NAME` for every check.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MODEL = os.environ["COMPAT_MODEL"]
REAL = os.environ.get("COMPAT_REAL") == "1"
HOME = Path(tempfile.mkdtemp())
MODELS = f"""
- model_id: local
  model_name: {MODEL}
  api_key_name: local
  api_base: {os.environ["OPENAI_BASE_URL"]}
  supports_tools: true
  supports_schema: true
- model_id: local-completion
  model_name: {MODEL}
  api_key_name: local
  api_base: {os.environ["OPENAI_BASE_URL"]}
  completion: true
"""


def llm(*words, given=""):
    done = subprocess.run(
        [sys.executable, "-I", "-m", "llm", *words],
        input=given,
        env={"LLM_USER_PATH": str(HOME), "HOME": str(HOME), "OPENAI_API_KEY": os.environ["OPENAI_API_KEY"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def check_prompt():
    """A prompt is answered, streamed as by default."""
    answer = llm("-m", "local", "hello there", "-o", "max_tokens", "20")
    assert answer if REAL else answer == "hello there"


def check_whole():
    """A prompt is answered at once."""
    answer = llm("-m", "local", "--no-stream", "-s", "Be brief.", "hello there", "-o", "max_tokens", "20")
    assert answer if REAL else answer == "hello there"


def check_conversation():
    """A conversation goes on."""
    assert llm("-m", "local", "-c", "and again", "-o", "max_tokens", "20")


def check_schema():
    """An answer follows a schema."""
    prompt = '{"name": "Oslo", "size": 7}'
    answer = json.loads(llm("-m", "local", "--schema", "name str, size int", prompt, "-o", "max_tokens", "200"))
    assert set(answer) == {"name", "size"}


def check_endpoint():
    """An endpoint is asked without any configuration, its models are listed, and a key is sent."""
    at = (os.environ["OPENAI_BASE_URL"], "--key", "local")
    assert MODEL in llm("openai", "endpoint", *at, "--models")
    answer = llm("openai", "endpoint", *at, "hello there", "-m", MODEL, "-o", "max_tokens", "20")
    assert answer if REAL else answer == "hello there"


def check_completion():
    """A text is continued by the older API."""
    assert llm("-m", "local-completion", "one two three", "-o", "max_tokens", "5")


(HOME / "extra-openai-models.yaml").write_text(MODELS)
llm("keys", "set", "local", "--value", os.environ["OPENAI_API_KEY"])
for name, check in list(globals().items()):
    if name.startswith("check_"):
        check()
        print("ok", name.removeprefix("check_"), flush=True)
