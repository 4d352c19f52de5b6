"""The golden run: twenty steps of a tiny GAN in float64, whose losses are known.

Weights, images and noise are generated on the host, so NumPy, the fake CuPy and a GPU must all give
the same numbers. If a change is meant to alter them, explain why in its commit message, and replace
GOLDEN with the output of

    python tests/gan/test_golden.py
"""

import numpy as np

from minigan.backend import asnumpy
from minigan.gan.models import make_discriminator, make_generator
from minigan.gan.steps import discriminator_step, generator_step
from minigan.nn.optim import Adam

GOLDEN = [
    (1.4181896314853812, 0.6539630582363655),
    (1.3053285279072482, 0.6339401846364136),
    (1.4194862055535655, 0.6145969371853253),
    (1.4643693051968067, 0.5854239182878858),
    (1.3964717326769935, 0.5911408259491048),
    (1.4669095421622504, 0.6339617934408943),
    (1.4391478888214932, 0.6190934996175195),
    (1.3017191072663643, 0.6462699633560122),
    (1.25696745668939, 0.6680535367029824),
    (1.3169014293809023, 0.7003830521945233),
    (1.2103917018368333, 0.7559660891457524),
    (1.1930334115864156, 0.7889254703466227),
    (1.083473549364511, 0.8400865366043467),
    (1.0672868008444796, 0.8483803102394466),
    (1.0608308811802531, 0.8901502973669065),
    (0.9542902039807263, 0.8603207312020115),
    (0.9633524718295389, 0.8789626773677908),
    (1.072527692635655, 0.9409408631354322),
    (1.0558971486622504, 0.8944245890575596),
    (1.1637765773455537, 0.9580716445740568),
]


def golden_run(xp):
    """[(loss of D, loss of G) of each of 20 steps]. No dropout: a GPU uses other masks."""
    rng = np.random.default_rng(2014)
    G = make_generator(4, [8, 16], 25, dtype="float64", rng=rng).to(xp)
    D = make_discriminator(25, [16, 8], dtype="float64", rng=rng).to(xp)
    optimizer_G, optimizer_D = (Adam(net.theta, 0.01, beta1=0.5) for net in (G, D))
    losses = []
    for _ in range(20):
        real = xp.asarray(np.sign(rng.standard_normal((12, 1)) + rng.standard_normal((12, 25))))
        z1, z2 = xp.asarray(rng.standard_normal((12, 4))), xp.asarray(rng.standard_normal((12, 4)))
        loss_D, _, _ = discriminator_step(G, D, optimizer_D, real, z1, real_label=0.9, rng=None)
        loss_G = generator_step(G, D, optimizer_G, z2, rng=None)
        losses.append((asnumpy(loss_D).item(), asnumpy(loss_G).item()))
    return losses


def test_the_golden_run(xp):
    np.testing.assert_allclose(golden_run(xp), GOLDEN, rtol=1e-9)


if __name__ == "__main__":
    print("GOLDEN = [")
    for pair in golden_run(np):
        print(f"    {pair},")
    print("]")
