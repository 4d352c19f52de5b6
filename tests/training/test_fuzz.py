"""Untrusted files: whatever they contain, a reader returns an array or raises its own error.

    python -m pytest --long tests/training/test_fuzz.py -s      100,000 inputs, seven minutes

Inputs are good files with bytes changed, removed, inserted or repeated, and settings with values of
all kinds.
"""

import gzip
import io
import json
import resource
import tracemalloc
import zipfile
from pathlib import Path

import helpers
import numpy as np
import pytest
from helpers import idx, train_small
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from minigan.datasets.idx import read_idx
from minigan.datasets.load import Dataset, load_dataset
from minigan.datasets.pixels import DataError
from minigan.gan.recipes import RECIPES, asdict
from minigan.training.checkpoint import checkpoint_paths, load_checkpoint
from minigan.training.run_folder import RunError, load_model, make_settings, read_recipe

COUNT = 25_000 if helpers.LONG else 300  # for each of the four tests
fuzz = settings(
    max_examples=COUNT,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
edits = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "put", "repeat", "end"]),
        st.floats(0, 1),
        st.binary(min_size=1, max_size=9),
    ),
    min_size=1,
    max_size=6,
)


def edited(content, changes):
    content = bytearray(content)
    for kind, place, new in changes:
        i = int(place * len(content))
        if kind == "set":
            content[i : i + len(new)] = new
        elif kind == "cut":
            del content[i : i + len(new) ** 2]
        elif kind == "put":
            content[i:i] = new
        elif kind == "repeat":
            content[i:i] = content[i : i + 50] * len(new)
        else:
            del content[i:]
    return bytes(content)


def size():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_idx_files(tmp_path):
    seeds = [
        idx(np.arange(24, dtype="uint8").reshape(2, 3, 4)),
        gzip.compress(idx(np.zeros((3, 5, 5), "uint8"))),
        b"",
        b"\0\0\x08\x03",
    ]
    path, outcomes = tmp_path / "file", {"array": 0, "refused": 0}

    @fuzz
    @given(st.sampled_from(seeds), edits)
    def attempt(seed, changes):
        path.write_bytes(edited(seed, changes))
        try:
            array = read_idx(path)
            assert array.dtype == "uint8" and array.nbytes <= 1032 * path.stat().st_size
            outcomes["array"] += 1
        except DataError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            outcomes["refused"] += 1

    attempt()
    print(f"IDX: {sum(outcomes.values()):,} inputs, {outcomes}; peak {size() / 1024:.0f} MB")
    assert sum(outcomes.values()) >= COUNT and min(outcomes.values()) > 0


def test_arrays_and_pictures(tmp_path):
    """A folder with one good picture and one damaged picture: the first is always found."""
    image, content = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), "uint8"), io.BytesIO()
    np.savez_compressed(content, images=image, labels=np.arange(12))
    seeds = {"a.npz": [content.getvalue()], "a.npy": [], "a.png": []}
    np.save(content := io.BytesIO(), image)
    seeds["a.npy"].append(content.getvalue())
    for kind in "png", "jpeg", "gif", "bmp", "webp":
        Image.fromarray(image[0]).save(content := io.BytesIO(), kind)
        seeds["a.png"].append(content.getvalue())
    for kind in "array", "picture":
        (tmp_path / kind).mkdir()
    Image.fromarray(image[1]).save(tmp_path / "picture" / "good.png")
    outcomes = {"array": 0, "picture": 0, "refused": 0, "left out": 0}

    @fuzz
    @given(st.sampled_from([(name, seed) for name, few in seeds.items() for seed in few]), edits)
    def attempt(chosen, changes):
        (name, seed), kind = chosen, "picture" if chosen[0] == "a.png" else "array"
        path = tmp_path / kind / name
        path.write_bytes(edited(seed, changes))
        try:
            data = load_dataset(path.parent if kind == "picture" else path)
            left_out = any("cannot be read" in note for note in data.notes)
            assert data.images.dtype == "uint8" and (
                kind == "array" or len(data.images) == 2 - left_out
            )
            outcomes["left out" if left_out else kind] += 1
        except DataError as error:
            assert kind == "array" and str(path) in str(error) and "\n" not in str(error)
            outcomes["refused"] += 1

    attempt()
    print(
        f"arrays and pictures: {sum(outcomes.values()):,} inputs, {outcomes};"
        f" peak {size() / 1024:.0f} MB"
    )
    assert sum(outcomes.values()) >= COUNT and min(outcomes.values()) > 0


