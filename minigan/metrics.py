"""Metrics: is it any good?

The idea
    The two losses tell how the game stands, not how the digits look. So we draw many images and
    compare them with real ones that the generator has never been shown: the test images. Each
    figure is blind to something, so there are several; and none means anything without knowing
    what real images get (the best that can be hoped for) and what noise gets.

Fréchet distance, FD: are they alike, on the whole?
    Describe each image by some numbers, its features (for digits the 128 of classifier.py). The real
    images are then a cloud of points, the drawn ones another. Take the mean m of each cloud, and its
    covariance matrix C: on the diagonal the variance of each feature, elsewhere how two vary together.

        FD = |m_r - m_g|² + trace(C_r) + trace(C_g) - 2 trace((C_r C_g)^(1/2))

    for real images (r) and generated ones (g). A trace is the sum of a diagonal. With only one feature, of
    variance s², that is (m_r - m_g)² + (s_r - s_g)²: 0 if both clouds have the same middle and width.
    Heusel et al. 2017, equation 6, there in the features of another network: figures from two networks
    cannot be compared. And FD falls as the number of images grows: only compare figures of equally many.

    To compute the last trace: where a matrix A only stretches a vector, Av = c v, the factor c is one of its
    eigenvalues. A trace is their sum, too, and the root of a matrix has their roots. So we want those of
    C_r C_g. Let R = C_r^(1/2), so that C_r C_g v = R R C_g v = c v, and put w = R C_g v: then
    R C_g R w = R C_g (R R C_g v) = c w. So R C_g R has the same eigenvalues. It is symmetric, so that they
    come out as real numbers, whatever is rounded.

What the classifier says of them
    classes      how often each digit is drawn, and class KL, sum of s log(s / r), of these shares s
                 to those of the real test images, r: the Kullback-Leibler divergence, 0 if they agree
    confidence   the mean of its largest probability: do they look like digits at all?
    score        exp of the mean over images of the KL of p to the mean p: sure of each, and of all ten
                 classes; at most 10.  Salimans et al. 2016, section 4, with our classifier

    And without a classifier, `spread`: how much the pixels vary from image to image, real images having 1.
    Near 0, all images look alike.

Nearest neighbours, k = 3: do they fill the same space?
    Around each image think of a ball that just reaches the k-th nearest image of its own kind.

    precision    the share of drawn images within the ball of some real one: few bad ones?
    coverage     the share of real images whose ball holds a drawn one: nothing left out?
    recall       the share of real images within the ball of some drawn one

    Precision and recall: Kynkäänniemi et al. 2019; coverage: Naeem et al. 2020, "Density and Coverage".
    Precision and coverage compare pixels. In the classifier's features precision would call noise
    good: what looks like nothing excites no feature, and lies amid the real images there. Recall
    is taken in the features.

Shapes
    images (N, pixels) in [0, 1]; features (N, F); p (N, 10); shares (10,).

>>> a = np.random.default_rng(0).standard_normal((5000, 2))
>>> frechet_distance(moments(a), moments(a + [3, 4])).round(6).item()          # 3² + 4²
25.0
>>> shares(np.eye(10)[[1, 1, 1, 7]])[[1, 7]].tolist()
[0.75, 0.25]
"""
import math

import numpy as np

K = 3  # of the nearest neighbours


def moments(features):
    """(mean (F,), covariance (F, F)) in float64."""
    features = features.astype("float64")
    if len(features) == 1:
        return features[0], np.zeros((features.shape[1], features.shape[1]))  # one image does not vary
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_distance(real, drawn):
    """FD between two results of `moments`."""
    (m_r, C_r), (m_g, C_g) = real, drawn
    values, vectors = np.linalg.eigh(C_r)
    R = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    roots = np.sqrt(np.linalg.eigvalsh(R @ C_g @ R).clip(0))
    return ((m_r - m_g) ** 2).sum() + np.trace(C_r) + np.trace(C_g) - 2 * roots.sum()


def plain_features(images, height, width, channels=1, size=8):
    """For images that are no digits: each shrunk to at most 8 x 8 by averaging, so (N, 64), or (N, 192) in colour."""
    def averages(n):  # (min(size, n), n): each row is the mean of one stretch of n pixels
        edges = np.linspace(0, n, min(size, n) + 1).round().astype(int)
        rows = np.zeros((len(edges) - 1, n), "float32")
        for row, start, end in zip(rows, edges, edges[1:]):
            row[start:end] = 1 / (end - start)
        return rows
    planes = images.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
    small = averages(height) @ planes @ averages(width).T
    return small.reshape(len(images), -1)


