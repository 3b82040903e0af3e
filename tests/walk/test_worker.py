"""A real worker process, from the first frame to the last."""

import contextlib
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from localai import wire
from localai.core.event import Done, Failed, Text, Vector
from localai.core.model import Model, Sizing
from localai.core.task import Chat, Embed, Generate, Message, Raw, TextPart, Tokenize
from workers import Worker, gone

SIZING = Sizing(context=100_000, slots=2)


def echo(**options: float) -> Model:
    return Model(name="echo", engine="echo", options=options)


@pytest.fixture
def worker(tmp_path):
    made = Worker(tmp_path)
    yield made
    made.close()


def test_a_request_is_answered_and_ends_once(worker):
    """A worker loads, says that it is ready, and answers a request with events and one Done."""
    ready = worker.load(echo(), SIZING)
    assert isinstance(ready, wire.Ready) and "chat" in ready.loaded.tasks and ready.loaded.memory > 0
    message = Message(role="user", content=(TextPart(text="to be or not"),))
    events = worker.ask(1, Generate(prompt=Chat(messages=(message,))))
    assert "".join(event.text for event in events if isinstance(event, Text)) == "to be or not"
    assert sum(isinstance(event, Done | Failed) for event in events) == 1


def test_streams_run_at_the_same_time(worker):
    """Two requests on one connection both come to their end, whatever their order."""
    worker.load(echo(delay=0.01), SIZING)
    for stream in (1, 2):
        worker.send(wire.Open(stream=stream, task=Generate(prompt=Raw(text=f"one two {stream}"))))
    ended: dict[int, str] = {1: "", 2: ""}
    done = set()
    while done != {1, 2}:
        item = worker.next()
        if isinstance(item.event, Text):
            ended[item.stream] += item.event.text
        if isinstance(item.event, Done):
            done.add(item.stream)
    assert ended == {1: "one two 1", 2: "one two 2"}


def test_no_more_than_the_window_is_under_way(worker):
    """Without credit a stream stops after WINDOW items, others go on, and it goes on when credit comes."""
    worker.load(echo(), SIZING)
    words = "a " * (wire.WINDOW * 2)
    worker.send(wire.Open(stream=1, task=Generate(prompt=Raw(text=words))))
    for _ in range(wire.WINDOW):
        assert worker.next().stream == 1
    assert isinstance(worker.ask(2, Tokenize(text="x y"))[-1], Done)
    worker.send(wire.Credit(stream=1, items=10))
    for _ in range(10):
        assert worker.next().stream == 1
    worker.send(wire.Credit(stream=1, items=10_000))
    assert isinstance(worker.rest(1)[-1], Done)


def test_cancel_wakes_a_stream_that_waits_for_credit(worker):
    """A cancelled stream that is out of credit ends, and its thread serves the next request."""
    worker.load(echo(), Sizing(context=100_000, slots=1))
    worker.send(wire.Open(stream=1, task=Generate(prompt=Raw(text="a " * 5000))))
    for _ in range(wire.WINDOW):
        worker.next()
    worker.send(wire.Cancel(stream=1))
    last = worker.next()
    assert last.stream == 1 and isinstance(last.event, Done | Failed)
    assert isinstance(worker.ask(2, Generate(prompt=Raw(text="b")))[-1], Done)


def test_cancel_before_it_begins(worker):
    """A request that waits behind others ends at once when it is cancelled."""
    worker.load(echo(delay=0.05), Sizing(context=100_000, slots=1))
    worker.send(wire.Open(stream=1, task=Generate(prompt=Raw(text="a " * 5000))))
    worker.send(wire.Open(stream=2, task=Generate(prompt=Raw(text="b"))))
    worker.send(wire.Cancel(stream=2))
    while (item := worker.next()).stream != 2:
        pass
    assert item.event.code == "cancelled"


def test_an_error_of_the_tree_keeps_its_code(worker):
    """What an engine raises from the tree of errors arrives with its code and message."""
    worker.load(echo(), Sizing(context=10, slots=1))
    (failed,) = worker.ask(1, Generate(prompt=Raw(text="a " * 50)))[-1:]
    assert failed.code == "context_length_exceeded" and "51 tokens" in failed.message


