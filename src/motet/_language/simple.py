"""`SimpleComponent`: named texts, put to the model as one JSON object."""

from typing import Any

from .._thunk.thunk import ModelOutputThunk
from .._values.misuse import WrongType
from .component import Component, TemplateRepresentation, blockify


class SimpleComponent(Component[str]):
    """Named texts, put to the model as one JSON object.

    Args:
        kwargs: texts, blocks, components, or replies that may not have arrived yet.

    Raises:
        TypeError: a value is none of them.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._values: dict[str, Any] = {}
        for name, value in kwargs.items():
            try:
                self._values[name] = blockify(value)
            except TypeError as exc:
                raise WrongType(f"{name}: {exc}") from None

    def parts(self) -> list[Any]:
        """Return the values."""
        return list(self._values.values())

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the template needs."""
        return TemplateRepresentation(
            obj=self,
            args={"values": self._values},
            template_order=["*", "SimpleComponent"],
        )

    def _parse(self, computed: ModelOutputThunk[Any]) -> str:
        return computed.value or ""

    def __repr__(self) -> str:
        return f"SimpleComponent({', '.join(self._values)})"
