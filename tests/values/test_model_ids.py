"""Names of models: the table, and what can be looked up in it."""

import pickle
from typing import Any

import attrs
import pytest

from motet import model_ids
from motet.model_ids import ModelIdentifier, get_context_length

FIELDS = [
    "hf_model_name",
    "ollama_name",
    "watsonx_name",
    "mlx_name",
    "openai_name",
    "bedrock_name",
    "bedrock_litellm_name",
    "hf_tokenizer_name",
    "context_length",
]

# Name, Hugging Face, Ollama, tokens, other names.
TABLE: list[tuple[str, str | None, str | None, int | None, dict[str, str]]] = [
    (
        "IBM_GRANITE_4_HYBRID_MICRO",
        "ibm-granite/granite-4.0-h-micro",
        "granite4:micro-h",
        131072,
        {},
    ),
    ("IBM_GRANITE_4_HYBRID_TINY", "ibm-granite/granite-4.0-h-tiny", "granite4:tiny-h", 131072, {}),
    (
        "IBM_GRANITE_4_HYBRID_SMALL",
        "ibm-granite/granite-4.0-h-small",
        "granite4:small-h",
        131072,
        {"watsonx_name": "ibm/granite-4-h-small"},
    ),
    ("IBM_GRANITE_4_HYBRID_1B", "ibm-granite/granite-4.0-h-1b", "granite4:1b-h", 131072, {}),
    ("IBM_GRANITE_4_HYBRID_350m", "ibm-granite/granite-4.0-h-350m", "granite4:350m-h", 32768, {}),
    ("IBM_GRANITE_4_1_3B", "ibm-granite/granite-4.1-3b", "granite4.1:3b", 131072, {}),
    ("IBM_GRANITE_4_1_8B", "ibm-granite/granite-4.1-8b", "granite4.1:8b", 131072, {}),
    ("IBM_GRANITE_4_1_30B", "ibm-granite/granite-4.1-30b", "granite4.1:30b", 131072, {}),
    ("IBM_GRANITE_GUARDIAN_4_1_8B", "ibm-granite/granite-guardian-4.1-8b", None, 131072, {}),
    (
        "IBM_GRANITE_3_2_8B",
        "ibm-granite/granite-3.2-8b-instruct",
        "granite3.2:8b",
        131072,
        {"watsonx_name": "ibm/granite-3-2b-instruct"},
    ),
    (
        "IBM_GRANITE_3_3_8B",
        "ibm-granite/granite-3.3-8b-instruct",
        "granite3.3:8b",
        131072,
        {"watsonx_name": "ibm/granite-3-3-8b-instruct"},
    ),
    (
        "IBM_GRANITE_4_MICRO_3B",
        "ibm-granite/granite-4.0-micro",
        "granite4:micro",
        131072,
        {"watsonx_name": "ibm/granite-4-h-small"},
    ),
    (
        "IBM_GRANITE_3_3_VISION_2B",
        "ibm-granite/granite-vision-3.3-2b",
        "ibm/granite3.3-vision:2b",
        131072,
        {},
    ),
    (
        "IBM_GRANITE_GUARDIAN_3_0_2B",
        "ibm-granite/granite-guardian-3.0-2b",
        "granite3-guardian:2b",
        4096,
        {},
    ),
    ("IBM_GRANITE_4_TINY_PREVIEW_7B", "ibm-granite/granite-4.0-tiny-preview", None, 131072, {}),
    (
        "IBM_GRANITE_4_TINY_PREVIEW_BASE_7B",
        "ibm-granite/granite-4.0-tiny-base-preview",
        None,
        131072,
        {},
    ),
    (
        "IBM_GRANITE_SWITCH_4_1_3B_PREVIEW",
        "ibm-granite/granite-switch-4.1-3b-preview",
        None,
        131072,
        {},
    ),
    (
        "IBM_GRANITE_SWITCH_4_1_8B_PREVIEW",
        "ibm-granite/granite-switch-4.1-8b-preview",
        None,
        131072,
        {},
    ),
    (
        "IBM_GRANITE_SWITCH_4_1_30B_PREVIEW",
        "ibm-granite/granite-switch-4.1-30b-preview",
        None,
        131072,
        {},
    ),
    (
        "META_LLAMA_4_SCOUT_17B_16E_INSTRUCT",
        "unsloth/Llama-4-Scout-17B-16E-Instruct",
        "llama4:scout",
        10485760,
        {
            "mlx_name": "mlx-community/Llama-4-Scout-17B-16E-Instruct-4bit",
            "hf_tokenizer_name": "unsloth/Llama-4-Scout-17B-16E-Instruct",
        },
    ),
    (
        "META_LLAMA_4_MAVERICK_17B_128E_INSTRUCT",
        "unsloth/Llama-4-Maverick-17B-128E-Instruct",
        "llama4:maverick",
        1048576,
        {
            "mlx_name": "mlx-community/Llama-4-Maverick-17B-128E-Instruct-4bit",
            "hf_tokenizer_name": "unsloth/Llama-4-Maverick-17B-128E-Instruct",
        },
    ),
    (
        "META_LLAMA_3_3_70B",
        "unsloth/Llama-3.3-70B-Instruct",
        "llama3.3:70b",
        131072,
        {
            "watsonx_name": "meta-llama/llama-3-3-70b-instruct",
            "mlx_name": "mlx-community/Llama-3.3-70B-Instruct-4bit",
            "hf_tokenizer_name": "unsloth/Llama-3.3-70B-Instruct",
        },
    ),
    (
        "META_LLAMA_3_2_3B",
        "unsloth/Llama-3.2-3B-Instruct",
        "llama3.2:3b",
        131072,
        {"watsonx_name": "meta-llama/llama-3-2-3b-instruct"},
    ),
    ("META_LLAMA_GUARD3_1B", "meta-llama/Llama-Guard-3-1B", "llama-guard3:1b", 131072, {}),
    ("META_LLAMA_3_2_1B", "unsloth/Llama-3.2-1B", "llama3.2:1b", 131072, {}),
    ("MISTRALAI_MISTRAL_0_3_7B", "mistralai/Mistral-7B-Instruct-v0.3", "mistral:7b", 32768, {}),
    (
        "MISTRALAI_MISTRAL_SMALL_24B",
        "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
        "mistral-small:latest",
        131072,
        {"watsonx_name": "mistralai/mistral-small-3-1-24b-instruct-2503"},
    ),
    (
        "MISTRALAI_MISTRAL_LARGE_123B",
        "mistralai/Mistral-Large-Instruct-2411",
        "mistral-large:latest",
        131072,
        {"watsonx_name": "mistralai/mistral-large"},
    ),
    (
        "MISTRALAI_DEVSTRAL_2_123B",
        None,
        None,
        None,
        {
            "bedrock_name": "mistral.devstral-2-123b",
            "bedrock_litellm_name": "bedrock/converse/mistral.devstral-2-123b",
        },
    ),
    ("QWEN3_0_6B", "Qwen/Qwen3-0.6B", "qwen3:0.6b", 32768, {}),
    ("QWEN3_1_7B", "Qwen/Qwen3-1.7B", "qwen3:1.7b", 32768, {}),
    ("QWEN3_8B", "Qwen/Qwen3-8B", "qwen3:8b", 40960, {}),
    ("QWEN3_14B", "Qwen/Qwen3-14B", "qwen3:14b", 40960, {}),
    (
        "OPENAI_GPT_OSS_20B",
        "openai/gpt-oss-20b",
        "gpt-oss:20b",
        131072,
        {
            "bedrock_name": "openai.gpt-oss-20b",
            "bedrock_litellm_name": "bedrock/converse/openai.gpt-oss-20b-1:0",
        },
    ),
    (
        "OPENAI_GPT_OSS_120B",
        "openai/gpt-oss-120b",
        "gpt-oss:120b",
        131072,
        {
            "bedrock_name": "openai.gpt-oss-120b",
            "bedrock_litellm_name": "bedrock/converse/openai.gpt-oss-120b-1:0",
        },
    ),
    ("OPENAI_GPT_5_1", None, None, None, {"openai_name": "gpt-5.1"}),
    ("GOOGLE_GEMMA_3N_E4B", "google/gemma-3n-e4b-it", "gemma3n:e4b", 32768, {}),
    ("MS_PHI_4_14B", "microsoft/phi-4", "phi4:14b", 16384, {}),
    (
        "MS_PHI_4_MINI_REASONING_4B",
        "microsoft/Phi-4-mini-flash-reasoning",
        "phi4-mini-reasoning:3.8b",
        131072,
        {},
    ),
    ("DEEPSEEK_R1_8B", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "deepseek-r1:8b", 131072, {}),
    (
        "HF_SMOLLM2_2B",
        "HuggingFaceTB/SmolLM2-1.7B-Instruct",
        "smollm2:1.7b",
        8192,
        {"mlx_name": "mlx-community/SmolLM2-1.7B-Instruct"},
    ),
    ("HF_SMOLLM3_3B_no_ollama", "HuggingFaceTB/SmolLM3-3B", None, 65536, {}),
]
MODELS = [getattr(model_ids, row[0]) for row in TABLE]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_each_model_has_its_names(row: tuple[str, str | None, str | None, int | None, Any]) -> None:
    name, hf_name, ollama_name, length, others = row
    expected = dict.fromkeys(FIELDS) | others
    expected |= {"hf_model_name": hf_name, "ollama_name": ollama_name, "context_length": length}
    assert attrs.asdict(getattr(model_ids, name)) == expected


