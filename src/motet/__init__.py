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
    _programs   requirements, sampling, tools, generative functions
    _session    sessions
    testing, demo, cli      what stands outside and uses the rest
"""

import importlib
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ._http.limits import Limits as Limits
from ._http.limits import LimitStatistics as LimitStatistics
from ._language.blocks import CBlock as CBlock
from ._language.blocks import ImageBlock as ImageBlock
from ._language.blocks import ImageUrlBlock as ImageUrlBlock
from ._language.blocks import InvalidImage as InvalidImage
from ._language.chat_context import ChatContext as ChatContext
from ._language.compaction import Compactor as Compactor
from ._language.compaction import InlineCompactor as InlineCompactor
from ._language.compaction import PinPredicate as PinPredicate
from ._language.compaction import ThresholdCompactor as ThresholdCompactor
from ._language.compaction import WindowCompactor as WindowCompactor
from ._language.compaction import pin_nothing as pin_nothing
from ._language.compaction import pin_system as pin_system
from ._language.compaction import pin_system_and_initial_user as pin_system_and_initial_user
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
from ._language.message import ToolMessage as ToolMessage
from ._language.objects import MObject as MObject
from ._language.objects import MObjectProtocol as MObjectProtocol
from ._language.objects import Query as Query
from ._language.objects import Transform as Transform
from ._language.requirement import PartialValidationResult as PartialValidationResult
from ._language.requirement import Requirement as Requirement
from ._language.requirement import ValidationResult as ValidationResult
from ._language.requirement import default_output_to_bool as default_output_to_bool
from ._language.tools.tool import MelleaTool as MelleaTool
from ._language.tools.tool import tool as tool
from ._programs.checks import LLMaJRequirement as LLMaJRequirement
from ._programs.checks import check as check
from ._programs.checks import req as req
from ._programs.checks import reqify as reqify
from ._programs.checks import requirement_check_to_bool as requirement_check_to_bool
from ._programs.checks import simple_validate as simple_validate
from ._programs.checks import tool_arg_validator as tool_arg_validator
from ._programs.checks import uses_tool as uses_tool
from ._programs.sampling.base import BaseSamplingStrategy as BaseSamplingStrategy
from ._programs.sampling.base import SamplingStrategy as SamplingStrategy
from ._programs.sampling.result import SamplingResult as SamplingResult
from ._programs.sampling.strategies import MultiTurnStrategy as MultiTurnStrategy
from ._programs.sampling.strategies import RejectionSamplingStrategy as RejectionSamplingStrategy
from ._programs.sampling.strategies import RepairTemplateStrategy as RepairTemplateStrategy
from ._programs.tools import acall_tools as acall_tools
from ._programs.tools import arun_tool as arun_tool
from ._programs.tools import call_tools as call_tools
from ._runtime.portal import run_in_portal as run_in_portal
from ._session.session import MelleaSession as MelleaSession
from ._session.session import get_session as get_session
from ._session.start import open_session as open_session
from ._session.start import start_session as start_session
from ._thunk.fanout import Outcome as Outcome
from ._thunk.fanout import as_completed as as_completed
from ._thunk.fanout import first_valid as first_valid
from ._thunk.fanout import gather_all as gather_all
from ._thunk.fanout import wait_for_all_mots as wait_for_all_mots
from ._thunk.fanout import wait_for_quorum as wait_for_quorum
from ._thunk.filling import fill_thunk as fill_thunk
from ._thunk.filling import show_facts as show_facts
from ._thunk.filling import thunk_from as thunk_from
from ._thunk.thunk import ComputedModelOutputThunk as ComputedModelOutputThunk
from ._thunk.thunk import ModelOutputThunk as ModelOutputThunk
from ._values.chat import ChatMessage as ChatMessage
from ._values.chat import ToolCallRequest as ToolCallRequest
from ._values.errors import BackendError as BackendError
from ._values.errors import BackendTimeout as BackendTimeout
from ._values.errors import BackendUnavailable as BackendUnavailable
from ._values.errors import CertificateError as CertificateError
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
from ._values.errors import ReplyRefused as ReplyRefused
from ._values.errors import ReplyTooLarge as ReplyTooLarge
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
from ._values.retries import RetryPolicy as RetryPolicy
from ._values.timeouts import Timeouts as Timeouts
from .backends.base import Backend as Backend
from .backends.base import Reply as Reply
from .backends.base import Request as Request
from .backends.combinators import BalancedBackend as BalancedBackend
from .backends.combinators import FallbackBackend as FallbackBackend
from .backends.combinators import HedgedBackend as HedgedBackend
from .backends.ollama import OllamaModelBackend as OllamaModelBackend

if TYPE_CHECKING:
    from ._language.history import as_chat_history as as_chat_history
    from ._language.history import as_generic_chat_history as as_generic_chat_history
    from ._language.mify import mify as mify
    from ._language.simple import SimpleComponent as SimpleComponent
    from ._programs.generative.call import ReplyMismatch as ReplyMismatch
    from ._programs.generative.preconditions import PreconditionException as PreconditionException
    from ._programs.generative.stub import AsyncGenerativeStub as AsyncGenerativeStub
    from ._programs.generative.stub import GenerativeStub as GenerativeStub
    from ._programs.generative.stub import SyncGenerativeStub as SyncGenerativeStub
    from ._programs.generative.stub import generative as generative
    from ._programs.markdown import as_markdown_list as as_markdown_list
    from ._programs.markdown import is_markdown_list as is_markdown_list
    from ._programs.markdown import is_markdown_table as is_markdown_table
    from ._programs.sampling.budget_forcing import (
        BudgetForcingSamplingStrategy as BudgetForcingSamplingStrategy,
    )
    from ._programs.sampling.likeness import (
        MajorityVotingStrategyForMath as MajorityVotingStrategyForMath,
    )
    from ._programs.sampling.likeness import MBRDRougeLStrategy as MBRDRougeLStrategy
    from ._programs.sampling.sofai import SOFAISamplingStrategy as SOFAISamplingStrategy
    from ._programs.sampling.voting import BestOfNSamplingStrategy as BestOfNSamplingStrategy
    from ._programs.sampling.voting import MajorityVotingStrategy as MajorityVotingStrategy
    from ._programs.sampling.voting import VotingStrategy as VotingStrategy
    from ._programs.summary import LLMSummarizeCompactor as LLMSummarizeCompactor
    from .backends.openai import OpenAIBackend as OpenAIBackend

__version__ = "0.1.0"

# Imported when they are first asked for: most programs never do, and a start should be
# quick.
_LATER = {
    "AsyncGenerativeStub": "._programs.generative.stub",
    "BestOfNSamplingStrategy": "._programs.sampling.voting",
    "BudgetForcingSamplingStrategy": "._programs.sampling.budget_forcing",
    "GenerativeStub": "._programs.generative.stub",
    "LLMSummarizeCompactor": "._programs.summary",
    "MBRDRougeLStrategy": "._programs.sampling.likeness",
    "MajorityVotingStrategy": "._programs.sampling.voting",
    "MajorityVotingStrategyForMath": "._programs.sampling.likeness",
    "OpenAIBackend": ".backends.openai",
    "PreconditionException": "._programs.generative.preconditions",
    "ReplyMismatch": "._programs.generative.call",
    "SOFAISamplingStrategy": "._programs.sampling.sofai",
    "SimpleComponent": "._language.simple",
    "SyncGenerativeStub": "._programs.generative.stub",
    "VotingStrategy": "._programs.sampling.voting",
    "as_chat_history": "._language.history",
    "as_generic_chat_history": "._language.history",
    "as_markdown_list": "._programs.markdown",
    "generative": "._programs.generative.stub",
    "is_markdown_list": "._programs.markdown",
    "is_markdown_table": "._programs.markdown",
    "mify": "._language.mify",
}

# What is listed here is public, and tracebacks show it under the name it is imported by.
__all__ = [
    "AsyncGenerativeStub",
    "Backend",
    "BackendError",
    "BackendTimeout",
    "BackendUnavailable",
    "BalancedBackend",
    "BaseSamplingStrategy",
    "BestOfNSamplingStrategy",
    "BudgetForcingSamplingStrategy",
    "CBlock",
    "CertificateError",
    "ChatContext",
    "ChatMessage",
    "Compactor",
    "Component",
    "ComponentParseError",
    "ComputedModelOutputThunk",
    "ConnectionLost",
    "Context",
    "ContextTurn",
    "DependencyError",
    "Document",
    "FallbackBackend",
    "GenerateLog",
    "GenerationCancelled",
    "GenerationMetadata",
    "GenerativeStub",
    "HedgedBackend",
    "ImageBlock",
    "ImageUrlBlock",
    "InlineCompactor",
    "Instruction",
    "InvalidImage",
    "LLMSummarizeCompactor",
    "LLMaJRequirement",
    "LimitStatistics",
    "Limits",
    "MBRDRougeLStrategy",
    "MObject",
    "MObjectProtocol",
    "MajorityVotingStrategy",
    "MajorityVotingStrategyForMath",
    "MelleaSession",
    "MelleaTool",
    "Message",
    "ModelIdentifier",
    "ModelNotFound",
    "ModelOption",
    "ModelOutputThunk",
    "ModelToolCall",
    "MotetError",
    "MultiTurnStrategy",
    "NoValidReply",
    "OllamaModelBackend",
    "OpenAIBackend",
    "Outcome",
    "PartialValidationResult",
    "PendingReplyError",
    "Phase",
    "PinPredicate",
    "PreconditionException",
    "ProtocolError",
    "Query",
    "QuorumNotReached",
    "RawProviderResponse",
    "RejectionSamplingStrategy",
    "RepairTemplateStrategy",
    "Reply",
    "ReplyError",
    "ReplyMismatch",
    "ReplyRefused",
    "ReplyTooLarge",
    "Request",
    "Requirement",
    "RetryPolicy",
    "SOFAISamplingStrategy",
    "SamplingResult",
    "SamplingStrategy",
    "SessionClosed",
    "SimpleComponent",
    "SimpleContext",
    "SingleReaderError",
    "StatusError",
    "SyncGenerativeStub",
    "TemplateFormatter",
    "TemplateRepresentation",
    "ThresholdCompactor",
    "Timeouts",
    "ToolCallRequest",
    "ToolMessage",
    "Transform",
    "TruncatedReply",
    "ValidationResult",
    "VotingStrategy",
    "WindowCompactor",
    "WrongEventLoop",
    "__version__",
    "acall_tools",
    "arun_tool",
    "as_chat_history",
    "as_completed",
    "as_generic_chat_history",
    "as_markdown_list",
    "blockify",
    "call_tools",
    "check",
    "default_output_to_bool",
    "fill_thunk",
    "first_valid",
    "gather_all",
    "generative",
    "get_session",
    "is_markdown_list",
    "is_markdown_table",
    "mify",
    "open_session",
    "pin_nothing",
    "pin_system",
    "pin_system_and_initial_user",
    "req",
    "reqify",
    "requirement_check_to_bool",
    "run_in_portal",
    "show_facts",
    "simple_validate",
    "start_session",
    "thunk_from",
    "tool",
    "tool_arg_validator",
    "uses_tool",
    "wait_for_all_mots",
    "wait_for_quorum",
]

for _name in __all__:
    if isinstance(globals().get(_name), type | FunctionType):
        globals()[_name].__module__ = __name__
del _name


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'motet' has no attribute {name!r}")
    found = getattr(importlib.import_module(_LATER[name], __name__), name)
    if hasattr(found, "__module__") and found is not None:
        found.__module__ = __name__
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
