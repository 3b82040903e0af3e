"""The estimate against what the engine takes."""

import json
import subprocess
import sys

import pytest

import weights
from localai.loader.inspect import inspect
from localai.loader.memory import estimate

_PROGRAM = """
import ctypes, json, sys
import msgspec, xllamacpp
given = json.loads(sys.argv[1])
params = xllamacpp.CommonParams()
params.model.path = given["path"]
params.n_ctx = given["context"] * given["slots"]
params.n_parallel = given["slots"]
params.kv_unified = False
params.n_batch = params.n_ubatch = given["batch"]
params.warmup = True
params.cache_ram_mib = 0
params.fit_params = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
kind = getattr(xllamacpp.ggml_type, "GGML_TYPE_" + given["cache"].upper())
params.cache_type_k = params.cache_type_v = kind
params.embedding = given["embedding"]
server = xllamacpp.Server(params)
if given["embedding"]:
    server.handle_embeddings({"input": "hello world " * 40})
else:
    server.handle_completions({"prompt": "hello world " * 100, "max_tokens": 4})
fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
print("RESIDENT", int(fields["VmRSS"].split()[0]) * 1024)
"""


def _taken(path, context, slots, batch, cache, *, embedding):
    given = {"path": str(path), "context": context, "slots": slots, "batch": batch, "cache": cache}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(given | {"embedding": embedding})],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout.rsplit("RESIDENT", 1)[1])


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident set from /proc")
@pytest.mark.parametrize(
    ("context", "slots", "cache"),
    [(512, 1, "f16"), (2048, 1, "f16"), (8192, 1, "f16"), (2048, 4, "f16"), (8192, 2, "q8_0"), (8192, 1, "q4_0")],
)
def test_a_chat_model_takes_what_was_estimated(context, slots, cache):
    """A loaded chat model takes at most 5 % more and at most 15 % less than the estimate."""
    path = weights.smollm2()
    options = {"cache_type_k": cache, "cache_type_v": cache, "cache_ram": 0}
    expected = estimate(inspect(path), context=context, slots=slots, batch=128, options=options).total
    assert 0.95 < expected / _taken(path, context, slots, 128, cache, embedding=False) < 1.15


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident set from /proc")
def test_an_embedding_model_takes_what_was_estimated():
    """A loaded embedding model takes at most 5 % more and at most 20 % less than the estimate."""
    path = weights.minilm()
    expected = estimate(inspect(path), context=512, slots=1, batch=512).total
    assert 0.95 < expected / _taken(path, 512, 1, 512, "f16", embedding=True) < 1.2
