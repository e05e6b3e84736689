"""Merging three variants of a 350 M-parameter model, beside mergekit and beside plain copying.

Whole processes, start-up included, in a folder of `/dev/shm` (or TRANSFUSE_BENCHMARK_SCRATCH).
TRANSFUSE_BENCHMARK_MERGEKIT names the python of an environment that has mergekit; without it
Transfuse is measured alone. Weights are bfloat16, as such models are passed around.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measuring import shown
from transfuse.merging.desk import Desk
from transfuse.merging.storage import to_bfloat16
from transfuse.merging.weights import Reader, open_weights

LAYERS, WIDTH, WORDS = 24, 1024, 50_304
OPTIONS: dict[str, dict[str, Any]] = {
    "linear": {},
    "slerp": {"t": 0.3, "compat": "mergekit"},
    "task_arithmetic": {"scale": 0.5},
    "ties": {"density": 0.2, "compat": "mergekit"},
    "dare_linear": {"density": 0.5, "rescale": "l1", "scale": 1.0},
    "dare_ties": {"density": 0.5, "rescale": "l1", "compat": "mergekit"},
}
WITHOUT_BASE = ("linear", "slerp")
ONCE = ("ties", "dare_linear", "dare_ties")
"""What takes mergekit minutes is measured beside it in one round."""

BOUND = """
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

*inputs, output = map(Path, sys.argv[1:])
size, step, workers = inputs[0].stat().st_size, 1 << 18, len(os.sched_getaffinity(0))
began = time.perf_counter()
with output.open("wb") as file:
    file.truncate(size)

def copy(worker):
    buffer = memoryview(bytearray(step))
    files = [path.open("rb", buffering=0) for path in inputs]
    target = output.open("r+b", buffering=0)
    for start in range(worker * step, size, workers * step):
        for file in files:
            file.seek(start)
            count = file.readinto(buffer)
        target.seek(start)
        target.write(buffer[:count])

with ThreadPoolExecutor(workers) as pool:
    list(pool.map(copy, range(workers)))
print(time.perf_counter() - began)
"""


class Ran(NamedTuple):
    """A process: how long it took, and the most memory of its own that it had."""

    seconds: float
    anonymous: int


def main(rounds: int = 5) -> None:
    """Measure and print."""
    scratch = Path(
        mkdtemp(prefix="merging-", dir=os.environ.get("TRANSFUSE_BENCHMARK_SCRATCH", "/dev/shm"))
    )
    try:
        folders = [
            write_model(scratch / name, place) for place, name in enumerate(("base", *"abc"))
        ]
        for name in OPTIONS:
            measure(name, folders, scratch, rounds)
    finally:
        shutil.rmtree(scratch)


def measure(name: str, folders: list[Path], scratch: Path, rounds: int) -> None:
    """Measure and print one method."""
    used = {"slerp": folders[:2], "linear": folders[1:]}.get(name, folders)
    peer = os.environ.get("TRANSFUSE_BENCHMARK_MERGEKIT")
    ours, theirs, bounds = [], [], []
    for number in range(rounds):
        bounds.append(bound(used, scratch))
        fresh(scratch / "ours")
        ours.append(run(our_words(name, used, scratch / "ours")))
        if peer and (number == 0 or name not in ONCE):
            fresh(scratch / "theirs")
            theirs.append(run(their_words(peer, name, used, scratch)))
    to_bound = [mine.seconds / least for mine, least in zip(ours, bounds, strict=True)]
    print(
        f"{name}: {statistics.median(mine.seconds for mine in ours):.2f} s, "
        f"{shown(to_bound)} times the bound of {statistics.median(bounds):.2f} s, "
        f"{max(mine.anonymous for mine in ours) >> 20} MiB",
        flush=True,
    )
    if theirs:
        faster = [other.seconds / mine.seconds for mine, other in zip(ours, theirs, strict=False)]
        print(
            f"  mergekit {statistics.median(other.seconds for other in theirs):.1f} s, "
            f"{max(other.anonymous for other in theirs) >> 20} MiB; {shown(faster)} times ours"
        )
        # What DARE drops is random, and each has its own numbers.
        if not name.startswith("dare"):
            print(f"  {compared(scratch / 'ours', scratch / 'theirs')}", flush=True)


def bound(folders: list[Path], scratch: Path) -> float:
    """Seconds to read every input once and to write one output."""
    files = [str(folder / "model.safetensors") for folder in folders]
    target = scratch / "bound"
    words = [sys.executable, "-c", BOUND, *files, str(target)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    target.unlink()
    return float(done.stdout)


def our_words(name: str, folders: list[Path], output: Path) -> list[str]:
    """The command line of Transfuse."""
    words = [sys.executable, "-m", "transfuse", "fuse", name]
    if name in WITHOUT_BASE:
        words += map(str, folders)
    else:
        words += [*map(str, folders[1:]), "--base", str(folders[0])]
    for option, value in OPTIONS[name].items():
        words += ["--option", f"{option}={value}"]
    return [*words, "--output", str(output)]


def their_words(python: str, name: str, folders: list[Path], scratch: Path) -> list[str]:
    """The command line of mergekit."""
    options = OPTIONS[name]
    own = {"weight": 1.0} | {key: options[key] for key in ("density",) if key in options}
    listed = folders if name in WITHOUT_BASE else folders[1:]
    recipe: dict[str, Any] = {
        "merge_method": name,
        "models": [
            {"model": str(folder), **({"parameters": own} if name != "slerp" else {})}
            for folder in listed
        ],
        "dtype": "float32",
        "out_dtype": "bfloat16",
    }
    if name != "linear":
        recipe["base_model"] = str(folders[0])
    if name == "slerp":
        recipe["parameters"] = {"t": options["t"]}
    elif name != "linear":
        recipe["parameters"] = {"lambda": options.get("scale", 1.0)}
    if name == "dare_linear":
        recipe["parameters"]["normalize"] = False
    path = scratch / "mergekit.yaml"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    code = "from mergekit.scripts.run_yaml import main; main()"
    return [python, "-c", code, str(path), str(scratch / "theirs"), "--no-copy-tokenizer"]


def run(words: list[str]) -> Ran:
    """Run a process and watch its memory."""
    began = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    most = 0
    while process.poll() is None:
        most = max(most, anonymous(process.pid))
        time.sleep(0.01)
    seconds = time.perf_counter() - began
    told = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)}\n{told}")
    return Ran(seconds, most)


def anonymous(process: int) -> int:
    """Bytes of memory that a process has for itself, files not counted."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))


