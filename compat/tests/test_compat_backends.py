"""Backends: motet's own under the documented names, and those that programs write."""

import pickle
import sys
import unittest.mock
from collections.abc import Mapping, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import mellea.core
import motet
from mellea import _client_errors
from mellea.backends import Backend, FormatterBackend, ModelOption
from mellea.backends.dummy import DummyBackend
from mellea.backends.ollama import OllamaModelBackend, chat_response_delta_merge
from mellea.backends.openai import OpenAIBackend
from mellea.core.backend import generate_walk
from mellea.formatters import ChatFormatter, TemplateFormatter
from motet import CBlock, ChatContext, Instruction, Message, ModelOutputThunk, SimpleContext
from motet.testing import open_server
from motet.testing.server import Refuse, Reply

pytestmark = pytest.mark.anyio


class Echo(FormatterBackend):
    """Says what it is told, in the words of its formatter, as programs write such a backend."""

    def __init__(self, formatter: Any = None) -> None:
        super().__init__("echo-1", formatter)
        self._provider = "echo"
        self.asked: list[tuple[Any, ...]] = []

    async def _generate_from_context(
        self,
        action: Any,
        ctx: Any,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> tuple[ModelOutputThunk[Any], Any]:
        self.asked.append((format, model_options, tool_calls))
        thunk: ModelOutputThunk[Any] = ModelOutputThunk(self.formatter.print(action))
        thunk.generation.usage = {"total_tokens": 3}
        return thunk, ctx.add(action).add(thunk)

    async def _generate_from_raw(
        self, actions: Sequence[Any], ctx: Any, **options: Any
    ) -> tuple[list[ModelOutputThunk[Any]], dict[str, Any] | None]:
        return [ModelOutputThunk(str(each)) for each in actions], None


class Bare(Backend):
    """One that says nothing of itself."""

    async def _generate_from_context(
        self, action: Any, ctx: Any, **options: Any
    ) -> tuple[ModelOutputThunk[Any], Any]:
        return ModelOutputThunk("bare"), ctx


async def test_a_backend_of_ones_own_answers_in_a_session() -> None:
    backend = Echo()
    async with motet.MelleaSession(backend, ChatContext()) as m:
        thunk = await m.ainstruct("Say {{x}}.", user_variables={"x": "hi"}, model_options={"a": 1})
        assert await thunk == "Say hi."
        assert thunk.parsed_repr == "Say hi."
        assert thunk.generation.usage == {"total_tokens": 3}
        assert (thunk.generation.model, thunk.generation.provider) == ("echo-1", "echo")
        assert (await m.achat("hello")).content == "hello"
        assert m.ctx.last_output() is not None
    assert backend.asked[0] == (None, {"a": 1}, False)


async def test_a_backend_of_ones_own_answers_by_itself() -> None:
    backend = Echo()
    thunk, ctx = await backend.generate_from_context(CBlock("x"), SimpleContext())
    assert thunk.is_computed()
    assert (thunk.value, thunk.parsed_repr, len(ctx.as_list())) == ("x", "x", 2)
    (reply,) = await backend.generate_from_raw([CBlock("y")])
    assert reply.value == "y"
    assert backend.model_id == backend._model_id == "echo-1"


async def test_a_backend_that_says_nothing_of_itself_works() -> None:
    backend = Bare()
    async with motet.MelleaSession(backend) as m:
        assert await (await m.ainstruct("x")) == "bare"
    assert backend.model_id is None
    assert backend.model_options == {}
    assert isinstance(backend.formatter, TemplateFormatter)
    with pytest.raises(AttributeError):
        backend.nothing  # noqa: B018
    with pytest.raises(NotImplementedError):
        await backend.generate_from_raw([CBlock("x")])


async def test_an_error_of_a_backend_of_ones_own_comes_out_as_it_is() -> None:
    class Broken(Bare):
        async def _generate_from_context(self, action: Any, ctx: Any, **options: Any) -> Any:
            raise LookupError("why")

    async with motet.MelleaSession(Broken()) as m:
        with pytest.raises(LookupError, match="why"):
            await m.achat("x")


async def test_the_dummy_says_what_it_is_told() -> None:
    backend = DummyBackend(["a", "b"])
    thunk, ctx = await backend.generate_from_context(CBlock("x"), SimpleContext())
    assert (thunk.value, ctx.last_output()) == ("a", thunk)
    async with motet.MelleaSession(backend) as m:
        assert (await m.achat("x")).content == "b"
        with pytest.raises(Exception, match="expected no more than 2 calls"):
            await m.achat("x")
    forever = DummyBackend(None)
    assert [each.value for each in await forever.generate_from_raw([CBlock("x")] * 2)] == [
        "dummy",
        "dummy",
    ]
    with pytest.raises(AssertionError):
        await forever.generate_from_context(CBlock("x"), SimpleContext(), format=dict)


async def test_pending_replies_are_found_wherever_they_are() -> None:
    one, two = ModelOutputThunk[str](None), ModelOutputThunk[str](None)
    action = Instruction("x", grounding_context={"a": one, "b": "c", "d": two})
    assert generate_walk(action) == [one, two]
    assert generate_walk(ModelOutputThunk("done")) == []
    with pytest.raises(ValueError, match="neither a block"):
        generate_walk(3)


def test_motets_backends_are_of_this_path() -> None:
    ollama = OllamaModelBackend("m", base_url="http://box:1")
    openai = OpenAIBackend("m", base_url="http://box:1/v1", api_key="secret")
    for backend, kind in ((ollama, motet.OllamaModelBackend), (openai, motet.OpenAIBackend)):
        assert isinstance(backend, FormatterBackend)
        assert isinstance(backend, kind)
        assert isinstance(backend.formatter, TemplateFormatter)
        assert backend._model_id == "m"
    assert (ollama._provider, openai._provider) == ("ollama", "openai")
    assert "secret" not in repr(openai) + str(openai)
    assert "***" in repr(openai)
    assert set(ollama.from_mellea_model_opts_map) <= set(ollama.to_mellea_model_opts_map.values())
    for context in ("chats", "completions"):
        back = getattr(openai, f"from_mellea_model_opts_map_{context}")
        assert set(back) <= set(getattr(openai, f"to_mellea_model_opts_map_{context}").values())


async def test_a_call_goes_to_the_server() -> None:
    async with open_server(default=Reply("hi")) as server:
        backend = OllamaModelBackend("m", base_url=server.url, model_options={"seed": 1})
        async with motet.MelleaSession(backend, ChatContext()) as m:
            assert (await m.achat("hello")).content == "hi"
            thunk, ctx = await backend._generate_from_context(Message("user", "x"), m.ctx)
            assert await thunk == "hi"
            assert len(ctx.as_list()) == 4
        thunks, usage = await backend._generate_from_raw([CBlock("y")], SimpleContext())
        assert [each.value for each in thunks] == ["hi"]
        assert usage is not None
        assert usage["total_tokens"] > 0
        await backend.close_idle()
    assert server.requests[0].body["options"] == {"seed": 1}


async def test_a_raw_reply_without_text_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with open_server(default=Reply("")) as server:
        backend = OllamaModelBackend("m", base_url=server.url)
        (thunk,) = await backend.generate_from_raw([CBlock("y")], SimpleContext())
        await backend.close_idle()
    assert thunk.value == ""
    assert isinstance(thunk.error, RuntimeError)
    assert "empty response" in str(thunk.error)
    assert not thunk.cancelled
    assert "empty response" in caplog.text


async def test_a_formatter_of_ones_own_has_the_words() -> None:
    class Loud(ChatFormatter):
        def print(self, c: Any) -> str:
            return str(c).upper()

    async with open_server(default=Reply("hi")) as server:
        backend = OllamaModelBackend("m", Loud(), server.url)
        async with motet.MelleaSession(backend, ChatContext()) as m:
            await m.achat("one")
            await m.achat("two")
    said = [each["content"] for each in server.requests[-1].body["messages"]]
    assert said == ["ONE", "HI", "TWO"]


class ResponseError(Exception):
    error: str
    status_code: int


class APIError(Exception):
    code: str | None


class BadRequestError(APIError):
    status_code: int


def client(name: str, *errors: type[Exception]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update({each.__name__: each for each in errors})
    return module


async def test_an_error_of_the_server_is_that_of_the_client_that_a_program_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_server() as server:
        server.script([Refuse(500, "no memory"), Refuse(500, "no memory")])
        backend = OllamaModelBackend("m", base_url=server.url)
        monkeypatch.delitem(sys.modules, "ollama", raising=False)
        async with motet.MelleaSession(backend) as m:
            with pytest.raises(motet.StatusError) as plain:
                await m.achat("x")
            assert type(plain.value) is motet.StatusError
            monkeypatch.setitem(sys.modules, "ollama", client("ollama", ResponseError))
            with pytest.raises(ResponseError) as caught:
                await m.achat("x")
    assert isinstance(caught.value, motet.StatusError)
    assert caught.value.status_code == caught.value.status == 500
    assert "no memory" in caught.value.error
    assert caught.value.backend == "ollama"
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is motet.StatusError
    assert again.status == 500


def test_each_error_has_one_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {
        name: type(name, (Exception,), {})
        for name in (
            "APIError", "APIStatusError", "APITimeoutError", "APIConnectionError",
            "InternalServerError", "NotFoundError", "RateLimitError",
        )
    }  # fmt: skip
    monkeypatch.setitem(sys.modules, "openai", client("openai", *theirs.values()))
    monkeypatch.setitem(sys.modules, "ollama", client("ollama", ResponseError))
    expected = {
        "RateLimitError": motet.StatusError("x", status=429),
        "InternalServerError": motet.StatusError("x", status=503),
        "APIStatusError": motet.StatusError("x", status=418),
        "NotFoundError": motet.ModelNotFound("x"),
        "APITimeoutError": motet.BackendTimeout("x"),
        "APIConnectionError": motet.BackendUnavailable("x"),
        "APIError": motet.ReplyError("x"),
    }
    for name, error in expected.items():
        both = _client_errors.for_openai(error)
        assert isinstance(both, theirs[name])
        assert isinstance(both, type(error))
        assert _client_errors.for_openai(both) is both
    cut = motet.TruncatedReply("x")
    assert _client_errors.for_openai(cut) is _client_errors.for_ollama(cut) is cut
    for ours, status in ((motet.ModelNotFound("x"), 404), (motet.ReplyError("x"), -1)):
        found: Any = _client_errors.for_ollama(ours)
        assert isinstance(found, ResponseError)
        assert found.status_code == status


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_BASE_URL"])
def test_a_server_needs_a_key_and_may_have_an_address(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    if name == "OPENAI_API_KEY":
        with pytest.raises(ValueError, match="OPENAI_API_KEY or api_key is required"):
            OpenAIBackend("m", base_url="http://box/v1")
    else:
        OpenAIBackend("m", api_key="k", unknown_to_us=1)
        assert "OpenAI's own server" in caplog.text
    with pytest.raises(NotImplementedError, match="left out"):
        OpenAIBackend("m", api_key="k", load_embedded_adapters=True)


def test_the_pieces_of_a_reply_are_folded_into_the_first() -> None:
    class Piece(SimpleNamespace):
        model_fields = dict.fromkeys(("model", "message", "done", "eval_duration"))

    def piece(content: str, *, done: bool = False, **more: Any) -> Piece:
        message = SimpleNamespace(
            role=more.pop("role", None),
            content=content,
            thinking=more.pop("thinking", None),
            tool_calls=more.pop("tool_calls", None),
        )
        return Piece(**{"model": None, "eval_duration": None, **more}, message=message, done=done)

    thunk: ModelOutputThunk[str] = ModelOutputThunk(None)
    first = piece("Hel", role="assistant", thinking="h", model="m")
    chat_response_delta_merge(thunk, first)
    assert thunk.raw.response is first
    chat_response_delta_merge(thunk, piece("lo", thinking="m", tool_calls=[1], model="n"))
    chat_response_delta_merge(thunk, piece("", done=True, tool_calls=[2], eval_duration=5))
    assert first.message.content == "Hello"
    assert first.message.thinking == "hm"
    assert first.message.tool_calls == [1, 2]
    assert (first.message.role, first.model, first.eval_duration) == ("assistant", "m", 5)
    assert first.done
    assert ModelOption.SEED


async def test_the_log_of_a_backend_of_ones_own_is_kept() -> None:
    class Logs(Bare):
        async def _generate_from_context(self, action: Any, ctx: Any, **options: Any) -> Any:
            thunk: Any = mellea.core.ModelOutputThunk("logged")
            thunk._generate_log = motet.GenerateLog(prompt="in its words", backend="own")
            thunk._meta["note"] = 1
            return thunk, ctx.add(action).add(thunk)

    m = mellea.MelleaSession(Logs())
    reply: Any = await m.ainstruct("x")
    assert await reply == "logged"
    assert (m.last_prompt(), reply.generate_log.backend) == ("in its words", "own")
    assert reply.generate_log.result is reply
    assert reply.generate_log.is_final_result
    assert reply.meta["note"] == 1


async def test_what_answers_as_a_backend_does_is_one() -> None:
    class Double:
        model_id = "double"

        async def generate_from_context(self, action: Any, ctx: Any, **options: Any) -> Any:
            thunk: Any = ModelOutputThunk("as told")
            return thunk, ctx.add(action).add(thunk)

        async def generate_from_raw(self, actions: Any, ctx: Any, **options: Any) -> Any:
            return [ModelOutputThunk("raw") for _ in actions]

    double: Any = Double()
    m = mellea.MelleaSession(double, ChatContext())
    assert m.ctx.model_id == "double"
    assert (await m.achat("x")).content == "as told"
    assert [each.value for each in await m.backend.generate_from_raw([CBlock("x")])] == ["raw"]
    mock = unittest.mock.MagicMock()
    mock.model_id = "mocked"
    assert mellea.MelleaSession(mock, ChatContext()).ctx.model_id == "mocked"
    with pytest.raises(TypeError, match="should be a Backend"):
        mellea.MelleaSession(None)  # type: ignore[arg-type]
