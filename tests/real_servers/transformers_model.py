"""
A language model with random weights for `transformers`: ``python -m ... FOLDER`` writes it.

It runs in the environment of that server, which has what it needs.
"""

import sys
from typing import Final

import tokenizers
import torch
import transformers

from .babble import TEMPLATE, WORDS

_CONTROL: Final = ("<unk>", "<s>", "</s>")
# The larger, the less even the choice of the next word.
_WORD_WEIGHT: Final = 50.0


def write_transformers_model(folder: str, *, seed: int = 0) -> None:
    """Write the model and its tokenizer; the same *seed* gives the same weights."""
    characters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = ["Ġ" + word for word in WORDS]  # how this tokenizer writes a space
    vocabulary = {text: place for place, text in enumerate([*_CONTROL, *characters, *words])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token=_CONTROL[0]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=_CONTROL[0],
        bos_token=_CONTROL[1],
        eos_token=_CONTROL[2],
        pad_token=_CONTROL[2],
        chat_template=TEMPLATE,
    ).save_pretrained(folder)

    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=65_536,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=2,
            tie_word_embeddings=False,
        )
    )
    with torch.no_grad():
        model.lm_head.weight[: -len(words)] = 0
        model.lm_head.weight[-len(words) :] *= _WORD_WEIGHT
    model.generation_config.do_sample = True
    model.save_pretrained(folder)


if __name__ == "__main__":
    write_transformers_model(sys.argv[1])
