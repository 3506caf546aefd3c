"""What every test may use: the event loops that motet promises to run on."""

import os
import signal

from loops import anyio_backend as anyio_backend

# Checked by mypy, never run.
collect_ignore = ["typing"]
# They need packages that are not the tests' own; `make real-servers` and `make transformers-serve` run them.
if "MOTET_REAL_SERVERS" not in os.environ:
    collect_ignore.append("real_servers")

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them the
# programs that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The tests run in Python's development mode with warnings as errors, and are told so by
# variables, for the processes that share the work. The programs they start run as users' do.
for _name in ("PYTHONDEVMODE", "PYTHONWARNINGS"):
    os.environ.pop(_name, None)
