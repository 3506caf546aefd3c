"""Helpers of programs that speak to servers or run event loops themselves."""

from .async_helpers import DEFAULT_CHUNK_TIMEOUT as DEFAULT_CHUNK_TIMEOUT
from .async_helpers import ClientCache as ClientCache
from .async_helpers import get_current_event_loop as get_current_event_loop
from .async_helpers import send_to_queue as send_to_queue
from .async_helpers import wait_for_all_mots as wait_for_all_mots
from .event_loop_helper import _run_async_in_thread as _run_async_in_thread
from .openai_compatible_helpers import chat_completion_delta_merge as chat_completion_delta_merge
from .openai_compatible_helpers import extract_model_tool_requests as extract_model_tool_requests
from .openai_compatible_helpers import message_to_openai_message as message_to_openai_message
from .openai_compatible_helpers import messages_to_docs as messages_to_docs
from .server_type import _server_type as _server_type
from .server_type import _ServerType as _ServerType
from .server_type import (
    is_vllm_server_with_structured_output as is_vllm_server_with_structured_output,
)

__all__ = [
    "DEFAULT_CHUNK_TIMEOUT",
    "ClientCache",
    "_ServerType",
    "_run_async_in_thread",
    "_server_type",
    "chat_completion_delta_merge",
    "extract_model_tool_requests",
    "get_current_event_loop",
    "is_vllm_server_with_structured_output",
    "message_to_openai_message",
    "messages_to_docs",
    "send_to_queue",
    "wait_for_all_mots",
]