def shares(p):
    """How often each class is the most probable one."""
    return np.bincount(p.argmax(axis=1), minlength=p.shape[1]) / len(p)


def kl(s, r):
    """KL divergence of shares s from shares r, in nats; a share of 0 adds nothing."""
    there = s > 0
    return float((s[there] * np.log(s[there] / r[there])).sum())


def classifier_score(p):
    """exp of the mean KL of each row of p from their mean."""
    p = p.astype("float64").clip(1e-30)
    return float(np.exp((p * np.log(p / p.mean(axis=0))).sum(axis=1).mean()))


def squared_distances(a, b):
    """Between each row of a and each of b, a block of a's rows at a time: yields (rows, block).

    |x - y|² = |x|² - 2 x·y + |y|²: nearly all of it is one matrix product.
    """
    b_norms = (b * b).sum(axis=1)
    for start in range(0, len(a), 1000):
        block = a[start:start + 1000]
        distances = (block @ b.T) * -2
        distances += b_norms
        distances += (block * block).sum(axis=1)[:, None]
        yield slice(start, start + len(block)), distances


def ball_sizes(x):
    """For each row, the squared distance to the K-th nearest other row."""
    sizes = np.empty(len(x), x.dtype)
    for rows, distances in squared_distances(x, x):
        distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = math.inf  # not to itself
        sizes[rows] = np.partition(distances, K - 1, axis=1)[:, K - 1]
    return sizes


def precision_and_coverage(real, balls, drawn):
    """Shares of drawn images within a real ball, and of real balls with a drawn image inside."""
    inside, covered = 0, np.zeros(len(real), bool)
    for _, distances in squared_distances(drawn, real):
        within = distances <= balls
        inside += within.any(axis=1).sum()
        covered |= within.any(axis=0)
    return float(inside / len(drawn)), float(covered.mean())


def recall(real, drawn):
    """The share of real images within the ball of some drawn one."""
    balls, count = ball_sizes(drawn), 0
    for _, distances in squared_distances(real, drawn):
        count += (distances <= balls).any(axis=1).sum()
    return float(count / len(real))


def nearest(x, others):
    """For each row of x, the index of the nearest row of others."""
    return np.concatenate([distances.argmin(axis=1) for _, distances in squared_distances(x, others)])


class Yardstick:
    """Real images (N, height, width) or (N, height, width, 3), bytes, and all of them that needs to be known only once.

    `judge` is a Judge of classifier.py, or None for images that are no digits: then the features
    are `plain_features`, and there are no classes.
    """

    def __init__(self, real, judge):
        self.judge, self.shape = judge, real.shape[1:]
        self.images = real.reshape(len(real), -1).astype("float32") / 255
        self.features, p = self.look(self.images)
        self.moments = moments(self.features)
        self.shares = None if p is None else shares(p).clip(0.5 / len(real))  # no share is 0: class KL divides by it
        self.balls = None  # sought when first needed: it takes seconds

    def look(self, images):
        """(features, probabilities or None)."""
        if self.judge:
            return self.judge.look(images)
        return plain_features(images, *self.shape), None

    def quick(self, images):
        """{"fd": ..., "share_0": ..., ...}: what is worth knowing after every epoch."""
        features, p = self.look(images)
        row = {"fd": float(frechet_distance(self.moments, moments(features))),
               "spread": float(images.std(axis=0).mean()) / max(float(self.images.std(axis=0).mean()), 1e-30)}
        return row if p is None else {**row, **{f"share_{i}": float(s) for i, s in enumerate(shares(p))}}

    def full(self, images):
        """Every figure of this page, in a dict."""
        features, p = self.look(images)
        if self.balls is None:
            self.balls = ball_sizes(self.images)
        precision, coverage = precision_and_coverage(self.images, self.balls, images)
        result = {"fd": float(frechet_distance(self.moments, moments(features))), "precision": precision,
                  "coverage": coverage, "recall": recall(self.features, features)}
        if p is not None:
            result |= {"score": classifier_score(p), "confidence": float(p.max(axis=1).mean()),
                       "class_kl": kl(shares(p), self.shares), "classes": shares(p).tolist()}
        return result
