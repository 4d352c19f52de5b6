"""Sampling from a run: the requested class, the same latents for each class; and walks."""

import json

import numpy as np
import pytest
from helpers import demo, idx, train_small
from PIL import Image

from minigan.datasets.load import load_dataset
from minigan.evaluation.report import evaluate
from minigan.gan.recipes import CHOICES, RECIPES, replace
from minigan.training.run_folder import RunError, load_model, read_recipe
from minigan.training.sampling import (
    conditional_latents,
    find_class,
    generate,
    latents_and_labels,
    load_networks,
    sample_images,
    walk_images,
)

SMALL = replace(
    RECIPES["dense"],
    latent_dim=4,
    widths_G=(16,),
    widths_D=(16,),
    batch_size=20,
    epochs=5,
    steps_per_epoch=300,
    ema_decay=0.0,
    learning_rate=0.01,
    weight_decay_G=0.0,
    conditional=True,
)
rng = np.random.default_rng(0)
LABELS = rng.choice(3, 200, p=[0.5, 0.3, 0.2]).astype(np.uint8)
IMAGES = rng.integers(0, 60, (200, 6, 9), dtype=np.uint8)
for i, label in enumerate(LABELS):
    IMAGES[i, :, 3 * label : 3 * label + 3] += 180  # a bar on the left, in the middle, on the right


def trained(folder, recipe):
    """A run on IDX files in the folder."""
    data = folder / "data"
    data.mkdir()
    (data / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (data / "train-labels-idx1-ubyte").write_bytes(idx(LABELS))
    found = load_dataset(data)
    options = dict(labels=found.labels, names=found.names, path=data)
    assert train_small(folder / "run", recipe, found.images, **options) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("conditional"), SMALL)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("plain"), replace(SMALL, conditional=False, epochs=1))


@pytest.fixture(scope="module")
def clustered(tmp_path_factory):
    recipe = replace(SMALL, conditional=False, clusters=2, epochs=2)
    return trained(tmp_path_factory.mktemp("clustered"), recipe)


def bars(images):
    """Which third of each image is brightest."""
    return images.reshape(-1, 6, 3, 3).mean(axis=(1, 3)).argmax(axis=1)


@pytest.mark.parametrize("name", ["0", "1", "2"])
def test_the_requested_class_is_generated(run, name):
    images = sample_images(run, 50, seed=1, digit=name)
    assert (
        images.shape == (50, 6, 9)
        and images.dtype == "float32"
        and (bars(images) == int(name)).mean() > 0.9
    )


def test_by_default_all_classes_are_generated_from_the_same_latents(run):
    images = sample_images(run, 10, seed=0)
    assert bars(images).tolist() == [0] * 4 + [1] * 3 + [2] * 3
    for i in range(3):
        np.testing.assert_allclose(
            sample_images(run, 10, seed=0, digit="1")[i], images[4 + i], atol=1e-6
        )


def test_evaluated_images_have_the_class_frequencies_of_the_data(run):
    settings, recipe, G, _ = load_networks(run)
    assert settings["names"] == ["0", "1", "2"]
    np.testing.assert_allclose(settings["shares"], np.bincount(LABELS) / 200)
    z, labels = latents_and_labels(settings, recipe, 4000, seed=0)
    assert z.shape == (4000, 4) and len(np.unique(z[:, 0])) == 4000
    np.testing.assert_allclose(np.bincount(labels) / 4000, settings["shares"], atol=0.03)
    images = generate(G, conditional_latents(z, labels, 3))
    assert (bars(images) == labels).mean() > 0.9 and images.shape == (4000, 6, 9)
    result = evaluate(run, count=100)
    assert (
        "agreement" not in result["run"] and result["run"]["fd"] < result["noise"]["fd"]
    )  # no classifier for bars


@pytest.mark.parametrize(
    "fixture, digit", [(None, None), ("plain", None), ("clustered", None), ("run", "1")]
)
def test_an_image_is_the_same_bit_for_bit_whatever_the_count(fixture, digit, request):
    folder = request.getfixturevalue(fixture) if fixture else None  # None: the pretrained generator
    images = sample_images(folder, 2500, seed=4, digit=digit)
    for count in 1, 7, 100, 101, 1000:
        some = sample_images(folder, count, seed=4, digit=digit)
        assert some.tobytes() == images[:count].tobytes(), count


