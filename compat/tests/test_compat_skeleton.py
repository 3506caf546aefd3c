"""What the skeleton promises: it imports, it has the distribution's version, it starts nothing."""

import importlib.metadata
import subprocess
import sys

import mellea

PROBE = """
import threading
import mellea
print(threading.active_count(), *sorted(set(mellea.__all__)))
"""


def test_the_version_is_that_of_the_distribution() -> None:
    assert mellea.__version__ == importlib.metadata.version("motet-mellea")


def test_importing_starts_no_thread() -> None:
    ran = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1", "__version__"]
