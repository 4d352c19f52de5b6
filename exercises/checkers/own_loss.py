"""Exercise 8."""
import math

import numpy as np

from exercises.checkers.tools import demand, like, locked, says
from minigan.gan import make_discriminator, make_generator
from minigan.gradcheck import compare
from minigan.optim import Adam

A_REAL = np.array([[0.31], [-1.73], [2.2], [0.86], [-0.42], [1.37]])
A_FAKE = np.array([[-0.57], [1.12], [-2.4], [0.28], [-1.61], [0.73]])
STEPS = 400


def column(a):
    return np.array([[float(a)]])


def check(answer):
    def D(a_real, a_fake):
        result = answer.loss_of_D(locked(a_real), locked(a_fake))
        demand(isinstance(result, tuple) and len(result) == 3, "loss_of_D returns three things, (L, da_real, da_fake)")
        return result

    def G(a_fake):
        result = answer.loss_of_G(locked(a_fake))
        demand(isinstance(result, tuple) and len(result) == 2, "loss_of_G returns two things, (L, da_fake)")
        return result

    for dtype in "float64", "float32":
        yield f"shapes, in {dtype}"
        real, fake = A_REAL.astype(dtype), A_FAKE.astype(dtype)
        (L_D, da_real, da_fake), (L_G, da) = D(real, fake), G(fake)
        for name, L in ("D", L_D), ("G", L_G):
            demand(np.shape(L) == () and math.isfinite(L), f"{name}'s loss is to be one finite number, not {L!r:.60}")
        like("da_real", da_real, real, "a_real")
        like("da_fake of loss_of_D", da_fake, fake, "a_fake")
        like("da_fake of loss_of_G", da, fake, "a_fake")

    yield "the gradients"
    real, fake = A_REAL.copy(), A_FAKE.copy()
    for check in (compare("da_real", D(real, fake)[1], lambda: float(D(real, fake)[0]), real, n=len(real)),
                  compare("da_fake of loss_of_D", D(real, fake)[2], lambda: float(D(real, fake)[0]), fake, n=len(fake)),
                  compare("da_fake of loss_of_G", G(fake)[1], lambda: float(G(fake)[0]), fake, n=len(fake))):
        demand(check.ok, says(check))

    yield "a mean over the batch"
    twice = np.concatenate([fake, fake]), np.concatenate([real, real])
    for name, once, again in ("D", D(real, fake)[0], D(*reversed(twice))[0]), ("G", G(fake)[0], G(twice[0])[0]):
        demand(abs(once - again) < 1e-9 * (1 + abs(once)), f"{name}'s loss goes from {once:.4g} to {again:.4g} when each image is"
               " there twice: use the mean,"
               " or the learning rate will depend on the batch size")

    yield "D pays less when it is right"
    for up, down in (1.0, -1.0), (1.0, 0.0):
        right, wrong = (float(D(column(a), column(b))[0]) for a, b in ((up, down), (down, up)))
        demand(right < wrong, f"D pays {right:.4g} when it gives {up:g} to a real image and {down:g} to a fake, and {wrong:.4g} when it is"
               " the other way round: the higher a, the more real")

    yield "D's gradients push both apart"
    for a in -1.0, -0.5, 0.0, 0.5, 1.0:
        _, da_real, da_fake = D(column(a), column(a))
        demand(da_fake[0, 0] > da_real[0, 0], f"when D gives {a:g} to both, its step moves the real image's answer by"
               f" {-da_real[0, 0]:.3g} and the"
               f" fake's by {-da_fake[0, 0]:.3g} (times lr): that does not push them apart")

    yield "G's gradient points to fooling D"
    at = {a: float(G(column(a))[1][0, 0]) for a in (-10.0, -1.0, 0.0)}
    demand(at[-1.0] < 0, f"where D gives a fake -1, G's step moves that answer by {-at[-1.0]:.3g} (times lr): it is to go up")
    demand(at[0.0] <= 0, f"where D gives a fake 0, G's step moves that answer by {-at[0.0]:.3g} (times lr): it is to go up")

    yield "G's gradient stays when D is sure"
    demand(abs(at[-10.0]) > 0.05 * abs(at[-1.0]), f"where D is sure of a fake, a = -10, G's slope is {at[-10.0]:.2g}, at a = -1 it is"
           f" {at[-1.0]:.2g}:"
           " it fades away where G has most to learn")

    yield "answers of any size"
    for a in 100.0, -100.0:
        a = column(a).astype("float32")
        demand(all(np.isfinite(value).all() for value in (*D(a, -a), *G(a))), f"in float32, at a = {float(a[0, 0]):g}, a loss or a"
               " gradient is infinite or NaN")

    yield "a small GAN learns with it"
    start, end = train(D, G)
    demand(end < start / 2, f"after {STEPS} steps the drawn pixels are off by {end:.2g} on average, before they were by {start:.2g}:"
           " do both players learn, and with comparable force?")


def train(D_pays, G_pays):
    """How far the fakes are from the only real image, on average, before and after some hundred steps."""
    rng, real = np.random.default_rng(0), np.tile([1.0, -1.0, 1.0, -1.0], (16, 1))
    G, D = make_generator(2, [8], 4, rng, dtype="float64"), make_discriminator(4, [8], rng, dtype="float64")
    optim_G, optim_D = Adam(G.theta, lr=0.01, beta1=0.5), Adam(D.theta, lr=0.01, beta1=0.5)
    distance = lambda: float(abs(G.forward(np.random.default_rng(1).standard_normal((64, 2)))[0] - real[0]).mean())
    start = distance()
    for _ in range(STEPS):
        fake, _ = G.forward(rng.standard_normal((16, 2)))
        a, cache = D.forward(np.concatenate([real, fake]))
        _, da_real, da_fake = D_pays(a[:16], a[16:])
        D.backward(np.concatenate([da_real, da_fake]), cache, need_dx=False)
        optim_D.step(D.dtheta)

        fake, cache_G = G.forward(rng.standard_normal((16, 2)))
        a, cache_D = D.forward(fake)
        G.backward(D.backward(G_pays(a)[1], cache_D, need_dparams=False), cache_G, need_dx=False)
        optim_G.step(G.dtheta)
    return start, distance()