@pytest.mark.parametrize("fixture", ["run", "clustered"])
@pytest.mark.parametrize("noise", CHOICES["noise"])
def test_latents_and_labels_are_the_same_whatever_the_count(fixture, noise, request):
    settings, recipe, _, _ = load_networks(request.getfixturevalue(fixture))
    recipe = replace(recipe, noise=noise)
    z, labels = latents_and_labels(settings, recipe, 2500, seed=4)
    for count in 1, 7, 100, 1000:
        some = latents_and_labels(settings, recipe, count, seed=4)
        np.testing.assert_array_equal(some[0], z[:count])
        np.testing.assert_array_equal(some[1], labels[:count])
    assert abs(np.corrcoef(z[:, 0], labels)[0, 1]) < 0.1


def test_image_i_of_a_class_does_not_depend_on_the_count(run):
    images = sample_images(run, 300, seed=0).reshape(3, 100, 6, 9)
    fewer = sample_images(run, 21, seed=0).reshape(3, 7, 6, 9)
    np.testing.assert_allclose(fewer, images[:, :7], atol=1e-6)  # not bit for bit, in other rows


def test_a_folder_gets_one_picture_per_image(plain, tmp_path):
    images = sample_images(plain, 120, seed=3)
    args = ["sample", plain, "--seed", 3, "--out", "new/fakes/"]
    result = demo(*args, "--count", 120, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "120 new images in new/fakes" in result.stdout
    paths = sorted((tmp_path / "new" / "fakes").glob("*.png"))
    assert [path.name for path in paths] == [f"{i:06}.png" for i in range(120)]
    for path, image in zip(paths, images):
        with Image.open(path) as picture:
            np.testing.assert_array_equal(np.asarray(picture), np.rint(255 * image))
    assert len(load_dataset(tmp_path / "new" / "fakes").images) == 120
    result = demo(*args, "--count", 5, cwd=tmp_path)
    assert result.returncode == 2 and "new/fakes is not empty" in result.stderr
    assert len(list((tmp_path / "new" / "fakes").iterdir())) == 120
    (tmp_path / "empty.v2").mkdir()  # a folder that is there needs no slash
    args = ["sample", plain, "--seed", 3, "--count", 7, "--out", "empty.v2"]
    assert demo(*args, cwd=tmp_path).returncode == 0
    for path in (tmp_path / "empty.v2").iterdir():  # the same bytes, whatever the count
        assert path.read_bytes() == (tmp_path / "new" / "fakes" / path.name).read_bytes()


def test_a_refused_folder_leaves_nothing_behind(plain, tmp_path):
    (tmp_path / "file").write_text("here")
    for args, why in (
        (["nowhere", "--out", "a/"], "nowhere has no model.npz"),
        ([plain, "--digit", "7", "--out", "a/"], "without --conditional"),
        ([plain, "--out", "file/"], "file is a file"),
        ([plain, "--out", "a"], "--out a should end in .png, .svg, .pdf, .npy or /"),
        ([plain, "--out", ""], "argument --out: it is empty"),
    ):
        result = demo("sample", *args, cwd=tmp_path)
        assert result.returncode == 2 and why in result.stderr and result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["A.PNG", "a.Npy"])
