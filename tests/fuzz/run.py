"""
Fuzz one parser with atheris, guided by the code that its inputs reach.

    make fuzz                            every target, SECONDS for each
    python -m fuzz.run chunked -max_total_time=60      one, with options of libFuzzer

What makes a target fail is written to a file ``crash-...`` in the working directory.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["motet", "fuzz"]):
    from fuzz.targets import SEEDS, TARGETS


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"name a target: {', '.join(TARGETS)}")
    name, options = sys.argv[1], sys.argv[2:]
    corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    for number, seed in enumerate(SEEDS[name]):
        (corpus / str(number)).write_bytes(seed)
    atheris.Setup([f"fuzz.run {name}", str(corpus), *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
