"""A worker that behaves badly on request: `python -I misbehave.py FD`. It speaks the wire and runs no engine.

It always ignores SIGTERM, and with the option `deaf` also the request to shut down.

What it does at the start is told by the options of the model, what it does with a request by the words of its prompt:

    say N [SECONDS]   N words, with a pause between them        hang        accept, never answer
    text              the rest of the prompt, as it is          half        one word, then silence
    drip              the same, one letter an event, and every byte of it in a write of its own
    die HOW           segv, abort, kill, exit0, exit137         flood       more than the credit allows
    late HOW          one word, then dies                       invalid     text that is no UTF-8
    calls N           N tool calls                              arguments N one call with N bytes of arguments
    stop              SIGSTOP itself                            garbage     a frame that is no message
    family            fork one child and one in a session of its own; answer with their process ids
    fail CODE         end with an error                         deaf        cancel is ignored: N seconds of silence
"""

import itertools
import os
import signal
import socket
import struct
import sys
import threading
import time

from localai import wire
from localai.core.event import Done, Event, Failed, Text, ToolCall, Usage
from localai.core.model import Loaded
from localai.core.task import Chat, Embed, Generate, Raw, TextPart


class Worker:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.lock = threading.Lock()
        self.frames = wire.Deframer()
        self.credit: dict[int, threading.Semaphore] = {}
        self.cancelled: set[int] = set()
        self.progress = 0
        self.options: dict[str, object] = {}

    def send(self, message: wire.ToGateway) -> None:
        self.raw(wire.frame(message))

    def raw(self, data: bytes) -> None:
        with self.lock:
            try:
                self.connection.sendall(data)
            except OSError:
                os._exit(0)

    def emit(self, stream: int, event: Event) -> None:
        if stream not in self.cancelled:
            self.credit[stream].acquire()
        self.progress += 1
        self.send(wire.Item(stream=stream, event=event))

    def serve(self) -> None:
        while data := self.connection.recv(65536):
            for body in self.frames.feed(data):
                self.hear(wire.decode_to_worker(body))
        os._exit(0)

    def hear(self, message: wire.ToWorker) -> None:
        match message:
            case wire.Load():
                self.options = message.model.options
                threading.Thread(target=self.load, args=(message,), daemon=True).start()
            case wire.Open():
                self.credit[message.stream] = threading.Semaphore(wire.WINDOW)
                threading.Thread(target=self.run, args=(message,), daemon=True).start()
            case wire.Cancel():
                self.cancelled.add(message.stream)
                self.credit[message.stream].release(10**6)
            case wire.Credit():
                self.credit[message.stream].release(message.items)
            case wire.Shutdown():
                if not self.options.get("deaf"):
                    os._exit(0)

    def load(self, message: wire.Load) -> None:
        if "begin" in self.options:
            die(str(self.options["begin"]))
        sys.stderr.write("x" * int(self.options.get("print", 0)) + "\nlast words\n")
        sys.stderr.flush()
        time.sleep(float(self.options.get("load", 0)))
        match self.options.get("start"):
            case None:
                pass
            case "hang":
                return
            case "unable":
                self.send(wire.Unable(code="invalid_model", message="This model is broken."))
                os._exit(1)
            case how:
                die(str(how))
        threading.Thread(target=self.beat, daemon=True).start()
        memory = int(self.options.get("memory", 1))
        tasks = ("chat", "complete")
        self.send(wire.Ready(loaded=Loaded(tasks=tasks, slots=message.sizing.slots, memory=memory)))

    def beat(self) -> None:
        while True:
            self.send(wire.Beat(progress=self.progress, busy=0, memory=int(self.options.get("memory", 1))))
            time.sleep(float(self.options.get("beat", wire.BEAT)))

    def run(self, message: wire.Open) -> None:  # noqa: PLR0912 - a flat list of everything it can do
        task, stream = message.task, message.stream
        if isinstance(task, Embed):
            self.emit(stream, Done())
            return
        assert isinstance(task, Generate)
        verb, _, rest = asked(task).partition(" ")
        match verb:
            case "say":
                count, _, pause = rest.partition(" ")
                self.say(stream, int(count), float(pause or 0))
            case "text":
                self.emit(stream, Text(text=rest))
                self.emit(stream, Done())
            case "drip":
                self.drip(stream, rest)
            case "die":
                die(rest)
            case "late":
                self.emit(stream, Text(text="one "))
                die(rest)
            case "invalid":
                body = wire.frame(wire.Item(stream=stream, event=Text(text="@@")))
                self.raw(body.replace(b"@@", b"\xff\xfe"))
            case "calls":
                for index in range(int(rest)):
                    self.emit(stream, ToolCall(index=index, id=f"call_{index}", name="no_such_tool", arguments="{"))
                self.emit(stream, Done(finish="tool_calls"))
            case "arguments":
                self.emit(stream, ToolCall(index=0, id="call_0", name="no_such_tool"))
                for _ in range(int(rest) // 1000):
                    self.emit(stream, ToolCall(index=0, arguments="x" * 1000))
                self.emit(stream, Done(finish="tool_calls"))
            case "half":
                self.emit(stream, Text(text="one "))
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "flood":
                for _ in range(10 * wire.WINDOW):
                    self.send(wire.Item(stream=stream, event=Text(text="drop ")))
            case "garbage":
                self.raw(struct.pack(">I", 3) + b"\xc1\xc1\xc1")
            case "family":
                self.emit(stream, Text(text=" ".join(map(str, family()))))
                self.emit(stream, Done())
            case "fail":
                self.emit(stream, Failed(code=rest, message="As you wish."))
            case "deaf":
                time.sleep(float(rest))
                self.emit(stream, Done())

    def drip(self, stream: int, text: str) -> None:
        for letter in text:
            for byte in wire.frame(wire.Item(stream=stream, event=Text(text=letter))):
                self.raw(bytes((byte,)))
        self.raw(wire.frame(wire.Item(stream=stream, event=Done(usage=Usage(completion=len(text))))))

    def say(self, stream: int, count: int, pause: float) -> None:
        said = 0
        for number in range(count):
            if stream in self.cancelled:
                break
            self.emit(stream, Text(text=f"{number} "))
            said += 1
            time.sleep(pause)
        self.emit(stream, Done(usage=Usage(completion=said)))


def asked(task: Generate) -> str:
    """A raw prompt, or the last message of a conversation."""
    if isinstance(task.prompt, Raw):
        return task.prompt.text
    assert isinstance(task.prompt, Chat)
    return "".join(part.text for part in task.prompt.messages[-1].content if isinstance(part, TextPart))


def die(how: str) -> None:
    sys.stderr.write(f"dying by {how}\n")
    sys.stderr.flush()
    match how:
        case "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case _:
            os._exit(int(how.removeprefix("exit")))
    threading.Event().wait()


def family() -> list[int]:
    """A child in the group, and a grandchild in a session of its own whose parent is gone; both ignore SIGTERM."""
    child = os.fork()
    if child == 0:
        sleep_for_ever()
    reading, writing = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.setsid()
        grandchild = os.fork()
        if grandchild == 0:
            sleep_for_ever()
        os.write(writing, str(grandchild).encode())
        os._exit(0)
    os.waitpid(middle, 0)
    return [child, int(os.read(reading, 32))]


def sleep_for_ever() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for _ in itertools.count():
        time.sleep(1000)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Worker(socket.socket(fileno=int(sys.argv[1]))).serve()