def test_a_bug_of_an_engine_tells_nothing_of_the_prompt(worker):
    """Any other exception becomes internal_error, and standard error names its type and place but no text."""
    worker.load(echo(dimensions=-1), SIZING)
    events = worker.ask(1, Embed(inputs=("CANARY",)))
    assert isinstance(events[-1], Failed) and events[-1].code == "internal_error"
    assert isinstance(worker.ask(2, Tokenize(text="x"))[-1], Done)
    worker.send(wire.Shutdown())
    said = worker.stderr()
    assert "Error\n" in said and "echo.py" in said and "CANARY" not in said


def test_what_cannot_be_loaded_says_why(worker):
    """An engine that does not exist is reported as Unable with the names that do, and the process ends."""
    unable = worker.load(Model(name="x", engine="nonsense"))
    assert isinstance(unable, wire.Unable) and unable.code == "model_load_failed" and "echo" in unable.message
    assert worker.process.wait(10) == 1


def test_it_beats_while_loading_and_after(worker):
    """Heartbeats come while the model loads and after, with the phase, resident memory and growing progress."""
    worker.send(wire.Load(model=echo(load=1.2), sizing=SIZING))
    assert worker.next(beats=True).phase == "loading"
    assert isinstance(worker.next(), wire.Ready)
    assert all(beat.phase == "loading" and beat.memory > 2**20 for beat in worker.beats)
    worker.ask(1, Generate(prompt=Raw(text="a b c")))
    while not isinstance(beat := worker.next(beats=True), wire.Beat) or beat.phase != "ready" or beat.progress < 4:
        pass
    assert beat.busy == 0 and beat.memory > 2**20


def test_it_leaves_when_the_gateway_does(worker):
    """The end of the connection is the end of the worker, even in the middle of a request."""
    worker.load(echo(delay=0.05), SIZING)
    worker.send(wire.Open(stream=1, task=Generate(prompt=Raw(text="a " * 5000))))
    worker.next()
    worker.socket.close()
    assert worker.process.wait(5) == 0


def test_it_dies_with_its_parent(tmp_path):
    """When the process that started it is killed, a worker is gone although its connection is still open."""
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        from workers import Worker
        from localai.core.model import Model, Sizing
        worker = Worker(Path(sys.argv[1]))
        worker.load(Model(name="echo", engine="echo"))
        worker.socket.set_inheritable(True)
        print(worker.process.pid, flush=True)
        sys.stdin.read()
        """
    )
    folder = str(Path(__file__).parent.parent)
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with contextlib.closing(parent.stdin), contextlib.closing(parent.stdout):
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        assert gone(pid)


def test_shutdown_is_orderly(worker):
    """After Shutdown running requests end, then the process leaves with status 0."""
    worker.load(echo(delay=0.05), SIZING)
    worker.send(wire.Open(stream=1, task=Generate(prompt=Raw(text="a " * 5000))))
    worker.next()
    worker.send(wire.Shutdown())
    events = worker.rest(1)
    assert isinstance(events[-1], Done | Failed)
    assert worker.process.wait(10) == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (struct.pack(">I", 5) + b"\xc1\xc1\xc1\xc1\xc1", "could not be understood"),
        (struct.pack(">I", 2**31), "too large"),
        (wire.frame(wire.Load(model=echo(), sizing=SIZING)), "second Load"),
    ],
)
def test_garbage_ends_the_worker_with_a_reason(worker, data, reason):
    """A frame that makes no sense ends the process, and standard error says why."""
    worker.load(echo(), SIZING)
    worker.socket.sendall(data)
    assert reason in worker.stderr()
    assert worker.process.returncode == 2


def test_the_first_message_has_to_be_load(worker):
    """A connection that does not begin with Load is left at once."""
    worker.send(wire.Cancel(stream=1))
    assert "not Load" in worker.stderr()


def test_an_interrupt_is_not_for_it(worker):
    """Ctrl-C on the terminal reaches the gateway only: a worker ignores the signal."""
    worker.load(echo(), SIZING)
    worker.process.send_signal(signal.SIGINT)
    assert isinstance(worker.ask(1, Tokenize(text="x"))[-1], Done)


def test_a_stream_too_large_for_a_frame_fails(worker):
    """An event that no frame can carry fails its stream and leaves the connection usable."""
    worker.load(echo(dimensions=wire.FRAME_LIMIT // 4 + 1), SIZING)
    events = worker.ask(1, Embed(inputs=("a",)))
    assert isinstance(events[-1], Failed) and not any(isinstance(event, Vector) for event in events)
    assert isinstance(worker.ask(2, Tokenize(text="x"))[-1], Done)
