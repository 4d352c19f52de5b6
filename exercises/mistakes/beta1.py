"""Adam with its default beta1 of 0.9

What people do
    `Adam(lr)`, with defaults for everything else. These defaults are good for classifiers.

What you see
    At the learning rate of our recipe `dense`, 1.4e-3, training fails: after fifty steps D is
    certain of everything, G's loss oscillates far above that of a healthy run, and G generates
    noise. At the usual rate, 2e-4, it works, but slowly: see the recipe `pytorch-mlp`, which has
    0.9 ([recipes.md](recipes.md)). With 0.5 our learning rate also works, though not as well as
    with 0 ([recipe.md](recipe.md)).

Why
    A gradient says how to improve against the current opponent. With beta1 = 0.9, Adam steps along
    an average of about the last 1 / (1 - beta1) = 10 gradients, most of which belong to an opponent
    that has since changed. The smallest example has one number in each network: G has x and
    minimises x y, and D has y and maximises it. They take alternate steps with learning rate r:

        vx = beta1 vx + (1 - beta1) y,  x = x - r vx
        vy = beta1 vy + (1 - beta1) x,  y = y + r vy

    Without momentum they circle around (0, 0) forever, neither closer nor further away. With
    momentum each circle is larger than the last. `growth` is the factor per step, the largest
    absolute eigenvalue of these four lines.

        >>> [round(growth(beta1, 0.1), 4) for beta1 in (0.0, 0.5, 0.9)]
        [1.0, 1.0094, 1.0296]
"""

import numpy as np

from minigan.gan.recipes import RECIPES, replace
from minigan.training.state import TrainingState

THREADS = {
    "soumith/ganhacks#20": "momentum in G's Adam makes it unstable",
    "NVIDIA/pix2pixHD#125": "why 0.5?",
    "clovaai/stargan-v2#17": "why 0? The authors tried several values, and this was best",
    "lyeoni/pytorch-mnist-GAN#1": "200 epochs, and nothing like the figure (it has 0.9;"
    " nobody there says that this is the reason)",
}
RECIPE, Healthy = RECIPES["dense"], TrainingState


class Broken(TrainingState):
    def __init__(self, recipe, images, **options):
        super().__init__(replace(recipe, beta1=0.9), images, **options)
        # fixed: super().__init__(replace(recipe, beta1=0.0), images, **options)


def growth(beta1, lr):
    """The factor by which one step of both enlarges their circle: the spectral radius of the map
    from (x, vx, y, vy) to their next values.
    """
    new = 1 - beta1
    step_G = [[1, -lr * beta1, -lr * new, 0], [0, beta1, new, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    step_D = [[1, 0, 0, 0], [0, 1, 0, 0], [lr * new, 0, 1, lr * beta1], [new, 0, 0, beta1]]
    return float(abs(np.linalg.eigvals(np.array(step_D) @ np.array(step_G))).max())


curves = "D(x)", "D(G(z))"


def symptom(healthy, broken):
    deviations = [float(np.std(row["curves"]["loss of G"][-39:])) for row in (healthy, broken)]
    return (
        f"D(x) and D(G(z)), means of the last epoch: {broken['D(x)']:.2f} and"
        f" {broken['D(G(z))']:.2f} instead of {healthy['D(x)']:.2f} and {healthy['D(G(z))']:.2f} in"
        " the healthy run. The standard deviation of G's loss over that epoch is"
        f" {deviations[1]:.2f} instead of {deviations[0]:.2f}."
    )