def test_models_and_checkpoints(tmp_path):
    assert train_small(tmp_path / "run") == 0
    checkpoint = checkpoint_paths(tmp_path / "run")[0]
    seeds = {
        "model.npz": (tmp_path / "run" / "model.npz").read_bytes(),
        checkpoint.name: checkpoint.read_bytes(),
    }
    outcomes = {"loaded": 0, "refused": 0}

    @fuzz
    @given(st.sampled_from(sorted(seeds)), edits)
    def attempt(name, changes):
        (tmp_path / name).write_bytes(edited(seeds[name], changes))
        try:
            load_model(tmp_path) if name == "model.npz" else load_checkpoint(tmp_path)
            outcomes["loaded"] += 1
        except RunError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1

    attempt()
    print(
        f"models and checkpoints: {sum(outcomes.values()):,} inputs, {outcomes};"
        f" peak {size() / 1024:.0f} MB"
    )
    assert sum(outcomes.values()) >= COUNT and min(outcomes.values()) > 0


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["dense", "dcgan", "adam", "normal"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


def test_settings():
    dataset = Dataset(np.zeros((5, 28, 28), "uint8"), None, [], None, None, [])
    good = make_settings(
        RECIPES["default"],
        dataset,
        Path(),
        seed=0,
        backend="numpy",
        clusters=np.arange(5),
        n_clusters=5,
    )
    outcomes = {"read": 0, "refused": 0}
    names = [*good, *asdict(RECIPES["default"])]

    @fuzz
    @given(
        st.lists(st.tuples(st.sampled_from(names), anything), min_size=1, max_size=3), st.booleans()
    )
    def attempt(changes, drop):
        changed = json.loads(json.dumps(good))
        for name, value in changes:
            part = (
                changed["recipe"]
                if isinstance(changed.get("recipe"), dict) and name in changed["recipe"]
                else changed
            )
            if drop:
                part.pop(name, None)
            else:
                part[name] = value
        try:
            read_recipe(changed)
            outcomes["read"] += 1
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
        ):  # what load_model turns into a sentence
            outcomes["refused"] += 1

    attempt()
    print(f"settings: {sum(outcomes.values()):,} inputs, {outcomes}; peak {size() / 1024:.0f} MB")
    assert sum(outcomes.values()) >= COUNT and min(outcomes.values()) > 0


@pytest.fixture(scope="module")
def bombs(tmp_path_factory):
    """A folder of small files that claim to be huge."""
    folder = tmp_path_factory.mktemp("bombs")
    claim = bytes([0, 0, 8, 3]) + (100_000).to_bytes(4, "big") + (1000).to_bytes(4, "big") * 2
    (folder / "claims.gz").write_bytes(gzip.compress(claim + bytes(100)))
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (250000000,), }"
    with zipfile.ZipFile(folder / "model.npz", "w") as file:
        file.writestr(
            "generator.npy",
            b"\x93NUMPY\x01\x00"
            + (len(header) + 1).to_bytes(2, "little")
            + header
            + b"\n"
            + bytes(100),
        )
    (folder / "packed").mkdir()
    with zipfile.ZipFile(folder / "packed" / "model.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("generator.npy", b"\x93NUMPY\x01\x00" + bytes(300_000_000))
    Image.new("1", (17_000, 17_000)).save(folder / "packed" / "large.png")
    return folder


@pytest.mark.parametrize(
    "read",
    [
        lambda folder: read_idx(folder / "claims.gz"),
        load_model,
        lambda folder: load_model(folder / "packed"),
        lambda folder: load_dataset(folder / "model.npz"),
        lambda folder: load_dataset(folder / "packed" / "model.npz"),
        lambda folder: load_dataset(folder / "packed"),
    ],
    ids=[
        "gzip that claims 100 GB",
        "array that claims 1 GB",
        "zip of 300 MB of zeros",
        "1 GB, as images",
        "zip of zeros, as images",
        "picture of 289 million pixels",
    ],
)
def test_a_small_file_that_claims_to_be_huge_is_refused_at_once(bombs, read):
    tracemalloc.start()
    try:
        with pytest.raises((DataError, RunError)):
            read(bombs)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
