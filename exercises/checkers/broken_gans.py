"""Exercise 3: each training step is compared with its definition, by central differences."""

from collections.abc import Callable, Iterator

import numpy as np

from exercises.checkers.tools import demand, locked
from minigan.gan.models import make_discriminator, make_generator
from minigan.nn.activations import sigmoid
from minigan.nn.gradcheck import Check, compare
from minigan.nn.losses import softplus

N, Z, P, LR = 7, 3, 6, 0.05
RNG = np.random.default_rng(10)
PIXELS = RNG.choice(np.uint8([0, 0, 90, 200, 255, 255]), (N, P))
PIXELS[0, :2] = 0, 255
Z_D, Z_G = RNG.standard_normal((N, Z)), RNG.standard_normal((N, Z))
REAL = PIXELS / 127.5 - 1


class Recorder:
    """An optimizer that takes small steps of gradient descent.

    Before each step it records the gradient and the parameters of both networks.
    """

    def __init__(self, name, net, G, D, records):
        self.name, self.net, self.G, self.D, self.records = name, net, G, D, records

    def step(self, dtheta):
        self.records.append((self.name, np.array(dtheta), self.G.theta.copy(), self.D.theta.copy()))
        self.net.theta -= LR * dtheta


def networks():
    """(G, D), always with the same weights."""
    rng = np.random.default_rng(11)
    G = make_generator(Z, [5], P, dtype="float64", rng=rng)
    return G, make_discriminator(P, [5], dtype="float64", rng=rng)


def check(step: Callable) -> Iterator[str]:
    """The steps of this exercise for one of the five functions; NotYet where it is wrong."""
    G, D = networks()
    records, seen, forward = [], [], D.forward

    def recording_forward(x, *, train=False, rng=None):
        seen.append(np.array(x))
        return forward(x, train=train, rng=rng)

    D.forward = recording_forward

    yield "the optimizer steps"
    optimizer_G = Recorder("G", G, G, D, records)
    optimizer_D = Recorder("D", D, G, D, records)
    result = step(G, D, optimizer_G, optimizer_D, locked(PIXELS), z_D=locked(Z_D), z_G=locked(Z_G))
    demand(
        isinstance(result, tuple) and len(result) == 2,
        "it should return two values, D's loss and G's",
    )
    names = [name for name, *_ in records]
    demand(
        names[:1] == ["D"] and "G" in names,
        "D's optimizer should take a step first, then G's, but the order here is"
        f" {', then '.join(names) or 'empty'}",
    )

    G_now, D_now = networks()
    yield "the input of D"
    fakes = np.concatenate([G_now.forward(z)[0] for z in (Z_D, Z_G)])
    real = np.array(
        [row for row in np.concatenate(seen) if abs(fakes - row).max(axis=1).min() > 1e-9]
    )
    demand(len(real), "D receives no real image")
    demand(
        abs(real - REAL[0]).max(axis=1).min() < 1e-9,
        f"the images made from pixels range from {real.min():.3g} to {real.max():.3g}, but G ends"
        " with a tanh and generates numbers from -1 to 1: this difference alone tells D which"
        " images are real",
    )

    def loss_D():
        on_real = softplus(-D_now.forward(REAL)[0]).mean()
        return float(on_real + softplus(D_now.forward(G_now.forward(Z_D)[0])[0]).mean())

    yield "D's gradient"
    _, dtheta, _, _ = records[0]
    before = mean_scores(G_now, D_now)
    found = compare("gradient of D", dtheta, loss_D, D_now.theta)
    if not found.ok:
        D_now.theta -= LR * (dtheta if dtheta.shape == D_now.theta.shape else 0)
        after = mean_scores(G_now, D_now)
        demand(
            False,
            "D's optimizer does not receive the gradient of D's loss: its step changes the mean"
            f" D(x) from {before[0]:.3f} to {after[0]:.3f} and the mean D(G(z)) from"
            f" {before[1]:.3f} to {after[1]:.3f}; {difference(found)}",
        )
    right_D = loss_D()

    yield "G's gradient"
    _, dtheta, G_now.theta[...], D_now.theta[...] = records[names.index("G")]

    def logits_G():
        return D_now.forward(G_now.forward(Z_G)[0])[0]

    right_G = float(softplus(-logits_G()).mean())
    found = compare(
        "gradient of G", dtheta, lambda: float(softplus(-logits_G()).mean()), G_now.theta
    )
    if not found.ok:
        before = sigmoid(logits_G()).mean()
        G_now.theta -= LR * (dtheta if dtheta.shape == G_now.theta.shape else 0)
        after = sigmoid(logits_G()).mean()
        effect = "fool D less than before" if after < before else "fool D more than before"
        demand(
            False,
            "G's optimizer does not receive the gradient of G's loss: after G's step the fakes"
            f" {effect}: the mean D(G(z)) goes from {before:.4f} to {after:.4f};"
            f" {difference(found)}",
        )

    yield "which network is updated, and when"
    change = abs(D.theta - records[names.index("G")][3]).max()
    demand(
        change == 0,
        f"D's weights change in G's half of the step, by up to {change:.2g}: D should not learn"
        " there",
    )
    demand(
        names == ["D", "G"],
        f"there should be one step of D, then one of G, but here it is {', then '.join(names)}",
    )

    yield "the losses that it returns"
    for name, loss, right in ("D", result[0], right_D), ("G", result[1], right_G):
        demand(
            abs(loss - right) < 1e-9,
            f"it returns {float(loss):.6g} as {name}'s loss, but {name}'s loss is {right:.6g}",
        )


def mean_scores(G, D) -> tuple[float, float]:
    """Mean D(x) and mean D(G(z))."""
    real, fake = (sigmoid(D.forward(x)[0]).mean() for x in (REAL, G.forward(Z_D)[0]))
    return float(real), float(fake)


def difference(found: Check) -> str:
    """A failed Check of a whole network's gradient, in words."""
    cause = "" if found.cause.startswith("the formula itself") else f"; likely cause: {found.cause}"
    return (
        f"at theta{list(found.index)} it is {found.analytic:.4g}, but central differences give"
        f" {found.numeric:.4g}{cause}"
    )
