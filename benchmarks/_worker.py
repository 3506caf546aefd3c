"""
The child process that takes samples: one job per line in, one sample per line out.

It imports the measurement that a job names and, through it, only the library that the
job is about.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any

from benchmarks._limits import raise_open_files_limit
from benchmarks._processes import SAMPLE_TIMEOUT, Job, Sample


class TookTooLong(BaseException):
    """The sample is not there in time; no library should think it can handle that."""


def _out_of_time(*_: object) -> None:
    raise TookTooLong(f"no sample in {SAMPLE_TIMEOUT:g} s")


def _take(job: Job) -> Sample:
    measure = importlib.import_module(f"benchmarks.{job.measure}")
    gc.collect()
    signal.setitimer(signal.ITIMER_REAL, SAMPLE_TIMEOUT)
    try:
        sample: Sample = measure.sample(job)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return sample


def _answer(line: str) -> dict[str, Any]:
    try:
        return {"sample": _take(Job(**json.loads(line)))}
    except (Exception, TookTooLong) as exc:
        traceback.print_exc()
        return {"failed": f"{type(exc).__name__}: {exc}"}


def main() -> None:
    """Take samples until standard input closes."""
    raise_open_files_limit()
    signal.signal(signal.SIGALRM, _out_of_time)
    # What a library prints must not be taken for a sample.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(_answer(line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
