"""The report: all metrics of one run, with figures.

The idea
    A metric can only be interpreted beside its values for real images and for noise. For this
    reason three sets of images are evaluated: images from the run's generator, training images
    ("real"), and uniform noise. Each is compared with the test images, on which no run was trained.
    (A data set without test images is compared with its training images instead, and "real" then
    says little.)

    The figures are written to the run folder:

        classes.png         the share of each digit
        real-and-fake.png   real images above, generated images below
        neighbours.png      generated images, and below each the training image that is nearest to
                            it in pixels, then in features; if the generator had memorised training
                            images, they would be equal (Goodfellow et al. 2014, figure 2)
        memorisation.png    the distances of generated images to their nearest training images,
                            beside those of held-out images (see memorisation.py); only if there are
                            test images
        walk.png, walk.gif  interpolations between generated images
        gradient.png        the gradient that G receives from D (see `pixel_gradient`)

    All except the animation can also be SVG or PDF.

    For digits there is `read`, the share of the images that a second classifier can read (see
    legibility.py). It was trained on the training images, so here "real" means the test images.

    For triples of digits (`--data stacked-mnist`) there are the figures of modes.py, `features` and
    `read` are those of the three digits of an image, and "real" are training images. A generator
    could not memorise images that are made on the fly, so memorisation is not measured.

    A conditional run on digits has one more metric, `agreement`: how often the first classifier
    recognises the digit that was requested. Classes are requested with the frequencies of the
    training images.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minigan.datasets.load import Dataset
from minigan.datasets.pixels import DataError, as_floats
from minigan.datasets.stacked import StackedImages
from minigan.evaluation.classifier import Classifier, load_classifier
from minigan.evaluation.legibility import READ_CONFIDENCE, load_conv_classifier, share_read
from minigan.evaluation.memorisation import (
    QUANTILES,
    evenly_spaced,
    memorisation,
    nearest_distances,
    probability_nearer,
    quantiles,
)
from minigan.evaluation.metrics import Evaluator, nearest_neighbours
from minigan.evaluation.modes import (
    MODE_SAMPLES,
    TripleEvaluator,
    channels,
    evaluate_modes,
)
from minigan.figures import plots
from minigan.figures.plots import DEFAULT_LOOK, Look
from minigan.figures.sheets import (
    Sheet,
    arrange_images,
    labelled_rows,
    save_gradient,
    save_sheet,
    save_walk,
)
from minigan.gan.latents import (
    interpolate_latents,
    latent_grid,
    latent_walk,
    one_hot,
    sample_latents,
)
from minigan.gan.recipes import Recipe
from minigan.gan.steps import with_labels
from minigan.nn.losses import bce_with_logits
from minigan.nn.sequential import Sequential
from minigan.training.run_data import load_run_data
from minigan.training.run_folder import (
    RunError,
    RunFiles,
    class_count,
    class_names,
    count_epochs,
    image_shape,
)
from minigan.training.sampling import (
    check_invert,
    conditional_latents,
    generate,
    latents_and_labels,
    load_networks_of,
)

METRIC_LABELS = {  # name in metrics.json: printed label
    "fd": "Fréchet distance, 0 is best",
    "kid": "kernel distance KID, 0 is best",
    "modes": "modes, of 1000",
    "kl_uniform": "KL from uniform modes, 0 is best",
    "kl_triples": "KL from real triples, 0 is best",
    "score": "classifier score, 1 to 10",
    "confidence": "classifier's confidence",
    "read": "read by a second classifier",
    "class_kl": "class KL, 0 is best",
    "precision": "precision, in pixels",
    "coverage": "coverage, in pixels",
    "recall": "recall, in features",
    "agreement": "digit as requested",
    "nearer": "nearer than held-out, 0.5 if alike",
    "nearer_se": "  standard error",
    "memorisation": "memorised, 0 is none, 1 is all",
    "memorisation_se": "  standard error",
}
OLD_PARTS = {"real": "floor", "noise": "ceiling"}  # their names in metrics.json before 0.2.0
MAX_REFERENCES = 10_000  # largest number of real images to compare with, except for MNIST
COMPARED_WITH_TRAINING = {  # how many images, or as many as are generated if they are fewer
    "run": 2000,
    "real": 2000,
    "noise": 500,
    "held-out": 1000,
}
NOISE_TO_READ = 1000  # images of noise for `read`; more would take time and change nothing


def make_evaluator(dataset: Dataset, digits: bool) -> Evaluator:
    """The Evaluator for a Dataset; `digits` says that it is MNIST, which has a classifier."""
    if isinstance(dataset.images, StackedImages) and dataset.images.shape[1:3] == (28, 28):
        test, of = dataset.test, "test"
        if test is None:
            test, of = dataset.images[:MAX_REFERENCES], "training"
        return TripleEvaluator(test, load_classifier(), reference=f"triples of MNIST's {of} images")
    labelled = None if dataset.labels is None else (dataset.images, dataset.labels)
    if digits and dataset.test is not None:
        test, classifier, reference = dataset.test, load_classifier(), "MNIST's test images"
    elif dataset.test is not None:
        test, classifier, reference = dataset.test[:MAX_REFERENCES], None, "test images"
    else:
        test, classifier = dataset.images[:MAX_REFERENCES], None
        reference = "training images, because there are no test images"
    return Evaluator(test, classifier, reference=reference, labelled=labelled)


def evaluation_folder(folder: Path, epoch: int | None) -> Path:
    """Where evaluate writes: the folder of the run, or one in it for an earlier epoch, so that the
    metrics of the run itself are kept.
    """
    return folder if epoch is None else folder / f"epoch-{epoch:04}"


def evaluate(
    folder: Path,
    count: int = 10_000,
    *,
    seed: int = 0,
    epoch: int | None = None,
    path: Path | None = None,
    files: RunFiles | None = None,
    look: Look = DEFAULT_LOOK,
    say: Callable[[str], Any] = str,
) -> dict[str, Any]:
    """Evaluate a run and write metrics.json and the figures to its folder; returns the metrics.

    `path` is the new place of its data, if that has moved. Raises RunError or DataError if the run
    or its data cannot be used, or if its folder cannot be written. With `files`, these remember
    what could not be written, and the metrics are returned. `say` receives what is done next.

    With `epoch`, the generator that the run has kept of it is evaluated, and the files are in the
    folder evaluation_folder(folder, epoch), without gradient.png, which needs the D of that epoch.
    """
    folder, given = Path(folder), files
    files = files or RunFiles(evaluation_folder(folder, epoch))
    settings, recipe, G, D = load_networks_of(folder, epoch)
    classes = settings.get("classes", "")
    check_invert(look.invert, image_shape(settings))
    data = load_run_data(folder, settings, path)
    evaluator = make_evaluator(data, settings["digits"])
    if min(len(data.images), len(evaluator.images)) < 10:
        raise DataError(
            f"{folder} was trained on too few images to compare with: at least 10 are needed"
        )

    real = data.images  # as bytes: whatever needs floats converts them in parts
    stacked = real if isinstance(real, StackedImages) else None
    if stacked:
        real = stacked[: max(count, MAX_REFERENCES)]
    n_classes = class_count(settings)
    z, labels = latents_and_labels(settings, recipe, count, seed=seed)
    say(f"generating {count:,} images")
    generated = generate(G, conditional_latents(z, labels, n_classes), recipe.pixel_min)
    generated = generated.astype("float32", copy=False)
    say(f"comparing them with {len(evaluator.images):,} {evaluator.reference}")
    metrics: dict[str, Any] = {"run": evaluator.evaluate(generated)}
    # only a classifier needs all images again
    kept = slice(None if evaluator.classifier else max(COMPARED_WITH_TRAINING.values()))
    generated = generated[kept].copy()
    rng = np.random.default_rng(seed)
    noise = rng.random((count, *real.shape[1:]), dtype="float32")
    say("comparing training images and noise with them, for the other two columns")
    metrics |= {
        "real": evaluator.evaluate(real[:count]),
        "noise": evaluator.evaluate(noise),
        "count": count,
        "seed": seed,
        **({"epoch": epoch} if epoch else epochs_of(folder)),
        "against": f"{len(evaluator.images)} {evaluator.reference}"
        + (f" of the classes {classes}" if classes else ""),
        "features": describe_features(evaluator),
    }
    noise = noise[kept].copy()
    if evaluator.classifier:
        say("reading the images with a second classifier")
        second = load_conv_classifier()
        for part, images in (
            ("run", generated),
            ("real", as_floats(evaluator.images)),
            ("noise", noise[:NOISE_TO_READ]),
        ):
            if stacked:
                images = channels(images.reshape(-1, *evaluator.shape))
            metrics[part]["read"] = share_read(second, images)
        metrics["read_by"] = describe_classifier(second)
    if evaluator.classifier and recipe.conditional and data.labels is not None:
        digits = np.array([int(name) for name in class_names(settings)])
        for part, images, requested in (
            ("run", generated, labels),
            ("real", real[:count], data.labels[:count]),
            ("noise", noise, labels),
        ):
            recognised = evaluator.classifier.predict(as_floats(images))[1].argmax(axis=1)
            metrics[part]["agreement"] = float((recognised == digits[requested]).mean())

    if stacked and evaluator.classifier:
        say(f"reading the digits of {MODE_SAMPLES:,} images")
        figures = evaluate_triples(G, recipe, stacked, evaluator.classifier, seed=seed)
        for part, of_part in figures.items():
            metrics[part] |= of_part
    if data.test is not None and not stacked:
        say(f"searching {len(real):,} training images for copies")
        parts = {"run": generated, "noise": noise}
        compared = compare_with_training(parts, real, evaluator.images, files=files, look=look)
        for part in "run", "real", "noise":
            metrics[part] |= compared.pop(part)
        metrics |= compared

    say("drawing figures")
    shares = evaluator.shares
    if shares is not None:
        classes = metrics["run"]["classes"]
        files.save(
            f"classes.{look.kind}",
            lambda file: plots.save_classes(classes, shares, file, look=look),
        )
    save_comparison(generated, real, evaluator, files, look=look, rng=rng)

    z = sample_latents(recipe, rng, 14)
    labels = None if labels is None else labels[:14]
    latents = conditional_latents(z, labels, n_classes)

    corners = None
    if labels is not None:  # corners of one class, or of any clusters
        chosen = labels[[0] * 4 if recipe.conditional else slice(4)]
        corners = one_hot(chosen, n_classes, recipe.dtype)
    side = max(2, look.columns or 10)
    between = interpolate_latents(latent_grid, z[:4], corners, side)
    save_walk_grid(generate(G, between, recipe.pixel_min), side, files, look=look)
    frames = 20
    between = interpolate_latents(latent_walk, z[:4], corners, frames)
    walk = generate(G, between, recipe.pixel_min)
    titles = [f"image {1 + i // frames} to {1 + (1 + i // frames) % 4}" for i in range(len(walk))]
    files.save(
        "walk.gif",
        lambda file: save_walk(
            1 - walk if look.invert else walk, file, titles=titles, zoom=8, look=look
        ),
    )
    if D is not None:
        images, gradient = generate(G, latents, recipe.pixel_min), pixel_gradient(G, D, latents)
        files.save(
            f"gradient.{look.kind}", lambda file: save_gradient(images, gradient, file, look=look)
        )
    text = json.dumps(metrics, indent=2) + "\n"
    files.save("metrics.json", lambda file: file.write(text.encode()))
    if given is None:
        files.check()
    return metrics


def epochs_of(folder: Path) -> dict[str, int]:
    """The number of epochs that a run has trained for, for metrics.json; {} if it is unknown."""
    try:
        return {"epochs": count_epochs(folder)}
    except RunError:
        return {}


def evaluate_triples(
    G: Sequential, recipe: Recipe, images: StackedImages, classifier: Classifier, *, seed: int
) -> dict[str, dict[str, float]]:
    """The figures of modes.py of "run", "real" and "noise", for a run on these images."""
    rng = np.random.default_rng([seed, 2])
    positions = images.draw(rng, MODE_SAMPLES)
    z = sample_latents(recipe, rng, MODE_SAMPLES)
    parts = {
        "run": lambda rows: generate(G, z[rows], recipe.pixel_min),
        "real": lambda rows: images[positions[rows]],
        "noise": lambda rows: rng.random((rows.stop - rows.start, *images.shape[1:]), "float32"),
    }
    return evaluate_modes(classifier, parts, images.digits)


def compare_with_training(
    parts: dict[str, np.ndarray],
    training: np.ndarray,
    held_out: np.ndarray,
    *,
    files: RunFiles,
    look: Look = DEFAULT_LOOK,
) -> dict[str, Any]:
    """The metrics of memorisation.py, and its figure, which is saved in `files`.

    `parts` holds the images of "run" and "noise". "real" is added: training images, each compared
    with all images but itself. Images are (N, ...), in [0, 1] or bytes.
    """
    generated = len(parts["run"])
    counts = {part: min(count, generated) for part, count in COMPARED_WITH_TRAINING.items()}
    training, held_out = training.reshape(len(training), -1), held_out.reshape(len(held_out), -1)
    chosen = evenly_spaced(len(held_out), counts["held-out"])
    held_out_distances = nearest_distances(held_out[chosen], training)
    chosen = evenly_spaced(len(training), counts["real"])
    results = {"real": memorisation(training[chosen], training, held_out, left_out=chosen)}
    for part, images in parts.items():
        images = images[: counts[part]].reshape(-1, training.shape[1])
        results[part] = memorisation(images, training, held_out)
    distances = results["run"].distances
    files.save(
        f"memorisation.{look.kind}",
        lambda file: plots.save_memorisation(distances, held_out_distances, file, look=look),
    )
    metrics: dict[str, Any] = {
        "quantiles": list(QUANTILES),
        "held_out_distances": quantiles(held_out_distances),
    }
    for part, result in results.items():
        nearer, nearer_se = probability_nearer(result.distances, held_out_distances)
        metrics[part] = {
            "nearer": nearer,
            "nearer_se": nearer_se,
            "memorisation": result.share,
            "memorisation_se": result.standard_error,
            "distances": quantiles(result.distances),
        }
    return metrics


def describe_features(evaluator: Evaluator) -> dict[str, Any] | str:
    """How the features were computed, for metrics.json: by which classifier, or from pixels."""
    if not evaluator.classifier:
        return "images reduced to 8 x 8 pixels, because there is no classifier for them"
    return describe_classifier(evaluator.classifier)


def describe_classifier(classifier: Classifier) -> dict[str, Any]:
    """The origin of a classifier, for metrics.json."""
    return {
        "classifier_accuracy": classifier.accuracy,
        "classifier_sha256": classifier.sha256,
        "classifier_command": classifier.command,
    }


def save_comparison(
    generated: np.ndarray,
    real: np.ndarray,
    evaluator: Evaluator,
    files: RunFiles,
    *,
    look: Look = DEFAULT_LOOK,
    rng: np.random.Generator,
) -> None:
    """Save real-and-fake.png and neighbours.png, from images (N, H, W[, 3]), in [0, 1] or bytes."""
    chosen = as_floats(real[rng.choice(len(real), 20, replace=len(real) < 20)])
    save_rows(
        "real-and-fake",
        "Real images, and generated ones",
        [("real", chosen), ("generated", generated[:20])],
        columns=10,
        alternate=False,
        files=files,
        look=look,
    )
    some = generated[:14]
    by_pixels = nearest_neighbours(some.reshape(14, -1), real.reshape(len(real), -1))
    by_features = nearest_neighbours(evaluator.features(some), evaluator.features(real))
    save_rows(
        "neighbours",
        "Generated images, and the training images nearest to them",
        [
            ("generated", some),
            ("nearest in pixels", as_floats(real[by_pixels])),
            ("nearest in features", as_floats(real[by_features])),
        ],
        columns=14,
        alternate=True,
        files=files,
        look=look,
    )


def save_rows(
    name: str,
    title: str,
    groups: list[tuple[str, np.ndarray]],
    *,
    columns: int,
    alternate: bool,
    files: RunFiles,
    look: Look,
) -> None:
    """Save a sheet with rows of images in [0, 1]; see labelled_rows for the groups."""
    columns = min(look.columns or columns, len(groups[0][1]))
    images, labels = labelled_rows(groups, columns, alternate=alternate)
    sheet = Sheet(arrange_images(images, columns=columns, look=look), title, labels, zoom=3)
    files.save(f"{name}.{look.kind}", lambda file: save_sheet(sheet, file, look))


def save_walk_grid(images: np.ndarray, side: int, files: RunFiles, *, look: Look) -> None:
    """Save walk.png: side x side images, (side * side, H, W[, 3]) in [0, 1]."""
    sheet = Sheet(
        arrange_images(images, columns=side, look=look),
        "From four generated images to each other",
        caption="corners: four random latents; between them, latents in equal steps",
    )
    files.save(f"walk.{look.kind}", lambda file: save_sheet(sheet, file, look))


def pixel_gradient(G: Sequential, D: Sequential, latents: Any) -> np.ndarray:
    """The change of each pixel that makes G's images look more real to D, (N, H, W[, 3]).

    This is the negative gradient of -log D(G(z)) with respect to the pixels, whatever the loss of
    the run. With the non-saturating loss, this gradient is all that the generator learns from.
    `latents` is the input of G: z (N, Z), or (z, labels).
    """
    labels = latents[1] if isinstance(latents, tuple) else None
    images = G.forward(latents)[0]
    logits, cache = D.forward(with_labels(images, labels))
    _, dlogits = bce_with_logits(logits, 1.0)
    return -D.backward(dlogits, cache, need_dparams=False)


def format_report(metrics: dict[str, Any]) -> str:
    """The content of a metrics.json as a table of the run, real images and noise."""
    parts = [metrics["run"]] + [metrics.get(new) or metrics[old] for new, old in OLD_PARTS.items()]
    lines = [f"{'':34}{'this run':>10}{'real images':>13}{'noise':>10}"]
    for name, label in METRIC_LABELS.items():
        if name in metrics["run"]:
            run, real, noise = (
                plots.format_number(part[name], 0 if name == "modes" else 3) for part in parts
            )
            lines.append(f"{label:34}{run:>10}{real:>13}{noise:>10}")
    if "classes" in metrics["run"]:
        shares = enumerate(metrics["run"]["classes"])
        lines.append("digits, in %: " + "  ".join(f"{i}: {100 * s:.1f}" for i, s in shares))
    of_epoch = f" of the generator after epoch {metrics['epoch']}" if "epoch" in metrics else ""
    lines.append(f"{metrics['count']} images{of_epoch}, compared with {metrics['against']}")
    features = metrics["features"]
    if isinstance(features, dict):
        lines.append("features of " + format_classifier(features))
    else:
        lines.append(f"features: {features}")
    if "modes" in metrics["run"]:
        lines.append(f"modes and KL: of {MODE_SAMPLES:,} images each; real images are not at 0")
    if "read_by" in metrics:
        lines.append(
            f"read: with a confidence of {READ_CONFIDENCE} or more by "
            + format_classifier(metrics["read_by"])
        )
    return "\n".join(lines)


def format_classifier(origin: dict[str, Any]) -> str:
    """The result of describe_classifier in words, on two lines."""
    accuracy, sha256 = origin["classifier_accuracy"], origin["classifier_sha256"]
    return (
        f"a classifier with an accuracy of {accuracy:.2%} on the test images,\n"
        f"weights {sha256[:16]}..., made by {origin['classifier_command']}"
    )
