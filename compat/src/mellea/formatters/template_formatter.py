"""What puts components into words by templates."""

from pathlib import Path
from typing import Any

import motet
from motet import ModelIdentifier

from .chat_formatter import ChatFormatter

__all__ = ["TemplateFormatter"]


# That `to_chat_messages` gives other messages than motet's is what this class is for.
class TemplateFormatter(ChatFormatter, motet.TemplateFormatter):  # type: ignore[misc]
    """Renders components for one model; see `motet.TemplateFormatter`.

    `to_chat_messages` returns components, for the program to look at; what a backend sends is
    made from the same templates.

    Args:
        model_id: the model, or its identifier; decides which family of templates is preferred.
        template_path: a folder of the user's whose templates win over all others.
        use_template_cache: whether a template is read once; otherwise each time it is used.
    """

    def __init__(
        self,
        model_id: str | ModelIdentifier,
        *,
        template_path: str | Path = "",
        use_template_cache: bool = True,
    ) -> None:
        motet.TemplateFormatter.__init__(
            self,
            _name_of(model_id),
            template_path=template_path,
            use_template_cache=use_template_cache,
        )

    def print(self, c: Any) -> str:
        """Return the text of a component, a block or a computed thunk.

        Raises:
            ValueError: no template has one of the component's names.
            jinja2.TemplateError: a template cannot be rendered.
        """
        try:
            text: str = motet.TemplateFormatter.print(self, c)
        except ValueError as exc:
            from jinja2 import TemplateError

            if isinstance(exc.__cause__, TemplateError):
                raise exc.__cause__ from exc
            raise
        return text


def _name_of(model_id: str | ModelIdentifier) -> str:
    if not isinstance(model_id, ModelIdentifier):
        return model_id
    names = (
        model_id.hf_model_name,
        model_id.ollama_name,
        model_id.openai_name,
        model_id.watsonx_name,
        model_id.mlx_name,
        model_id.bedrock_name,
    )
    return next((name for name in names if name), "")
