"""Tiny models of many architectures, built from configs with random weights; nothing is fetched."""

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

SENTENCES = ["a b c good bad fine poor the film book was not", "very and but so it is this that"]
WORDS = [word for sentence in SENTENCES for word in sentence.split()]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
VOCABULARY = 300

_COMMON = {"vocab_size": VOCABULARY, "pad_token_id": 0}
_BERT = _COMMON | {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
_LLAMA = _BERT | {
    "num_key_value_heads": 2,
    "head_dim": 8,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": None,
}

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertConfig", _BERT),
    "roberta": ("RobertaConfig", _BERT),
    "xlm-roberta": ("XLMRobertaConfig", _BERT),
    "distilbert": (
        "DistilBertConfig",
        _COMMON
        | {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 40},
    ),
    "electra": ("ElectraConfig", _BERT | {"embedding_size": 16}),
    "mpnet": ("MPNetConfig", _BERT),
    "deberta-v2": (
        "DebertaV2Config",
        _BERT | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "embedding_size": 24},
    ),
    "modernbert": (
        "ModernBertConfig",
        _BERT | {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3},
    ),
    "albert": ("AlbertConfig", _BERT | {"embedding_size": 16}),
    "gpt2": (
        "GPT2Config",
        {
            "vocab_size": VOCABULARY,
            "n_embd": 32,
            "n_layer": 3,
            "n_head": 4,
            "n_positions": 40,
            "bos_token_id": 0,
            "eos_token_id": 0,
        },
    ),
    "llama": ("LlamaConfig", _LLAMA),
    "qwen2": ("Qwen2Config", {key: value for key, value in _LLAMA.items() if key != "head_dim"}),
    "qwen3": ("Qwen3Config", _LLAMA),
    "t5": (
        "T5Config",
        _COMMON
        | {
            "d_model": 32,
            "d_ff": 48,
            "d_kv": 8,
            "num_layers": 3,
            "num_heads": 4,
            "eos_token_id": 3,
        },
    ),
}
DECODERS = ("gpt2", "llama", "qwen2", "qwen3")
NATIVE = tuple(kind for kind in CONFIGS if kind != "t5")


def tiny_tokenizer(kind: str) -> Any:
    """Whole words for encoders; bytes, and no padding token, for decoders."""
    if kind in DECODERS:
        return _byte_tokenizer()
    rules = Tokenizer(
        models.WordLevel(
            {word: place for place, word in enumerate([*SPECIAL, *WORDS])}, unk_token="[UNK]"
        )
    )
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    rules.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=rules,
        unk_token="[UNK]",
        eos_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def _byte_tokenizer() -> Any:
    rules = Tokenizer(models.BPE())
    rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rules.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=280,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    rules.train_from_iterator([" ".join(WORDS)], trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=rules, eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    )


def tiny_config(kind: str) -> Any:
    name, options = CONFIGS[kind]
    return getattr(transformers, name)(**options)


def save_tiny(kind: str, folder: Path, *, head: bool = False, seed: int = 0) -> Path:
    """Writes a tiny model with weights large enough that every layer matters."""
    config = tiny_config(kind)
    auto = transformers.AutoModelForSequenceClassification if head else transformers.AutoModel
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = auto.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.15 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tiny_tokenizer(kind).save_pretrained(folder)
    return folder
