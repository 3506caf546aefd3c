"""
A language model of some hundred kilobytes with random weights, written as a GGUF file.

Reference: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from pathlib import Path
from typing import Final

import gguf
import numpy as np

from .babble import TEMPLATE, WORDS

_LAYERS: Final = 2
_WIDTH: Final = 64
_HEADS: Final = 4
_HIDDEN: Final = 128
_CONTEXT: Final = 65_536
# The larger, the more certainly the next token is a word and not a byte or the end.
_WORD_WEIGHT: Final = 4.0


def write_gguf_model(path: Path, *, seed: int = 0) -> None:
    """Write the model; the same *seed* gives the same weights."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    words = _add_vocabulary(writer)

    def weights(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    count = words.size
    writer.add_tensor("token_embd.weight", weights(count, _WIDTH))
    for layer in range(_LAYERS):
        for name, rows, columns in (
            ("attn_q", _WIDTH, _WIDTH),
            ("attn_k", _WIDTH, _WIDTH),
            ("attn_v", _WIDTH, _WIDTH),
            ("attn_output", _WIDTH, _WIDTH),
            ("ffn_gate", _HIDDEN, _WIDTH),
            ("ffn_up", _HIDDEN, _WIDTH),
            ("ffn_down", _WIDTH, _HIDDEN),
        ):
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(rows, columns))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(_WIDTH, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(_WIDTH, np.float32))
    output = weights(count, _WIDTH) * (words[:, None] * _WORD_WEIGHT)
    writer.add_tensor("output.weight", output.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: gguf.GGUFWriter) -> np.ndarray:
    """Add the tokens; return for each 1 if it is a word."""
    types = gguf.TokenType
    tokens = [("<unk>", types.UNKNOWN), ("<s>", types.CONTROL), ("</s>", types.CONTROL)]
    tokens += [(f"<0x{byte:02X}>", types.BYTE) for byte in range(256)]
    tokens += [("▁" + word, types.NORMAL) for word in WORDS]
    tokens += [(chr(each), types.NORMAL) for each in range(33, 127)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_scores([-float(position) for position in range(len(tokens))])
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    return np.array([text.startswith("▁") for text, _ in tokens], np.float32)
