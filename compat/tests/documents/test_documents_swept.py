"""The programs that the documents print, cancelled everywhere they can be, leave nothing."""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import pytest
from printed import body_and_call, code_of
from test_documents import PROGRAMS, TWO

import mellea.stdlib.start_backend
from motet.testing import ScriptedBackend, ScriptedRequest
from motet.testing.sweep import cancel_everywhere
from virtual_time import VIRTUAL_LOOPS

# Copies of a program in other documents, and `asyncio.gather`, which Trio does not have.
DISTINCT = {code_of(program): name for name, program in PROGRAMS.items()}
PAIRS = [
    pytest.param(name, loop, id=f"{name}-{loop}")
    for name in DISTINCT.values()
    for loop in VIRTUAL_LOOPS
    if "trio" not in loop or "asyncio.gather" not in PROGRAMS[name]
]


def answer(asked: ScriptedRequest) -> Any:
    if asked.schema is not None:
        return '{"result": "mixed"}'
    one, two = TWO.split(". ")
    return [1.0, f"{one}. ", 1.0, two]


@pytest.mark.parametrize(("name", "loop"), PAIRS)
def test_a_program_that_is_cancelled_leaves_nothing(
    name: str, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ScriptedBackend] = []

    def backend(*args: Any, **options: Any) -> ScriptedBackend:
        made.append(ScriptedBackend(answer))
        return made[-1]

    find: Callable[[str], Any] = lambda _: backend  # noqa: E731
    monkeypatch.setattr(mellea.stdlib.start_backend, "backend_name_to_class", find)
    monkeypatch.setenv("MELLEA_LOGS_CONSOLE", "false")
    body, call = body_and_call(PROGRAMS[name])
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(body, name, "exec"), names)

    async def scenario() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            await eval(call, names)

    async def after() -> None:
        assert [each.open_replies for each in made] == [0] * len(made)

    report = cancel_everywhere(scenario, loop=VIRTUAL_LOOPS[loop], patience=5.0, after=after)
    assert len(report.checkpoints) > 1
    assert made