def test_the_public_module_offers_the_table_and_nothing_else() -> None:
    names = {row[0] for row in TABLE} | {"ModelIdentifier", "get_context_length"}
    assert set(model_ids.__all__) == names
    assert len(TABLE) == 42


def test_an_identifier_takes_its_fields_in_order_or_by_name() -> None:
    assert [field.name for field in attrs.fields(ModelIdentifier)] == FIELDS
    values: list[Any] = [*FIELDS[:-1], 7]
    by_position = ModelIdentifier(*values)
    by_name = ModelIdentifier(**dict(zip(FIELDS, values, strict=True)))
    assert by_position == by_name
    assert hash(by_position) == hash(by_name)
    assert set(attrs.asdict(ModelIdentifier()).values()) == {None}


def test_an_identifier_does_not_change() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        model_ids.QWEN3_8B.ollama_name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("model", MODELS)
def test_an_identifier_pickles(model: ModelIdentifier) -> None:
    assert pickle.loads(pickle.dumps(model)) == model


@pytest.mark.parametrize("model", MODELS)
def test_the_context_length_is_found_by_identifier_and_by_each_name(model: ModelIdentifier) -> None:
    assert get_context_length(model) == model.context_length
    for name in (model.hf_model_name, model.ollama_name):
        if name is not None:
            assert get_context_length(name) == model.context_length
            assert get_context_length(f"server/{name}") == model.context_length


