"""Exercise 3: each step is compared with the definition of the game, by central differences."""
import numpy as np

from exercises.checkers.tools import demand, locked
from minigan.activations import sigmoid
from minigan.gan import make_discriminator, make_generator
from minigan.gradcheck import compare
from minigan.losses import softplus

N, Z, P, LR = 7, 3, 6, 0.05
RNG = np.random.default_rng(10)
PIXELS = RNG.choice(np.uint8([0, 0, 90, 200, 255, 255]), (N, P))
PIXELS[0, :2] = 0, 255
Z_D, Z_G = RNG.standard_normal((N, Z)), RNG.standard_normal((N, Z))
REAL = PIXELS / 127.5 - 1


class Recorder:
    """An optimizer that notes what it is given, and how both networks stood then; and makes a plain small step."""

    def __init__(self, name, net, G, D, notes):
        self.name, self.net, self.G, self.D, self.notes = name, net, G, D, notes

    def step(self, dtheta):
        self.notes.append((self.name, np.array(dtheta), self.G.theta.copy(), self.D.theta.copy()))
        self.net.theta -= LR * dtheta


def networks():
    rng = np.random.default_rng(11)
    return make_generator(Z, [5], P, rng, dtype="float64"), make_discriminator(P, [5], rng, dtype="float64")


def check(step):
    """The checker of one of the five."""
    G, D = networks()
    notes, seen, forward = [], [], D.forward

    def see(x, train=False, rng=None):  # what D is shown
        seen.append(np.array(x))
        return forward(x, train, rng)
    D.forward = see

    yield "the steps"
    result = step(G, D, Recorder("G", G, G, D, notes), Recorder("D", D, G, D, notes), locked(PIXELS), locked(Z_D), locked(Z_G))
    demand(isinstance(result, tuple) and len(result) == 2, "it is to return two things, D's loss and G's")
    names = [name for name, *_ in notes]
    demand(names[:1] == ["D"] and "G" in names, f"first D's optimizer makes a step, then G's, but here it"
           f" is {', then '.join(names) or 'none'}")

    G_now, D_now = networks()
    yield "what D is shown"
    fakes = np.concatenate([G_now.forward(z)[0] for z in (Z_D, Z_G)])
    real = np.array([row for row in np.concatenate(seen) if abs(fakes - row).max(axis=1).min() > 1e-9])
    demand(len(real), "D is shown no real image")
    demand(abs(real - REAL[0]).max(axis=1).min() < 1e-9, f"the images made from pixels go from {real.min():.3g} to {real.max():.3g},"
           " but G, which ends in a tanh, draws from -1 to 1: D can tell by that alone, and G's extremes are not theirs")

    def D_pays():
        return float(softplus(-D_now.forward(REAL)[0]).mean() + softplus(D_now.forward(G_now.forward(Z_D)[0])[0]).mean())

    yield "D's gradient"
    _, dtheta, _, _ = notes[0]
    before = judge(G_now, D_now)
    found = compare("gradient of D", dtheta, D_pays, D_now.theta)
    if not found.ok:
        D_now.theta -= LR * (dtheta if dtheta.shape == D_now.theta.shape else 0)
        after = judge(G_now, D_now)
        demand(False, f"D's optimizer is not given the gradient of D's loss: its step takes mean D(x) from {before[0]:.3f} to"
               f" {after[0]:.3f} and mean D(G(z)) from {before[1]:.3f} to {after[1]:.3f}; {where(found)}")
    right_D = D_pays()

    yield "G's gradient"
    _, dtheta, G_now.theta[...], D_now.theta[...] = notes[names.index("G")]

    def G_pays():
        return float(softplus(-D_now.forward(G_now.forward(Z_G)[0])[0]).mean())

    right_G = G_pays()
    found = compare("gradient of G", dtheta, G_pays, G_now.theta)
    if not found.ok:
        before = sigmoid(D_now.forward(G_now.forward(Z_G)[0])[0]).mean()
        G_now.theta -= LR * (dtheta if dtheta.shape == G_now.theta.shape else 0)
        after = sigmoid(D_now.forward(G_now.forward(Z_G)[0])[0]).mean()
        way = "D takes its drawings for real less than before" if after < before else "its drawings fool D more"
        demand(False, f"G's optimizer is not given the gradient of G's loss: after G's step {way}, mean D(G(z)) goes from {before:.4f}"
               f" to {after:.4f}; {where(found)}")

    yield "who is moved, and when"
    moved = abs(D.theta - notes[names.index("G")][3]).max()
    demand(moved == 0, f"D's weights change in G's half of the step, by up to {moved:.2g}: it is judged there, it does not learn")
    demand(names == ["D", "G"], f"one step of D, then one of G, but here it is {', then '.join(names)}")

    yield "the losses that it returns"
    for name, loss, right in ("D", result[0], right_D), ("G", result[1], right_G):
        demand(abs(loss - right) < 1e-9, f"{name}'s loss is said to be {float(loss):.6g}, but it is {right:.6g}")


def where(found):
    """A failed Check of a whole network's gradient, in words."""
    guess = "" if found.cause.startswith("the formula") else f"; likely {found.cause}"
    return f"at theta{list(found.index)} it says {found.analytic:.4g}, central differences give {found.numeric:.4g}{guess}"


def judge(G, D):
    """Mean D(x) and mean D(G(z))."""
    return float(sigmoid(D.forward(REAL)[0]).mean()), float(sigmoid(D.forward(G.forward(Z_D)[0])[0]).mean())
