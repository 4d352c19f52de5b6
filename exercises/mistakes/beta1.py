"""Adam with its own beta1, 0.9

What people do
    `Adam(lr)`, and leave the rest as it comes. It is good for classifiers.

What one sees
    At the rate of our recipe `default`, 1.4e-3, it is the end: after fifty steps D is sure of everything, G's loss is
    thrown up and down far above that of a healthy run, and G draws noise. At the usual rate, 2e-4, it works, but slowly:
    see the recipe `pytorch-mlp`, which has 0.9 ([recipes.md](recipes.md)). With 0.5 our rate works, too, not as well as
    with 0 ([recipe.md](recipe.md)).

Why
    A gradient tells where to go against the opponent as it is now. With beta1 Adam steps along an average of the last ten
    gradients, 1 / (1 - beta1), most of them of an opponent that has moved on. See it in the smallest game: G has one
    number x and lowers x y, D has one number y and raises it. They take turns, with steps of size r:

        vx = beta1 vx + (1 - beta1) y,  x = x - r vx;        vy = beta1 vy + (1 - beta1) x,  y = y + r vy

    Without memory they circle round (0, 0) for ever, neither nearer nor farther. With memory each round is larger than
    the last: `growth` says how much each step adds, the largest absolute eigenvalue of these four lines.

        >>> [round(growth(beta1, 0.1), 4) for beta1 in (0.0, 0.5, 0.9)]
        [1.0, 1.0094, 1.0296]
"""
import numpy as np

from minigan.game import Game
from minigan.recipes import RECIPES, replace

THREADS = {
    "soumith/ganhacks#20": "momentum in G's Adam makes it unstable",
    "NVIDIA/pix2pixHD#125": "why 0.5?",
    "clovaai/stargan-v2#17": "why 0? Its authors tried several, and found it best",
    "lyeoni/pytorch-mnist-GAN#1": "200 epochs, and nothing like the picture (it has 0.9; nobody there says that it is why)",
}
RECIPE, Healthy = RECIPES["default"], Game


class Broken(Game):
    def __init__(self, recipe, *rest):
        super().__init__(replace(recipe, beta1=0.9), *rest)
        # mended: super().__init__(replace(recipe, beta1=0.0), *rest)


def growth(beta1, rate):
    """How much a step of both makes their circle larger: the spectral radius of the map (x, vx, y, vy) -> the next."""
    new = 1 - beta1
    move_G = np.array([[1, -rate * beta1, -rate * new, 0], [0, beta1, new, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    move_D = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [rate * new, 0, 1, rate * beta1], [new, 0, 0, beta1]])
    return float(abs(np.linalg.eigvals(move_D @ move_G)).max())


seen = "D(x)", "D(G(z))"


def symptom(healthy, broken):
    swings = [float(np.std(row["curves"]["loss of G"][-39:])) for row in (healthy, broken)]
    return (f"D(x) and D(G(z)), the mean of the last epoch: {broken['D(x)']:.2f} and {broken['D(G(z))']:.2f}, where the healthy run has"
            f" {healthy['D(x)']:.2f} and {healthy['D(G(z))']:.2f}. G's loss swings by {swings[1]:.2f} (standard deviation over that epoch)"
            f" instead of {swings[0]:.2f}.")
