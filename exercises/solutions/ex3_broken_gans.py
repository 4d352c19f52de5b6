"""Exercise 3, solved: what was wrong, and one way to fix it.

gan_1   The target for the fakes in G's step was 0, so G learned to be recognised. (With target 1
        the loss is the cross-entropy of "real".)
gan_2   G's step also gave a gradient to D's optimizer, the gradient of G's loss: D was trained to
        be fooled. Now D's parameter gradients are not even computed there. (soumith/ganhacks,
        issue 29; this is what `detach` and `trainable = False` are for.)
gan_3   Pixels in [0, 1] with a tanh, whose range is [-1, 1]: black was 0, the middle of that
        range. (fchollet/deep-learning-with-python-notebooks, issue 7.)
gan_4   One variable, `cache`, for two forward passes: the gradient of the loss on real images went
        back through the cache of the fakes. (Layers that store a single cache in themselves have
        this bug in every GAN.)
gan_5   A sigmoid, followed by a cross-entropy that contains a sigmoid. D's outputs are then
        between 0 and 1 as logits, so D(x) is between 0.5 and 0.73 whatever it learns, and its loss
        cannot fall below log(1 + e^-1) + log 2 = 1.006.
"""

import numpy as np

from minigan.nn.losses import bce_with_logits


def scaled(pixels, like):
    """Bytes from 0 to 255 to [-1, 1], the range of tanh, in the dtype of the array `like`."""
    return pixels.astype(like.dtype) / 127.5 - 1


def gan_1(G, D, optimizer_G, optimizer_D, pixels, *, z_D, z_G):
    real, fake = scaled(pixels, G.theta), G.forward(z_D)[0]
    logits, cache = D.forward(np.concatenate([real, fake]))
    targets = np.zeros_like(logits)
    targets[: len(real)] = 1
    loss_D, dlogits = bce_with_logits(logits, targets)
    D.backward(2 * dlogits, cache)
    optimizer_D.step(D.dtheta)

    fake, cache_G = G.forward(z_G)
    logits, cache_D = D.forward(fake)
    loss_G, dlogits = bce_with_logits(logits, 1.0)
    G.backward(D.backward(dlogits, cache_D, need_dparams=False), cache_G)
    optimizer_G.step(G.dtheta)
    return 2 * loss_D, loss_G


def gan_2(G, D, optimizer_G, optimizer_D, pixels, *, z_D, z_G):
    images = np.concatenate([G.forward(z_D)[0], scaled(pixels, G.theta)])
    is_real = np.repeat([[0], [1]], len(pixels), axis=0).astype(images.dtype)
    logits, memory = D.forward(images)
    loss_D, dlogits = bce_with_logits(logits, is_real)
    D.backward(2 * dlogits, memory)
    optimizer_D.step(D.dtheta)

    generated, memory_G = G.forward(z_G)
    logits, memory_D = D.forward(generated)
    loss_G, dlogits = bce_with_logits(logits, np.ones_like(logits))
    G.backward(D.backward(dlogits, memory_D, need_dparams=False), memory_G)
    optimizer_G.step(G.dtheta)
    return 2 * loss_D, loss_G


def gan_3(G, D, optimizer_G, optimizer_D, pixels, *, z_D, z_G):
    x = pixels.astype(G.theta.dtype) / 127.5 - 1
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
    logits, cache_real = D.forward(scaled(pixels, G.theta))
    loss_real, dlogits_real = bce_with_logits(logits, 1.0)
    logits, cache_fake = D.forward(G.forward(z_D)[0])
    loss_fake, dlogits_fake = bce_with_logits(logits, 0.0)
    D.backward(dlogits_real, cache_real)
    dtheta = D.dtheta.copy()
    D.backward(dlogits_fake, cache_fake)
    optimizer_D.step(dtheta + D.dtheta)

    fake, cache_G = G.forward(z_G)
    logits, cache_D = D.forward(fake)
    loss_G, dlogits = bce_with_logits(logits, 1.0)
    G.backward(D.backward(dlogits, cache_D, need_dparams=False), cache_G)
    optimizer_G.step(G.dtheta)
    return loss_real + loss_fake, loss_G


def gan_5(G, D, optimizer_G, optimizer_D, pixels, *, z_D, z_G):
    def classify(images, target):
        """(loss, dtheta of D, gradient with respect to the images), where D should output the
        target.
        """
        logits, cache = D.forward(images)
        loss, dlogits = bce_with_logits(logits, target)
        dimages = D.backward(dlogits, cache)
        return loss, D.dtheta.copy(), dimages

    loss_real, dtheta_real, _ = classify(scaled(pixels, G.theta), 1.0)
    loss_fake, dtheta_fake, _ = classify(G.forward(z_D)[0], 0.0)
    optimizer_D.step(dtheta_real + dtheta_fake)

    fake, cache_G = G.forward(z_G)
    loss_G, _, dfake = classify(fake, 1.0)
    G.backward(dfake, cache_G)
    optimizer_G.step(G.dtheta)
    return loss_real + loss_fake, loss_G
