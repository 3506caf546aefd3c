"""Requirements on Markdown."""

from motet import as_markdown_list as as_markdown_list
from motet import is_markdown_list as is_markdown_list
from motet import is_markdown_table as is_markdown_table

# What decides whether an answer is one; programs test these.
_md_list = is_markdown_list.validation_fn
_md_table = is_markdown_table.validation_fn

__all__ = ["as_markdown_list", "is_markdown_list", "is_markdown_table"]
