"""From names to backends, contexts and sessions."""

from typing import Any

import pytest

import mellea
import motet
from mellea import model_ids
from mellea.backends import Backend, ModelOption
from mellea.backends.ollama import OllamaModelBackend
from mellea.backends.openai import OpenAIBackend
from mellea.core.base import AbstractMelleaTool, get_images_from_component
from mellea.stdlib.start_backend import backend_name_to_class, start_backend
from motet import ChatContext, ImageUrlBlock, Instruction, Message, Query, SimpleContext


def test_a_backend_has_a_name() -> None:
    assert backend_name_to_class("ollama") is OllamaModelBackend
    assert backend_name_to_class("openai") is OpenAIBackend
    assert backend_name_to_class("nothing") is None
    for name in ("hf", "huggingface", "watsonx", "litellm"):
        with pytest.raises(ImportError, match=f"'{name}' backend"):
            backend_name_to_class(name)
        with pytest.raises(ImportError, match=f"'{name}' backend"):
            mellea.start_session(name)
    with pytest.raises(Exception, match="Backend name nothing unknown"):
        start_backend("nothing")


def test_a_context_is_given_or_made() -> None:
    ctx: Any
    ctx, backend = start_backend(model_options={"seed": 1})
    assert isinstance(ctx, SimpleContext)
    assert backend.model_id == "granite4.1:3b"
    assert backend.model_options == {ModelOption.SEED: 1}
    assert isinstance(start_backend(context_type="chat")[0], ChatContext)
    assert isinstance(start_backend(context_type="simple")[0], SimpleContext)
    given = ChatContext()
    assert start_backend(ctx=given)[0] is given
    with pytest.raises(ValueError, match="Cannot specify both 'ctx' and 'context_type'"):
        mellea.start_session(ctx=given, context_type="chat")
    with pytest.raises(ValueError, match="context_type"):
        start_backend(context_type="other")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("backend", "model", "name"),
    [
        ("ollama", model_ids.IBM_GRANITE_4_1_3B, "granite4.1:3b"),
        ("openai", model_ids.OPENAI_GPT_5_1, "gpt-5.1"),
        ("openai", model_ids.IBM_GRANITE_4_1_3B, "ibm-granite/granite-4.1-3b"),
        ("ollama", "any", "any"),
    ],
)
def test_a_model_is_known_by_the_name_that_its_server_has(
    backend: str, model: Any, name: str
) -> None:
    options = {"api_key": "k", "base_url": "http://box/v1"} if backend == "openai" else {}
    session = mellea.start_session(backend, model, **options)
    assert session.backend.model_id == name
    assert isinstance(session.backend, Backend)


def test_a_session_starts_without_plugins(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ImportError, match="plugins"):
        mellea.start_session(plugins=[object()])
    with caplog.at_level("INFO", logger="mellea"):
        mellea.start_session(model_options={"seed": 1}, context_type="chat")
    (line,) = [each.getMessage() for each in caplog.records if each.name == "mellea"]
    assert line == (
        "Starting Mellea session: backend=ollama, model=granite4.1:3b, context=ChatContext, "
        "model_options={'seed': 1}"
    )


def test_images_of_a_component_are_found() -> None:
    images = [ImageUrlBlock("https://x/y")]
    assert get_images_from_component(Message("user", "x", images=images)) == images
    assert get_images_from_component(Instruction("x", images=images)) == images
    assert get_images_from_component(Message("user", "x")) is None
    assert get_images_from_component(Query("x", "y")) is None


def test_every_tool_is_one() -> None:
    assert issubclass(motet.MelleaTool, AbstractMelleaTool)

    class Own(AbstractMelleaTool):
        name = "own"

        def run(self, *args: Any, **kwargs: Any) -> Any:
            return kwargs

        @property
        def as_json_tool(self) -> dict[str, Any]:
            return {"type": "function", "function": {"name": "own", "parameters": {}}}

    assert Own().run(x=1) == {"x": 1}


def test_names_with_an_underscore_that_programs_use_are_there() -> None:
    from mellea.stdlib.context.compactor import _last_usage_tokens
    from mellea.stdlib.functional import _parse_and_clean_image_args
    from mellea.stdlib.requirements.tool_reqs import _name2str
    from mellea.stdlib.session import _resolve_context

    assert isinstance(_resolve_context(None, "chat"), ChatContext)
    images = [ImageUrlBlock("https://x/y")]
    assert _parse_and_clean_image_args(images) == images
    assert _parse_and_clean_image_args([]) is None
    with pytest.raises(AssertionError):
        _parse_and_clean_image_args("none")  # type: ignore[arg-type]
    assert (_name2str("a"), _name2str(len)) == ("a", "len")
    with pytest.raises(TypeError, match="Expected Callable or str"):
        _name2str(3)  # type: ignore[arg-type]
    old, new = motet.ModelOutputThunk[str]("x"), motet.ModelOutputThunk[str]("y")
    ctx = ChatContext().add(old).add(new)
    assert _last_usage_tokens(ctx) is None
    old.generation.usage = {"total_tokens": 7}
    assert _last_usage_tokens(ctx) == 7
    new.generation.usage = {"prompt_tokens": 1, "completion_tokens": 2}
    assert _last_usage_tokens(ctx) == 3
