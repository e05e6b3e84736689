"""A run that is killed and started again ends with the weights of one that never was."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load_file

from recipes import small_recipe

_RUN = """
import sys
from transfuse import read_recipe
from transfuse.transfer import transfer
if __name__ == "__main__":
    transfer(read_recipe(sys.argv[1]), sys.argv[2])
"""


def _command(script: Path, recipe: Path, output: Path) -> list[str]:
    return [sys.executable, "-W", "ignore", str(script), str(recipe), str(output)]


@pytest.fixture
def job(tmp_path: Path, tiny: Callable[..., Path]) -> tuple[Path, Path]:
    recipe = small_recipe(
        tmp_path,
        tiny("bert"),
        tune={"gradual": {"stages_count": 2, "learning_rate": 1e-3}},
        learn=["target", "source", {"l2_sp": {"weight": 0.01}}],
    )
    recipe["train"] |= {"epochs": 12, "checkpoint_steps": 4, "patience": 50, "weight_decay": 0.1}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    script = tmp_path / "run.py"
    script.write_text(_RUN, encoding="utf-8")
    return script, path


@pytest.mark.slow
def test_killed_and_resumed_weights_are_bit_identical(
    job: tuple[Path, Path], tmp_path: Path
) -> None:
    script, recipe = job
    plain, killed = tmp_path / "plain", tmp_path / "killed"
    subprocess.run(_command(script, recipe, plain), check=True, timeout=120)
    state = killed / "checkpoint" / "state.json"
    kills = 0
    for wait_for_new_checkpoint in (1, 2, 4):
        process = subprocess.Popen(_command(script, recipe, killed))
        seen = set()
        deadline = time.monotonic() + 60
        while len(seen) < wait_for_new_checkpoint and process.poll() is None:
            assert time.monotonic() < deadline
            if state.exists():
                seen.add(state.stat().st_mtime_ns)
            time.sleep(0.001)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        assert not (killed / "model").exists() or process.returncode == 0
    assert kills >= 1, "the run was never killed in the middle"
    subprocess.run(_command(script, recipe, killed), check=True, timeout=120)
    expected = load_file(plain / "model" / "model.safetensors")
    got = load_file(killed / "model" / "model.safetensors")
    assert expected.keys() == got.keys()
    for name, weights in expected.items():
        assert weights.tobytes() == got[name].tobytes(), name


@pytest.mark.slow
def test_interrupt_saves_and_the_same_command_goes_on(
    job: tuple[Path, Path], tmp_path: Path
) -> None:
    script, recipe = job
    output = tmp_path / "out"
    process = subprocess.Popen(_command(script, recipe, output), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (output / "checkpoint" / "state.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) != 0
    assert not (output / "model").exists()
    assert (output / "checkpoint" / "state.json").exists()
    subprocess.run(_command(script, recipe, output), check=True, timeout=120)
    assert (output / "model" / "transfuse.json").exists()
    assert not (output / "checkpoint").exists()
