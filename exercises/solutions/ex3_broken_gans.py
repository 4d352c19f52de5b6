"""Exercise 3, solved: what was wrong, and one way to mend it.

gan_1   G's target for its fakes was 0: it learned to be found out. (With 1 it is the cross-entropy of "real".)
gan_2   G's step also gave D's optimizer a gradient, that of G's loss: D was taught to be fooled. Now D's gradients
        are not even computed there. (soumith/ganhacks, issue 29; what `detach` and `trainable = False` are about.)
gan_3   Pixels in [0, 1] beside a tanh, which draws in [-1, 1]: black was 0, the middle of tanh. (fchollet/deep-learning-
        with-python-notebooks, issue 7.)
gan_4   One variable `cache` for two forwards: the gradient of what D said of the real images went back through what it
        had remembered of the fakes. (Layers that keep a single memory in themselves have this bug in every GAN.)
gan_5   A sigmoid, and then a cross-entropy that has a sigmoid inside. D's answers then lie between 0 and 1 as logits, that
        is, D(x) between 0.5 and 0.73, whatever it learns: its loss cannot fall below log(1 + e^-1) + log 2 = 1.006.
"""
import numpy as np

from minigan.losses import bce_on_logits


def scaled(pixels, like):
    """Bytes 0..255 to [-1, 1], where tanh draws, in the dtype of an array."""
    return pixels.astype(like.dtype) / 127.5 - 1


def gan_1(G, D, optim_G, optim_D, pixels, z_D, z_G):
    real, fake = scaled(pixels, G.theta), G.forward(z_D)[0]
    logits, cache = D.forward(np.concatenate([real, fake]))
    target = np.zeros_like(logits)
    target[:len(real)] = 1
    loss_D, dlogits = bce_on_logits(logits, target)
    D.backward(2 * dlogits, cache)
    optim_D.step(D.dtheta)

    fake, cache_G = G.forward(z_G)
    logits, cache_D = D.forward(fake)
    loss_G, dlogits = bce_on_logits(logits, 1.0)
    G.backward(D.backward(dlogits, cache_D, need_dparams=False), cache_G)
    optim_G.step(G.dtheta)
    return 2 * loss_D, loss_G


def gan_2(G, D, optim_G, optim_D, pixels, z_D, z_G):
    images = np.concatenate([G.forward(z_D)[0], scaled(pixels, G.theta)])
    is_real = np.repeat([[0], [1]], len(pixels), axis=0).astype(images.dtype)
    answers, memory = D.forward(images)
    loss_D, slope = bce_on_logits(answers, is_real)
    D.backward(2 * slope, memory)
    optim_D.step(D.dtheta)

    drawn, memory_G = G.forward(z_G)
    answers, memory_D = D.forward(drawn)
    loss_G, slope = bce_on_logits(answers, np.ones_like(answers))
    G.backward(D.backward(slope, memory_D, need_dparams=False), memory_G)
    optim_G.step(G.dtheta)
    return 2 * loss_D, loss_G


def gan_3(G, D, optim_G, optim_D, pixels, z_D, z_G):
    x = pixels.astype(G.theta.dtype) / 127.5 - 1
    y, cache = D.forward(np.vstack([x, G.forward(z_D)[0]]))
    loss_D, dy = bce_on_logits(y, np.vstack([np.ones_like(y[:len(x)]), np.zeros_like(y[len(x):])]))
    D.backward(dy * 2, cache)
    optim_D.step(D.dtheta)

    x, cache_G = G.forward(z_G)
    y, cache = D.forward(x)
    loss_G, dy = bce_on_logits(y, 1.0)
    dx = D.backward(dy, cache, need_dparams=False)
    G.backward(dx, cache_G)
    optim_G.step(G.dtheta)
    return loss_D * 2, loss_G


def gan_4(G, D, optim_G, optim_D, pixels, z_D, z_G):
    logits, cache_real = D.forward(scaled(pixels, G.theta))
    loss_real, dlogits_real = bce_on_logits(logits, 1.0)
    logits, cache_fake = D.forward(G.forward(z_D)[0])
    loss_fake, dlogits_fake = bce_on_logits(logits, 0.0)
    D.backward(dlogits_real, cache_real)
    dtheta = D.dtheta.copy()
    D.backward(dlogits_fake, cache_fake)
    optim_D.step(dtheta + D.dtheta)

    fake, cache_G = G.forward(z_G)
    logits, cache_D = D.forward(fake)
    loss_G, dlogits = bce_on_logits(logits, 1.0)
    G.backward(D.backward(dlogits, cache_D, need_dparams=False), cache_G)
    optim_G.step(G.dtheta)
    return loss_real + loss_fake, loss_G


def gan_5(G, D, optim_G, optim_D, pixels, z_D, z_G):
    def judge(images, target):
        """(loss, dtheta of D, gradient on the images) where D is asked about images and should say target."""
        logits, cache = D.forward(images)
        loss, dlogits = bce_on_logits(logits, target)
        dimages = D.backward(dlogits, cache)
        return loss, D.dtheta.copy(), dimages

    loss_real, dtheta_real, _ = judge(scaled(pixels, G.theta), 1.0)
    loss_fake, dtheta_fake, _ = judge(G.forward(z_D)[0], 0.0)
    optim_D.step(dtheta_real + dtheta_fake)

    fake, cache_G = G.forward(z_G)
    loss_G, _, dfake = judge(fake, 1.0)
    G.backward(dfake, cache_G)
    optim_G.step(G.dtheta)
    return loss_real + loss_fake, loss_G
