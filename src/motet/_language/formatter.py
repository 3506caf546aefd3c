"""From components to the text and the messages a model is sent.

A component's own template wins; otherwise its names are looked for in the user's
folder, then in ``templates`` beside the module of its class, then among ours; in each
in a folder named after the model's family, or in one inside that, before the one named
``default``; these may stand in a folder ``prompts``. Jinja is imported when the first
template is rendered.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from .._thunk.thunk import ModelOutputThunk
from .._values.chat import ChatMessage, ToolCallRequest
from .._values.metadata import ModelToolCall
from .blocks import CBlock, ImageBlock
from .component import TemplateRepresentation, is_component
from .message import Message, ToolMessage

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_OURS: Final = Path(__file__).parent / "templates"
_INNER: Final = "prompts"  # where mellea has them: templates/prompts/default/Instruction.jinja2
# A component may make up its template for every object; those are not kept for ever.
_TEMPLATES_KEPT: Final = 512
_log: Final = logging.getLogger("motet")


class TemplateFormatter:
    """Renders components for one model.

    Args:
        model_id: the model; decides which family of templates is preferred.
        template_path: a folder of the user's whose templates win over all others.
        use_template_cache: whether a template is read once; otherwise each time it is used.

    Raises:
        TypeError: an argument is of the wrong type.
    """

    def __init__(
        self,
        model_id: str,
        *,
        template_path: str | Path = "",
        use_template_cache: bool = True,
    ) -> None:
        if not isinstance(model_id, str):
            raise TypeError(f"model_id should be a string, not {type(model_id).__name__}")
        if not isinstance(template_path, str | Path):
            raise TypeError(
                f"template_path should be the path of a folder, not {type(template_path).__name__}"
            )
        self.model_id = model_id
        self.template_path: Path | None = Path(template_path) if template_path else None
        self._use_template_cache = use_template_cache
        self._environment: Environment | None = None
        self._found: dict[tuple[str, ...], _Template] = {}

    def print(self, component: Any) -> str:
        """Return the text of a component, a block or a computed thunk.

        Raises:
            ValueError: no template has one of the component's names, or it cannot be rendered.
            TypeError: it is nothing that can be said.
        """
        match component:
            case str():
                return component
            case CBlock():
                return str(component)
            case ModelOutputThunk():
                return _text_of(component)
            case _ if is_component(component):
                representation = component.format_for_llm()
                if isinstance(representation, str):
                    return representation
                return self._render(representation)
            case _:
                raise TypeError(f"a {type(component).__name__} cannot be put into a prompt")

    def to_chat_messages(self, entries: Iterable[Any]) -> list[ChatMessage]:
        """Return the entries of a context, and the action, as messages.

        Every thunk among them must have arrived. Of the tool calls that an answer asked for
        those are repeated whose results follow it: servers refuse a call without a result.
        """
        entries = list(entries)
        messages = []
        for position, entry in enumerate(entries):
            message = self._message(entry)
            calls = getattr(entry, "tool_calls", None)
            if calls:
                results = itertools.takewhile(_is_tool_message, entries[position + 1 :])
                message = attrs.evolve(message, tool_calls=_answered(calls, results))
            messages.append(message)
        return messages

    def _message(self, entry: Any) -> ChatMessage:
        match entry:
            case ModelOutputThunk():
                if isinstance(entry.parsed_repr, Message):
                    return self._message(entry.parsed_repr)
                return ChatMessage("assistant", _text_of(entry))
            case ToolMessage():
                return ChatMessage(
                    entry.role,
                    self.print(entry),
                    tool_name=entry.name,
                    tool_call_id=entry.call_id,
                )
            case Message():
                return ChatMessage(entry.role, self.print(entry), images=_sent(entry.images))
            case _ if is_component(entry):
                representation = entry.format_for_llm()
                if isinstance(representation, str):
                    return ChatMessage("user", representation)
                text = self._render(representation)
                return ChatMessage("user", text, images=_sent(representation.images))
            case _:
                return ChatMessage("user", self.print(entry))

    def _render(self, representation: TemplateRepresentation) -> str:
        from jinja2 import TemplateError

        args = {name: self._argument(value) for name, value in representation.args.items()}
        try:
            template = self._template(representation)
            rendered: str = template.template.render(args)
        except TemplateError as exc:
            kind = type(representation.obj).__name__
            raise ValueError(f"the template for {kind} cannot be rendered: {exc}") from exc
        self._warn_of_unused(template, args)
        return rendered

    def _warn_of_unused(self, template: _Template, args: Mapping[str, Any]) -> None:
        if template.names is None:
            return
        unused = sorted(
            name for name, value in args.items() if value and name not in template.names
        )
        if unused and not template.warned:
            template.warned = True
            _log.warning("the template %s does not use %s", template.source, ", ".join(unused))

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
            case _ if is_component(value):
                return self.print(value)
            case _:
                return value

    def _template(self, representation: TemplateRepresentation) -> _Template:
        if representation.template is not None:
            return self._inline(representation.template)
        cls = type(representation.obj)
        names = tuple(
            cls.__name__ if name == "*" else name for name in representation.template_order or ["*"]
        )
        key = (cls.__module__, *names)
        template = self._found.get(key)
        if template is None:
            template = self._look_up(names, cls)
            if self._use_template_cache:
                self._found[key] = template
        return template

    def _inline(self, source: str) -> _Template:
        template = self._found.get((source,))
        if template is None:
            environment = self._ensure_environment()
            template = _Template(
                environment.from_string(source), "of a component", _names(environment, source)
            )
            if len(self._found) < _TEMPLATES_KEPT:
                self._found[source,] = template
        return template

    def _look_up(self, names: tuple[str, ...], cls: type) -> _Template:
        folders = self._folders(cls)
        for name in names:
            for folder in folders:
                for family in self._families(folder):
                    path = f"{family}/{name}.jinja2"
                    if (folder / path).is_file():
                        return self._load(path, folder, folders)
        raise ValueError(
            f"no template for {cls.__name__}: looked for {', '.join(names)} in "
            f"{', '.join(map(str, folders))}; give the component a "
            "template, or add a file with that name and the suffix .jinja2"
        )

    def _load(self, path: str, folder: Path, folders: list[Path]) -> _Template:
        from jinja2 import FileSystemLoader

        # A template may include others, from any of the folders.
        loader = FileSystemLoader([folder, *folders])
        environment = self._ensure_environment().overlay(loader=loader)
        source = loader.get_source(environment, path)[0]
        return _Template(
            environment.get_template(path), str(folder / path), _names(environment, source)
        )

    def _folders(self, cls: type) -> list[Path]:
        """Return where a class's template may be: the user's folder, its module's, ours."""
        module_file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        beside = [Path(module_file).parent / "templates"] if module_file else []
        user = [self.template_path] if self.template_path else []
        places = dict.fromkeys([*user, *beside, _OURS])
        return [folder for each in places for folder in (each, each / _INNER) if folder.is_dir()]

    def _families(self, folder: Path) -> list[str]:
        """Return the names in a folder that fit the model, the most telling first."""
        model = _bare(self.model_id)
        fitting = []
        unseen = [folder]
        while unseen:
            for entry in unseen.pop().iterdir():
                name = _bare(entry.name)
                if name and name in model and name != "default" and entry.is_dir():
                    fitting.append(entry.relative_to(folder).as_posix())
                    unseen.append(entry)
        return [*sorted(fitting, key=lambda family: (-len(family), family)), "default"]

    def _ensure_environment(self) -> Environment:
        if self._environment is None:
            from jinja2 import StrictUndefined
            from jinja2.sandbox import ImmutableSandboxedEnvironment

            # No cache of Jinja's own: ours is asked first, and files may change without it.
            self._environment = ImmutableSandboxedEnvironment(
                undefined=StrictUndefined, cache_size=0
            )
            # Jinja's own `tojson` escapes for HTML.
            self._environment.filters["json"] = functools.partial(json.dumps, ensure_ascii=False)
        return self._environment


