"""What can be said to a model: blocks, instructions, messages, objects."""

from motet import CBlock as CBlock
from motet import Component as Component
from motet import ComponentParseError as ComponentParseError
from motet import ImageBlock as ImageBlock
from motet import ImageUrlBlock as ImageUrlBlock
from motet import ModelOutputThunk as ModelOutputThunk
from motet import TemplateRepresentation as TemplateRepresentation
from motet import blockify as blockify

from ..._left_out import ADAPTERS, named
from .chat import Message as Message
from .chat import ToolMessage as ToolMessage
from .chat import as_chat_history as as_chat_history
from .chat import as_generic_chat_history as as_generic_chat_history
from .docs import Document as Document
from .instruction import Instruction as Instruction
from .mify import mify as mify
from .mobject import MObject as MObject
from .mobject import MObjectProtocol as MObjectProtocol
from .mobject import Query as Query
from .mobject import Transform as Transform
from .simple import SimpleComponent as SimpleComponent

__all__ = [
    "CBlock",
    "Component",
    "ComponentParseError",
    "Document",
    "ImageBlock",
    "ImageUrlBlock",
    "Instruction",
    "MObject",
    "MObjectProtocol",
    "Message",
    "ModelOutputThunk",
    "Query",
    "SimpleComponent",
    "TemplateRepresentation",
    "ToolMessage",
    "Transform",
    "as_chat_history",
    "as_generic_chat_history",
    "blockify",
    "mify",
]

__getattr__ = named(__name__, {"Intrinsic": ADAPTERS})
