"""CSV and Parquet files, as Kaggle and the Hugging Face Hub publish them."""

import builtins
import gzip
import io
import json
import sys

import numpy as np
import pytest
from helpers import demo
from PIL import Image

from minigan.datasets.load import load_dataset
from minigan.datasets.pixels import DataError

RNG = np.random.default_rng(0)
N = 40
DIGITS = RNG.integers(0, 256, (N, 28, 28), dtype=np.uint8)
LABELS = np.arange(N) % 10
ORDER = np.random.default_rng(0).permutation(N)


def write_csv(path, header, columns):
    text = "".join(",".join(map(str, row)) + "\n" for row in ([header] if header else []))
    text += "".join(",".join(map(str, row)) + "\n" for row in columns.tolist())
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


ROWS = DIGITS.reshape(N, 784)
KAGGLE = np.column_stack([LABELS, ROWS])
PIXELS = [f"pixel{i}" for i in range(784)]
CSV = {
    "Kaggle's digit recognizer": (["label", *PIXELS], KAGGLE),
    "mnist_train.csv": (["label", *(f"{i // 28 + 1}x{i % 28 + 1}" for i in range(784))], KAGGLE),
    "no header": (None, KAGGLE),
    "OpenML": ([*PIXELS, "class"], np.column_stack([ROWS, LABELS])),
    "numbered rows": (["", "label", *PIXELS], np.column_stack([np.arange(N), KAGGLE])),
    "Kannada": (["id", *PIXELS, "label"], np.column_stack([LABELS, ROWS, LABELS])),
}


@pytest.mark.parametrize("header, columns", CSV.values(), ids=CSV.keys())
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_csv_files_of_pixels(tmp_path, header, columns, suffix):
    pytest.importorskip("pyarrow")
    write_csv(tmp_path / f"train{suffix}", header, columns)
    data = load_dataset(tmp_path / f"train{suffix}")
    np.testing.assert_array_equal(data.images, DIGITS[ORDER])
    assert (
        data.names == [str(i) for i in range(10)] and data.labels.tolist() == (ORDER % 10).tolist()
    )
    assert any("has no header" in note for note in data.notes) == (header is None)
    turned = load_dataset(tmp_path / f"train{suffix}", transpose=True)
    np.testing.assert_array_equal(turned.images, DIGITS[ORDER].swapaxes(1, 2))


def test_csv_files_without_labels_and_with_test_images_in_another(tmp_path):
    pytest.importorskip("pyarrow")
    write_csv(tmp_path / "test.csv", PIXELS, ROWS[:9])
    assert load_dataset(tmp_path / "test.csv").labels is None
    write_csv(tmp_path / "train.csv", ["label", *PIXELS], KAGGLE)
    for path in tmp_path, tmp_path / "train.csv":
        data = load_dataset(path)
        assert len(data.images) == N and len(data.test) == 9 and data.test_labels is None
    write_csv(tmp_path / "test.csv", ["label", *PIXELS], KAGGLE[:9])
    assert len(load_dataset(tmp_path, classes="3").test) == 1


def test_csv_files_of_words_and_floats(tmp_path):
    pytest.importorskip("pyarrow")
    words = np.array(["cat", "dog"])[LABELS % 2]
    write_csv(tmp_path / "a.csv", [*PIXELS, "label"], np.column_stack([ROWS / 255, words]))
    with pytest.raises(DataError, match="float32 from 0 to 1, .* add --range 0,1"):
        load_dataset(tmp_path / "a.csv")
    data = load_dataset(tmp_path / "a.csv", value_range=(0, 1))
    np.testing.assert_array_equal(data.images, DIGITS[ORDER])
    assert data.names == ["cat", "dog"]


BAD_CSV = {
    "empty": ("", "cannot read|no rows"),
    "only a header": ("label," + ",".join(PIXELS) + "\n", "no rows|cannot read"),
    "words": ("label,a,b,c\n1,2,3,x\n", "cannot read .*a.csv.*'x'"),
    "a short row": ("label,pixel0,pixel1\n1,2,3\n1,2\n", "cannot read .*Expected 3 columns, got 2"),
    "no square": ("label,a,b,c\n1,2,3,4\n", r"array of shape \(1, 3\)"),
    "a missing pixel": ("label," + ",".join(PIXELS) + "\n1" + 783 * ",7" + ",\n", "NaN"),
    "a missing label": (
        "label," + ",".join(PIXELS) + "\n" + 784 * ",7" + "\n",
        "row 1 has no label",
    ),
    "bytes": ("\x00\x01", "cannot read|no rows|array of shape"),
}


@pytest.mark.parametrize("text, words", BAD_CSV.values(), ids=BAD_CSV.keys())
def test_bad_csv_files_get_a_sentence(tmp_path, text, words):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        load_dataset(tmp_path / "a.csv")
    assert "a.csv" in str(caught.value) and "\n" not in str(caught.value)


# ---- Parquet ----