def test_capitals_in_a_suffix_do_not_matter(plain, tmp_path, name):
    result = demo("sample", plain, "--count", 3, "--out", name, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    if name == "A.PNG":
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG"
    else:
        assert np.load(tmp_path / name).shape == (3, 6, 9)


def test_latents_do_not_depend_on_the_chunks_they_are_drawn_in(plain):
    """In chunks of a thousand, as earlier versions sampled them, or at once."""
    settings, recipe, G, _ = load_networks(plain)
    z, labels = latents_and_labels(settings, recipe, 2500, seed=7)
    stream = np.random.default_rng(7)
    np.testing.assert_array_equal(
        z,
        np.concatenate(
            [stream.standard_normal((n, 4), dtype="float32") for n in (1000, 1000, 500)]
        ),
    )
    assert labels is None
    np.testing.assert_allclose(sample_images(plain, 2500, seed=7), generate(G, z), rtol=1e-6)


def test_a_walk_passes_the_images_that_were_chosen(run, plain):
    frames = walk_images(plain, [3, 5], 4)
    assert frames.shape == (8, 1, 6, 9)
    np.testing.assert_allclose(frames[0, 0], sample_images(plain, 1, seed=3)[0], atol=1e-5)
    np.testing.assert_allclose(frames[4, 0], sample_images(plain, 1, seed=5)[0], atol=1e-5)
    frames = walk_images(run, [3, 5], 4)  # all classes side by side
    assert frames.shape == (8, 3, 6, 9)
    for column in range(3):
        np.testing.assert_allclose(
            frames[4, column], sample_images(run, 1, seed=5, digit=str(column))[0], atol=1e-5
        )
    np.testing.assert_allclose(
        walk_images(run, [3, 5], 4, digit="2")[:, 0], frames[:, 2], atol=1e-6
    )


def test_a_run_with_clusters_samples_them_as_often_as_they_occur(clustered):
    settings, recipe, G, _ = load_networks(clustered)
    assert "names" not in settings and len(settings["shares"]) == 2
    z, clusters = latents_and_labels(settings, recipe, 4000, seed=0)
    np.testing.assert_allclose(np.bincount(clusters) / 4000, settings["shares"], atol=0.03)
    images = generate(G, conditional_latents(z, clusters, 2))
    np.testing.assert_allclose(sample_images(clustered, 4000, seed=0), images, atol=1e-6)
    # each of the three bars is in one cluster, and is generated from this cluster only
    common = [np.bincount(bars(images[clusters == i]), minlength=3) > 100 for i in range(2)]
    kinds = [set(np.flatnonzero(counts)) for counts in common]
    assert sorted(map(len, kinds)) == [1, 2] and set.union(*kinds) == {0, 1, 2}
    result = evaluate(clustered, count=100)
    assert result["run"]["fd"] < result["noise"]["fd"]


def test_a_walk_leads_from_cluster_to_cluster(clustered):
    settings, recipe, _, _ = load_networks(clustered)
    cluster_of = {s: int(latents_and_labels(settings, recipe, 1, seed=s)[1][0]) for s in range(20)}
    seeds = [next(s for s, c in cluster_of.items() if c == cluster) for cluster in range(2)]
    frames = walk_images(clustered, seeds, 4)
    assert frames.shape == (8, 1, 6, 9)
    for frame, seed in (0, seeds[0]), (4, seeds[1]):
        image = sample_images(clustered, 1, seed=seed)[0]
        np.testing.assert_allclose(frames[frame, 0], image, atol=1e-5)
    assert abs(frames[2, 0] - frames[0, 0]).max() > 0.01  # halfway, it is neither
    with pytest.raises(RunError, match="was trained without --conditional.* '7'"):
        walk_images(clustered, [1, 2], 3, digit="7")


def test_a_request_that_cannot_be_met_gets_a_sentence(run, plain):
    with pytest.raises(
        RunError,
        match="was trained without --conditional.* '7'",
    ):
        sample_images(plain, 1, seed=0, digit="7")
    with pytest.raises(RunError, match="has no class '7': it has 0, 1, 2"):
        walk_images(run, [1, 2], 3, digit="7")
    with pytest.raises(RunError, match="two seeds or more"):
        walk_images(run, [1], 3)
    with pytest.raises(RunError, match="more than 4 GB"):
        sample_images(run, 1 << 29, seed=0)
    assert find_class(run, load_model(run)[0], "2") == 2


@pytest.mark.parametrize(
    "change",
    [
        {"names": None},
        {"names": ["a"]},
        {"names": []},
        {"names": [1, 2, 3]},
        {"shares": [2.0, -1.0, 0.0]},
        {"shares": [0.1, 0.1, 0.1]},
        {"shares": "abc"},
    ],
)
def test_settings_without_proper_classes_are_refused(run, clustered, change):
    (what,) = change
    for folder, labels in (run, "classes"), (clustered, "clusters"):
        settings = json.loads((folder / "settings.json").read_text())
        read_recipe(settings)
        if labels == "classes" or what == "shares":
            with pytest.raises(ValueError, match=f"its {labels} have no {what}"):
                read_recipe({**settings, **change})
