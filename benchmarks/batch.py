"""How long a running stream stands still while a long prompt arrives, by the size of a prompt batch.

Usage: python benchmarks/batch.py MODEL.gguf [--threads 2] [--prompt 4000]
Prints, for each n_batch/n_ubatch: the worst and the median gap between two tokens of a greedy stream, and how fast
the prompt was read meanwhile. The last row is llama.cpp's own default.
"""

import argparse
import importlib
import statistics
import tempfile
import threading
import time
from pathlib import Path

xllamacpp = importlib.import_module("xllamacpp")

SIZES = ((32, 32), (64, 64), (128, 128), (256, 256), (512, 512), (2048, 512))


def measure(model: str, batch: int, ubatch: int, threads: int, prompt: int) -> tuple[float, float, float]:
    """Worst gap and median gap in seconds, and prompt tokens a second."""
    with tempfile.TemporaryDirectory() as folder:
        params = xllamacpp.CommonParams()
        params.model.path = model
        params.n_parallel, params.n_ctx = 2, 2 * (prompt + 1024)
        params.n_batch, params.n_ubatch = batch, ubatch
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.hostnames = [str(Path(folder) / "x.sock")]
        params.verbosity, params.ui, params.fit_params, params.cache_ram_mib = 0, False, False, 0
        server = xllamacpp.Server(params)
        times: list[float] = []
        speed: list[float] = []
        running, over = threading.Event(), threading.Event()

        def hear(_chunk: dict) -> bool:
            times.append(time.perf_counter())
            if len(times) > 10:
                running.set()
            return over.is_set()

        def stream() -> None:
            asked = {"prompt": "Once upon a time", "stream": True, "max_tokens": 100_000, "temperature": 0}
            server.handle_completions(asked | {"ignore_eos": True}, hear)

        def read(chunk: dict) -> bool:
            speed.extend([chunk["timings"]["prompt_per_second"]] if "timings" in chunk else [])
            return False

        thread = threading.Thread(target=stream)
        thread.start()
        running.wait()
        begin = len(times)
        server.handle_completions(
            {"prompt": "word " * prompt, "stream": True, "max_tokens": 2, "cache_prompt": False}, read
        )
        gaps = [later - earlier for earlier, later in zip(times[begin - 1 :], times[begin:], strict=False)]
        over.set()
        thread.join()
        return max(gaps), statistics.median(gaps), speed[-1]


def main() -> None:
    """Measure every size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=4000)
    given = parser.parse_args()
    print("batch/ubatch  worst gap  median gap  prompt tok/s")
    for batch, ubatch in SIZES:
        worst, median, speed = measure(given.model, batch, ubatch, given.threads, given.prompt)
        print(f"{batch:>6}/{ubatch:<6} {worst:8.2f} s {median:9.3f} s {speed:11.0f}", flush=True)


if __name__ == "__main__":
    main()
