"""The GAN: a generator that draws, a discriminator that judges, and one step of each.

The idea
    G turns random numbers z into an image G(z). D looks at an image and says how sure it is that
    it is real: D(x), between 0 and 1. D learns to tell real images from G's; G learns to draw
    what D takes for real. Neither ever sees a rule for what a seven is. If both were perfect,
    G(z) would be distributed like the real images, and D could only answer 1/2.

        min over G, max over D:  mean log D(x) + mean log(1 - D(G(z)))
                                                      Goodfellow et al. 2014, equation 1

    Training goes by their algorithm 1: k steps of D, here one, then a step of G. But the loss of G is
    another one (see below), and both networks learn by Adam.

Forward and backward of the discriminator's step
    To maximise that sum is to minimise the cross-entropy of "real" on x plus that of "fake" on G(z).
    One batch holds both, N real images over N fakes, with the targets 1 and 0. We want the sum of
    two means over N: so each slope is divided by N, and the loss is twice the mean over all 2N.

    One pass with products twice as tall costs less than two passes. `discriminator_step_in_two` is
    that plainer form; a test holds the two together. It is also what a D needs that has a layer which
    mixes the images of a batch: real images and fakes should not be mixed.

    The fakes are constants here: nothing goes back into G. (An autograd framework has to be told so:
    "detach".)

What D and G pay if D cannot tell
    It says 1/2 to everything and pays log 2 for a real image and log 2 for a fake: 1.386 in all.
    `real_label` is D's target t for real images: 1, or a little less, such as 0.9, so that D is not
    rewarded for being ever more certain (Salimans et al. 2016, section 3.4). A D that cannot tell then
    says t / 2 (see adversarial.py), that is 0.45:

        a real image costs D   -0.9 log 0.45 - 0.1 log 0.55 = 0.778
        a fake costs D         -log 0.55 = 0.598, so 1.376 in all
        a fake costs G         -log 0.45 = 0.799

Forward and backward of the generator's step
    G draws, D judges, and the loss is that of "real" on fakes: -log D(G(z)). Backward, D turns
    the gradient of its answer into a gradient on the pixels: "this image would look more real if
    this pixel were darker". That is all that G ever learns from:

        dfake = D.backward(dlogits);   G.backward(dfake)

    D lends its weights for that, and they are not changed: their gradients are not even computed.
    (In an autograd framework they are, unless one "freezes" D, and have to be forgotten before D's
    own step. To "detach" the fakes here would cut G off from all that it learns from.)

    -log D(G(z)) is not the 2014 formula's log(1 - D(G(z))) with another sign: both fall when D is
    fooled, but their gradients differ. They are the first two losses of adversarial.py, with the
    slopes sigmoid(a) - 1 and -sigmoid(a). While G is poor, sigmoid(a) = D(G(z)) is near 0: the second
    vanishes, the first is at its strongest. The paper's section 3 recommends the first,
    "non-saturating", and so do we. `loss` says which of the five is played.

With labels  (Mirza & Osindero 2014)
    To be able to ask for a seven, tell both networks what each image shows: C more numbers, 1 for
    its class and 0 for the others ("one-hot"), beside the noise and beside the pixels. G could
    ignore them, but D sees them, too, and a real image never has another one's label: a nice three
    that is labelled 7 is found out. Each fake gets the label of a real image of the same batch. And
    the label is not G's to change, so of D's gradient G gets the pixels' part only.

Shapes
    real and fake (N, pixels), in [-1, 1]; z (N, Z), standard normal; labels None or (N, C); logits
    (N, 1). Losses and scores, which are means of D(x) and D(G(z)), are arrays of shape (), on the
    device: float() brings them home.

>>> import numpy as np
>>> from minigan.optim import Adam
>>> a = np.array([[USUAL.undecided(0.9)]])                     # the logit of a D that says 0.45
>>> round((USUAL.of_D(a, 0.9)[0] + USUAL.of_D(a, 0.0)[0]).item(), 3), round(USUAL.of_G(a)[0].item(), 3)
(1.376, 0.799)
>>> rng = np.random.default_rng(0)
>>> G, D = make_generator(2, [8], 4, rng), make_discriminator(4, [8], rng)
>>> optim_G, optim_D = Adam(G.theta, lr=0.01), Adam(D.theta, lr=0.01)
>>> real = np.tile(np.float32([[1, -1, 1, -1]]), (16, 1))      # all real images look like this
>>> for step in range(300):
...     z = rng.standard_normal((16, 2), dtype="float32")
...     L_D, score_real, score_fake = discriminator_step(G, D, optim_D, real, z, rng)
...     z = rng.standard_normal((16, 2), dtype="float32")
...     L_G = generator_step(G, D, optim_G, z, rng)
>>> G.forward(z)[0][0].round(1).tolist()                       # and so do the fakes, by now
[1.0, -1.0, 1.0, -1.0]
"""
from minigan.activations import LeakyReLU, Tanh
from minigan.adversarial import GAN_LOSSES
from minigan.backend import array_module
from minigan.dense import Dense
from minigan.dropout import Dropout
from minigan.network import Sequential

