"""Nothing private is written down: prompts, answers and keys are in no log and no error."""

from pathlib import Path

from gateway import gateway, write_echo
from sse import Stream, ask

PROMPT = "canary-prompt-7d1f"
SECRET = "sk-canary-9b2e-00000000000000000000000000000000"
HEADER = "canary-header-41aa"


def _everything(running) -> None:
    chat = "/v1/chat/completions"
    running.ask("POST", chat, ask(PROMPT))
    list(Stream(running.port, running.key, chat, ask(PROMPT, stream=True)).events())
    running.ask("POST", chat, ask(PROMPT, temperature=PROMPT))
    running.ask("POST", chat, ask(PROMPT, model=PROMPT))
    running.ask("POST", chat, {"messages": PROMPT})
    running.ask("POST", chat, ask(PROMPT + " word" * 5000))
    running.ask("POST", "/v1/embeddings", {"model": "echo", "input": PROMPT})
    running.ask("POST", "/v1/completions", {"model": "echo", "prompt": PROMPT})
    running.ask("POST", "/tokenize", {"model": "echo", "content": PROMPT})
    running.ask("POST", chat, ask(PROMPT), Authorization=f"Bearer {SECRET}")
    running.ask("GET", f"/v1/models?q={PROMPT}", None, Authorization=f"Bearer {SECRET}")
    running.ask("GET", "/livez", None, X_Custom=HEADER)
    stream = Stream(running.port, running.key, chat, ask(PROMPT * 50, model="slow", stream=True)).open()
    stream.close(reset=True)


def test_the_canary_scan(tmp_path: Path):
    """After every kind of request, good and bad, at the most talkative level, no file holds a prompt or a key."""
    write_echo(tmp_path, context=4096)
    write_echo(tmp_path, "slow", options={"delay": 0.05}, context=4096)
    with gateway(tmp_path, log_level="debug") as running:
        _everything(running)
        key = running.key
    scanned = 0
    for path in tmp_path.rglob("*"):
        if not path.is_file():
            continue
        data = path.read_bytes()
        scanned += 1
        assert PROMPT.encode() not in data, path
        assert SECRET.encode() not in data, path
        assert HEADER.encode() not in data, path
        if path.name != "admin.key":
            assert key.encode() not in data, path
    assert scanned >= 4
    assert "request_id" in (tmp_path / "serve.log").read_text()
