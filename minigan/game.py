"""Game: the two networks, and all else that changes while they learn.

The idea
    gan.py has the two moves. A game is played with them: N real images and noise for the
    discriminator's move, new noise for the generator's, and then the running average of weights (see
    optim.py) follows the generator. What a move needs besides the networks, and what the next one
    depends on, is all here: optimizers, averages, sources of random numbers, and which images have
    been shown. The loop around it only has to count, measure and write down.

Where the randomness comes from
    One seed makes six generators that have nothing to do with each other. They draw

        the initial weights
        the order of the images
        the noise that G learns with
        what dropout silences, and where wgan-gp looks
        the noise of the sample grids
        the noise of the samples that are measured

    So the grids show the same noise in every run with that seed and latent_dim. On the same machine, with
    as many threads, the whole run is the same bit for bit. Elsewhere the library that multiplies
    matrices adds in another order, and the smallest difference grows from step to step.

What is kept where
    The images, as bytes, the networks and the noise are on the device from the start, and the
    losses and scores of a step stay there.

>>> from minigan.recipes import RECIPES, replace
>>> images = np.zeros((8, 6, 5), "uint8")
>>> game = Game(replace(RECIPES["default"], batch_size=4), images)
>>> [loss_D, loss_G, score_real, score_fake] = game.step()
>>> game.steps, game.t, game.draw(game.grid_z).shape
(2, 1, (100, 30))
"""
import numpy as np

from minigan.adversarial import GAN_LOSSES
from minigan.backend import to_host
from minigan.batchnorm import BatchNorm
from minigan.build import each_class, make_networks, make_noise, make_optimizers, one_hot, set_rates
from minigan.data import scale, unscale
from minigan.fusing import fused_moves
from minigan.gan import discriminator_step, discriminator_step_in_two, generator_step, join
from minigan.optim import WeightAverage
from minigan.penalties import slope_penalty
from minigan.randomness import random_generator, random_state, set_random_state
from minigan.workers import workers

GRID = 100  # images in a sample grid
SAMPLES = 2000  # that are measured after every epoch


