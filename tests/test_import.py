"""`import motet` is cheap: it loads nothing heavy and starts nothing."""

import json
import subprocess
import sys

import pytest

HEAVY = ["trio", "httpx2", "pydantic", "jinja2"]

PROBE = """
import json, sys, threading
import motet
print(json.dumps({"modules": sorted(sys.modules), "threads": threading.active_count()}))
"""


@pytest.fixture(scope="module")
def after_import() -> dict[str, object]:
    """What a fresh interpreter holds after `import motet`."""
    ran = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    facts: dict[str, object] = json.loads(ran.stdout)
    return facts


@pytest.mark.parametrize("module", HEAVY)
def test_importing_motet_does_not_load(module: str, after_import: dict[str, object]) -> None:
    modules = after_import["modules"]
    assert isinstance(modules, list)
    assert module not in modules


def test_importing_motet_starts_no_thread(after_import: dict[str, object]) -> None:
    assert after_import["threads"] == 1
