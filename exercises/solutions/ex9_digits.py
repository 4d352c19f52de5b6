"""Exercise 9, solved: one of many solutions.

G ends with a tanh, so the bytes from 0 to 255 become numbers from -1 to 1. The networks are those
of the recipe `dense`, but smaller. The optimizers have the settings of that recipe: with beta1 = 0
Adam follows a discriminator that changes from step to step more quickly.

The order of the images is new in each epoch. The few images that are left over at its end are
skipped, so that all batches have N images.
"""

from minigan.gan.steps import discriminator_step, generator_step
from minigan.nn.activations import LeakyReLU, Tanh
from minigan.nn.dense import Dense
from minigan.nn.optim import Adam
from minigan.nn.sequential import Sequential

N, Z, P = 64, 64, 784


def make_networks(rng):
    G = Sequential(
        [
            Dense(Z, 128, rng=rng),
            LeakyReLU(0.2),
            Dense(128, 256, rng=rng),
            LeakyReLU(0.2),
            Dense(256, P, rng=rng),
            Tanh(),
        ]
    )
    D = Sequential(
        [
            Dense(P, 256, rng=rng),
            LeakyReLU(0.2),
            Dense(256, 128, rng=rng),
            LeakyReLU(0.2),
            Dense(128, 1, rng=rng),
        ]
    )
    return G, D


def train(G, D, images, rng):
    optimizer_G = Adam(G.theta, 1e-3, beta1=0.0, beta2=0.99)
    optimizer_D = Adam(D.theta, 1e-3, beta1=0.0, beta2=0.99)
    while True:
        order = rng.permutation(len(images))
        for start in range(0, len(images) - N + 1, N):
            real = images[order[start : start + N]].astype("float32") / 127.5 - 1
            z_D, z_G = (rng.standard_normal((N, Z), dtype="float32") for _ in range(2))
            loss_D, _, _ = discriminator_step(G, D, optimizer_D, real, z_D, rng=rng)
            loss_G = generator_step(G, D, optimizer_G, z_G, rng=rng)
            yield loss_D, loss_G
