"""Metrics: the quality of generated images.

The idea
    The two losses show how D and G compare, not how good the images are. We therefore generate many
    images and compare them with test images, on which the generator was not trained. Every metric
    misses some faults, so there are several. None of them can be interpreted without two reference
    values: that of real images, which is the best that can be expected, and that of noise. No
    metric of this module notices that a generator copies training images. See memorisation.py.

Fréchet distance, FD: are the two distributions alike?
    Each image is described by numbers called features (for digits, the 128 of classifier.py). The
    real images are then one cloud of points, and the generated images another. Let m be the mean of
    a cloud and C its covariance matrix, which holds the variances of the features on its diagonal
    and the covariances of pairs of features elsewhere.

        FD = |m_r - m_g|² + trace(C_r) + trace(C_g) - 2 trace((C_r C_g)^(1/2))

    for real images (r) and generated ones (g). A trace is the sum of a diagonal. For a single
    feature of variance s² this is (m_r - m_g)² + (s_r - s_g)², which is 0 if both clouds have the
    same mean and width. This is equation 6 of Heusel et al. 2017, who use the features of another
    network. FDs that use features of different networks cannot be compared, nor can FDs of
    different numbers of images, because FD falls as that number grows.

    The last trace is computed from eigenvalues. If Av = c v for a matrix A and a vector v other
    than 0, then c is an eigenvalue of A. The trace of A is the sum of its eigenvalues, and those of
    A^(1/2) are their square roots. We need the eigenvalues of C_r C_g. Let R = C_r^(1/2), so that
    C_r C_g v = R R C_g v = c v, and let w = R C_g v. This gives
    R C_g R w = R C_g (R R C_g v) = c w, so R C_g R has the same eigenvalues. It is symmetric, so
    they are computed as real numbers, whatever the rounding errors.

Kernel distance, KID: are they alike, whatever the number of images?
    A kernel k(x, y) measures how similar two rows of features are. With that of Bińkowski et al.
    2018, the kernel Inception distance of real images x and generated images y is

        k(x, y) = (x·y / F + 1)³
        KID = mean of k(x, x') + mean of k(y, y') - 2 mean of k(x, y)

    where x and x' are two different real images, and y and y' two different generated ones. (Our
    features are not those of Inception, so published KIDs are not comparable with ours.)

    Multiplied out, (x·y / F + 1)³ is a sum of products: a number that depends on x only times the
    same number for y. These numbers, a fixed multiple of each product of up to three features, form
    a vector v, so that k(x, y) = v(x)·v(y). Since the mean of v(x)·v(y) over independent x and y is
    the product of the means,

        KID = |mean of v(x) - mean of v(y)|²

    the squared maximum mean discrepancy of Gretton et al. 2012. FD compares means and covariances,
    which are means of products of up to two features. KID compares those of three as well.

    The step to the product of the means needs independent images. An image and itself are not:
    k(x, x) = |v(x)|² is larger on average than k(x, x'), and would raise KID the more, the fewer
    images there are. These pairs are therefore left out. KID is then unbiased: its mean over many
    sets of 100 images is that over sets of 100,000, although single small sets differ more. If the
    distributions are equal, this mean is 0, so that many values are negative. Published KIDs are
    often means over subsets of the images and multiplied by 1000. Here all pairs count, and the
    unit is that of the kernel: training images have a KID of 0.003, and noise has one of 5.3.

The classifier's probabilities p
    classes      the share s of each digit among the generated images
    class KL     sum of s log(s / r), with the shares r among the real test images: the
                 Kullback-Leibler divergence, 0 if they agree
    confidence   the mean of the largest probability: do the images look like digits at all?
                 (legibility.py asks a second classifier)
    score        exp of the mean over images of the KL of p to the mean p: high if each image is
                 recognised and all ten digits occur; at most 10.  Salimans et al. 2016, section 4,
                 with our classifier

Do labels have an effect?
    For a conditional run, `label_agreement` asks of each image which class it looks like, namely
    that whose mean features are nearest, and compares this with the class that was requested. Two
    such lists agree in a share o of their places, and would agree in a share e if they were
    independent. Cohen's kappa, (o - e) / (1 - e), is 1 if they are equal and 0 on average if they
    are independent (Cohen 1960). label_agreement is the kappa of the samples divided by that of
    real images: near 0, all classes look alike. If it is below 0.1 for real images, their classes
    cannot be distinguished in this way, and there is no label_agreement.

    `spread` needs no classifier. It is the standard deviation of the pixels from image to image,
    relative to that of real images. Near 0, all images look alike.

Nearest neighbours, k = 3: do the two sets of images occupy the same space?
    Around each image we take the ball whose radius is the distance to its k-th nearest neighbour
    in its own set, real or generated.

    precision    the share of generated images inside the ball of some real image: are few bad?
    coverage     the share of real images whose ball contains a generated image: is nothing missing?
    recall       the share of real images inside the ball of some generated image

    Precision and recall: Kynkäänniemi et al. 2019; coverage: Naeem et al. 2020, "Density and
    Coverage". Precision and coverage compare pixels. With the classifier's features, precision
    would be high for noise: an image that resembles no digit activates no feature strongly, and
    therefore lies among the real images in feature space. Recall compares features.

    Balls are closed: a copy of an image is inside every ball that the image itself is in, also if
    the image occurs more than k times and its radius is 0. In float32 the two distances may differ
    in their last digits, so `knn_radii` enlarges each ball by the rounding error. The distance of
    two equal images is exactly 0.

Shapes
    images (N, H, W) or (N, H, W, 3), or (N, pixels), in [0, 1]; features (N, F); p (N, 10); shares
    (10,). The rows of x, real and generated (N, F) hold the pixels or features of an image. Images
    may also be bytes, from 0 to 255, which need a quarter of the memory. They are converted in
    parts.

>>> a = np.random.default_rng(0).standard_normal((5000, 2))
>>> frechet_distance(moments(a), moments(a + [3, 4])).round(6).item()          # 3² + 4²
25.0
>>> class_shares(np.eye(10)[[1, 1, 1, 7]])[[1, 7]].tolist()
[0.75, 0.25]
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigan.backend import Array, asnumpy, get_array_module
from minigan.datasets.pixels import IMAGES_REDUCED_AT_ONCE, as_floats, pixel_features
from minigan.evaluation.classifier import IMAGES_AT_ONCE

NEIGHBOURS = 3  # k
LABELLED_IMAGES = 5000  # at most, from which the mean of each class is computed
ROWS_AT_ONCE = 1000  # rows of a distance matrix computed at once
# numbers in the part of the other rows, 192 MB in float32: MNIST's 60,000 images are one part
NUMBERS_AT_ONCE = 48_000_000
# rounding errors of squared distances, in units of eps |x|², with the eps of the dtype: at most 20,
# and mostly below 4, for digits, negatives of digits and noise
EQUAL, TIE = 32, 16
Moments = tuple[np.ndarray, np.ndarray]  # mean (F,), covariance (F, F)


def moments(features: Array) -> Moments:
    """(mean (F,), covariance (F, F)) on the host, in float64, of features (N, F)."""
    features = features.astype("float64")
    n, n_features = features.shape
    if n > 1 and get_array_module(features) is not np:
        mean = features.mean(axis=0)
        centred = features - mean
        return asnumpy(mean), asnumpy(centred.T @ centred / (n - 1))
    features = asnumpy(features)
    if n == 1:  # a single image does not vary
        return features[0], np.zeros((n_features, n_features))
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_distance(real: Moments, generated: Moments) -> float:
    """The FD between two results of `moments`."""
    (m_r, C_r), (m_g, C_g) = real, generated
    values, vectors = np.linalg.eigh(C_r)
    R = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    roots = np.sqrt(np.linalg.eigvalsh(R @ C_g @ R).clip(0))
    return ((m_r - m_g) ** 2).sum() + np.trace(C_r) + np.trace(C_g) - 2 * roots.sum()


def kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    """The sum of k(x_i, y_j), the kernel of KID, over all pairs of rows."""
    total = 0.0
    for start in range(0, len(x), ROWS_AT_ONCE):
        base = x[start : start + ROWS_AT_ONCE] @ y.T
        base /= x.shape[1]
        base += 1
        total += float((base * base * base).sum(dtype="float64"))
    return total


def mean_kernel(x: np.ndarray) -> float:
    """The mean of k(x_i, x_j) over all pairs of different rows, of which there are two or more."""
    total = 0.0
    for start in range(0, len(x), ROWS_AT_ONCE):
        block, later = x[start : start + ROWS_AT_ONCE], x[start + ROWS_AT_ONCE :]
        total += kernel_sum(block, block) + 2 * kernel_sum(block, later)  # k is symmetric
    squares = (x.astype("float64") ** 2).sum(axis=1)
    total -= ((squares / x.shape[1] + 1) ** 3).sum()  # each row with itself
    return float(total / (len(x) * (len(x) - 1)))


def kid(real: np.ndarray, generated: np.ndarray, *, mean_real: float | None = None) -> float:
    """The KID of generated features (M, F) and real ones (N, F).

    `mean_real` is mean_kernel(real), for callers that have computed it before.
    """
    mean_real = mean_kernel(real) if mean_real is None else mean_real
    between = kernel_sum(real, generated) / (len(real) * len(generated))
    return mean_real + mean_kernel(generated) - 2 * between


def class_shares(p: Array) -> np.ndarray:
    """For each class, the share of images for which it is the most probable class, (10,)."""
    return np.bincount(asnumpy(p.argmax(axis=1)), minlength=p.shape[1]) / len(p)


def kl_divergence(s: np.ndarray, r: np.ndarray) -> float:
    """The KL divergence of shares s from shares r, in nats; terms with s = 0 are 0."""
    positive = s > 0
    return float((s[positive] * np.log(s[positive] / r[positive])).sum())


def classifier_score(p: np.ndarray) -> float:
    """exp of the mean KL divergence of the rows of p from their mean."""
    p = p.astype("float64").clip(1e-30)
    return float(np.exp((p * np.log(p / p.mean(axis=0))).sum(axis=1).mean()))


def squared_distances(
    a: np.ndarray, b: np.ndarray, *, rows_at_once: int = ROWS_AT_ONCE
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows, squared distances of these rows of a to all rows of b, (rows, len(b))).

    Since |x - y|² = |x|² - 2 x·y + |y|², most of the computation is a matrix product. A distance
    that cannot be told from 0, because it is below the rounding error of |x|², is 0.
    """
    b_norms, step = squared_norms(b), max(1, NUMBERS_AT_ONCE // b.shape[1])
    parts = [b[i : i + step] for i in range(0, len(b), step)]
    for start in range(0, len(a), rows_at_once):
        block = as_floats(a[start : start + rows_at_once])
        products = [(-2 * block) @ as_floats(part).T for part in parts]
        distances = products[0] if len(parts) == 1 else np.concatenate(products, axis=1)
        distances += b_norms
        norms = (block * block).sum(axis=1)[:, None]
        distances += norms
        distances[distances < EQUAL * np.finfo(distances.dtype).eps * norms] = 0
        yield slice(start, start + len(block)), distances


def squared_norms(x: np.ndarray) -> np.ndarray:
    """|x|² for each row of x, (N,)."""
    norms = []
    for start in range(0, len(x), ROWS_AT_ONCE):
        part = as_floats(x[start : start + ROWS_AT_ONCE])
        norms.append((part * part).sum(axis=1))
    return np.concatenate(norms)


def knn_radii(x: np.ndarray) -> np.ndarray:
    """For each row of x, the squared distance to its k-th nearest other row, (N,).

    It is enlarged by its rounding error, so that a copy of that row is inside the ball.
    """
    norms = squared_norms(x)
    radii = np.empty_like(norms)
    for rows, distances in squared_distances(x, x):
        themselves = np.arange(len(distances)), np.arange(rows.start, rows.stop)
        distances[themselves] = math.inf
        radii[rows] = np.partition(distances, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1]
    return radii + TIE * np.finfo(norms.dtype).eps * (radii + norms)


def precision_and_coverage(
    real: np.ndarray, radii: np.ndarray, generated: np.ndarray
) -> tuple[float, float]:
    """(precision, coverage) of generated rows, for real rows and their squared radii (N,)."""
    inside, covered = 0, np.zeros(len(real), bool)
    for _, distances in squared_distances(generated, real):
        within = distances <= radii
        inside += within.any(axis=1).sum()
        covered |= within.any(axis=0)
    return float(inside / len(generated)), float(covered.mean())


def recall(real: np.ndarray, generated: np.ndarray) -> float:
    """The share of real rows inside the ball of some generated row."""
    radii, count = knn_radii(generated), 0
    for _, distances in squared_distances(real, generated):
        count += (distances <= radii).any(axis=1).sum()
    return float(count / len(real))


def nearest_neighbours(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each row of x, the index of the nearest row of others, (N,)."""
    return np.concatenate(
        [distances.argmin(axis=1) for _, distances in squared_distances(x, others)]
    )


def mean_deviation(images: Array) -> float:
    """The mean over the pixels of their standard deviation from image to image; images (N, P)."""
    step = max(1, NUMBERS_AT_ONCE // 6 // len(images))  # NumPy needs another array of this size
    columns = range(0, images.shape[1], step)
    deviations = [as_floats(images[:, i : i + step]).std(axis=0) for i in columns]
    return float(get_array_module(images).concatenate(deviations).mean())


def cohens_kappa(a: np.ndarray, b: np.ndarray) -> float:
    """Cohen's kappa of two lists of classes (N,), integers of at least 0."""
    shares = [np.bincount(x, minlength=max(a.max(), b.max()) + 1) / len(x) for x in (a, b)]
    chance = float(shares[0] @ shares[1])
    return (float((a == b).mean()) - chance) / (1 - chance) if chance < 1 else 0.0


class Evaluator:
    """Compares generated images with real ones, uint8 (N, H, W) or (N, H, W, 3).

    `classifier` is a Classifier, or None for images that are not digits. Without a classifier, the
    features are `pixel_features`, and the metrics that need class probabilities are omitted.
    `reference` describes the real images in words. `labelled` are images with their classes (n,),
    for label_agreement.
    """

    def __init__(
        self,
        real: np.ndarray,
        classifier: Any,
        *,
        reference: str = "test images",
        labelled: tuple[np.ndarray, np.ndarray] | None = None,
    ):
        self.classifier, self.shape, self.reference = classifier, real.shape[1:], reference
        self.xp: Any = np  # the module of the images that `quick` takes
        self.images = real.reshape(len(real), -1)  # (N, pixels), uint8
        self.real_spread = max(mean_deviation(self.images), 1e-30)
        features, p = self.predict(self.images)
        self.moments, self.real_features = moments(features), asnumpy(features)
        self.shares = None
        if p is not None:  # no share may be 0, because class KL divides by it
            self.shares = class_shares(p).clip(0.5 / len(real))
        # computed when first needed, because they take seconds
        self.radii: np.ndarray | None = None
        self.mean_kernel = math.nan
        self.labelled = labelled
        self.class_means: tuple[np.ndarray, np.ndarray] | None = None  # classes (C,), means (C, F)
        self.real_kappa = 0.0

    def to(self, xp: Any) -> None:
        """From now on, evaluate images on the backend xp, or on the host.

        Features, their mean and covariance are computed there, and the eigenvalues of FD on the
        host.
        """
        self.xp = xp
        if self.classifier:
            self.classifier = self.classifier.to(xp)

    def predict(self, images: Array) -> tuple[Array, Array | None]:
        """(features (N, F), probabilities (N, 10), or None without a classifier), of xp."""
        images = images.reshape(len(images), -1)
        features: list[Array] = []
        p: list[Array] = []
        step = IMAGES_AT_ONCE if self.classifier else IMAGES_REDUCED_AT_ONCE
        for start in range(0, len(images), step):
            part = as_floats(self.xp.asarray(images[start : start + step]))
            if not self.classifier:
                features.append(pixel_features(part, self.shape))
                continue
            for found, x in zip((features, p), self.classifier.predict(part)):
                found.append(x)
        return self.xp.concatenate(features), self.xp.concatenate(p) if p else None

    def features(self, images: np.ndarray) -> np.ndarray:
        """The features alone, (N, F), on the host."""
        return asnumpy(self.predict(images)[0])

    def quick(self, images: Array, requested: np.ndarray | None = None) -> dict[str, float]:
        """{"fd": ..., "spread": ..., "share_0": ..., ...}: the metrics for each epoch.

        `requested` are the classes (N,) that a conditional generator was asked for.
        """
        images = images.reshape(len(images), -1)
        features, p = self.predict(images)
        metrics = {
            "fd": float(frechet_distance(self.moments, moments(features))),
            "spread": mean_deviation(images) / self.real_spread,
        }
        if p is not None and self.shares is not None:
            metrics |= {f"share_{i}": float(share) for i, share in enumerate(class_shares(p))}
        if requested is not None and self.labelled is not None:
            metrics |= self.label_agreement(asnumpy(features), requested)
        return metrics

    def label_agreement(self, features: np.ndarray, requested: np.ndarray) -> dict[str, float]:
        """{"label_agreement": ...} of features (N, F) and classes (N,), or {} if it says nothing
        about real images.
        """
        assert self.labelled is not None
        if self.class_means is None:
            images, labels = (x[:: -(-len(x) // LABELLED_IMAGES)] for x in self.labelled)
            real, classes = self.features(images), np.unique(labels)
            means = np.stack([real[labels == c].mean(axis=0) for c in classes])
            self.class_means = classes, means
            self.real_kappa = cohens_kappa(classes[nearest_neighbours(real, means)], labels)
        if self.real_kappa < 0.1:
            return {}
        classes, means = self.class_means
        found = classes[nearest_neighbours(features, means)]
        return {"label_agreement": cohens_kappa(found, requested) / self.real_kappa}

    def evaluate(self, images: np.ndarray) -> dict[str, Any]:
        """All metrics of this module except `spread`, by name."""
        images = images.reshape(len(images), -1)
        features, p = self.predict(images)
        features, p = asnumpy(features), None if p is None else asnumpy(p)
        if self.radii is None:
            self.radii = knn_radii(self.images)
            self.mean_kernel = mean_kernel(self.real_features)
        precision, coverage = precision_and_coverage(self.images, self.radii, images)
        metrics: dict[str, Any] = {
            "fd": float(frechet_distance(self.moments, moments(features))),
            "kid": kid(self.real_features, features, mean_real=self.mean_kernel),
            "precision": precision,
            "coverage": coverage,
            "recall": recall(self.real_features, features),
        }
        if p is not None and self.shares is not None:
            metrics |= {
                "score": classifier_score(p),
                "confidence": float(p.max(axis=1).mean()),
                "class_kl": kl_divergence(class_shares(p), self.shares),
                "classes": class_shares(p).tolist(),
            }
        return metrics