class Game:
    """A recipe at play with images (n, height, width) or (n, height, width, 3), uint8, on a backend xp.

    t counts the steps so far, of which `steps` are an epoch. `drawer` is the network to draw with:
    G with the average of its weights, or G itself where the recipe takes no average. A conditional
    recipe wants labels (n,) from 0 to n_classes - 1; its grid has a row (or more) for each class, with the same noise.
    On a device both moves are made by fusing.py where it can; with fused=False, by gan.py as on NumPy. On NumPy
    networks of convolutions are played by a worker on each of so many `cores` (see workers.py).
    """

    def __init__(self, recipe, images, seed=0, xp=np, labels=None, n_classes=0, fused=True, cores=1):
        weights, order, noise, dropout, grid, measured = np.random.SeedSequence(seed).spawn(6)
        n, *shape = images.shape
        self.recipe, self.xp, self.t, self.steps = recipe, xp, 0, recipe.steps or n // recipe.batch_size
        self.loss = GAN_LOSSES[recipe.loss]
        self.images = xp.asarray(images.reshape(n, -1))
        self.labels = None if labels is None else xp.asarray(one_hot(labels, n_classes, recipe.dtype))
        self.G, self.D = (net.to(xp) for net in make_networks(recipe, shape, np.random.default_rng(weights), n_classes))
        self.drawer = self.G
        if recipe.average:
            self.drawer = make_networks(recipe, shape, np.random.default_rng(weights), n_classes)[0].to(xp)
        self.optimizer_G, self.optimizer_D = make_optimizers(recipe, self.G, self.D)
        self.averages = WeightAverage(self.drawer.theta, recipe.average), WeightAverage(self.drawer.state, recipe.average)
        self.fused = fused and not recipe.penalty and fused_moves(
            self.G, self.D, self.loss, recipe.batch_size, recipe.batch_G or recipe.batch_size, recipe.real_label, recipe.low)
        whole = recipe.penalty == "wgan-gp" or recipe.loss == "wasserstein"  # it draws at random; its score looks at the whole batch
        self.workers = workers(self.G, self.D, cores) if xp is np and not whole else None
        self.order, self.indices, self.shown = np.random.default_rng(order), None, 0
        self.seeds = noise, dropout
        self.noise, self.dropout = random_generator(xp, noise), random_generator(xp, dropout)
        rng = np.random.default_rng(measured)
        grid_z, measured_z = make_noise(recipe, np.random.default_rng(grid), GRID), make_noise(recipe, rng, SAMPLES)
        if labels is not None:
            grid_z = each_class(grid_z, GRID, n_classes)
            measured_z = join(measured_z, one_hot(rng.choice(labels, SAMPLES), n_classes, recipe.dtype))
        self.grid_z, self.measured_z = xp.asarray(grid_z), xp.asarray(measured_z)

    def step(self):
        """A move of D and a move of G: (loss of D, loss of G, mean D(x), mean D(G(z))), on the device."""
        recipe = self.recipe
        set_rates(recipe, self.optimizer_G, self.optimizer_D, self.t, self.steps)
        if self.t == 0:
            for _ in range(recipe.head_start):
                self.step_of_D(penalised=False)
            self.indices = None  # the first epoch begins here
        if self.fused:
            n, n_G = recipe.batch_size, recipe.batch_G or recipe.batch_size
            self.choose()
            loss_D, score_real, score_fake, loss_G = self.fused.step(
                self.images, self.rows(), make_noise(recipe, self.noise, n + n_G), self.dropout, self.optimizer_D, self.optimizer_G,
                self.shown_labels(2 * n + n_G))
        else:
            loss_D, score_real, score_fake = self.step_of_D()
            loss_G = self.step_of_G()
        if recipe.average:
            for average, vector in zip(self.averages, (self.G.theta, self.G.state)):
                average.step(vector)
        self.t += 1
        return loss_D, loss_G, score_real, score_fake

    def step_of_D(self, penalised=True):
        """D's move alone; a penalty is due every so many steps of the game."""
        real, z = self.next_images(), make_noise(self.recipe, self.noise, self.recipe.batch_size)
        recipe, penalty = self.recipe, None
        if recipe.penalty and penalised and self.t % recipe.penalty_every == 0:
            penalty = slope_penalty(recipe.penalty, recipe.penalty_weight * recipe.penalty_every)
        mixing = any(isinstance(layer, BatchNorm) for layer in self.D.layers)  # see gan.py
        move = discriminator_step_in_two if mixing else discriminator_step
        what = self.optimizer_D, real, z, self.dropout, recipe.real_label, self.shown_labels(len(real)), self.loss, penalty
        return self.workers.move(move, self.D, *what) if self.workers else move(self.G, self.D, *what)

    def step_of_G(self):
        """G's move alone: its loss."""
        z = make_noise(self.recipe, self.noise, self.recipe.batch_G or self.recipe.batch_size)
        what = self.optimizer_G, z, self.dropout, self.shown_labels(len(z)), self.loss
        return self.workers.move(generator_step, self.G, *what) if self.workers else generator_step(self.G, self.D, *what)

    def next_images(self):
        """The next N images, scaled: (N, pixels)."""
        self.choose()
        return scale(self.images[self.rows()], self.recipe.dtype, self.recipe.low)

    def choose(self):
        """Go on to the next N images."""
        N = self.recipe.batch_size
        if self.indices is None or self.shown == self.steps:  # an epoch is over: a new order
            n, self.shown = len(self.images), 0
            if self.recipe.with_replacement:
                self.indices = self.xp.asarray(self.order.integers(0, n, self.steps * N))
            else:
                self.indices = self.xp.asarray(np.resize(self.order.permutation(n), self.steps * N))
        self.shown += 1

    def rows(self):
        """The numbers of the N images shown last."""
        N = self.recipe.batch_size
        return self.indices[(self.shown - 1) * N:self.shown * N]

    def shown_labels(self, n):
        """The labels of those images, (N, C), again and again until there are n; None where there are none."""
        if self.labels is None:
            return None
        labels = self.labels[self.rows()]
        return self.xp.concatenate([labels] * -(-n // len(labels)))[:n] if n != len(labels) else labels

    def arrays(self):
        """{name: vector} of every array that changes, in place; with `counts`, all that the next step depends on."""
        nets = {"G": self.G, "D": self.D, **({"drawer": self.drawer} if self.drawer is not self.G else {})}
        found = {f"{name}.{part}": getattr(net, part) for name, net in nets.items() for part in ("theta", "state")}
        for name, optimizer in ("G", self.optimizer_G), ("D", self.optimizer_D):
            found |= {f"{name}.{part}": getattr(optimizer, part) for part in ("s", "q", "velocity") if hasattr(optimizer, part)}
        return found

    def save(self):
        """(arrays on the host, and a dict of numbers and words) from which `restore` goes on as if nothing had been."""
        counts = {"t": self.t, "shown": self.shown, "averaged": [average.n for average in self.averages],
                  "optimized": [getattr(optimizer, "t", 0) for optimizer in (self.optimizer_G, self.optimizer_D)],
                  "streams": [random_state(stream) for stream in (self.order, self.noise, self.dropout)]}
        arrays = {name: to_host(array) for name, array in self.arrays().items()}
        return {**arrays, "indices": to_host(self.indices)} if self.indices is not None else arrays, counts

    def restore(self, arrays, counts):
        """Go on from what `save` returned. Raises ValueError or KeyError where it belongs to another game."""
        for name, array in self.arrays().items():
            if arrays[name].shape != array.shape or arrays[name].dtype != array.dtype:
                raise ValueError(f"{name} is {arrays[name].dtype} of shape {arrays[name].shape}, not {array.dtype} of shape {array.shape}")
            array[...] = self.xp.asarray(arrays[name])
        self.t, self.shown = counts["t"], counts["shown"]
        self.indices = self.xp.asarray(arrays["indices"]) if "indices" in arrays else None
        for average, n in zip(self.averages, counts["averaged"]):
            average.n = n
        for optimizer, t in zip((self.optimizer_G, self.optimizer_D), counts["optimized"]):
            optimizer.t = t
        for stream, state in zip((self.order, self.noise, self.dropout), counts["streams"]):
            set_random_state(stream, state)
        if None in counts["streams"]:  # where streams cannot be continued, at least none is repeated
            self.noise, self.dropout = (
                random_generator(self.xp, np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, self.t))) for seed in self.seeds)

    def draw(self, z):
        """Images (n, pixels) on the host, float32 in [0, 1], from noise (n, Z) on the device."""
        drawn = [to_host(unscale(self.drawer.forward(z[i:i + 500])[0], self.recipe.low)) for i in range(0, len(z), 500)]
        return np.concatenate(drawn).astype("float32")