USUAL = GAN_LOSSES["non-saturating"]


def make_generator(n_latent, widths, n_pixels, rng, slope=0.2, rule="glorot", dtype="float32"):
    """z (N, Z) -> images (N, pixels) in [-1, 1]: Dense and LeakyReLU for each width, then tanh."""
    sizes, layers = [n_latent, *widths], []
    for n_in, n_out in zip(sizes, sizes[1:]):
        layers += [Dense(n_in, n_out, rng, rule, dtype), LeakyReLU(slope)]
    return Sequential([*layers, Dense(sizes[-1], n_pixels, rng, rule, dtype), Tanh()])


def make_discriminator(n_pixels, widths, rng, slope=0.2, dropout=0.0, rule="glorot", dtype="float32"):
    """Images (N, pixels) -> logits (N, 1): Dense, LeakyReLU, Dropout for each width, then one Dense."""
    sizes, layers = [n_pixels, *widths], []
    for n_in, n_out in zip(sizes, sizes[1:]):
        layers += [Dense(n_in, n_out, rng, rule, dtype), LeakyReLU(slope)]
        layers += [Dropout(dropout)] if dropout else []
    return Sequential([*layers, Dense(sizes[-1], 1, rng, rule, dtype)])


def join(x, labels):
    """x (N, K) with its labels (N, C) beside it, (N, K + C); where there are none, x."""
    return x if labels is None else array_module(x).concatenate([x, labels], axis=1)


def discriminator_step(G, D, optimizer, real, z, rng, real_label=1.0, labels=None, loss=USUAL, penalty=None):
    """D learns from N real images (N, pixels) and N fakes: (loss, mean D(x), mean D(G(z))), each of shape ().

    If D pays for something else, too, `penalty(D, real, fake, labels, rng)` fills D.dtheta with the
    gradient of that; it is not part of the loss that is returned.
    """
    xp, n = array_module(real), len(real)
    fake = G.forward(join(z, labels), train=True, rng=rng)[0]       # without its cache there is no way back into G: a constant
    target = xp.zeros((2 * n, 1), dtype=real.dtype)
    target[:n] = real_label

    both = xp.concatenate([join(real, labels), join(fake, labels)])
    logits, cache = D.forward(both, train=True, rng=rng)
    price, slope = loss.of_D(logits, target)
    D.backward(slope / n, cache, need_dx=False)
    if penalty:
        add_penalty(penalty, D, real, fake, labels, rng)
    optimizer.step(D.dtheta)

    scores = loss.score(logits)
    return 2 * price.mean(), scores[:n].mean(), scores[n:].mean()


def add_penalty(penalty, D, real, fake, labels, rng):
    """Add the gradient of a penalty to D.dtheta (P,)."""
    dtheta = D.dtheta.copy()                                        # the next backward writes over it
    penalty(D, real, fake, labels, rng)
    D.dtheta += dtheta                                              # two prices, one sum


def discriminator_step_in_two(G, D, optimizer, real, z, rng, real_label=1.0, labels=None, loss=USUAL, penalty=None):
    """The same, as the paper writes it: one pass over the real images, one over the fakes."""
    fake = G.forward(join(z, labels), train=True, rng=rng)[0]
    logits_real, cache = D.forward(join(real, labels), train=True, rng=rng)
    price_real, slope = loss.of_D(logits_real, real_label)
    D.backward(slope / len(real), cache, need_dx=False)
    dtheta_real = D.dtheta.copy()                                   # the next backward writes over it
    del cache                                                       # so that the next pass can have its memory
    logits_fake, cache = D.forward(join(fake, labels), train=True, rng=rng)
    price_fake, slope = loss.of_D(logits_fake, 0.0)
    D.backward(slope / len(fake), cache, need_dx=False)
    D.dtheta += dtheta_real                                         # two effects on one loss add up
    if penalty:
        add_penalty(penalty, D, real, fake, labels, rng)
    optimizer.step(D.dtheta)
    scores = loss.score(array_module(real).concatenate([logits_real, logits_fake]))
    return price_real.mean() + price_fake.mean(), scores[:len(real)].mean(), scores[len(real):].mean()


def generator_step(G, D, optimizer, z, rng, labels=None, loss=USUAL):
    """G learns to be taken for real by D: the loss, of shape ()."""
    fake, cache_G = G.forward(join(z, labels), train=True, rng=rng)
    logits, cache_D = D.forward(join(fake, labels), train=True, rng=rng)
    price, slope = loss.of_G(logits)
    dfake = D.backward(slope / len(z), cache_D, need_dparams=False)[:, :fake.shape[1]]
    G.backward(dfake, cache_G, need_dx=False)
    optimizer.step(G.dtheta)
    return price.mean()