@attrs.define(eq=False, weakref_slot=False)
class _Template:
    template: Template
    source: str  # where it is from
    names: frozenset[str] | None  # what it uses; None if it uses other templates, too
    warned: bool = False


def _names(environment: Environment, source: str) -> frozenset[str] | None:
    from jinja2 import meta

    parsed = environment.parse(source)
    if any(True for _ in meta.find_referenced_templates(parsed)):
        return None
    return frozenset(meta.find_undeclared_variables(parsed))


def _text_of(thunk: ModelOutputThunk[Any]) -> str:
    # Saying an answer again is not learning of it: that is for whoever asked, whose loop
    # over `is_computed` would end before it has begun.
    if thunk.is_settled() and not thunk.is_lost() and not thunk.is_computed():
        return thunk.partial
    return str(thunk)


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _sent(images: Any) -> tuple[str, ...]:
    return tuple(
        image.base64 if isinstance(image, ImageBlock) else str(image.value)
        for image in images or ()
    )


def _is_tool_message(entry: Any) -> bool:
    return isinstance(entry, ToolMessage)


def _answered(
    calls: Mapping[str, ModelToolCall], results: Iterable[ToolMessage]
) -> list[ToolCallRequest]:
    """Return the calls that the results answer, in the order of the calls."""
    left = list(results)
    answered = []
    for call in calls.values():
        for result in left:
            if result.name == call.name and result.call_id == call.id:
                left.remove(result)
                answered.append(
                    call.request or ToolCallRequest(call.name, dict(call.args), call.id)
                )
                break
    return answered
