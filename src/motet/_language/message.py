"""Chat messages, and the documents that go with them."""

from collections.abc import Iterable
from typing import Any, Final, Literal, cast, get_args

from .._thunk.thunk import ModelOutputThunk
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

    Raises:
        ValueError: there is no such role.
        TypeError: *content* is not a string.
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
        self._images = as_images(images)
        self._documents = [
            each if isinstance(each, Document) else Document(each) for each in documents or ()
        ]

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
        return Message("assistant", computed.value or "")

    def __str__(self) -> str:
        return self.content

    def __repr__(self) -> str:
        images = [f"{str(each)[:20]}..." for each in self._images or ()]
        documents = [f"{each.format_for_llm()[:20]}..." for each in self._documents]
        return (
            f'motet.Message(role="{self.role}", content="{self.content}", '
            f'images="{images}", documents="{documents}")'
        )
