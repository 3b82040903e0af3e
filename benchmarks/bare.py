"""The baseline: the bare engine behind its own HTTP server, nothing of ours in between.

`python -m benchmarks.bare MODEL PORT [--slots N] [--batch N] [--ubatch N] [--context N]`; the defaults are those of
llama-server (batch 2048/512, four slots that share one pool of the trained context).
"""

import argparse
import threading

import xllamacpp


def main() -> None:
    """Serve until killed; prints "ready" when the model answers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("port", type=int)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--ubatch", type=int, default=512)
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--separate", action="store_true", help="a context of its own for each slot, as ours")
    given = parser.parse_args()
    params = xllamacpp.CommonParams()
    params.model.path = given.model
    params.hostnames = ["127.0.0.1"]
    params.port = given.port
    params.ui = False
    params.n_parallel = given.slots
    params.n_ctx = given.context * given.slots if given.separate else given.context
    params.kv_unified = not given.separate
    params.n_batch = given.batch
    params.n_ubatch = given.ubatch
    server = xllamacpp.Server(params)
    print("ready", server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
