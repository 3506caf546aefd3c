"""Chat messages, and the documents that go with them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, cast, get_args

from .._thunk.thunk import ModelOutputThunk
from .._values.metadata import ModelToolCall, RunnableTool
from .blocks import CBlock, ImageBlock, ImageUrlBlock, as_images
from .component import Component, TemplateRepresentation

Role = Literal["system", "user", "assistant", "tool"]
ROLES: Final[tuple[str, ...]] = get_args(Role)


class Document(Component[str]):
    """A text that a message refers to.

    Args:
        text: the text.
        title: its title.
        doc_id: a short name that the model can quote.
    """

    def __init__(self, text: str, title: str | None = None, doc_id: str | None = None) -> None:
        if not isinstance(text, str):
            raise TypeError(f"the text of a Document should be a string, not {type(text).__name__}")
        for what, name in (("title", title), ("doc_id", doc_id)):
            if name is not None and not isinstance(name, str):
                raise TypeError(
                    f"the {what} of a Document should be a string or None, "
                    f"not {type(name).__name__}"
                )
        self.text = text
        self.title = title
        self.doc_id = doc_id

    def parts(self) -> list[Any]:
        """Return the text."""
        return [CBlock(self.text)]

    def format_for_llm(self) -> str:
        """Return the document with its name and title."""
        head = f"[Document {self.doc_id}]" if self.doc_id else "[Document]"
        return f"{head}\n{self.title}: {self.text}" if self.title else f"{head}\n{self.text}"

    def _parse(self, computed: ModelOutputThunk[Any]) -> str:
        return computed.value or ""


class Message(Component["Message"]):
    """One message of a conversation.

    Args:
        role: who says it: ``system``, ``user``, ``assistant`` or ``tool``.
        content: the text.
        images: images that go with it.
        documents: documents that go with it; a string becomes a `Document`.

    Attributes:
        role: as given.
        content: as given.
        tool_calls: the tools that the model wants to be called, by name; None if this is no
            answer of a model, or it wants none.

    Raises:
        ValueError: there is no such role.
        TypeError: *content* is not a string, or a document is none.
    """

    Role = Role

    def __init__(
        self,
        role: str,
        content: str,
        *,
        images: list[Any] | None = None,
        documents: Iterable[str | Document] | None = None,
    ) -> None:
        if role not in ROLES:
            raise ValueError(f"Invalid role {role!r}. Must be one of: {list(ROLES)}")
        if not isinstance(content, str):
            raise TypeError(
                f"the content of a Message should be a string, not {type(content).__name__}"
            )
        self.role: Role = cast("Role", role)
        self.content = content
        self.tool_calls: Mapping[str, ModelToolCall] | None = None
        self._images = as_images(images)
        self._documents = _as_documents(documents)

    @property
    def images(self) -> list[ImageBlock | ImageUrlBlock] | None:
        """The images, or None."""
        return self._images

    @property
    def documents(self) -> list[Document]:
        """The documents."""
        return self._documents

    def parts(self) -> list[Any]:
        """Return the content, the documents and the images."""
        return [CBlock(self.content), *self._documents, *(self._images or ())]

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the template needs."""
        return TemplateRepresentation(
            obj=self,
            args={
                "content": self.content,
                "documents": [each.format_for_llm() for each in self._documents],
            },
            template_order=["*", "Message"],
            images=self._images,
        )

    def _parse(self, computed: ModelOutputThunk[Any]) -> "Message":
        message = Message(*_said(computed))
        message.tool_calls = computed.tool_calls
        return message

    def __str__(self) -> str:
        return self.content

    def __repr__(self) -> str:
        images = [f"{str(each)[:20]}..." for each in self._images or ()]
        documents = [f"{each.format_for_llm()[:20]}..." for each in self._documents]
        return (
            f'motet.Message(role="{self.role}", content="{self.content}", '
            f'images="{images}", documents="{documents}")'
        )


def _as_documents(documents: object) -> list[Document]:
    if documents is None:
        return []
    # A string is iterable, too: it would become one document for each of its characters.
    if isinstance(documents, str | Document | Mapping) or not isinstance(documents, Iterable):
        raise TypeError(
            f"documents should be a list of strings and Documents, not {type(documents).__name__}"
        )
    made = []
    for position, each in enumerate(documents):
        if not isinstance(each, str | Document):
            raise TypeError(
                f"documents[{position}] should be a string or a Document, not {type(each).__name__}"
            )
        made.append(each if isinstance(each, Document) else Document(each))
    return made


def _said(computed: ModelOutputThunk[Any]) -> tuple[str, str]:
    """Return who says what in a reply: as the provider has it, where that is known."""
    raw = computed.raw
    said: Any = None
    if raw.provider == "ollama":
        said = _entry(raw.response, "message")
    elif raw.provider == "openai":
        choices = _entry(raw.response, "choices")
        said = _entry(choices[0] if choices else raw.response, "message")
    role, content = _entry(said, "role"), _entry(said, "content")
    if role in ROLES and isinstance(content, str):
        return role, content
    return "assistant", computed.value or ""


def _entry(record: Any, name: str) -> Any:
    return record.get(name) if isinstance(record, Mapping) else getattr(record, name, None)


class ToolMessage(Message):
    """What a tool gave, for the model that asked for the call.

    Args:
        role: who says it; ``tool``, for the servers.
        content: the output as text.
        tool_output: the output itself; the exception, if the tool raised one.
        name: the tool.
        args: the arguments that it was called with.
        tool: the tool itself.
        call_id: the server's name for the call, if it gave one.
        failed: whether *tool_output* is what the tool raised.

    Attributes:
        name: as given.
        arguments: as given for *args*.
        tool_output: as given.
        tool: as given.
        call_id: as given.
        failed: as given.
    """

    def __init__(
        self,
        role: str,
        content: str,
        tool_output: Any,
        name: str,
        args: Mapping[str, Any],
        tool: RunnableTool,
        *,
        call_id: str | None = None,
        failed: bool = False,
    ) -> None:
        super().__init__(role, content)
        self.name = name
        self.arguments = args
        self.tool_output = tool_output
        self.tool = tool
        self.call_id = call_id
        self.failed = failed

    def __repr__(self) -> str:
        return (
            f'motet.ToolMessage(role="{self.role}", content="{self.content}", name="{self.name}")'
        )
