"""Exercise 3: five broken GANs (60 minutes)

Read before
    minigan/gan/steps.py and minigan/nn/losses.py.

The task
    Five people wrote a training step, each in their own style. Each function contains one mistake,
    of a kind that has been published. Its docstring says what the author observed. Find the mistake
    and fix it. Changing one or two lines is enough; the rest of each function is correct, however
    unusual it looks.

    In a step, D first learns from all real images and from as many fakes, G(z_D), to minimise

        mean of -log D(x)  +  mean of -log(1 - D(G(z)))

    and then G learns with G(z_G), against this D, to minimise  mean of -log D(G(z)).  The function
    returns both losses.

Shapes
    pixels (N, P), bytes from 0 to 255; z_D and z_G (N, Z). G ends with a tanh. D ends with logits
    (N, 1), without a sigmoid.

Check
    python -m pytest exercises -k gan_1          (... -k gan_5; -k broken for all of them)
    python exercises/watch_gans.py               trains all five, and a healthy one for comparison

Hint
    Ask the same questions of each function. Which images does D receive? What is its output, and
    what is the target? Which gradient goes back through which cache? Which network does it update,
    and which should it update?
"""

import numpy as np

from minigan.nn.activations import Sigmoid
from minigan.nn.losses import bce_with_logits


def scaled(pixels, like):
    """Bytes from 0 to 255 to [-1, 1], the range of tanh, in the dtype of the array `like`."""
    return pixels.astype(like.dtype) / 127.5 - 1


def gan_1(G, D, optimizer_G, optimizer_D, pixels, *, z_D, z_G):
    """'Both losses fall to 0 in a few hundred steps, so it learns perfectly. However, G
    generates noise.'
    """
    real, fake = scaled(pixels, G.theta), G.forward(z_D)[0]
    logits, cache = D.forward(np.concatenate([real, fake]))
    targets = np.zeros_like(logits)
    targets[: len(real)] = 1
    loss_D, dlogits = bce_with_logits(logits, targets)
    D.backward(2 * dlogits, cache)
    optimizer_D.step(D.dtheta)

    fake, cache_G = G.forward(z_G)
    logits, cache_D = D.forward(fake)
    loss_G, dlogits = bce_with_logits(logits, 0.0)
    G.backward(D.backward(dlogits, cache_D, need_dparams=False), cache_G)
    optimizer_G.step(G.dtheta)
    return 2 * loss_D, loss_G


def gan_2(G, D, optimizer_G, optimizer_D, pixels, *, z_D, z_G):
    """'D is too weak. It never gets ahead of G, and ends up calling everything real: D(G(z)) is
    0.7.'
    """
    images = np.concatenate([G.forward(z_D)[0], scaled(pixels, G.theta)])
    is_real = np.repeat([[0], [1]], len(pixels), axis=0).astype(images.dtype)
    logits, memory = D.forward(images)
    loss_D, dlogits = bce_with_logits(logits, is_real)
    D.backward(2 * dlogits, memory)
    optimizer_D.step(D.dtheta)

    generated, memory_G = G.forward(z_G)
    logits, memory_D = D.forward(generated)
    loss_G, dlogits = bce_with_logits(logits, np.ones_like(logits))
    G.backward(D.backward(dlogits, memory_D), memory_G)
    for optimizer, net in (optimizer_G, G), (optimizer_D, D):
        optimizer.step(net.dtheta)
    return 2 * loss_D, loss_G


def gan_3(G, D, optimizer_G, optimizer_D, pixels, *, z_D, z_G):
    """'It is easy for D. White pixels come out white, but black ones come out grey.'"""
    x = pixels.astype(G.theta.dtype) / 255
    y, cache = D.forward(np.vstack([x, G.forward(z_D)[0]]))
    targets = np.vstack([np.ones_like(y[: len(x)]), np.zeros_like(y[len(x) :])])
    loss_D, dy = bce_with_logits(y, targets)
    D.backward(dy * 2, cache)
    optimizer_D.step(D.dtheta)

    x, cache_G = G.forward(z_G)
    y, cache = D.forward(x)
    loss_G, dy = bce_with_logits(y, 1.0)
    dx = D.backward(dy, cache, need_dparams=False)
    G.backward(dx, cache_G)
    optimizer_G.step(G.dtheta)
    return loss_D * 2, loss_G


def gan_4(G, D, optimizer_G, optimizer_D, pixels, *, z_D, z_G):
    """'D outputs 1/2 for every image from start to end, as if it learned nothing. G generates
    noise.'
    """
    logits, cache = D.forward(scaled(pixels, G.theta))
    loss_real, dlogits_real = bce_with_logits(logits, 1.0)
    logits, cache = D.forward(G.forward(z_D)[0])
    loss_fake, dlogits_fake = bce_with_logits(logits, 0.0)
    D.backward(dlogits_real, cache)
    dtheta = D.dtheta.copy()
    D.backward(dlogits_fake, cache)
    optimizer_D.step(dtheta + D.dtheta)

    fake, cache_G = G.forward(z_G)
    logits, cache_D = D.forward(fake)
    loss_G, dlogits = bce_with_logits(logits, 1.0)
    G.backward(D.backward(dlogits, cache_D, need_dparams=False), cache_G)
    optimizer_G.step(G.dtheta)
    return loss_real + loss_fake, loss_G


def gan_5(G, D, optimizer_G, optimizer_D, pixels, *, z_D, z_G):
    """'It learns, but D's loss never falls below 1, even on nonsense, and G's gradient is tiny.'"""
    sigmoid = Sigmoid()

    def classify(images, target):
        """(loss, dtheta of D, gradient with respect to the images), where D should output the
        target.
        """
        logits, cache = D.forward(images)
        p, memory = sigmoid.forward(logits)
        loss, dp = bce_with_logits(p, target)
        dimages = D.backward(sigmoid.backward(dp, memory), cache)
        return loss, D.dtheta.copy(), dimages

    loss_real, dtheta_real, _ = classify(scaled(pixels, G.theta), 1.0)
    loss_fake, dtheta_fake, _ = classify(G.forward(z_D)[0], 0.0)
    optimizer_D.step(dtheta_real + dtheta_fake)

    fake, cache_G = G.forward(z_G)
    loss_G, _, dfake = classify(fake, 1.0)
    G.backward(dfake, cache_G)
    optimizer_G.step(G.dtheta)
    return loss_real + loss_fake, loss_G
