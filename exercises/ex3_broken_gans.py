"""Exercise 3: five broken GANs (60 minutes)

Read before
    minigan/gan.py, and minigan/losses.py.

The task
    Five people wrote a training step, each in their own way, and in each there is one mistake of a kind that
    has been published. What its owner saw of it stands below its first line. Find it and mend it there. One or two lines
    are enough, and the rest of each function is right, however odd it may look.

    A step is: D learns from all real images and as many fakes, G(z_D), to pay less of

        mean of -log D(x)  +  mean of -log(1 - D(G(z)))

    and then, judged by this D, G learns with G(z_G) to pay less of  mean of -log D(G(z)).  Both are returned.

Shapes
    pixels (N, P), bytes from 0 to 255; z_D and z_G (N, Z). G ends in a tanh. D ends in logits, (N, 1), without a sigmoid.

Check
    python -m pytest exercises -k gan_1          (... -k gan_5; -k broken for all)
    python exercises/watch_gans.py               shows all five at work, beside a healthy one

Hint
    Ask each function the same questions. What does D get to see? What does it say, and what should it have said? Whose
    gradient goes back through whose memory? Who is moved by it, and who should be?
"""
import numpy as np

from minigan.activations import Sigmoid
from minigan.losses import bce_on_logits


def scaled(pixels, like):
    """Bytes 0..255 to [-1, 1], where tanh draws, in the dtype of an array."""
    return pixels.astype(like.dtype) / 127.5 - 1


def gan_1(G, D, optim_G, optim_D, pixels, z_D, z_G):
    """'Both losses fall to 0 in a few hundred steps, so it learns perfectly. But what G draws is noise.'"""
    real, fake = scaled(pixels, G.theta), G.forward(z_D)[0]
    logits, cache = D.forward(np.concatenate([real, fake]))
    target = np.zeros_like(logits)
    target[:len(real)] = 1
    loss_D, dlogits = bce_on_logits(logits, target)
    D.backward(2 * dlogits, cache)
    optim_D.step(D.dtheta)

    fake, cache_G = G.forward(z_G)
    logits, cache_D = D.forward(fake)
    loss_G, dlogits = bce_on_logits(logits, 0.0)
    G.backward(D.backward(dlogits, cache_D, need_dparams=False), cache_G)
    optim_G.step(G.dtheta)
    return 2 * loss_D, loss_G


def gan_2(G, D, optim_G, optim_D, pixels, z_D, z_G):
    """'My D is too easily pleased. It never stays ahead of G, and in the end takes all for real, with a D(G(z)) of 0.7.'"""
    images = np.concatenate([G.forward(z_D)[0], scaled(pixels, G.theta)])
    is_real = np.repeat([[0], [1]], len(pixels), axis=0).astype(images.dtype)
    answers, memory = D.forward(images)
    loss_D, slope = bce_on_logits(answers, is_real)
    D.backward(2 * slope, memory)
    optim_D.step(D.dtheta)

    drawn, memory_G = G.forward(z_G)
    answers, memory_D = D.forward(drawn)
    loss_G, slope = bce_on_logits(answers, np.ones_like(answers))
    G.backward(D.backward(slope, memory_D), memory_G)
    for optimizer, net in (optim_G, G), (optim_D, D):
        optimizer.step(net.dtheta)
    return 2 * loss_D, loss_G


def gan_3(G, D, optim_G, optim_D, pixels, z_D, z_G):
    """'D has an easy life. And white comes out white, but black comes out grey.'"""
    x = pixels.astype(G.theta.dtype) / 255
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
    """'D says 1/2 to everything, from the start to the end, as if it had learned nothing. G draws noise.'"""
    logits, cache = D.forward(scaled(pixels, G.theta))
    loss_real, dlogits_real = bce_on_logits(logits, 1.0)
    logits, cache = D.forward(G.forward(z_D)[0])
    loss_fake, dlogits_fake = bce_on_logits(logits, 0.0)
    D.backward(dlogits_real, cache)
    dtheta = D.dtheta.copy()
    D.backward(dlogits_fake, cache)
    optim_D.step(dtheta + D.dtheta)

    fake, cache_G = G.forward(z_G)
    logits, cache_D = D.forward(fake)
    loss_G, dlogits = bce_on_logits(logits, 1.0)
    G.backward(D.backward(dlogits, cache_D, need_dparams=False), cache_G)
    optim_G.step(G.dtheta)
    return loss_real + loss_fake, loss_G


def gan_5(G, D, optim_G, optim_D, pixels, z_D, z_G):
    """'It learns, somehow. But even while G draws nonsense, D's loss never gets below 1, and G's gradient is faint.'"""
    certainty = Sigmoid()

    def judge(images, target):
        """(loss, dtheta of D, gradient on the images) where D is asked about images and should say target."""
        logits, cache = D.forward(images)
        p, memory = certainty.forward(logits)
        loss, dp = bce_on_logits(p, target)
        dimages = D.backward(certainty.backward(dp, memory), cache)
        return loss, D.dtheta.copy(), dimages

    loss_real, dtheta_real, _ = judge(scaled(pixels, G.theta), 1.0)
    loss_fake, dtheta_fake, _ = judge(G.forward(z_D)[0], 0.0)
    optim_D.step(dtheta_real + dtheta_fake)

    fake, cache_G = G.forward(z_G)
    loss_G, _, dfake = judge(fake, 1.0)
    G.backward(dfake, cache_G)
    optim_G.step(G.dtheta)
    return loss_real + loss_fake, loss_G