def png(image):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def write_parquet(path, images, labels, names=None):
    """A file with the columns and the metadata that the Hub's library writes."""
    pa = pytest.importorskip("pyarrow")
    cells = [{"bytes": png(image), "path": f"{i}.png"} for i, image in enumerate(images)]
    columns = {"image": pa.array(cells, pa.struct({"bytes": pa.binary(), "path": pa.string()}))}
    features = {"image": {"_type": "Image"}}
    if labels is not None:
        columns["label"] = pa.array(list(map(int, labels)), pa.int64())
        features["label"] = {"names": names, "_type": "ClassLabel"}
    table = pa.table(columns).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    path.parent.mkdir(exist_ok=True)
    pytest.importorskip("pyarrow.parquet").write_table(table, path, row_group_size=7)


def test_parquet_of_the_hub_in_shards(tmp_path):
    names, half = [str(i) for i in range(10)], N // 2
    for i, rows in enumerate([slice(0, half), slice(half, N)]):
        path = tmp_path / "data" / f"train-0000{i}-of-00002-abc{i}.parquet"
        write_parquet(path, DIGITS[rows], LABELS[rows], names)
    path = tmp_path / "data" / "test-00000-of-00001-def.parquet"
    write_parquet(path, DIGITS[:9], LABELS[:9], names)
    for path in tmp_path, tmp_path / "data" / "train-00000-of-00002-abc0.parquet":
        data = load_dataset(path)
        np.testing.assert_array_equal(data.images, DIGITS[ORDER])
        assert data.names == names and data.labels.tolist() == (ORDER % 10).tolist()
        assert len(data.test) == 9 and len(data.test_labels) == 9
    assert len(load_dataset(tmp_path, classes="3,4").images) == 8


def test_parquet_with_class_names_and_without_labels(tmp_path):
    write_parquet(tmp_path / "a.parquet", DIGITS, LABELS % 2, ["T-shirt", "Ankle boot"])
    data = load_dataset(tmp_path / "a.parquet")
    assert data.names == ["Ankle boot", "T-shirt"]
    assert [data.names[i] for i in data.labels] == [["T-shirt", "Ankle boot"][i % 2] for i in ORDER]
    write_parquet(tmp_path / "b.parquet", DIGITS, None)
    assert load_dataset(tmp_path / "b.parquet").labels is None
    write_parquet(tmp_path / "c.parquet", DIGITS, 0 * LABELS - 1, ["a", "b"])
    assert load_dataset(tmp_path / "c.parquet").labels is None


def test_a_damaged_picture_in_a_parquet_file_is_skipped_and_named(tmp_path):
    pa = pytest.importorskip("pyarrow")
    cells = [png(image) for image in DIGITS[:5]]
    cells[3] = b"damaged"
    table = pa.table({"image": pa.array(cells), "label": pa.array(list("abcde"))})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "a.parquet")
    data = load_dataset(tmp_path / "a.parquet")
    assert len(data.images) == 4 and data.names == list("abce")
    assert "1 of 5 pictures cannot be read" in data.notes[0] and "row 3" in data.notes[0]
    with pytest.raises(DataError, match="row 3"):
        load_dataset(tmp_path / "a.parquet", strict=True)


def test_parquet_files_without_pictures(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="holds the columns text: name the column of images"):
        load_dataset(tmp_path / "a.parquet")
    parquet.write_table(pa.table({"image": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="column image holds int64, but"):
        load_dataset(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(DataError, match="cannot read .*a.parquet"):
        load_dataset(tmp_path / "a.parquet")


def test_parquet_as_the_hubs_own_library_writes_it(tmp_path):
    pytest.importorskip("datasets.arrow_dataset")  # `datasets` alone may be this folder of tests
    datasets = sys.modules["datasets"]
    names = ["even", "odd"]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    )
    rows = {"image": [Image.fromarray(d) for d in DIGITS], "label": (LABELS % 2).tolist()}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    data = load_dataset(tmp_path / "train.parquet")
    np.testing.assert_array_equal(data.images, DIGITS[ORDER])
    assert data.names == names and data.labels.tolist() == (ORDER % 2).tolist()


# ---- Without the libraries ----


@pytest.mark.parametrize(
    "name, package",
    [("a.csv", "pyarrow"), ("a.parquet", "pyarrow"), ("a.mat", "scipy"), ("a.h5", "h5py")],
)
def test_a_missing_library_is_named_with_the_command(tmp_path, name, package, monkeypatch):
    content = b"\x89HDF\r\n\x1a\n" if name == "a.h5" else b"label,pixel0\n1,2\n"
    (tmp_path / name).write_bytes(content)
    found = builtins.__import__

    def missing(module, *args, **options):
        if module.partition(".")[0] in ("pyarrow", "scipy", "h5py"):
            raise ModuleNotFoundError(f"No module named {module!r}")
        return found(module, *args, **options)

    monkeypatch.setattr("importlib.import_module", missing)
    result = demo("--data", name, cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert f"{name} needs {package}, which is not installed: pip install {package}" in result.stderr
