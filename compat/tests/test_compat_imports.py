"""The documented import paths, what each has, and that importing starts nothing."""

import importlib
import importlib.metadata
import subprocess
import sys

import pytest

import mellea

PROBE = """
import sys, threading
import mellea, mellea.helpers, mellea.stdlib.functional, mellea.backends.openai
print(mellea.start_session.__name__, threading.active_count())
print(*sorted({"torch", "transformers", "numpy", "openai", "ollama"} & set(sys.modules)))
"""

NAMES = {
    "mellea": "MelleaSession start_session start_backend generative model_ids serve",
    "mellea.backends": "Backend BaseModelSubclass FormatterBackend SimpleLRUCache ModelIdentifier "
    "ModelOption MelleaTool tool model_ids",
    "mellea.backends.backend": "FormatterBackend",
    "mellea.backends.model_options": "ModelOption",
    "mellea.backends.model_ids": "ModelIdentifier IBM_GRANITE_4_1_3B HF_SMOLLM3_3B_no_ollama",
    "mellea.backends.context_lengths": "get_context_length",
    "mellea.backends.cache": "Cache SimpleLRUCache",
    "mellea.backends.dummy": "DummyBackend",
    "mellea.backends.ollama": "OllamaModelBackend chat_response_delta_merge",
    "mellea.backends.openai": "OpenAIBackend",
    "mellea.backends.tools": "MelleaTool tool add_tools_from_model_options "
    "add_tools_from_context_actions convert_tools_to_json json_extraction find_func parse_tools "
    "validate_tool_arguments SubscriptableBaseModel OllamaTool get_code_field_from_schema "
    "convert_function_to_ollama_tool",
    "mellea.backends.utils": "get_value populate_response_metadata_openai_shape to_chat "
    "to_tool_calls",
    "mellea.core": "Backend BaseModelSubclass C CBlock Component ComponentParseError "
    "ComputedModelOutputThunk Context ContextTurn Formatter GenerateLog GenerateType "
    "GenerationMetadata ImageBlock ImageUrlBlock MelleaLogger ModelOutputThunk ModelToolCall "
    "PartialValidationResult RawProviderResponse Requirement S SamplingResult SamplingStrategy "
    "TemplateRepresentation ValidationResult blockify clear_log_context default_output_to_bool "
    "generate_walk log_context set_log_context",
    "mellea.core.base": "AbstractMelleaTool get_images_from_component ContextT CBlock "
    "ModelOutputThunk GenerateType",
    "mellea.core.backend": "Backend BaseModelSubclass generate_walk",
    "mellea.core.requirement": "Requirement ValidationResult PartialValidationResult "
    "default_output_to_bool",
    "mellea.core.sampling": "SamplingResult SamplingStrategy",
    "mellea.core.formatter": "Formatter",
    "mellea.core.utils": "MelleaLogger set_log_context clear_log_context log_context "
    "configure_logging ContextFilter OtelTraceFilter RESTHandler JsonFormatter CustomFormatter",
    "mellea.formatters": "Formatter ChatFormatter TemplateFormatter",
    "mellea.formatters.chat_formatter": "ChatFormatter",
    "mellea.formatters.template_formatter": "TemplateFormatter",
    "mellea.helpers": "DEFAULT_CHUNK_TIMEOUT ClientCache send_to_queue wait_for_all_mots "
    "get_current_event_loop chat_completion_delta_merge extract_model_tool_requests "
    "message_to_openai_message messages_to_docs is_vllm_server_with_structured_output "
    "_run_async_in_thread _server_type _ServerType",
    "mellea.helpers.async_helpers": "DEFAULT_CHUNK_TIMEOUT send_to_queue wait_for_all_mots "
    "get_current_event_loop ClientCache",
    "mellea.helpers.event_loop_helper": "_run_async_in_thread",
    "mellea.helpers.openai_compatible_helpers": "message_to_openai_message messages_to_docs "
    "chat_completion_delta_merge extract_model_tool_requests build_completion_usage "
    "build_tool_calls has_tool_calls CompletionUsage ToolCallDict ToolCallFunction",
    "mellea.plugins.registry": "_HAS_PLUGIN_FRAMEWORK",
    "mellea.stdlib": "ChunkingStrategy SentenceChunker WordChunker ParagraphChunker "
    "stream_with_chunking StreamChunkingResult StreamEvent ChunkEvent QuickCheckEvent "
    "StreamingDoneEvent FullValidationEvent CompletedEvent ErrorEvent",
    "mellea.stdlib.session": "MelleaSession start_session get_session backend_name_to_class",
    "mellea.stdlib.start_backend": "start_backend backend_name_to_class",
    "mellea.stdlib.functional": "act instruct chat validate query transform aact ainstruct achat "
    "avalidate aquery atransform",
    "mellea.stdlib.context": "Context ContextTurn CBlock Component SimpleContext ChatContext "
    "Compactor InlineCompactor WindowCompactor ThresholdCompactor LLMSummarizeCompactor "
    "PinPredicate pin_nothing pin_system pin_system_and_initial_user",
    "mellea.stdlib.components": "CBlock Component ComponentParseError Document ImageBlock "
    "ImageUrlBlock Instruction Intrinsic MObject MObjectProtocol Message ModelOutputThunk Query "
    "SimpleComponent TemplateRepresentation ToolMessage Transform as_chat_history "
    "as_generic_chat_history blockify mify",
    "mellea.stdlib.components.chat": "Message ToolMessage as_chat_history as_generic_chat_history",
    "mellea.stdlib.components.instruction": "Instruction",
    "mellea.stdlib.components.mify": "mify",
    "mellea.stdlib.components.mobject": "MObject MObjectProtocol Query Transform",
    "mellea.stdlib.components.simple": "SimpleComponent",
    "mellea.stdlib.components.docs": "Document",
    "mellea.stdlib.components.docs.document": "Document",
    "mellea.stdlib.components.genstub": "generative PreconditionException GenerativeStub "
    "SyncGenerativeStub AsyncGenerativeStub Function Argument Arguments "
    "ArgPreconditionRequirement FunctionResponse ExtractedArgs create_response_format "
    "describe_function get_argument bind_function_arguments",
    "mellea.stdlib.streaming": "stream_with_chunking StreamChunkingResult StreamEvent ChunkEvent "
    "QuickCheckEvent StreamingDoneEvent FullValidationEvent RetryEvent CompletedEvent ErrorEvent "
    "stream Streamer",
    "mellea.stdlib.chunking": "ChunkingStrategy SentenceChunker WordChunker ParagraphChunker "
    "SentenceChunking WordChunking ParagraphChunking Chunker resolve_chunking_strategy",
    "mellea.stdlib.requirements": "Requirement ValidationResult default_output_to_bool req check "
    "reqify simple_validate LLMaJRequirement ALoraRequirement requirement_check_to_bool uses_tool "
    "tool_arg_validator as_markdown_list is_markdown_list is_markdown_table PythonExecutionReq",
    "mellea.stdlib.sampling": "SamplingResult SamplingStrategy BaseSamplingStrategy "
    "RejectionSamplingStrategy RepairTemplateStrategy MultiTurnStrategy "
    "MajorityVotingStrategyForMath MBRDRougeLStrategy BudgetForcingSamplingStrategy "
    "SOFAISamplingStrategy ModelFriendlyFeedbackFormatter SamplingPreset",
}


@pytest.mark.parametrize("module", NAMES)
def test_a_module_has_the_documented_names(module: str) -> None:
    found = importlib.import_module(module)
    for name in NAMES[module].split():
        assert getattr(found, name) is not None or name == "C", name


def test_the_first_module_lists_what_is_documented() -> None:
    assert set(mellea.__all__) == set(NAMES["mellea"].split())


def test_an_old_name_of_the_logger_says_that_it_is_old() -> None:
    with pytest.warns(DeprecationWarning, match="MelleaLogger"):
        from mellea.core import FancyLogger
    assert FancyLogger is mellea.core.MelleaLogger


def test_the_version_is_that_of_the_distribution() -> None:
    assert mellea.__version__ == importlib.metadata.version("motet-mellea")


def test_importing_starts_no_thread_and_needs_nothing_big() -> None:
    ran = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["start_session", "1"]