@pytest.mark.parametrize(
    ("model", "length"),
    [
        ("granite4.1:3b", 131072),
        ("ollama/granite4.1:3b", 131072),
        ("hosted_vllm/ibm-granite/granite-4.1-3b", 131072),
        ("a/b/granite4.1:3b", None),
        ("granite4.1", None),
        ("", None),
        ("/", None),
        ("no such model", None),
        ("gpt-5.1", None),
        (ModelIdentifier(), None),
        (ModelIdentifier(context_length=5), 5),
        (ModelIdentifier(ollama_name="granite4.1:3b"), 131072),
        (ModelIdentifier(ollama_name="granite4.1:3b", context_length=5), 5),
        (ModelIdentifier(hf_model_name="microsoft/phi-4"), 16384),
        (ModelIdentifier(hf_model_name="unknown", ollama_name="phi4:14b"), 16384),
        (ModelIdentifier(hf_model_name="unknown"), None),
    ],
)
def test_the_context_length_of(model: ModelIdentifier | str, length: int | None) -> None:
    assert get_context_length(model) == length


@pytest.mark.parametrize("model", [None, 5, b"granite4.1:3b"])
def test_the_context_length_of_something_else_is_a_misuse(model: Any) -> None:
    with pytest.raises(TypeError, match="ModelIdentifier"):
        get_context_length(model)
