"""What every test may rely on: the same seed, one thread, no network and a cache of its own."""

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Set before anything imports torch or huggingface_hub, and inherited by the processes that tests
# start. One thread: the same sums in the same order on every machine, and workers that do not
# fight for its cores.
os.environ.update(
    HF_HUB_OFFLINE="1",
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
)

settings.register_profile(
    "transfuse",
    derandomize=True,
    # How long an example takes tells about the machine, not about the code.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("transfuse")

_CACHE = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    # Workers inherit the folder from the process that starts them, so all tests of one run share
    # what is costly to make, and nothing outlives the run.
    if not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="transfuse-tests-"))
        config.stash[_CACHE] = folder
        os.environ["TRANSFUSE_CACHE"] = str(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash.get(_CACHE, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    """Seeds the global generators, and puts back what an engine sets for the whole process."""
    random.seed(0)
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        numpy.random.seed(0)
    if torch is None:
        yield
        return
    torch.manual_seed(0)
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function from a kind of architecture to a folder with a tiny model of that kind."""
    import transformers

    from tiny_models import save_tiny

    made: dict[tuple[str, bool], Path] = {}
    transformers.utils.logging.disable_progress_bar()

    def make(kind: str, *, head: bool = False) -> Path:
        if (kind, head) not in made:
            made[kind, head] = save_tiny(kind, tmp_path_factory.mktemp(kind), head=head)
        return made[kind, head]

    return make
