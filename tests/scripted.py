"""A server whose model plays a script, for programs that need a model that follows instructions.

`python scripted.py` is `localai serve` with such models; each of its workers is `python -I scripted.py FD`. Asked about
a file NOTE.txt with tools at hand, the model first calls the tool that reads it, then repeats the word SECRET-... of
what the tool answered. Everything else it answers with "Understood.". Only the model is a fake; all that carries it is
real.
"""

import json
import re
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from localai import wire
from localai.core.event import Done, Text, Tokens, ToolCall, Usage
from localai.core.task import Chat, Generate, Render, TextPart, Tokenize
from misbehave import Worker

NOTE = re.compile(r"(/\S*/NOTE\.txt)")
SECRET = re.compile(r"SECRET-\w+")


def reading(tool: str, path: str) -> dict[str, object] | None:
    """The arguments with which this tool reads a file; None when it cannot."""
    match tool.rsplit(".", 1)[-1]:
        case "Read":
            return {"file_path": path}
        case "read":
            return {"filePath": path}
        case "exec_command":
            return {"cmd": f"cat {path}"}
        case "shell_command":
            return {"command": f"cat {path}"}
        case "shell":
            return {"command": ["cat", path]}
        case _:
            return None


def said(chat: Chat) -> list[str]:
    """The text of each message."""
    return ["".join(part.text for part in message.content if isinstance(part, TextPart)) for message in chat.messages]


def play(chat: Chat) -> tuple[ToolCall | Text, str]:
    """What the model says next, and why it ends."""
    texts = said(chat)
    answers = [text for text, message in zip(texts, chat.messages, strict=True) if message.role == "tool"]
    if answers:
        found = SECRET.findall("\n".join(answers))
        return Text(text=f"The note says {found[-1] if found else 'nothing'}."), "stop"
    notes = NOTE.findall("\n".join(texts))
    for tool in chat.tools if notes else ():
        arguments = reading(tool.name, notes[-1])
        if arguments is not None:
            return ToolCall(index=0, id="call_1", name=tool.name, arguments=json.dumps(arguments)), "tool_calls"
    return Text(text="Understood."), "stop"


class Scripted(Worker):
    """Answers by the script."""

    def run(self, message: wire.Open) -> None:
        """Answer one task."""
        match message.task:
            case Generate(prompt=Chat() as chat):
                event, finish = play(chat)
                self.emit(message.stream, event)
                used = Usage(prompt=sum(map(len, said(chat))) // 4, completion=1)
                self.emit(message.stream, Done(finish="tool_calls" if finish == "tool_calls" else "stop", usage=used))
            case Render(chat=chat):
                self.emit(message.stream, Text(text="\n".join(said(chat))))
                self.emit(message.stream, Done())
            case Tokenize(text=text):
                words = text.split()
                self.emit(message.stream, Tokens(ids=tuple(map(len, words)), pieces=tuple(map(str.encode, words))))
                self.emit(message.stream, Done())
            case _:
                self.emit(message.stream, Text(text="Understood."))
                self.emit(message.stream, Done())


def command(descriptor: int) -> Sequence[str]:
    """How a worker of this server is started."""
    return [sys.executable, "-I", str(Path(__file__)), str(descriptor)]


def serve() -> int:
    """The real server with scripted workers."""
    from functools import partial

    from localai import app
    from localai.config import Settings
    from localai.fleet.fleet import Fleet

    app.Fleet = partial(Fleet, command=command)
    return app.serve(Settings())


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(serve())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Scripted(socket.socket(fileno=int(sys.argv[1]))).serve()
