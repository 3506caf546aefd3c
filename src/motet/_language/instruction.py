"""`Instruction`: what `instruct` says to a model."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self

from .._thunk.thunk import ModelOutputThunk
from .._values.misuse import WrongType
from .blocks import CBlock, as_images
from .component import Component, TemplateRepresentation, blockify, lacks_text
from .requirement import Requirement
from .text import check_template, check_variables, fill_in


class Instruction(Component[str]):
    """A task for a model, with what it may use and what the answer must be like.

    With *user_variables*, the texts are Jinja templates: unknown variables become empty
    and the values are data, braces in them included. A variable and a grounding value
    may be a reply that has not arrived yet; the call waits for it.

    Args:
        description: what to do.
        requirements: what the answer must be like; a string becomes a `Requirement`.
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
        requirements: Sequence[Requirement | str] | None = None,
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
                raise WrongType(
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
        self._repair: Component[Any] | str | None = None
        # One that has failed stays in, too: the call that uses it says so, as of any input.
        if self._variables is not None and not self._pending_variables():
            self.resolve_variables()

    def _text(self, what: str, text: object) -> Any:
        if text is None:
            return None
        if self._variables is None:
            try:
                return blockify(text)
            except TypeError as exc:
                raise TypeError(f"{what}: {exc}") from None
        if not isinstance(text, str):
            raise WrongType(
                f"{what} must be a string when user_variables are provided, not {_kind(text)}"
            )
        check_template(text, what)
        return CBlock(text)

    def _requirement(self, index: int, given: object) -> Requirement:
        what = f"requirements[{index}]"
        if not isinstance(given, str | Requirement):
            raise TypeError(f"{what} should be a string or a Requirement, not {_kind(given)}")
        requirement = Requirement(given) if isinstance(given, str) else given
        if self._variables is None or requirement.description is None:
            return requirement
        check_template(requirement.description, what)
        # Its description will be filled in; the caller's own stays a template.
        return copy.copy(requirement) if requirement is given else requirement

    def _grounding(self, given: Mapping[str, Any] | None) -> dict[str, Any]:
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            raise TypeError(
                f"grounding_context should be a mapping of names to texts, not {_kind(given)}"
            )
        texts = {}
        for name, value in given.items():
            if not isinstance(name, str):
                raise TypeError(f"the names in grounding_context should be strings, not {name!r}")
            what = f"grounding_context[{name!r}]"
            if isinstance(value, str):
                texts[name] = self._text(what, value)
            else:
                try:
                    texts[name] = blockify(value)
                except TypeError as exc:
                    raise TypeError(f"{what}: {exc}") from None
        return texts

    def _pending_variables(self) -> list[ModelOutputThunk[Any]]:
        return [
            value
            for value in (self._variables or {}).values()
            if isinstance(value, ModelOutputThunk) and lacks_text(value)
        ]

    def resolve_variables(self) -> None:
        """Turn the templates into texts; happens once, when every variable has arrived."""
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
        for requirement in self._requirements:
            # In place: whoever asked for our requirements before sees it, too.
            if requirement.description is not None:
                requirement.description = fill_in(
                    requirement.description, variables, "requirements"
                )
        self._variables = None

    @property
    def requirements(self) -> list[Requirement]:
        """The requirements, in order."""
        return list(self._requirements)

    def copy_and_repair(self, repair: Component[Any] | str) -> Self:
        """Return an instruction for the next attempt, which says what was wrong with the last.

        It takes the place of an earlier repair. The parts are shared, not copied.

        Args:
            repair: what was wrong: text, or a component that can be put into text.
        """
        if not isinstance(repair, str | Component):
            raise TypeError(f"repair should be a string or a component, not {_kind(repair)}")
        twin = copy.copy(self)
        twin._requirements = list(self._requirements)
        twin._icl_examples = list(self._icl_examples)
        twin._grounding_context = dict(self._grounding_context)
        twin._repair = repair
        return twin

    def parts(self) -> list[Any]:
        """Return the texts, grounding values, requirements, examples and pending variables."""
        texts = [self._description, self._prefix, self._output_prefix]
        return [
            *(text for text in texts if text is not None),
            *self._grounding_context.values(),
            *self._requirements,
            *self._icl_examples,
            *self._pending_variables(),
        ]

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the template needs; every pending part must have arrived."""
        self.resolve_variables()
        return TemplateRepresentation(
            obj=self,
            args={
                "description": _said(self._description),
                "requirements": [
                    each.description
                    for each in self._requirements
                    if each.description and not each.check_only
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


def _listed(what: str, given: Any) -> Sequence[Any]:
    if given is None:
        return ()
    # A string is a sequence of strings, too, and never meant as one.
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"{what} should be a list, not {_kind(given)}")
    return given


def _said(block: Any) -> str | None:
    return None if block is None else str(block)


def _kind(given: object) -> str:
    return type(given).__name__
