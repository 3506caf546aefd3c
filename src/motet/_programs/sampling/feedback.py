"""What a model is told about an answer of its own that did not meet the requirements."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

from ..._language.component import Component, TemplateRepresentation
from ..._language.formatter import TemplateFormatter
from ..._language.message import Message
from ..._thunk.thunk import ModelOutputThunk
from .result import Validations


def failures(validations: Validations) -> list[str]:
    """Return what was wrong, in words: the reason of each failure, or else the description."""
    return [
        result.reason or requirement.description or "a check that does not say what it checks"
        for requirement, result in validations
        if not result
    ]


class Repair(Component[str]):
    """What was wrong with another answer, as a part of an instruction."""

    def __init__(self, failures: list[str]) -> None:
        self._failures = failures

    def parts(self) -> list[Any]:
        """Return nothing: it is all text."""
        return []

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the template needs."""
        return TemplateRepresentation(self, {"failures": self._failures}, template_order=["Repair"])

    def _parse(self, computed: ModelOutputThunk[Any]) -> str:
        return computed.value or ""


class TryAgain(Message):
    """What was wrong with the last answer, as the next message of the conversation.

    Its content is the text of our own template; the model is sent what the template of
    its family, or the user's, makes of it.
    """

    def __init__(self, failures: list[str]) -> None:
        self._failures = failures
        self._images = None
        super().__init__("user", _default_formatter().print(self))

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the template needs."""
        return TemplateRepresentation(
            self, {"failures": self._failures}, template_order=["TryAgain"]
        )


class BestAttempt(Component[Any]):
    """A task, and somebody's attempt at it that was not good enough.

    Attributes:
        template: the name of the template that says what to do about it.

    Args:
        task: the task.
        attempt: the answer.
        failures: what was wrong with it.
    """

    template: ClassVar[str] = "BestAttempt"

    def __init__(self, task: Any, attempt: str, failures: list[str]) -> None:
        self._task = task
        self._attempt = attempt
        self._failures = failures

    def parts(self) -> list[Any]:
        """Return the task."""
        return [self._task]

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the template needs."""
        shown = self._task.format_for_llm() if isinstance(self._task, Component) else None
        brought = shown if isinstance(shown, TemplateRepresentation) else None
        return TemplateRepresentation(
            self,
            {"task": self._task, "attempt": self._attempt, "failures": self._failures},
            tools=brought.tools if brought else None,
            images=brought.images if brought else None,
            template_order=[self.template],
        )

    def _parse(self, computed: ModelOutputThunk[Any]) -> Any:
        return computed.value or ""


@functools.cache
def _default_formatter() -> TemplateFormatter:
    return TemplateFormatter("")
