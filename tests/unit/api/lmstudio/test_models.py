"""Models as LM Studio's clients read them."""

import pytest

from localai.api.lmstudio.models import begun, job, row
from localai.core.model import Model
from localai.fleet.snapshot import Row
from localai.loader.header import Header
from localai.service.about import About
from localai.service.errands import Installation
from localai.service.install import InstallProgress

HEADER = Header(architecture="qwen3", context=4096, quantisation="Q4_K_M", parameters=1_720_574_976)


def installation(**progress):
    return Installation("me", "starter", InstallProgress(**progress), 1.5)


def test_a_loaded_model():
    """A loaded model has one instance, called as the model, with the context it was really given."""
    model = Model(name="org/qwen3", engine="llama", tasks=("chat", "vision"), size=9)
    found = row(About(model=model, header=HEADER, running=Row(name="org/qwen3", state="ready", context=512, slots=3)))
    assert found["loaded_instances"] == [{"id": "org/qwen3", "config": {"context_length": 512, "parallel": 3}}]
    assert (found["type"], found["publisher"], found["key"], found["display_name"]) == (
        "llm",
        "org",
        "org/qwen3",
        "qwen3",
    )
    assert (found["max_context_length"], found["params_string"], found["size_bytes"]) == (4096, "1.72B", 9)
    assert found["quantization"]["name"] == "Q4_K_M"
    assert found["capabilities"]["vision"]


def test_other_models():
    """A model that is not loaded has no instance, and one that only embeds is an embedding model."""
    found = row(About(model=Model(name="m", engine="llama", tasks=("embed", "tokenize"))))
    assert (found["type"], found["loaded_instances"], found["architecture"]) == ("embedding", [], None)
    assert "capabilities" not in found


@pytest.mark.parametrize(
    ("count", "text"), [(134_515_008, "135M"), (7_241_732_096, "7.24B"), (5_000, "5K"), (12, "12"), (0, None)]
)
def test_parameters_as_people_write_them(count, text):
    """The number of weights is written as in the names of models."""
    header = Header(architecture="x", parameters=count)
    assert row(About(model=Model(name="m", engine="llama"), header=header))["params_string"] == text


def test_a_download():
    """A download has a job with its size; one that is there already has none."""
    going = installation(phase="downloading", done=5, total=10, name="m")
    assert begun(going) == {
        "job_id": going.id,
        "status": "downloading",
        "total_size_bytes": 10,
        "started_at": "1970-01-01T00:00:01.500Z",
    }
    assert job(going)["downloaded_bytes"] == 5
    assert begun(installation(phase="installed", name="m", already=True)) == {"status": "already_downloaded"}


@pytest.mark.parametrize(("phase", "status"), [("installed", "completed"), ("failed", "failed")])
def test_the_end_of_a_download(phase, status):
    """A download that ended says how and when, and why when it failed."""
    ended = installation(phase=phase, name="m", error="It broke." if phase == "failed" else None)
    ended.ended = 3.0
    found = job(ended)
    assert (found["status"], found["completed_at"]) == (status, "1970-01-01T00:00:03.000Z")
    assert found.get("error") == ("It broke." if phase == "failed" else None)
