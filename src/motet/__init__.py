"""Many language-model calls at once, in control of every one.

The layers, from the bottom; a module imports only from layers below its own, and
``pyproject.toml`` holds the same list for the test that keeps it so:

    _values     data: errors, options, states, model names, facts about a reply
    _wire       bytes and text of the servers' protocols, without I/O
    _runtime    event loops, the tasks started on them, threads
    _thunk      replies that may not have arrived yet, and waiting for many
    _language   what is said: blocks, components, prompts, messages, contexts
    _http       connections, limits, one exchange
    backends    one module for each kind of model server
    _session    sessions
    testing, demo, cli      what stands outside and uses the rest
"""

from ._language.blocks import CBlock as CBlock
from ._language.blocks import ImageBlock as ImageBlock
from ._language.blocks import ImageUrlBlock as ImageUrlBlock
from ._language.blocks import InvalidImage as InvalidImage
from ._language.component import Component as Component
from ._language.component import ComponentParseError as ComponentParseError
from ._language.component import TemplateRepresentation as TemplateRepresentation
from ._language.component import blockify as blockify
from ._language.context import Context as Context
from ._language.context import ContextTurn as ContextTurn
from ._language.context import SimpleContext as SimpleContext
from ._language.formatter import TemplateFormatter as TemplateFormatter
from ._language.instruction import Instruction as Instruction
from ._language.message import Document as Document
from ._language.message import Message as Message
from ._session.session import MelleaSession as MelleaSession
from ._session.start import open_session as open_session
from ._session.start import start_session as start_session
from ._thunk.fanout import Outcome as Outcome
from ._thunk.fanout import as_completed as as_completed
from ._thunk.fanout import first_valid as first_valid
from ._thunk.fanout import gather_all as gather_all
from ._thunk.fanout import wait_for_all_mots as wait_for_all_mots
from ._thunk.fanout import wait_for_quorum as wait_for_quorum
from ._thunk.thunk import ComputedModelOutputThunk as ComputedModelOutputThunk
from ._thunk.thunk import ModelOutputThunk as ModelOutputThunk
from ._values.chat import ChatMessage as ChatMessage
from ._values.chat import ToolCallRequest as ToolCallRequest
from ._values.errors import BackendError as BackendError
from ._values.errors import BackendTimeout as BackendTimeout
from ._values.errors import BackendUnavailable as BackendUnavailable
from ._values.errors import ConnectionLost as ConnectionLost
from ._values.errors import DependencyError as DependencyError
from ._values.errors import GenerationCancelled as GenerationCancelled
from ._values.errors import ModelNotFound as ModelNotFound
from ._values.errors import MotetError as MotetError
from ._values.errors import NoValidReply as NoValidReply
from ._values.errors import PendingReplyError as PendingReplyError
from ._values.errors import Phase as Phase
from ._values.errors import ProtocolError as ProtocolError
from ._values.errors import QuorumNotReached as QuorumNotReached
from ._values.errors import ReplyError as ReplyError
from ._values.errors import SessionClosed as SessionClosed
from ._values.errors import SingleReaderError as SingleReaderError
from ._values.errors import StatusError as StatusError
from ._values.errors import TruncatedReply as TruncatedReply
from ._values.errors import WrongEventLoop as WrongEventLoop
from ._values.metadata import GenerateLog as GenerateLog
from ._values.metadata import GenerationMetadata as GenerationMetadata
from ._values.metadata import ModelToolCall as ModelToolCall
from ._values.metadata import RawProviderResponse as RawProviderResponse
from ._values.model_ids import ModelIdentifier as ModelIdentifier
from ._values.options import ModelOption as ModelOption
from .backends.base import Backend as Backend
from .backends.base import Reply as Reply
from .backends.base import Request as Request
from .backends.ollama import OllamaModelBackend as OllamaModelBackend

__version__ = "0.1.0"

# What is listed here is public, and tracebacks show it under the name it is imported by.
__all__ = [
    "Backend",
    "BackendError",
    "BackendTimeout",
    "BackendUnavailable",
    "CBlock",
    "ChatMessage",
    "Component",
    "ComponentParseError",
    "ComputedModelOutputThunk",
    "ConnectionLost",
    "Context",
    "ContextTurn",
    "DependencyError",
    "Document",
    "GenerateLog",
    "GenerationCancelled",
    "GenerationMetadata",
    "ImageBlock",
    "ImageUrlBlock",
    "Instruction",
    "InvalidImage",
    "MelleaSession",
    "Message",
    "ModelIdentifier",
    "ModelNotFound",
    "ModelOption",
    "ModelOutputThunk",
    "ModelToolCall",
    "MotetError",
    "NoValidReply",
    "OllamaModelBackend",
    "Outcome",
    "PendingReplyError",
    "Phase",
    "ProtocolError",
    "QuorumNotReached",
    "RawProviderResponse",
    "Reply",
    "ReplyError",
    "Request",
    "SessionClosed",
    "SimpleContext",
    "SingleReaderError",
    "StatusError",
    "TemplateFormatter",
    "TemplateRepresentation",
    "ToolCallRequest",
    "TruncatedReply",
    "WrongEventLoop",
    "__version__",
    "as_completed",
    "blockify",
    "first_valid",
    "gather_all",
    "open_session",
    "start_session",
    "wait_for_all_mots",
    "wait_for_quorum",
]

for _name in __all__:
    if hasattr(globals()[_name], "__module__"):
        globals()[_name].__module__ = __name__
del _name
