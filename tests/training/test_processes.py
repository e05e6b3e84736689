"""One run on two processes learns what one process learns."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from recipes import small_recipe

_RUN = """
import sys
import torch
from transfuse import read_recipe
from transfuse.transfer import transfer
if __name__ == "__main__":
    torch.set_num_threads(1)
    transfer(read_recipe(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["full", {"top": {"layers": 1}}], ids=["full", "top"])
def test_two_processes_give_the_weights_of_one(
    tune: object, tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    ends = []
    script = tmp_path / "run.py"
    script.write_text(_RUN, encoding="utf-8")
    for processes in (1, 2):
        recipe = small_recipe(tmp_path, tiny("bert"), tune=tune, learn=["target", "source"])
        # Rows divide evenly, so that the mean of two means is the mean of all rows.
        recipe["budget"] = 64
        recipe["data"]["source"] = recipe["data"]["target"]
        recipe["learn"] = ["target"]
        recipe["model"] |= {"dropout": 0.0, "encoder_dropout": 0.0}
        recipe["train"] |= {"batch_size": 8 // processes, "optimizer": "sgd", "checkpoint_steps": 3}
        path = tmp_path / f"recipe-{processes}.yaml"
        path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
        output = tmp_path / f"out-{processes}"
        start = [sys.executable, "-W", "ignore"]
        if processes > 1:
            start += ["-m", "torch.distributed.run", "--standalone"]
            start += [f"--nproc-per-node={processes}"]
        subprocess.run([*start, str(script), str(path), str(output)], check=True, timeout=150)
        ends.append(load_file(output / "model" / "model.safetensors"))
        assert not (output / "checkpoint").exists()
    assert ends[0].keys() == ends[1].keys()
    for name, weights in ends[0].items():
        torch.testing.assert_close(weights, ends[1][name], atol=1e-6, rtol=1e-4, msg=name)
