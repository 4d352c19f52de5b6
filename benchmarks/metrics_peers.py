"""minigan's metrics and those of published packages, on the same images.

What it shows
    Fréchet distance, KID, precision, recall, density and coverage, computed by minigan and by a
    package that others use: torchmetrics for the two distances, prdc for the rest. (minigan does
    not report density. It is computed here from minigan's distances and radii, as their check.)
    Both get the same numbers, features of the classifier and then pixels, of MNIST's test images
    and of images that a seed makes worse: training images with noise, each shifted by a pixel. No
    trained run is needed. The exit status is 1 if two values differ by more than one part in a
    thousand.

    The sets have different sizes, except for KID: torchmetrics compares subsets of equal size, here
    the whole of one set and as many images of the other.

How to run it from the folder with demo.py (half a minute)
    pip install torch==2.13.0 torchmetrics==1.9.0 prdc==0.2 scikit-learn==1.9.1 scipy==1.17.1
    python benchmarks/metrics_peers.py
"""

import argparse
import contextlib
import importlib.metadata
import io
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from minigan.datasets.idx import TEST_IMAGES, load_images
from minigan.datasets.pixels import scale
from minigan.evaluation.classifier import load_classifier
from minigan.evaluation.metrics import (
    NEIGHBOURS,
    frechet_distance,
    kid,
    knn_radii,
    moments,
    precision_and_coverage,
    recall,
    squared_distances,
)

PINNED = {
    "torch": "2.13.0",
    "torchmetrics": "1.9.0",
    "prdc": "0.2",
    "scikit-learn": "1.9.1",
    "scipy": "1.17.1",
}
INSTALL = "pip install " + " ".join(f"{name}=={version}" for name, version in PINNED.items())
LIMIT = 1e-3  # relative difference
N_REAL, N_GENERATED = 4000, 3000


def perturbed(images, rng):
    """Images (N, H, W) in [0, 1] with noise, each shifted by a pixel in a random direction."""
    shifts = rng.integers(-1, 2, (len(images), 2))
    shifted = np.stack([np.roll(image, shift, (0, 1)) for image, shift in zip(images, shifts)])
    return (shifted + 0.08 * rng.standard_normal(images.shape, "float32")).clip(0, 1)


def values_of_minigan(real, generated):
    """{metric: value} for real rows (N, F) and generated rows (M, F), with N >= M."""
    radii = knn_radii(real)
    precision, coverage = precision_and_coverage(real, radii, generated)
    inside = sum((d <= radii).sum() for _, d in squared_distances(generated, real))
    return {
        "FD": frechet_distance(moments(real), moments(generated)),
        "KID": kid(real[: len(generated)], generated),
        "precision": precision,
        "recall": recall(real, generated),
        "density": inside / (NEIGHBOURS * len(generated)),
        "coverage": coverage,
    }


def values_of_peers(real, generated):
    """The same of torchmetrics (FD and KID) and prdc (the others)."""
    import torch
    from prdc import compute_prdc
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    class Features(torch.nn.Identity):
        """A feature extractor for rows that are features already."""

        num_features = real.shape[1]

    fd = FrechetInceptionDistance(feature=Features()).set_dtype(torch.float64)
    size = len(generated)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save")
        kernel = KernelInceptionDistance(feature=Features(), subsets=1, subset_size=size)
    for metric, part in (fd, real), (kernel, real[:size]):
        metric.update(torch.from_numpy(part).double(), real=True)
        metric.update(torch.from_numpy(generated).double(), real=False)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the sizes of the sets
        others = compute_prdc(real, generated, NEIGHBOURS)
    return {"FD": fd.compute().item(), "KID": kernel.compute()[0].item()} | others


def report(name, ours, theirs):
    """Print a line for each metric; returns whether all agree."""
    agree = True
    for metric, value in ours.items():
        difference = abs(value - theirs[metric]) / max(abs(theirs[metric]), 1e-12)
        good = difference <= LIMIT  # False for NaN
        agree = agree and good
        print(
            f"{name:10}{metric:12}{value:14.6f}{theirs[metric]:14.6f}{difference:12.0e}"
            f"  {'✓' if good else '✗'}"
        )
    return agree


def main(arguments=None):
    """Compare all metrics; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(arguments)
    installed = {}
    for name in PINNED:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            sys.stderr.write(f"this script needs {name}, which is not installed: {INSTALL}\n")
            return 2
    print("numpy", np.__version__, *(f"{name} {version}" for name, version in installed.items()))
    for name, version in PINNED.items():
        if installed[name].partition("+")[0] != version:
            print(f"note: written for {name} {version}")
    real = scale(load_images(name=TEST_IMAGES)[:N_REAL], pixel_min=0.0)
    training = scale(load_images()[:N_GENERATED], pixel_min=0.0)
    generated = perturbed(training, np.random.default_rng(0))
    classifier = load_classifier()
    print(f"{len(real)} real images and {len(generated)} others")
    print(f"{'':22}{'minigan':>14}{'peer':>14}{'difference':>12}")
    agree = True
    for name, (a, b) in {
        "features": [classifier.predict(images)[0] for images in (real, generated)],
        "pixels": [images.reshape(len(images), -1) for images in (real, generated)],
    }.items():
        agree = report(name, values_of_minigan(a, b), values_of_peers(a, b)) and agree
    print("all agree" if agree else f"✗: they differ by more than {LIMIT:g} of the peer's value")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # for the marks, wherever the output goes
    sys.exit(main())
