import os
import struct

import pytest

from localai.core.errors import InvalidModel
from localai.loader.window import Window


@pytest.fixture
def window(tmp_path):
    """Makes a window over given bytes."""
    opened = []

    def make(data, limit=2**30):
        path = tmp_path / f"file{len(opened)}"
        path.write_bytes(data)
        opened.append(os.open(path, os.O_RDONLY))
        return Window(opened[-1], len(data), limit)

    yield make
    for descriptor in opened:
        os.close(descriptor)


def test_take_and_skip_agree_on_the_position(window):
    """Taking and skipping, within a window and past it, go forward by what was asked."""
    data = bytes(range(256)) * 20_000
    reader = window(data)
    place = 0
    for count in (1, 1000, 2**20 + 5, 3, 2**20 * 2):
        assert reader.take(count) == data[place : place + count]
        place += count
        reader.skip(count // 3)
        place += count // 3
        assert reader.position == place
    assert reader.u32() == int.from_bytes(data[place : place + 4], "little")
    assert reader.u64() == int.from_bytes(data[place + 4 : place + 12], "little")


def test_the_end_and_the_limit_are_told_apart(window):
    """Reading past the file is a broken header, past the limit one that is too large."""
    with pytest.raises(InvalidModel, match="ends in the middle"):
        window(b"abc").take(4)
    with pytest.raises(InvalidModel, match="larger than"):
        window(bytes(100), 50).take(51)
    with pytest.raises(InvalidModel, match="ends in the middle"):
        window(b"abc").skip(2**63)


def test_strings_are_walked_across_windows(window):
    """A list of strings longer than the window ends exactly behind its last string."""
    strings = [b"x" * (number % 5000) for number in range(2000)]
    data = b"".join(struct.pack("<Q", len(each)) + each for each in strings) + b"END!"
    reader = window(data)
    assert reader.skip_strings(len(strings), 5000) == frozenset()
    assert reader.take(4) == b"END!"


def test_needles_are_found_in_every_window(window):
    """A needle is found wherever in the list it is."""
    for place in (0, 700, 1999):
        strings = [b"y" * 1000 for _ in range(2000)]
        strings[place] = b"needle"
        data = b"".join(struct.pack("<Q", len(each)) + each for each in strings)
        marks = ((b"\x06" + bytes(7) + b"needle",), (b"absent",))
        assert window(data).skip_strings(2000, 5000, marks) == frozenset((0,))


def test_a_string_that_is_too_long_is_refused(window):
    """A string beyond the limit is refused before it is read."""
    with pytest.raises(InvalidModel, match="too long"):
        window(struct.pack("<Q", 2**62)).skip_strings(1, 100)


def test_a_file_that_shrinks_is_refused(tmp_path):
    """A file that became shorter than it was when it was opened is refused."""
    path = tmp_path / "file"
    path.write_bytes(bytes(3 * 2**20))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        reader = Window(descriptor, 3 * 2**20, 2**30)
        reader.take(5)
        os.truncate(path, 2**20)
        reader.skip(2**20)
        with pytest.raises(InvalidModel, match="shorter"):
            reader.take(2**20)
    finally:
        os.close(descriptor)
