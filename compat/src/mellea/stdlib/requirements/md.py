"""Requirements on Markdown."""

from motet import as_markdown_list as as_markdown_list
from motet import is_markdown_list as is_markdown_list
from motet import is_markdown_table as is_markdown_table

__all__ = ["as_markdown_list", "is_markdown_list", "is_markdown_table"]
