"""`make bench`: measures everything side by side and writes the table to benchmarks/results.md."""

import datetime as dt
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.measures import rows


def processor() -> str:
    """The name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main() -> None:
    """Measure and write."""
    head = (
        f"# Benchmarks\n\n`make bench` on {dt.datetime.now(dt.UTC):%Y-%m-%d}: {processor()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, xllamacpp {version('xllamacpp')}, SmolLM2-135M Q4_1.\n"
        "The baseline is the bare engine behind its own HTTP server (`benchmarks/bare.py`), in the same run.\n\n"
    )
    lines = ["| what | LocalAI | baseline | ratio | asked |", "|---|---|---|---|---|"]
    sys.stdout.write(head + "\n".join(lines) + "\n")
    for row in rows():
        lines.append(f"| {row.name} | {row.ours} | {row.baseline} | {row.ratio} | {row.asked} |")
        sys.stdout.write(lines[-1] + "\n")
        sys.stdout.flush()
    Path(__file__).with_name("results.md").write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
