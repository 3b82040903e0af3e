"""Tools of MCP servers, called by a real model of 135 million parameters."""

import json
import shutil
from pathlib import Path

import pytest

import weights
from gateway import gateway, write_model
from posting import Client
from toolserver import configured, tool_server

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_a_required_tool_is_called_with_arguments_that_fit(tmp_path: Path):
    """The model calls the tool that is required with arguments of its schema, streamed and not, and the answer ends."""
    (tmp_path / "models").mkdir(mode=0o700)
    shutil.copyfile(weights.smollm2(), tmp_path / "models" / weights.smollm2().name)
    write_model(tmp_path, "smollm2", engine="llama", files={"model": weights.smollm2().name}, context=2048)
    with (
        tool_server() as desk,
        gateway(tmp_path, mcp_servers=str(configured(tmp_path, desk, tools=["add"]))) as running,
    ):
        client = Client(running.port, running.key)
        body = {
            "messages": [{"role": "user", "content": "How much is 2 plus 3?"}],
            "tool_choice": {"type": "function", "function": {"name": "add"}},
            "temperature": 0,
            "max_tokens": 200,
        }
        status, answer = client.ask("POST", "/v1/mcp/chat/completions", body)
        assert status == 200, answer
        (choice,) = answer["choices"]
        assert choice["finish_reason"] in {"stop", "length"}
        assert choice["message"]["content"] or choice["finish_reason"] == "length"
        streamed = client.ask("POST", "/v1/mcp/chat/completions", {**body, "stream": True}, raw=True)
        assert streamed[0] == 200
        assert streamed[1].endswith(b"data: [DONE]\n\n")
        lines = [json.loads(line) for line in running.log.read_text().splitlines() if '"tool called"' in line]
        assert [line["outcome"] for line in lines if line["tool"] == "add"].count("ok") >= 2
