"""`Instruction`: what `instruct` says to a model."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from .._thunk.thunk import ModelOutputThunk
from .blocks import CBlock, as_images
from .component import Component, TemplateRepresentation, blockify
from .text import check_template, check_variables, fill_in


@runtime_checkable
class Condition(Protocol):
    """What an instruction needs of a requirement."""

    @property
    def description(self) -> str | None:
        """What is required, in words for the model; None for what only code can check."""

    @property
    def check_only(self) -> bool:
        """Whether the model should not be told."""


class Instruction(Component[str]):
    """A task for a model, with what it may use and what the answer must be like.

    With *user_variables*, the texts are Jinja templates: unknown variables become empty
    and the values are data, braces in them included. A variable and a grounding value
    may be a reply that has not arrived yet; the call waits for it.

    Args:
        description: what to do.
        requirements: what the answer must be like: text, or requirements.
        icl_examples: examples of good answers.
        grounding_context: what to rely on, by name.
        user_variables: values for the templates.
        prefix: text before everything else.
        output_prefix: how the answer begins; not together with *user_variables*.
        images: images to send along.

    Raises:
        TypeError: an argument is of a type that cannot be said.
        ValueError: a text is no valid template.
    """

    def __init__(
        self,
        description: str | CBlock | None = None,
        requirements: Sequence[Condition | str] | None = None,
        icl_examples: Sequence[str | CBlock] | None = None,
        grounding_context: Mapping[str, Any] | None = None,
        user_variables: Mapping[str, Any] | None = None,
        prefix: str | CBlock | None = None,
        output_prefix: str | CBlock | None = None,
        images: list[Any] | None = None,
    ) -> None:
        if user_variables is not None:
            check_variables(user_variables)
            if output_prefix is not None:
                raise TypeError(
                    "output_prefix is not supported together with user_variables; "
                    "write it out, or leave one of them away"
                )
        self._variables = None if user_variables is None else dict(user_variables)
        self._description = self._text("description", description)
        self._prefix = self._text("prefix", prefix)
        self._output_prefix = self._text("output_prefix", output_prefix)
        self._requirements = [
            self._requirement(index, each)
            for index, each in enumerate(_listed("requirements", requirements))
        ]
        self._icl_examples = [
            self._text(f"icl_examples[{index}]", each)
            for index, each in enumerate(_listed("icl_examples", icl_examples))
        ]
        self._grounding_context = self._grounding(grounding_context)
        self._images = as_images(images)
        self._repair: str | None = None
        if self._variables is not None and not self._pending_variables():
            self._fill_in()

    def _text(self, what: str, text: object) -> Any:
        if text is None:
            return None
        if self._variables is None:
            try:
                return blockify(text)
            except TypeError as exc:
                raise TypeError(f"{what}: {exc}") from None
        if not isinstance(text, str):
            raise TypeError(
                f"{what} must be a string when user_variables are provided, "
                f"not {type(text).__name__}"
            )
        check_template(text, what)
        return CBlock(text)

    def _requirement(self, index: int, requirement: object) -> Any:
        what = f"requirements[{index}]"
        if isinstance(requirement, Condition):
            if self._variables is not None and requirement.description is not None:
                check_template(requirement.description, what)
            return requirement
        if not isinstance(requirement, str):
            raise TypeError(
                f"{what} should be a string or a requirement, not {type(requirement).__name__}"
            )
        return self._text(what, requirement)

    def _grounding(self, given: Mapping[str, Any] | None) -> dict[str, Any]:
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            raise TypeError(
                "grounding_context should be a mapping of names to texts, "
                f"not {type(given).__name__}"
            )
        texts = {}
        for name, value in given.items():
            if isinstance(value, str):
                texts[name] = self._text(f"grounding_context[{name!r}]", value)
            else:
                texts[name] = blockify(value)
        return texts

    def _pending_variables(self) -> list[ModelOutputThunk[Any]]:
        return [
            value
            for value in (self._variables or {}).values()
            if isinstance(value, ModelOutputThunk) and not value.is_settled()
        ]

    def _fill_in(self) -> None:
        """Turn the templates into texts; happens once, when every variable is known."""
        if self._variables is None:
            return
        variables = {
            name: str(value) if isinstance(value, ModelOutputThunk | CBlock) else value
            for name, value in self._variables.items()
        }

        def filled(block: Any, what: str) -> Any:
            if not isinstance(block, CBlock):
                return block
            return CBlock(fill_in(block.value or "", variables, what), block.meta)

        self._description = filled(self._description, "description")
        self._prefix = filled(self._prefix, "prefix")
        self._icl_examples = [filled(each, "icl_examples") for each in self._icl_examples]
        self._grounding_context = {
            name: filled(value, f"grounding_context[{name!r}]")
            if isinstance(value, CBlock)
            else value
            for name, value in self._grounding_context.items()
        }
        self._requirements = [
            filled(each, "requirements")
            if isinstance(each, CBlock)
            else _Filled.of(each, variables)
            for each in self._requirements
        ]
        self._variables = None

    @property
    def requirements(self) -> list[Any]:
        """The requirements, in order."""
        return list(self._requirements)

    def parts(self) -> list[Any]:
        """Return the texts, grounding values, requirements, examples and pending variables."""
        texts = [self._description, self._prefix, self._output_prefix]
        return [
            *(text for text in texts if text is not None),
            *self._grounding_context.values(),
            *(each for each in self._requirements if isinstance(each, CBlock | Component)),
            *self._icl_examples,
            *self._pending_variables(),
        ]

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the template needs; every pending part must have arrived."""
        self._fill_in()
        return TemplateRepresentation(
            obj=self,
            args={
                "description": _said(self._description),
                "requirements": [
                    text for each in self._requirements if (text := _told(each)) is not None
                ],
                "icl_examples": [_said(each) for each in self._icl_examples],
                "grounding_context": self._grounding_context,
                "prefix": _said(self._prefix),
                "output_prefix": _said(self._output_prefix),
                "repair": self._repair,
            },
            template_order=["*", "Instruction"],
            images=self._images,
        )

    def _parse(self, computed: ModelOutputThunk[Any]) -> str:
        return computed.value or ""

    def __repr__(self) -> str:
        return f"Instruction({_said(self._description)!r})"


class _Filled:
    """A requirement whose description has had its variables filled in."""

    def __init__(self, requirement: Any, description: str) -> None:
        self._requirement: Final = requirement
        self.description = description
        self.check_only = bool(requirement.check_only)

    @classmethod
    def of(cls, requirement: Any, variables: Mapping[str, Any]) -> Any:
        if requirement.description is None:
            return requirement
        return cls(requirement, fill_in(requirement.description, variables, "requirements"))


def _listed(what: str, given: Any) -> Sequence[Any]:
    if given is None:
        return ()
    # A string is a sequence of strings, too, and never meant as one.
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"{what} should be a list, not {type(given).__name__}")
    return given


def _said(block: Any) -> str | None:
    return None if block is None else str(block)


def _told(requirement: Any) -> str | None:
    if isinstance(requirement, CBlock):
        return requirement.value or None
    return None if requirement.check_only else (requirement.description or None)
