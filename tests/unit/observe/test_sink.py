"""The queue between the server and whoever reads its log."""

import os

from localai.observe.sink import Sink


def test_lines_arrive():
    """Lines are written in their order."""
    read, write = os.pipe()
    sink = Sink(write)
    for number in range(100):
        sink.write(b"%d\n" % number)
    sink.close()
    os.close(write)
    with os.fdopen(read, "rb") as reader:
        assert reader.read().split() == [b"%d" % number for number in range(100)]


def test_blocked_reader():
    """F34: a reader that does not read blocks nobody; what finds no room is dropped and counted."""
    read, write = os.pipe()
    sink = Sink(write, size=10)
    for _ in range(1000):
        sink.write(b"x" * 4096 + b"\n")
    assert sink.lost > 900
    sink.close(patience=0.01)
    os.close(read)


def test_closed_descriptor():
    """F34: a descriptor that is closed raises nowhere; its records are counted as lost."""
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    sink = Sink(write)
    sink.write(b"x\n")
    sink.close()
    assert sink.lost == 1


def test_close_unused():
    """A sink that was never used closes."""
    Sink(2).close()
