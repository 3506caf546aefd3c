"""
llama.cpp's own HTTP server, from the wheel of `xllamacpp`: ``python llama_server.py MODEL``.

It prints its address on a line, and runs until its standard input is closed.
"""

import sys

import xllamacpp


def main() -> None:
    """Serve the model."""
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.model_alias = {"tiny"}
    params.port = 0
    params.n_ctx = 4 * 16_384
    params.n_parallel = 4
    params.n_predict = -1
    params.warmup = False
    params.endpoint_metrics = True
    params.endpoint_slots = True
    params.cpuparams.n_threads = 1
    server = xllamacpp.Server(params)
    print(f"listening: {server.listening_address}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
