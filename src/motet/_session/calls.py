"""What the calls of a session and of `functional` have in common.

From the arguments of a call to the component that is said, and from the component to
the pending thunk of its answer. Nothing in here waits.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar

from .._language.blocks import CBlock
from .._language.component import Component, is_component
from .._language.context import SimpleContext
from .._language.instruction import Instruction
from .._language.message import Document, Message
from .._language.requirement import Requirement
from .._language.text import check_variables, fill_in
from .._programs.sampling.run import begin_sampled
from .._programs.sampling.strategies import RejectionSamplingStrategy
from .._thunk.generation import DEFAULT_LINGER
from .._thunk.thunk import ComputedModelOutputThunk, ModelOutputThunk
from .._values.misuse import WrongValue

if TYPE_CHECKING:
    from .._language.context import Context
    from .._language.schema import Format
    from .._programs.sampling.base import SamplingStrategy
    from .._runtime.owner import Owner
    from ..backends.base import Backend

_log: Final = logging.getLogger("motet")

S = TypeVar("S")

# One more try when a requirement is not met, and a plain call when there is none.
DEFAULT_STRATEGY: Final = RejectionSamplingStrategy(loop_budget=2)


class CallOptions(TypedDict, total=False):
    """Keywords of every call.

    Attributes:
        format: a pydantic model class or a JSON schema for the answer, whose text then
            is JSON: read it with ``YourModel.model_validate_json(thunk.value)``.
        model_options: options for this call, see `ModelOption`.
    """

    format: Format
    model_options: Mapping[str, Any] | None


class ToolOptions(CallOptions, total=False):
    """Keywords of calls that may offer tools.

    Attributes:
        tool_calls: whether the model may call the tools in the options, and those that
            components bring along.
    """

    tool_calls: bool


class ActOptions(ToolOptions, total=False):
    """Keywords of calls that may sample.

    Attributes:
        requirements: what the answer must be like.
        strategy: how to sample until it is; None for a single try that is not validated.
    """

    requirements: Sequence[Requirement | str] | None
    strategy: SamplingStrategy | None


class InstructOptions(ActOptions, total=False):
    """Keywords of an instruction; see `Instruction`."""

    images: list[Any] | None
    icl_examples: Sequence[str | CBlock | ModelOutputThunk[Any]] | None
    grounding_context: Mapping[str, Any] | None
    user_variables: Mapping[str, Any] | None
    prefix: str | None
    output_prefix: str | None


class ChatOptions(ToolOptions, total=False):
    """Keywords of a message; see `Message`.

    Attributes:
        images: images to send along.
        documents: documents to send along.
        user_variables: values for the content as a template.
    """

    images: list[Any] | None
    documents: Sequence[str | Document] | None
    user_variables: Mapping[str, Any] | None


def begin(
    action: Component[S] | Any,
    context: Context,
    backend: Backend,
    *,
    requirements: Sequence[Requirement | str] | None = None,
    strategy: SamplingStrategy | None = None,
    format: Any = None,
    model_options: Mapping[str, Any] | None = None,
    tool_calls: bool = False,
    owner: Owner | None = None,
    linger: float = DEFAULT_LINGER,
) -> ModelOutputThunk[Any]:
    """Start a generation, with a strategy or without; return its thunk. Not a checkpoint.

    Raises:
        TypeError, ValueError, WrongEventLoop, SessionClosed: as `Backend.begin`.
    """
    if not (isinstance(action, str | CBlock | ModelOutputThunk) or is_component(action)):
        raise TypeError(
            "action should be a component, such as an Instruction or a Message, "
            f"not {type(action).__name__}"
        )
    if requirements is not None:
        requirements = _requirements("requirements", requirements)
    if strategy is None:
        if requirements:
            _log.warning("without a strategy the requirements are told to the model, not checked")
        return backend.begin(
            action,
            context,
            format=format,
            model_options=model_options,
            tool_calls=tool_calls,
            owner=owner,
            linger=linger,
        )
    return begin_sampled(
        backend,
        action,
        context,
        strategy=strategy,
        requirements=requirements,
        format=format,
        model_options=model_options,
        tool_calls=tool_calls,
        owner=owner,
        linger=linger,
    )


def split_instruction(
    description: str, options: InstructOptions
) -> tuple[Instruction, dict[str, Any]]:
    """Return what an ``instruct`` call says, and the keywords for `begin`.

    Raises:
        TypeError, ValueError: an argument cannot be said; names it.
    """
    rest: dict[str, Any] = dict(options)
    instruction = Instruction(
        description=checked_text("description", description),
        requirements=rest.pop("requirements", None),
        icl_examples=rest.pop("icl_examples", None),
        grounding_context=rest.pop("grounding_context", None),
        user_variables=rest.pop("user_variables", None),
        prefix=rest.pop("prefix", None),
        output_prefix=rest.pop("output_prefix", None),
        images=rest.pop("images", None),
    )
    rest.setdefault("strategy", DEFAULT_STRATEGY)
    return instruction, {**rest, "requirements": instruction.requirements}


def split_message(content: str, role: str, options: ChatOptions) -> tuple[Message, dict[str, Any]]:
    """Return what a ``chat`` call says, and the keywords for `begin`.

    Raises:
        TypeError, ValueError: an argument cannot be said; names it.
    """
    rest: dict[str, Any] = dict(options)
    images, documents = rest.pop("images", None), rest.pop("documents", None)
    variables = rest.pop("user_variables", None)
    text = checked_text("content", content)
    if variables is not None:
        check_variables(variables)
        text = fill_in(text, variables, "content")
    return Message(role, text, images=images, documents=documents), rest


def check_options(call: str, options: Mapping[str, Any], known: type) -> None:
    """Refuse keywords that a call does not have, and flags that are none.

    Args:
        call: the name of the call.
        options: its keywords.
        known: the class of mappings, of those in this module, that has the keywords.

    Raises:
        TypeError: names the keyword.
    """
    names = list(known.__annotations__)
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names)}"
            raise TypeError(f"{call}() has no keyword {name!r}; {hint}")
    check_flags(tool_calls=options.get("tool_calls", False))


def check_flags(**flags: object) -> None:
    """Refuse flags that are neither True nor False.

    Raises:
        TypeError: names the first.
    """
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise TypeError(f"{name} should be True or False, not {flag!r}")


def check_results_wanted(wanted: bool, strategy: SamplingStrategy | None) -> None:
    """Refuse sampling results of a call that does not sample.

    Raises:
        ValueError: *wanted* without a strategy.
    """
    if wanted and strategy is None:
        raise WrongValue(
            "return_sampling_results needs a strategy; leave one of the two away, "
            "or pass a SamplingStrategy"
        )


def listed_requirements(
    reqs: Requirement | str | Sequence[Requirement | str],
) -> list[Requirement]:
    """Return what a ``validate`` call is to check, as requirements.

    Raises:
        TypeError: *reqs* or an element of it is neither a requirement nor text.
    """
    if isinstance(reqs, str | Requirement):
        return _requirements("reqs", [reqs])
    return _requirements("reqs", reqs)


def _requirements(what: str, given: Any) -> list[Requirement]:
    # A string is a sequence of strings, too, and never meant as one.
    if isinstance(given, str | Requirement) or not isinstance(given, Sequence):
        raise TypeError(
            f"{what} should be a list of strings and Requirements, not {type(given).__name__}"
        )
    for position, each in enumerate(given):
        if not isinstance(each, str | Requirement):
            raise TypeError(
                f"{what}[{position}] should be a string or a Requirement, not {type(each).__name__}"
            )
    return [Requirement(each) if isinstance(each, str) else each for each in given]


def validation_context(context: Context, output: Any, input: Any) -> Context:  # noqa: A002
    """Return the context whose last output is to be validated.

    Raises:
        TypeError: *input* is nothing that can be said.
    """
    if output is None:
        return context
    alone = SimpleContext()
    if input is not None:
        if not (isinstance(input, str | CBlock | ModelOutputThunk) or is_component(input)):
            raise TypeError(
                f"input should be a string, a block or a component, not {type(input).__name__}"
            )
        alone = alone.add(input)
    if isinstance(output, str):
        output = ModelOutputThunk(output)
    elif not isinstance(output, ModelOutputThunk):
        output = ModelOutputThunk(str(output))
    return alone.add(output)


async def computed(thunk: ModelOutputThunk[S]) -> ComputedModelOutputThunk[S]:
    """Wait for a thunk that nobody else has seen, and return it as computed.

    When the wait is given up, the request is stopped at once: nobody else can want it.
    """
    async with thunk:
        await thunk
    return ComputedModelOutputThunk(thunk)


def checked_text(what: str, text: object) -> str:
    """Return *text* if it is one.

    Raises:
        TypeError: it is not; names *what* it was given as.
    """
    if not isinstance(text, str):
        hint = "; a reply goes into user_variables" if isinstance(text, ModelOutputThunk) else ""
        raise TypeError(f"{what} should be a string, not {type(text).__name__}{hint}")
    return text
