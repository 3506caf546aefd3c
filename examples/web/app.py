"""
A stream in a browser that is checked and repaired while it comes.

A web application for any ASGI server. The page shows the text as it is released, what had
to be taken out, and the attempt that follows; closing it stops the model. A simulated model
server in the same process plays the model, so there is nothing else to start:

    uvicorn --app-dir examples/web app:app
    hypercorn --worker-class trio examples/web/app:app

Then open http://127.0.0.1:8000.
"""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

import motet
from motet.streaming import EventStream, GoOn, StartOver
from motet.testing.server import Reply, open_server

PAGE = Path(__file__).with_name("page.html")

BEGUN = "The harbour lies in the morning light. Gulls cry over the quay. It has 14 cranes, built in 1887. It sleeps."
REST = "Old cranes lean over the water. Then the first boat comes in."
AFRESH = (
    "Morning comes to the harbour. Old cranes lean over the water. Then the first boat comes in."
)


class NoNumbers(motet.Requirement):
    """Refuses a sentence with a digit in it."""

    async def stream_validate(
        self, chunk: str, *, backend: motet.Backend, ctx: motet.Context
    ) -> motet.PartialValidationResult:
        if any(character.isdigit() for character in chunk):
            return motet.PartialValidationResult("fail", reason="There is a number in it.")
        return motet.PartialValidationResult("pass")

    async def validate(self, *_: Any, **__: Any) -> motet.ValidationResult:
        return motet.ValidationResult(True)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with (
        open_server(tokens_per_second=8) as server,
        motet.open_session(base_url=server.url) as m,
    ):
        app.state.server, app.state.m = server, m
        yield


async def page(request: Request) -> FileResponse:
    return FileResponse(PAGE)


async def answer(request: Request) -> EventStream:
    state = request.app.state
    goes_on = request.query_params.get("repair") == "go-on"
    # What the model will say; one of your own says what it wants.
    mine = f"Describe a harbour at dawn, for guest {next(guests)}."
    state.server.script(
        [Reply(BEGUN), Reply(REST if goes_on else AFRESH)],
        when=lambda asked: mine in asked.prompt,
    )
    return EventStream(
        lambda: state.m.stream_with_chunking(
            motet.Instruction(mine),
            requirements=[NoNumbers("There are no numbers.")],
            attempts=2,
            repair=GoOn() if goes_on else StartOver(),
        )
    )


async def serving(request: Request) -> JSONResponse:
    """Tell how many replies the model server is making."""
    return JSONResponse(request.app.state.server.serving)


guests = itertools.count(1)

app = Starlette(
    routes=[Route("/", page), Route("/answer", answer), Route("/serving", serving)],
    lifespan=lifespan,
)
