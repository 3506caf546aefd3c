"""What puts components into words and messages."""

from ..core.formatter import Formatter as Formatter
from .chat_formatter import ChatFormatter as ChatFormatter
from .template_formatter import TemplateFormatter as TemplateFormatter

__all__ = ["ChatFormatter", "Formatter", "TemplateFormatter"]
