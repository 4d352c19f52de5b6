"""Exercise 8."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from exercises.checkers.tools import demand, hint, like, locked
from minigan.gan.models import make_discriminator, make_generator
from minigan.nn.gradcheck import compare
from minigan.nn.optim import Adam

A_REAL = np.array([[0.31], [-1.73], [2.2], [0.86], [-0.42], [1.37]])
A_FAKE = np.array([[-0.57], [1.12], [-2.4], [0.28], [-1.61], [0.73]])
STEPS = 400


def column(a: float) -> np.ndarray:
    """One score, of shape (1, 1)."""
    return np.array([[float(a)]])


def check(answer: Any) -> Iterator[str]:
    """The steps of this exercise; NotYet where the answer, a module, is wrong."""

    def D(a_real, a_fake):
        result = answer.discriminator_loss(locked(a_real), locked(a_fake))
        demand(
            isinstance(result, tuple) and len(result) == 3,
            "discriminator_loss returns three values, (L, da_real, da_fake)",
        )
        return result

    def G(a_fake):
        result = answer.generator_loss(locked(a_fake))
        demand(
            isinstance(result, tuple) and len(result) == 2,
            "generator_loss returns two values, (L, da_fake)",
        )
        return result

    for dtype in "float64", "float32":
        yield f"shapes, in {dtype}"
        real, fake = A_REAL.astype(dtype), A_FAKE.astype(dtype)
        (L_D, da_real, da_fake), (L_G, da) = D(real, fake), G(fake)
        for name, L in ("D", L_D), ("G", L_G):
            demand(
                np.shape(L) == () and math.isfinite(L),
                f"{name}'s loss should be one finite number, not {L!r:.60}",
            )
        like("da_real", da_real, real, "a_real")
        like("da_fake of discriminator_loss", da_fake, fake, "a_fake")
        like("da_fake of generator_loss", da, fake, "a_fake")

    yield "the gradients"
    real, fake, n = A_REAL.copy(), A_FAKE.copy(), len(A_REAL)
    (_, da_real, da_fake), (_, da) = D(real, fake), G(fake)
    for found in (
        compare("da_real", da_real, lambda: float(D(real, fake)[0]), real, n=n),
        compare(
            "da_fake of discriminator_loss", da_fake, lambda: float(D(real, fake)[0]), fake, n=n
        ),
        compare("da_fake of generator_loss", da, lambda: float(G(fake)[0]), fake, n=n),
    ):
        demand(found.ok, hint(found))

    yield "a mean over the batch"
    real_twice, fake_twice = np.concatenate([real, real]), np.concatenate([fake, fake])
    for name, once, twice in (
        ("D", D(real, fake)[0], D(real_twice, fake_twice)[0]),
        ("G", G(fake)[0], G(fake_twice)[0]),
    ):
        demand(
            abs(once - twice) < 1e-9 * (1 + abs(once)),
            f"{name}'s loss goes from {once:.4g} to {twice:.4g} when each image occurs twice: use"
            " the mean, or the learning rate will depend on the batch size",
        )

    yield "D's loss is lower when D is right"
    for high, low in (1.0, -1.0), (1.0, 0.0):
        right, wrong = (
            float(D(column(high), column(low))[0]),
            float(D(column(low), column(high))[0]),
        )
        demand(
            right < wrong,
            f"D's loss is {right:.4g} for a score of {high:g} of a real image and {low:g} of a"
            f" fake, and {wrong:.4g} for the opposite: the higher a, the more real",
        )

    yield "D's gradients push the scores apart"
    for a in -1.0, -0.5, 0.0, 0.5, 1.0:
        _, da_real, da_fake = D(column(a), column(a))
        demand(
            da_fake[0, 0] > da_real[0, 0],
            f"where both scores are {a:g}, D's step changes that of the real image by"
            f" {-da_real[0, 0]:.3g} and that of the fake by {-da_fake[0, 0]:.3g} (times lr): that"
            " does not push them apart",
        )

    yield "G's gradient fools D"
    at = {a: float(G(column(a))[1][0, 0]) for a in (-10.0, -1.0, 0.0)}
    demand(
        at[-1.0] < 0,
        f"where a fake's score is -1, G's step changes it by {-at[-1.0]:.3g} (times lr): it should"
        " grow",
    )
    demand(
        at[0.0] <= 0,
        f"where a fake's score is 0, G's step changes it by {-at[0.0]:.3g} (times lr): it should"
        " grow",
    )

    yield "G's gradient does not vanish when D is certain"
    demand(
        abs(at[-10.0]) > 0.05 * abs(at[-1.0]),
        f"where D is certain of a fake, at a = -10, the derivative of G's loss is {at[-10.0]:.2g},"
        f" and at a = -1 it is {at[-1.0]:.2g}: it vanishes where G has most to learn",
    )

    yield "large scores"
    for a in 100.0, -100.0:
        scores = column(a).astype("float32")
        demand(
            all(np.isfinite(value).all() for value in (*D(scores, -scores), *G(scores))),
            f"in float32, at a = {a:g}, a loss or a gradient is infinite or NaN",
        )

    yield "a small GAN learns with it"
    start, end = train(D, G)
    demand(
        end < start / 2,
        f"after {STEPS} steps the mean error of the generated pixels is {end:.2g}, and before it"
        f" was {start:.2g}: do both networks learn, and with gradients of comparable size?",
    )


def train(discriminator_loss: Callable, generator_loss: Callable) -> tuple[float, float]:
    """The mean distance of the fakes from the only real image, before and after STEPS steps."""
    rng, real = np.random.default_rng(0), np.tile([1.0, -1.0, 1.0, -1.0], (16, 1))
    G = make_generator(2, [8], 4, dtype="float64", rng=rng)
    D = make_discriminator(4, [8], dtype="float64", rng=rng)
    optimizer_G, optimizer_D = Adam(G.theta, 0.01, beta1=0.5), Adam(D.theta, 0.01, beta1=0.5)

    def distance():
        fake, _ = G.forward(np.random.default_rng(1).standard_normal((64, 2)))
        return float(abs(fake - real[0]).mean())

    start = distance()
    for _ in range(STEPS):
        fake, _ = G.forward(rng.standard_normal((16, 2)))
        a, cache = D.forward(np.concatenate([real, fake]))
        _, da_real, da_fake = discriminator_loss(a[:16], a[16:])
        D.backward(np.concatenate([da_real, da_fake]), cache, need_dx=False)
        optimizer_D.step(D.dtheta)

        fake, cache_G = G.forward(rng.standard_normal((16, 2)))
        a, cache_D = D.forward(fake)
        dfake = D.backward(generator_loss(a)[1], cache_D, need_dparams=False)
        G.backward(dfake, cache_G, need_dx=False)
        optimizer_G.step(G.dtheta)
    return start, distance()
