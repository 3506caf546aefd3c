"""Names of models: what each is called by the places that serve it, and what it can see.

The table is data. It knows no server, and a model that is not in it works as well: every
backend takes a plain name, too.
"""

from typing import Final

import attrs


@attrs.frozen
class ModelIdentifier:
    """One model under the names that different servers give it.

    A field is ``None`` where the model is not served or the fact is not known.

    Attributes:
        hf_model_name: its repository on Hugging Face.
        ollama_name: its name and tag in the Ollama library.
        watsonx_name: its name on watsonx.
        mlx_name: its repository in the format of MLX.
        openai_name: its name in the OpenAI API.
        bedrock_name: its name on Bedrock.
        bedrock_litellm_name: its name on Bedrock as LiteLLM writes it.
        hf_tokenizer_name: the repository of its tokenizer, where that is another one.
        context_length: the most tokens it can see at once.
    """

    hf_model_name: str | None = None
    ollama_name: str | None = None
    watsonx_name: str | None = None
    mlx_name: str | None = None
    openai_name: str | None = None
    bedrock_name: str | None = None
    bedrock_litellm_name: str | None = None
    hf_tokenizer_name: str | None = None
    context_length: int | None = None


IBM_GRANITE_4_HYBRID_MICRO: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-4.0-h-micro",
    ollama_name="granite4:micro-h",
    context_length=131_072,
)
IBM_GRANITE_4_HYBRID_TINY: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-4.0-h-tiny",
    ollama_name="granite4:tiny-h",
    context_length=131_072,
)
IBM_GRANITE_4_HYBRID_SMALL: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-4.0-h-small",
    ollama_name="granite4:small-h",
    watsonx_name="ibm/granite-4-h-small",
    context_length=131_072,
)
IBM_GRANITE_4_HYBRID_1B: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-4.0-h-1b",
    ollama_name="granite4:1b-h",
    context_length=131_072,
)
IBM_GRANITE_4_HYBRID_350m: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-4.0-h-350m",
    ollama_name="granite4:350m-h",
    context_length=32_768,
)
IBM_GRANITE_4_1_3B: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-4.1-3b",
    ollama_name="granite4.1:3b",
    context_length=131_072,
)
IBM_GRANITE_4_1_8B: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-4.1-8b",
    ollama_name="granite4.1:8b",
    context_length=131_072,
)
IBM_GRANITE_4_1_30B: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-4.1-30b",
    ollama_name="granite4.1:30b",
    context_length=131_072,
)
IBM_GRANITE_GUARDIAN_4_1_8B: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-guardian-4.1-8b",
    context_length=131_072,
)
IBM_GRANITE_3_2_8B: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-3.2-8b-instruct",
    ollama_name="granite3.2:8b",
    watsonx_name="ibm/granite-3-2b-instruct",
    context_length=131_072,
)
IBM_GRANITE_3_3_8B: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-3.3-8b-instruct",
    ollama_name="granite3.3:8b",
    watsonx_name="ibm/granite-3-3-8b-instruct",
    context_length=131_072,
)
IBM_GRANITE_4_MICRO_3B: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-4.0-micro",
    ollama_name="granite4:micro",
    watsonx_name="ibm/granite-4-h-small",
    context_length=131_072,
)
IBM_GRANITE_3_3_VISION_2B: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-vision-3.3-2b",
    ollama_name="ibm/granite3.3-vision:2b",
    context_length=131_072,
)
IBM_GRANITE_GUARDIAN_3_0_2B: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-guardian-3.0-2b",
    ollama_name="granite3-guardian:2b",
    context_length=4_096,
)
IBM_GRANITE_4_TINY_PREVIEW_7B: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-4.0-tiny-preview",
    context_length=131_072,
)
IBM_GRANITE_4_TINY_PREVIEW_BASE_7B: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-4.0-tiny-base-preview",
    context_length=131_072,
)
IBM_GRANITE_SWITCH_4_1_3B_PREVIEW: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-switch-4.1-3b-preview",
    context_length=131_072,
)
IBM_GRANITE_SWITCH_4_1_8B_PREVIEW: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-switch-4.1-8b-preview",
    context_length=131_072,
)
IBM_GRANITE_SWITCH_4_1_30B_PREVIEW: Final = ModelIdentifier(
    hf_model_name="ibm-granite/granite-switch-4.1-30b-preview",
    context_length=131_072,
)
META_LLAMA_4_SCOUT_17B_16E_INSTRUCT: Final = ModelIdentifier(
    hf_model_name="unsloth/Llama-4-Scout-17B-16E-Instruct",
    ollama_name="llama4:scout",
    mlx_name="mlx-community/Llama-4-Scout-17B-16E-Instruct-4bit",
    hf_tokenizer_name="unsloth/Llama-4-Scout-17B-16E-Instruct",
    context_length=10_485_760,
)
META_LLAMA_4_MAVERICK_17B_128E_INSTRUCT: Final = ModelIdentifier(
    hf_model_name="unsloth/Llama-4-Maverick-17B-128E-Instruct",
    ollama_name="llama4:maverick",
    mlx_name="mlx-community/Llama-4-Maverick-17B-128E-Instruct-4bit",
    hf_tokenizer_name="unsloth/Llama-4-Maverick-17B-128E-Instruct",
    context_length=1_048_576,
)
META_LLAMA_3_3_70B: Final = ModelIdentifier(
    hf_model_name="unsloth/Llama-3.3-70B-Instruct",
    ollama_name="llama3.3:70b",
    watsonx_name="meta-llama/llama-3-3-70b-instruct",
    mlx_name="mlx-community/Llama-3.3-70B-Instruct-4bit",
    hf_tokenizer_name="unsloth/Llama-3.3-70B-Instruct",
    context_length=131_072,
)
META_LLAMA_3_2_3B: Final = ModelIdentifier(
    hf_model_name="unsloth/Llama-3.2-3B-Instruct",
    ollama_name="llama3.2:3b",
    watsonx_name="meta-llama/llama-3-2-3b-instruct",
    context_length=131_072,
)
META_LLAMA_GUARD3_1B: Final = ModelIdentifier(
    hf_model_name="meta-llama/Llama-Guard-3-1B",
    ollama_name="llama-guard3:1b",
    context_length=131_072,
)
META_LLAMA_3_2_1B: Final = ModelIdentifier(
    hf_model_name="unsloth/Llama-3.2-1B",
    ollama_name="llama3.2:1b",
    context_length=131_072,
)
MISTRALAI_MISTRAL_0_3_7B: Final = ModelIdentifier(
    hf_model_name="mistralai/Mistral-7B-Instruct-v0.3",
    ollama_name="mistral:7b",
    context_length=32_768,
)
MISTRALAI_MISTRAL_SMALL_24B: Final = ModelIdentifier(
    hf_model_name="mistralai/Mistral-Small-3.1-24B-Instruct-2503",
    ollama_name="mistral-small:latest",
    watsonx_name="mistralai/mistral-small-3-1-24b-instruct-2503",
    context_length=131_072,
)
MISTRALAI_MISTRAL_LARGE_123B: Final = ModelIdentifier(
    hf_model_name="mistralai/Mistral-Large-Instruct-2411",
    ollama_name="mistral-large:latest",
    watsonx_name="mistralai/mistral-large",
    context_length=131_072,
)
MISTRALAI_DEVSTRAL_2_123B: Final = ModelIdentifier(
    bedrock_name="mistral.devstral-2-123b",
    bedrock_litellm_name="bedrock/converse/mistral.devstral-2-123b",
)
QWEN3_0_6B: Final = ModelIdentifier(
    hf_model_name="Qwen/Qwen3-0.6B",
    ollama_name="qwen3:0.6b",
    context_length=32_768,
)
QWEN3_1_7B: Final = ModelIdentifier(
    hf_model_name="Qwen/Qwen3-1.7B",
    ollama_name="qwen3:1.7b",
    context_length=32_768,
)
QWEN3_8B: Final = ModelIdentifier(
    hf_model_name="Qwen/Qwen3-8B",
    ollama_name="qwen3:8b",
    context_length=40_960,
)
QWEN3_14B: Final = ModelIdentifier(
    hf_model_name="Qwen/Qwen3-14B",
    ollama_name="qwen3:14b",
    context_length=40_960,
)
OPENAI_GPT_OSS_20B: Final = ModelIdentifier(
    hf_model_name="openai/gpt-oss-20b",
    ollama_name="gpt-oss:20b",
    bedrock_name="openai.gpt-oss-20b",
    bedrock_litellm_name="bedrock/converse/openai.gpt-oss-20b-1:0",
    context_length=131_072,
)
OPENAI_GPT_OSS_120B: Final = ModelIdentifier(
    hf_model_name="openai/gpt-oss-120b",
    ollama_name="gpt-oss:120b",
    bedrock_name="openai.gpt-oss-120b",
    bedrock_litellm_name="bedrock/converse/openai.gpt-oss-120b-1:0",
    context_length=131_072,
)
OPENAI_GPT_5_1: Final = ModelIdentifier(
    openai_name="gpt-5.1",
)
GOOGLE_GEMMA_3N_E4B: Final = ModelIdentifier(
    hf_model_name="google/gemma-3n-e4b-it",
    ollama_name="gemma3n:e4b",
    context_length=32_768,
)
MS_PHI_4_14B: Final = ModelIdentifier(
    hf_model_name="microsoft/phi-4",
    ollama_name="phi4:14b",
    context_length=16_384,
)
MS_PHI_4_MINI_REASONING_4B: Final = ModelIdentifier(
    hf_model_name="microsoft/Phi-4-mini-flash-reasoning",
    ollama_name="phi4-mini-reasoning:3.8b",
    context_length=131_072,
)
DEEPSEEK_R1_8B: Final = ModelIdentifier(
    hf_model_name="deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    ollama_name="deepseek-r1:8b",
    context_length=131_072,
)
HF_SMOLLM2_2B: Final = ModelIdentifier(
    hf_model_name="HuggingFaceTB/SmolLM2-1.7B-Instruct",
    ollama_name="smollm2:1.7b",
    mlx_name="mlx-community/SmolLM2-1.7B-Instruct",
    context_length=8_192,
)
HF_SMOLLM3_3B_no_ollama: Final = ModelIdentifier(
    hf_model_name="HuggingFaceTB/SmolLM3-3B",
    context_length=65_536,
)


def get_context_length(model: ModelIdentifier | str) -> int | None:
    """Return how many tokens a model can see at once, or ``None`` if that is not known.

    Args:
        model: an identifier, or a name on Hugging Face or in the Ollama library. A name
            may have the name of a server in front, as in ``"ollama/granite4.1:3b"``.

    Raises:
        TypeError: *model* is neither.
    """
    match model:
        case str():
            _, _, rest = model.partition("/")
            return _CONTEXT_LENGTHS.get(model) or _CONTEXT_LENGTHS.get(rest)
        case ModelIdentifier(context_length=int(length)):
            return length
        case ModelIdentifier(hf_model_name=hf_name, ollama_name=ollama_name):
            return _CONTEXT_LENGTHS.get(hf_name or "") or _CONTEXT_LENGTHS.get(ollama_name or "")
        case _:
            raise TypeError(f"a model is a ModelIdentifier or its name, not {model!r}")


_CONTEXT_LENGTHS: Final = {
    name: model.context_length
    for model in list(globals().values())
    if isinstance(model, ModelIdentifier) and model.context_length is not None
    for name in (model.hf_model_name, model.ollama_name)
    if name is not None
}
