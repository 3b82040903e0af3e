"""What is known of an installed model."""

import pytest

from localai.core.model import Model
from localai.fleet.snapshot import Row
from localai.loader.header import Header
from localai.service.about import About


@pytest.mark.parametrize(
    ("running", "written", "trained", "default", "context"),
    [
        (64, 128, 256, 512, 64),
        (0, 128, 256, 512, 128),
        (None, 128, 256, 512, 128),
        (None, None, 256, 512, 256),
        (None, None, 1024, 512, 512),
        (None, None, 0, 512, 512),
        (None, None, 1024, 0, 1024),
        (None, None, 0, 0, 0),
    ],
)
def test_the_context_that_counts(running, written, trained, default, context):
    """What was granted counts, then what the file says, then the lesser of the server's and the trained one."""
    row = None if running is None else Row(name="m", state="ready", context=running)
    model = Model(name="m", engine="llama", context=written)
    header = Header(architecture="x", context=trained)
    assert About(model=model, header=header, running=row, default=default).context == context


def test_what_it_takes_and_gives():
    """Senses and kinds of answers follow from what it can do."""
    found = About(model=Model(name="m", engine="llama", tasks=("chat", "vision", "hearing", "embed", "rerank")))
    assert found.inputs == ("text", "image", "audio")
    assert found.outputs == ("text", "embeddings", "scores")
    assert found.state is None
