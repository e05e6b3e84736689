"""The store gives each row what was computed for its key, once, whatever happens meanwhile."""

import errno
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

import transfuse.models.store as store_module
from transfuse.errors import ModelError, TransfuseError
from transfuse.models.feature_file import DamagedFileError, Features, open_feature_file
from transfuse.models.store import Store

SPACE = "5bace"
DIM = 6


def key(number):
    # Ends in zero bytes now and then, which numpy's byte strings would drop if handled carelessly.
    return int(number).to_bytes(16, "little")


def keys(numbers):
    return [key(number) for number in numbers]


def row(number, dim=DIM):
    """What is computed for a number: a row whose length and values tell which it is."""
    length = 1 + number % 4
    return number + np.arange(length * dim, dtype=np.float32).reshape(length, dim) / 100


class Computer:
    """Computes rows by number and remembers what it was asked for."""

    def __init__(self, numbers, dtype=torch.float32):
        self.numbers, self.dtype, self.asked = list(numbers), dtype, []

    def __call__(self, indices):
        rows = [row(self.numbers[index]) for index in indices]
        self.asked += [self.numbers[index] for index in indices]
        values = torch.from_numpy(np.concatenate(rows)).to(self.dtype)
        return Features.from_tensor(values, [len(one) for one in rows])


def fetch(store, numbers, space=SPACE, **options):
    computer = Computer(numbers)
    return store.get(space, keys(numbers), computer, **options), computer.asked


def forbidden(indices):
    raise AssertionError(f"rows {indices} were computed again")


def check_rows(stored, numbers):
    assert len(stored) == len(numbers)
    for place, number in enumerate(numbers):
        np.testing.assert_array_equal(stored[place], row(number))


def files_of(store, space=SPACE):
    return sorted((store.folder / space).glob("*.safetensors"))


