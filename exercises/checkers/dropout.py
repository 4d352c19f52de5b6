"""Exercise 6."""
import math

import numpy as np

from exercises.checkers.tools import close, demand, forward, gradients, habits, like, locked

RATE, X = 0.3, np.random.default_rng(5).uniform(0.5, 2, (200, 100))  # none is 0, so each 0 in y was silenced


def check(answer):
    layer = answer.Dropout(RATE)
    yield "without training"
    y, cache = forward(layer, X)
    like("y", y, X)
    demand(close(y, X), f"with train=False your y is not x, but on average {(y / X).mean():.3g} times x: inverted dropout has done all"
           " its scaling while it trained")
    dy = locked(np.random.default_rng(6).standard_normal(X.shape))
    dx = layer.backward(dy, cache)
    like("dx", dx, X)
    demand(close(dx, dy), "with train=False y = x, so dx is dy")

    yield "each number on its own"
    y, cache = forward(layer, X, train=True)
    like("y", y, X)
    for axis, what in (0, "column"), (1, "row"):
        shares = (y == 0).mean(axis=axis)  # a share of n numbers strays by about sqrt(rate (1 - rate) / n)
        expected = math.sqrt(RATE * (1 - RATE) / X.shape[axis])
        demand(shares.std() < 2 * expected, f"the zeros come in whole {what}s, or nearly: draw a random number for each number in x")
    again, _ = forward(layer, X, train=True, seed=1)
    demand(not close(again, y), "another rng silences the same numbers: draw them from the rng that forward is given")
    again, _ = forward(layer, X, train=True)
    demand(close(again, y), "an rng with the same seed silences other numbers: draw them from the rng that forward is given,"
           " and from nowhere else, or no run can be repeated")

    yield "how many are silenced"
    share, wanted = float((y == 0).mean()), f"with a rate of {RATE} about {RATE:.0%} of y are 0 while training"
    demand(abs(share - (1 - RATE)) > 0.02, f"{wanted}, yours are {share:.0%}: a number stays with probability 1 - rate")
    demand(abs(share - RATE) < 6 * math.sqrt(RATE * (1 - RATE) / X.size), f"{wanted}, yours are {share:.1%}")

    yield "how loud the others are"
    louder = (y / X)[y != 0]
    demand(louder.max() - louder.min() < 1e-9, "those that stay are multiplied by different factors: the factor is one number")
    factor = float(louder[0])
    demand(abs(factor - 1) > 1e-9, f"those that stay are as loud as before, so on average y is {1 - RATE:g} x: what must they be"
           " multiplied by, to make up for it?")
    demand(abs(factor - 1 / (1 - RATE)) < 1e-9, f"those that stay are multiplied by {factor:.4g}, so on average y is"
           f" {factor * (1 - RATE):.3g} x: on average y must be x")

    yield "dx has the same mask"
    dx = layer.backward(dy, cache)
    like("dx", dx, X)
    zeros = (dx == 0) == (y == 0)
    demand(zeros.all(), f"{(~zeros).mean():.0%} of the numbers are silenced in y but not in dx, or in dx but not in y: the mask of"
           " forward has to be remembered")

    small = X[:3, :5]
    yield from gradients(layer, small, train=True)
    yield from habits(lambda dtype: answer.Dropout(RATE), small, train=True)

    yield "rate 0"
    demand(close(forward(answer.Dropout(0.0), small, train=True)[0], small), "with a rate of 0 y is x")
