"""A server whose model calls what it is told to: `python obedient.py` is `localai serve` with such a model.

The lines of the last message of the user are calls, `NAME ARGUMENTS`: the model makes one a turn, and at the end says
`Got: ` and the last result. Whatever else is asked of it is answered as the echo engine does. Each of its workers is
`python -I obedient.py FD`. Only the model is a fake; all that carries it is real.
"""

import signal
import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from localai import wire
from localai.core.event import Done, Text, ToolCall, Usage
from localai.core.model import Loaded
from localai.core.task import Chat, Generate
from localai.engines.echo import EchoEngine
from misbehave import Worker
from scripted import said

OBEDIENT = (sys.executable, str(Path(__file__)))
"""How the server is started."""


def play(chat: Chat) -> ToolCall | Text:
    """What the model says next."""
    texts = said(chat)
    asked = max(place for place, message in enumerate(chat.messages) if message.role == "user")
    since = chat.messages[asked + 1 :]
    orders = texts[asked].splitlines()
    made = sum(len(message.calls) for message in since)
    if made < len(orders) and chat.tool_choice.mode != "none":
        name, _, arguments = orders[made].partition(" ")
        if name in {tool.name for tool in chat.tools}:
            return ToolCall(index=0, id=f"call_{made}", name=name, arguments=arguments or "{}")
    return Text(text=f"Got: {texts[-1]}" if since else "Nothing to do.")


class Obedient(Worker):
    """Does what it is told."""

    engine = EchoEngine()

    def load(self, message: wire.Load) -> None:
        """Be ready at once."""
        self.engine.load(message.model, message.sizing, Path())
        threading.Thread(target=self.beat, daemon=True).start()
        tasks = ("chat", "embed", "tokenize")
        context, slots = message.sizing.context, message.sizing.slots
        loaded = Loaded(tasks=tasks, slots=slots, context=context, tools=True, dimensions=8, memory=1)
        self.send(wire.Ready(loaded=loaded))

    def run(self, message: wire.Open) -> None:
        """Answer one task."""
        match message.task:
            case Generate(prompt=Chat() as chat):
                event = play(chat)
                self.emit(message.stream, event)
                used = Usage(prompt=len(chat.messages), completion=1)
                finish = "tool_calls" if isinstance(event, ToolCall) else "stop"
                self.emit(message.stream, Done(finish=finish, usage=used))
            case task:
                self.engine.run(task, lambda event: self.emit(message.stream, event), threading.Event())


def serve() -> int:
    """The real server with such workers."""
    from functools import partial

    from localai import app
    from localai.config import Settings
    from localai.fleet.fleet import Fleet

    app.Fleet = partial(Fleet, command=lambda descriptor: [sys.executable, "-I", str(Path(__file__)), str(descriptor)])
    return app.serve(Settings())


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(serve())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Obedient(socket.socket(fileno=int(sys.argv[1]))).serve()
