"""Requirements on Markdown. The parser comes with the extra ``markdown``.

Format: https://spec.commonmark.org/0.31.2/, and tables as in GitHub's extension of it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from .._language.requirement import Requirement, ValidationResult
from .extras import import_extra

if TYPE_CHECKING:
    from .._language.context import Context

_LISTS: Final = ("bullet_list_open", "ordered_list_open")


@functools.cache
def _parser() -> Any:
    markdown_it = import_extra("markdown_it", "markdown", "a check of Markdown")
    return markdown_it.MarkdownIt("commonmark").enable("table")


def _tokens(ctx: Context) -> list[Any]:
    output = ctx.last_output()
    text = None if output is None else output.value
    tokens: list[Any] = _parser().parse(text) if text else []
    return tokens


def as_markdown_list(ctx: Context) -> list[str] | None:
    """Return the items of the Markdown list that the last output is; None if it is none.

    Several lists in a row are one; what an item contains is part of its text.

    Raises:
        ImportError: the extra ``markdown`` is not installed.
    """
    tokens = _tokens(ctx)
    outermost = [token.type for token in tokens if token.level == 0 and token.nesting >= 0]
    if not outermost or any(kind not in _LISTS for kind in outermost):
        return None
    items: list[list[str]] = []
    for token in tokens:
        if token.type == "list_item_open" and token.level == 1:
            items.append([])
        elif token.content:  # of the texts inside, in their order
            items[-1].append(token.content.rstrip("\n"))
    return ["\n".join(lines) for lines in items]


def _is_list(ctx: Context) -> ValidationResult:
    return ValidationResult(as_markdown_list(ctx) is not None)


def _is_table(ctx: Context) -> ValidationResult:
    outermost = [t.type for t in _tokens(ctx) if t.level == 0 and t.nesting >= 0]
    return ValidationResult(outermost == ["table_open"])


is_markdown_list: Final = Requirement("The answer should be a list in Markdown.", _is_list)
is_markdown_table: Final = Requirement("The answer should be a table in Markdown.", _is_table)