def compared(ours: Path, theirs: Path) -> str:
    """How the merged weights differ, as bfloat16 and in its last places."""
    mine, other = open_weights(ours).tensors, open_weights(theirs).tensors
    differing = total = most = 0
    square = size = 0.0
    desk = Desk()
    with Reader() as reader:
        for name, stored in mine.items():
            pair = [np.empty(stored.size, np.float32) for _ in range(2)]
            reader.floats(stored, 0, pair[0], desk)
            reader.floats(other[name], 0, pair[1], desk)
            places = [(weights.view(np.int32) >> 16).astype(np.int64) for weights in pair]
            apart = np.abs(places[0] - places[1])
            differing += int(np.count_nonzero(apart))
            same_sign = (pair[0] > 0) == (pair[1] > 0)
            most = max(most, int(apart[same_sign].max(initial=0)))
            total += stored.size
            square += float(np.square(pair[0] - pair[1], dtype=np.float64).sum())
            size += float(np.square(pair[1], dtype=np.float64).sum())
    return (
        f"{differing / total:.2%} of the stored weights differ, by at most {most} last places; "
        f"relative distance {(square / size) ** 0.5:.1e}"
    )


def fresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors of a decoder of 350 M parameters."""
    yield "model.embed_tokens.weight", (WORDS, WIDTH)
    for layer in range(LAYERS):
        begin = f"model.layers.{layer}."
        for kind in "qkvo":
            yield f"{begin}self_attn.{kind}_proj.weight", (WIDTH, WIDTH)
        # A gate of no use here keeps the architecture one that mergekit knows.
        yield f"{begin}mlp.gate_proj.weight", (2688, WIDTH)
        yield f"{begin}mlp.up_proj.weight", (2688, WIDTH)
        yield f"{begin}mlp.down_proj.weight", (WIDTH, 2688)
        yield f"{begin}input_layernorm.weight", (WIDTH,)
        yield f"{begin}post_attention_layernorm.weight", (WIDTH,)
    yield "model.norm.weight", (WIDTH,)


def write_model(folder: Path, variant: int) -> Path:
    """A model folder of random weights; variants are near the base, which is 0."""
    folder.mkdir()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": WIDTH,
        "intermediate_size": 2688,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 16,
        "vocab_size": WORDS,
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, shape in shapes():
        end = start + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    desk = Desk()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for place, (_, shape) in enumerate(shapes()):
            size = int(np.prod(shape))
            drawn = draw(0, place, size, 0.02)
            if variant:
                drawn += draw(variant, place, size, 0.002)
            bits = np.empty(size, np.uint16)
            to_bfloat16(drawn, bits, desk)
            file.write(bits.data)
    return folder


def draw(variant: int, place: int, size: int, deviation: float) -> np.ndarray:
    """Normal numbers, the same each time."""
    rng = np.random.default_rng((variant, place))
    return rng.standard_normal(size, dtype=np.float32) * np.float32(deviation)
