"""Encoding the sample sentences, beside SentenceTransformer.encode at its defaults."""

import time

import numpy as np
from sentence_transformers import SentenceTransformer

from benchmarks.measuring import MODEL, alternate, machine, sentences, shown
from transfuse.models import encode, find_model, hold_memory, load_encoder, probe_engine


def main(rounds: int = 5) -> None:
    """Measure and print."""
    hold_memory()
    texts = sentences()
    # As long a text as the peer reads at its defaults.
    encoder = load_encoder(MODEL, max_length=256)
    peer = SentenceTransformer(str(find_model(MODEL)))
    engine = probe_engine("encode")
    kept: dict[str, np.ndarray] = {}

    def ours(_: int) -> float:
        began = time.perf_counter()
        kept["ours"] = encode(encoder, texts, engine, normalize=True)
        return len(texts) / (time.perf_counter() - began)

    def theirs(_: int) -> float:
        began = time.perf_counter()
        kept["theirs"] = peer.encode(texts)
        return len(texts) / (time.perf_counter() - began)

    mine, other, ratios = alternate(rounds, ours, theirs)
    cosine = (kept["ours"] * kept["theirs"]).sum(1)
    print(machine())
    print(f"engine: {engine.describe()}")
    print(f"{len(texts):,} sentences, {rounds} rounds in turn, tokenising included")
    print(f"transfuse               {mine:8.0f} sentences/s (median)")
    print(f"SentenceTransformer     {other:8.0f} sentences/s (median)")
    print(f"ratio                   {shown(ratios)}")
    print(f"cosine to its vectors   least {cosine.min():.5f}, mean {cosine.mean():.6f}")
