"""From components to the text and the messages a model is sent.

A component's own template wins; otherwise its names are looked for in the user's
folder and then among ours, in a folder named after the model's family before the one
named ``default``. Jinja is imported when the first template is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .._thunk.thunk import ModelOutputThunk
from .._values.chat import ChatMessage
from .blocks import CBlock, ImageBlock
from .component import Component, TemplateRepresentation
from .message import Message

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_OURS: Final = Path(__file__).parent / "templates"


class TemplateFormatter:
    """Renders components for one model.

    Args:
        model_id: the model; decides which family of templates is preferred.
        template_path: a folder of the user's whose templates win over ours.
    """

    def __init__(self, model_id: str, *, template_path: str | Path = "") -> None:
        self.model_id = model_id
        self.template_path = Path(template_path) if template_path else None
        self._environment: Environment | None = None
        self._found: dict[tuple[str, ...], Template] = {}

    def print(self, component: Any) -> str:
        """Return the text of a component, a block or a computed thunk.

        Raises:
            ValueError: no template has one of the component's names.
            TypeError: it is nothing that can be said.
        """
        match component:
            case str():
                return component
            case CBlock() | ModelOutputThunk():
                return str(component)
            case _ if isinstance(component, Component):
                representation = component.format_for_llm()
                if isinstance(representation, str):
                    return representation
                return self._render(representation)
            case _:
                raise TypeError(f"a {type(component).__name__} cannot be put into a prompt")

    def to_chat_messages(self, entries: Iterable[Any]) -> list[ChatMessage]:
        """Return the entries of a context, and the action, as messages.

        Every thunk among them must have arrived.
        """
        return [self._message(entry) for entry in entries]

    def _message(self, entry: Any) -> ChatMessage:
        match entry:
            case ModelOutputThunk():
                if isinstance(entry.parsed_repr, Message):
                    return self._message(entry.parsed_repr)
                return ChatMessage("assistant", str(entry))
            case Message():
                return ChatMessage(entry.role, self.print(entry), images=_sent(entry.images))
            case _ if isinstance(entry, Component):
                representation = entry.format_for_llm()
                if isinstance(representation, str):
                    return ChatMessage("user", representation)
                text = self._render(representation)
                return ChatMessage("user", text, images=_sent(representation.images))
            case _:
                return ChatMessage("user", self.print(entry))

    def _render(self, representation: TemplateRepresentation) -> str:
        template = self._template(representation)
        args = {name: self._argument(value) for name, value in representation.args.items()}
        rendered: str = template.render(args)
        return rendered

    def _argument(self, value: Any) -> Any:
        match value:
            case None | str() | int() | float():
                return value
            case dict():
                return {name: self._argument(each) for name, each in value.items()}
            case list() | tuple():
                return [self._argument(each) for each in value]
            case TemplateRepresentation():
                return self._render(value)
            case CBlock() | ModelOutputThunk():
                return str(value)
            case _ if isinstance(value, Component):
                return self.print(value)
            case _:
                return value

    def _template(self, representation: TemplateRepresentation) -> Template:
        if representation.template is not None:
            return self._ensure_environment().from_string(representation.template)
        class_name = type(representation.obj).__name__
        names = tuple(
            class_name if name == "*" else name for name in representation.template_order or ["*"]
        )
        template = self._found.get(names)
        if template is None:
            template = self._found[names] = self._look_up(names, representation.obj)
        return template

    def _look_up(self, names: tuple[str, ...], obj: Any) -> Template:
        from jinja2 import TemplateNotFound

        for name in names:
            for family in self._families():
                try:
                    return self._ensure_environment().get_template(f"{family}/{name}.jinja2")
                except TemplateNotFound:
                    continue
        raise ValueError(
            f"no template for {type(obj).__name__}: looked for {', '.join(names)} in "
            f"{', '.join(str(folder) for folder in self._folders())}; give the component a "
            "template, or add a file with that name and the suffix .jinja2"
        )

    def _folders(self) -> list[Path]:
        return [self.template_path, _OURS] if self.template_path else [_OURS]

    def _families(self) -> list[str]:
        """Return the folder names that fit the model, the most telling first."""
        model = _bare(self.model_id)
        families = {
            entry.name
            for folder in self._folders()
            if folder.is_dir()
            for entry in folder.iterdir()
            if entry.is_dir() and _bare(entry.name) in model
        }
        return [*sorted(families, key=len, reverse=True), "default"]

    def _ensure_environment(self) -> Environment:
        if self._environment is None:
            from jinja2 import FileSystemLoader, StrictUndefined
            from jinja2.sandbox import ImmutableSandboxedEnvironment

            self._environment = ImmutableSandboxedEnvironment(
                loader=FileSystemLoader(self._folders()), undefined=StrictUndefined
            )
        return self._environment


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _sent(images: Any) -> tuple[str, ...]:
    return tuple(
        image.base64 if isinstance(image, ImageBlock) else str(image.value)
        for image in images or ()
    )