@given(
    st.lists(st.lists(st.integers(0, 60), max_size=40), min_size=1, max_size=6),
    st.integers(1, 9),
    st.data(),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_row_is_right_and_computed_once(tmp_path_factory, requests, chunk, data):
    folder = tmp_path_factory.mktemp("store")
    known = set()
    for numbers in requests:
        # Another process, or the same one: both must see the same rows.
        store = Store(folder)
        stored, asked = fetch(store, numbers, chunk=chunk)
        check_rows(stored, numbers)
        assert sorted(asked) == sorted(set(numbers) - known)
        known |= set(numbers)
        assert store.counts(SPACE).computed == len(known)
        if numbers:
            places = data.draw(st.lists(st.integers(0, len(numbers) - 1), max_size=12))
            check_views(stored, [numbers[place] for place in places], places)
    assert store.counts(SPACE).requested == (sum(map(len, requests)) if known else 0)
    assert store.counts() == store.counts(SPACE)


def check_views(stored, numbers, places):
    padded = stored.padded(places)
    gathered = stored.gather(places)
    view = stored.take(places)
    hidden, mask = stored.batch(places)
    longest = max((1 + number % 4 for number in numbers), default=0)
    assert padded.shape == (len(numbers), longest, DIM)
    assert mask.dtype == torch.int64
    assert hidden.dtype == torch.float32
    np.testing.assert_array_equal(hidden.numpy(), padded)
    for place, number in enumerate(numbers):
        expected = row(number)
        np.testing.assert_array_equal(padded[place, : len(expected)], expected)
        assert not padded[place, len(expected) :].any()
        assert mask[place].tolist() == [1] * len(expected) + [0] * (longest - len(expected))
        np.testing.assert_array_equal(gathered[place], expected)
        np.testing.assert_array_equal(view[place], expected)


def test_a_batch_is_the_same_from_one_file_and_from_many(tmp_path):
    numbers = list(range(200))
    one, _ = fetch(Store(tmp_path / "one"), numbers)
    many, _ = fetch(Store(tmp_path / "many"), numbers, chunk=29)
    assert len(one.files) == 1
    assert len(many.files) == 7
    places = np.random.default_rng(0).integers(0, 200, 50)
    np.testing.assert_array_equal(one.padded(places), many.padded(places))


def test_rows_are_read_from_the_files_themselves(tmp_path):
    stored, _ = fetch(Store(tmp_path), range(50))
    assert not stored[3].flags.writeable
    assert np.shares_memory(stored[3], stored.files[0])
    padded = stored.padded([3])
    padded[:] = 0  # what a batch does to its copy leaves the store alone
    check_rows(stored, range(50))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_number_types_come_back_bit_for_bit(tmp_path, dtype):
    numbers = [1, 2, 300]
    Store(tmp_path).get(SPACE, keys(numbers), Computer(numbers, dtype))
    stored = Store(tmp_path).get(SPACE, keys(numbers), forbidden)
    expected = torch.from_numpy(np.concatenate([row(number) for number in numbers])).to(dtype)
    assert torch.equal(stored.gather().tensor(), expected)
    hidden, mask = stored.batch([0, 1, 2], dtype=None)
    assert hidden.dtype == dtype
    assert torch.equal(hidden[mask.bool()], expected)
    assert torch.equal(stored.batch([0, 1, 2])[0][mask.bool()], expected.float())
    # The file is plain safetensors and names its type truly.
    with safe_open(files_of(Store(tmp_path))[0], "pt") as opened:
        assert torch.equal(opened.get_tensor("values"), expected)


def test_pooled_rows_are_a_matrix(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)

    def compute(indices):
        return Features.from_tensor(torch.from_numpy(vectors[indices]).bfloat16())

    stored = Store(tmp_path).get(SPACE, keys(range(40)), compute, chunk=7)
    assert stored.matrix().dtype == np.float32
    np.testing.assert_array_equal(
        stored.matrix(), torch.from_numpy(vectors).bfloat16().float().numpy()
    )
    tokens, _ = fetch(Store(tmp_path / "tokens"), range(5))
    with pytest.raises(ValueError, match="row 1 has 2 vectors"):
        tokens.matrix()


def test_no_keys_ask_for_nothing(tmp_path):
    stored, asked = fetch(Store(tmp_path), [])
    assert len(stored) == 0
    assert asked == []
    assert stored.padded([]).shape[0] == 0
    assert not (tmp_path / SPACE).exists()


def test_keys_may_come_as_an_array(tmp_path):
    numbers = [256, 7, 0]
    stored = Store(tmp_path).get(
        SPACE, np.frombuffer(b"".join(keys(numbers)), "S16"), Computer(numbers)
    )
    check_rows(stored, numbers)
    check_rows(Store(tmp_path).get(SPACE, keys(numbers), forbidden), numbers)
    for wrong in (np.zeros(3, "S8"), np.zeros((3, 2), "S16"), [b"short"]):
        with pytest.raises(ValueError, match=r"expected (keys as S)?16"):
            Store(tmp_path).get(SPACE, wrong, forbidden)


def test_spaces_are_apart(tmp_path):
    store = Store(tmp_path)
    fetch(store, range(5), "aa")
    _, asked = fetch(store, range(5), "bb")
    assert asked == list(range(5))
    assert store.spaces() == ["aa", "bb"]
    assert store.counts() == (10, 10)
    with pytest.raises(ValueError, match="hexadecimal"):
        store.get("../aa", [], forbidden)


def test_files_stay_few(tmp_path):
    store = Store(tmp_path)
    for start in range(0, 300, 3):
        fetch(store, range(start, start + 3))
        assert len(files_of(store)) <= 17
    stored = Store(tmp_path).get(SPACE, keys(range(300)), forbidden)
    check_rows(stored, range(300))
    assert store.counts(SPACE).computed == 300


def test_rows_handed_out_outlive_merging_and_pruning(tmp_path):
    store = Store(tmp_path)
    first, _ = fetch(store, range(40))
    for start in range(40, 140, 5):
        fetch(store, range(start, start + 5))
    store.prune(0)
    check_rows(first, range(40))
    assert store.spaces() == []
    assert store.counts(SPACE) == (0, 0)
    _, asked = fetch(store, range(3))
    assert asked == [0, 1, 2]


def damage_end(path):
    content = path.read_bytes()
    path.write_bytes(content[:-9])


def damage_half(path):
    path.write_bytes(path.read_bytes()[:40])


def damage_empty(path):
    path.write_bytes(b"")


def damage_value(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 16
    path.write_bytes(bytes(content))


def damage_shape(path):
    path.write_bytes(path.read_bytes().replace(b"[7, 6]", b"[6, 7]"))


def damage_garbage(path):
    path.write_bytes(b"\xff" * 5000)


@pytest.mark.parametrize(
    "damage",
    [damage_end, damage_half, damage_empty, damage_value, damage_shape, damage_garbage],
)
def test_a_damaged_file_is_ignored_and_its_rows_computed_anew(tmp_path, caplog, damage):
    fetch(Store(tmp_path), range(4))  # 10 vectors
    fetch(Store(tmp_path), [4, 5, 6, 5, 8])  # 7 vectors
    store = Store(tmp_path)
    fetch(store, [9])
    victim = files_of(store)[-2]
    before = victim.read_bytes()
    damage(victim)
    assert victim.read_bytes() != before
    with pytest.raises(DamagedFileError):
        open_feature_file(victim)
    numbers = [9, 8, 0, 4, 5, 6]
    with caplog.at_level(logging.WARNING):
        stored, asked = fetch(Store(tmp_path), numbers)
    check_rows(stored, numbers)
    assert asked == [8, 4, 5, 6]
    assert victim.name in caplog.text
    assert not victim.exists()
    assert Store(tmp_path).counts(SPACE).computed == 13  # nine rows, four of them twice
    check_rows(Store(tmp_path).get(SPACE, keys(numbers), forbidden), numbers)


def test_what_was_computed_is_counted_even_if_the_newest_file_is_damaged(tmp_path):
    store = Store(tmp_path)
    fetch(store, range(4))
    damage_end(files_of(store)[-1])
    fetch(Store(tmp_path), range(4))
    assert Store(tmp_path).counts(SPACE).computed == 8


def test_computed_rows_must_fit_the_request_and_the_space(tmp_path):
    store = Store(tmp_path)
    fetch(store, range(3))
    with pytest.raises(ValueError, match="asked to compute 2 rows, got 1"):
        store.get(SPACE, keys([7, 8]), lambda rows: Features.from_tensor(torch.zeros(1, DIM)))
    with pytest.raises(ModelError, match="float16"):
        store.get(SPACE, keys([7]), Computer([7], torch.float16))
    with pytest.raises(ModelError, match=r"\(3,\)"):
        store.get(SPACE, keys([7]), lambda rows: Features.from_tensor(torch.zeros(1, 3)))
    check_rows(store.get(SPACE, keys(range(3)), forbidden), range(3))


def test_features_must_be_consistent():
    values = np.zeros((3, 2), np.float32)
    for offsets in ([0, 2], [1, 3], [0, 4], [0, 2, 1, 3], []):
        with pytest.raises(ValueError, match="offsets"):
            Features(values, np.array(offsets, np.int64))
    with pytest.raises(ValueError, match="cannot hold 'bfloat16'"):
        Features(values, np.array([0, 3]), "bfloat16")
    with pytest.raises(ValueError, match="cannot hold 'int64'"):
        Features(np.zeros(3, np.int64), np.array([0, 3]))


# Processes -----------------------------------------------------------------------------------

WORKER = """
    import os, signal, sys, time
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import test_store as helpers
    import transfuse.models.feature_file as feature_file
    from transfuse.models.store import Store

    folder, count, chunk = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    numbers = list(range(count))
    computer = helpers.Computer(numbers)
"""


def run_worker(tmp_path, body, *arguments):
    """Runs a script in a process of its own, where forking is safe; it gives what it printed."""
    script = textwrap.dedent(WORKER).format(tests=str(Path(__file__).parent))
    return subprocess.run(
        [sys.executable, "-c", script + textwrap.dedent(body), str(tmp_path), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ).stdout


KILLED = """
    # For n = 1, 2, ...: a child that dies at the n-th time it asks the system for something that
    # changes the disk, or halfway through a write, until a child lives to the end. Forking spares
    # an import for each.
    import transfuse.models.store as store_module

    store_module._MOST_FILES = 2
    fatal = calls = 0

    def step():
        global calls
        calls += 1
        if calls == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def dying(function):
        def wrapped(*arguments, **options):
            step()
            return function(*arguments, **options)
        return wrapped

    def opening(function):
        def wrapped(path, mode="r", *arguments, **options):
            file = function(path, mode, *arguments, **options)
            if "w" in mode:
                write = file.write
                def halting(data):
                    write(bytes(data)[: len(data) // 2])
                    file.flush()
                    step()
                    return write(bytes(data)[len(data) // 2 :])
                file.write = halting
            return file
        return wrapped

    os.fsync = lambda handle: step()  # nothing that was written is lost to a mere kill
    os.open, Path.open = dying(os.open), opening(Path.open)
    Path.mkdir, Path.rename, Path.unlink = map(dying, (Path.mkdir, Path.rename, Path.unlink))
    while True:
        fatal += 1
        child = os.fork()
        if not child:
            store = Store(folder / str(fatal))
            store.get(helpers.SPACE, helpers.keys(numbers), computer, chunk=chunk)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
    print(fatal)
"""


def test_a_kill_at_any_instant_leaves_a_usable_store(tmp_path):
    lived = int(run_worker(tmp_path, KILLED, 12, 3))
    kept = []
    for fatal in range(1, lived + 1):
        folder = tmp_path / str(fatal)
        folder.mkdir(exist_ok=True)
        for path in files_of(Store(folder)):
            open_feature_file(path)  # whatever has its final name is whole
        before = Store(folder).counts(SPACE).computed
        stored, asked = fetch(Store(folder), range(15))
        check_rows(stored, range(15))
        assert len(asked) == 15 - before  # nothing that was kept is computed again
        assert not list((folder / SPACE).glob(".*.partial"))
        files = [open_feature_file(path) for path in files_of(Store(folder))]
        assert sum(len(file.keys) for file in files) == 15  # merging left no row twice
        assert Store(folder).counts(SPACE).computed == 15
        kept.append(before)
    assert kept == sorted(kept)
    assert set(kept) == {0, 3, 6, 9, 12}
    assert lived > 50  # merging among them


TWO = """
    def slow(indices):
        time.sleep(0.02)
        return computer(indices)

    children = []
    for _ in range(2):
        children.append(os.fork())
        if not children[-1]:
            stored = Store(folder).get(helpers.SPACE, helpers.keys(numbers), slow, chunk=chunk)
            helpers.check_rows(stored, numbers)
            print(len(computer.asked), flush=True)
            os._exit(0)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""


def test_two_processes_encode_nothing_twice(tmp_path):
    asked = run_worker(tmp_path, TWO, 120, 10).split()
    assert len(asked) == 2
    assert sum(map(int, asked)) == 120
    assert Store(tmp_path).counts(SPACE) == (120, 240)


def test_threads_encode_nothing_twice(tmp_path):
    store = Store(tmp_path)
    computer = Computer(range(50))
    results = []

    def work():
        results.append(store.get(SPACE, keys(range(50)), computer, chunk=5))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(computer.asked) == list(range(50))
    for stored in results:
        check_rows(stored, range(50))


def test_readers_need_no_lock(tmp_path):
    store = Store(tmp_path)
    fetch(store, range(10))
    with FileLock(tmp_path / "locks" / f"{SPACE}.lock"):
        check_rows(Store(tmp_path).get(SPACE, keys(range(10)), forbidden), range(10))


def test_an_interrupted_call_keeps_its_finished_pieces(tmp_path):
    computer = Computer(range(20))

    def failing(indices):
        if 12 in indices:
            raise KeyboardInterrupt
        return computer(indices)

    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).get(SPACE, keys(range(20)), failing, chunk=5)
    _, asked = fetch(Store(tmp_path), range(20))
    assert asked == list(range(10, 20))


# Space on disk -------------------------------------------------------------------------------


def test_pruning_takes_the_least_recently_used_first_and_never_what_is_locked(tmp_path):
    store = Store(tmp_path)
    for space in ("aa", "bb", "cc", "dd"):
        fetch(store, range(20), space)
        time.sleep(0.01)
    fetch(store, range(20), "aa")  # used again, so now the most recent
    assert store.spaces() == ["bb", "cc", "dd", "aa"]
    one = store.size("bb")
    assert store.size() == pytest.approx(4 * one, abs=64)
    assert store.prune(store.size()) == 0
    with FileLock(tmp_path / "locks" / "bb.lock"):
        freed = store.prune(2 * one + 64)
    assert store.spaces() == ["bb", "aa"]
    assert freed == pytest.approx(2 * one, abs=64)
    (tmp_path / "notes").mkdir()  # what is not ours stays
    store.prune(0)
    assert {path.name for path in tmp_path.iterdir()} == {"locks", "notes"}


def test_a_full_disk_says_where_and_what_to_do(tmp_path, monkeypatch):
    store = Store(tmp_path)
    fetch(store, range(5))

    def full(handle):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("transfuse.models.feature_file.os.fsync", full)
    with pytest.raises(TransfuseError, match="TRANSFUSE_CACHE") as caught:
        fetch(store, range(10))
    assert str(tmp_path) in caught.value.problems[0].where
    assert "no space left" in caught.value.problems[0].what
    monkeypatch.undo()
    assert not list((tmp_path / SPACE).glob("*.partial"))
    _, asked = fetch(store, range(10))
    assert asked == [5, 6, 7, 8, 9]


def test_a_file_in_the_way_and_missing_rights_are_explained(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(TransfuseError, match="move it"):
        fetch(Store(tmp_path / "file"), [1])

    def denied(self, *args, **options):
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(TransfuseError, match="Mend the permissions"):
        fetch(Store(tmp_path / "folder"), [1])


def test_a_store_that_may_only_be_read_still_serves(tmp_path, monkeypatch):
    fetch(Store(tmp_path), range(5))

    def denied(*args, **options):
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr("transfuse.models.feature_index.os.open", denied)
    check_rows(Store(tmp_path).get(SPACE, keys(range(5)), forbidden), range(5))


def test_merging_waits_until_there_is_room(tmp_path, monkeypatch):
    usage = store_module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(store_module.shutil, "disk_usage", lambda path: usage._replace(free=0))
    stored, _ = fetch(Store(tmp_path), range(40), chunk=2)
    assert len(files_of(Store(tmp_path))) == 20
    check_rows(stored, range(40))
