"""The two training steps of a GAN: one of the discriminator, one of the generator.

The idea
    G turns random numbers z into an image G(z). D receives an image x and outputs D(x), the
    probability that it is real. D learns to distinguish real images from generated ones, and G
    learns to generate images that D considers real. Neither network is given a rule for what a
    seven looks like. If both were perfect, G(z) would have the distribution of the real images, and
    D would output 1/2 everywhere.

        min over G, max over D:  mean log D(x) + mean log(1 - D(G(z)))
                                                      Goodfellow et al. 2014, equation 1

    Training follows their algorithm 1: k steps of D (here one), then a step of G. However, G
    minimises a different loss (see below), and by default both networks are trained with Adam.

Forward and backward of the discriminator step
    Maximising the sum above is the same as minimising the cross-entropy of x with the target "real"
    plus the cross-entropy of G(z) with the target "fake". One batch holds both, N real images and N
    fakes, with targets 1 and 0. The loss is the sum of two means over N, so each derivative is
    divided by N, and the loss equals twice the mean over all 2N.

    One pass with a batch of 2N is faster than two passes with N. `discriminator_step_two_passes` is
    the plainer form, and a test checks that the two agree. A discriminator with a layer that mixes
    the examples of a batch, such as batch norm, needs two passes, because real images and fakes
    should not be mixed.

    The fakes are constants here, so no gradient flows into G. (In an autograd framework this must
    be requested by detaching the fakes.)

The losses at equilibrium
    If D cannot distinguish real images from fakes, it outputs 1/2 everywhere, and its loss is log 2
    for a real image plus log 2 for a fake, 1.386 in total. `real_label` is the target t for real
    images. It is 1, or slightly less, such as 0.9, so that ever larger logits do not reduce D's
    loss further (one-sided label smoothing, Salimans et al. 2016, section 3.4). With t = 0.9, a D
    that cannot distinguish the two outputs t / 2 = 0.45 (see losses.py):

        D's loss for a real image   -0.9 log 0.45 - 0.1 log 0.55 = 0.778
        D's loss for a fake         -log 0.55 = 0.598, so 1.376 in total
        G's loss for a fake         -log 0.45 = 0.799

Forward and backward of the generator step
    G generates images and D classifies them. The loss is the cross-entropy of fakes with the target
    "real", -log D(G(z)). In the backward pass, D turns the gradient with respect to its logit into
    a gradient with respect to the pixels, which says, for example, "this image would look more real
    if this pixel were darker". This gradient is the only information from which G learns:

        dfake = D.backward(dlogits);   G.backward(dfake)

    D's weights are used for this but not changed, and their gradients are not computed. (An
    autograd framework computes them unless D is frozen, and they must be zeroed before D's own
    step. If the fakes were detached here, G would receive no gradient at all.)

    The paper draws new noise for this step. The fakes of D's step can also be used again, because G
    has not changed since (`fakes`): D is trained on them, and G learns how to make them look more
    real to the updated D. This saves a pass of G. The recipe `default` does so.

    -log D(G(z)) is not merely another form of log(1 - D(G(z))) in the 2014 formula. Both decrease
    when G deceives D, but their gradients differ. They are the first two losses of losses.py, with
    the derivatives sigmoid(a) - 1 and -sigmoid(a). While G is poor, sigmoid(a) = D(G(z)) is near 0,
    so the derivative of log(1 - D(G(z))) vanishes, and that of -log D(G(z)) is at its largest.
    Section 3 of the paper recommends the latter, the non-saturating loss, and it is the default
    here. `loss` selects another.

With labels  (Mirza & Osindero 2014)
    If G is to generate a seven on request, both networks must also receive the class of each image.
    The class is given by C further numbers, 1 for its class and 0 for the others ("one-hot"), which
    accompany the noise and the image. G cannot ignore them, because D sees them as well, and a real
    image never has the label of another class. D therefore recognises a good-looking three with the
    label 7 as a fake. Each fake has the label of a real image in the same batch. The label is a
    constant, so G receives only the gradient of the image.

    Labels also make the images better, because they tell both networks which strokes belong
    together. For this purpose they need not mean anything: groups of similar images, found without
    labels (datasets/clusters.py), help nearly as much. The recipe `default` uses such clusters.

With augmentation
    Few images are soon memorised by D. Random changes of all images that D sees, `transforms`,
    prevent this (augment.py). In the generator step, the gradient that D returns belongs to the
    changed fakes, and augment_backward turns it into that of the fakes.

With a loss on pairs
    A relativistic loss (see losses.py) depends on d = D(x) - D(G(z)) of a real image and a fake at
    the same position in the batch. D's step is the same, except that the derivative for the fake is
    the negative of that for the real image. Both logits are needed before either backward. G's step
    needs real images as well: they pass forward through D, and only the fakes have a backward. As
    Huang et al. 2024 do, we take a fresh batch of real images and new noise for it, so that G does
    not meet the very images on which D has just been trained. With labels, each fake has the label
    of the real image that it is paired with.

    In place of the two scores, D's step returns the mean of d, and the share of pairs that D ranks
    correctly, d > 0.

In parts
    The gradient is a sum over the images, divided by N. If a batch is split into parts, each part
    can therefore compute its own contribution to the sum: `batch_size` says what N is, and the
    gradients that the parts hand to their optimizers add up to that of the batch
    (accel/process_group.py). The losses and scores are means over the part.

Shapes
    real and fake (N, ...), within [-1, 1], in the shape that D takes; z (N, Z), with mean 0 and
    variance 1; labels None or (N, C); transforms None or integers (N, 2, 3), for the real image and
    the fake at each position; logits (N, 1). Losses and scores, the means of D(x) and D(G(z)), are
    arrays of shape () on the device; float() copies them to the host.

>>> import numpy as np
>>> from minigan.gan.models import make_discriminator, make_generator
>>> from minigan.nn.optim import Adam
>>> a = np.array([[NON_SATURATING.equilibrium_logit(0.9)]])    # the logit of a D that outputs 0.45
>>> real_loss, fake_loss = (NON_SATURATING.discriminator_loss(a, t)[0].item() for t in (0.9, 0.0))
>>> round(real_loss + fake_loss, 3), round(NON_SATURATING.generator_loss(a)[0].item(), 3)
(1.376, 0.799)
>>> rng = np.random.default_rng(0)
>>> G, D = make_generator(2, [8], 4, rng=rng), make_discriminator(4, [8], rng=rng)
>>> optimizer_G, optimizer_D = Adam(G.theta, lr=0.01), Adam(D.theta, lr=0.01)
>>> real = np.tile(np.float32([[1, -1, 1, -1]]), (16, 1))      # all real images are equal
>>> for step in range(300):
...     z = rng.standard_normal((16, 2), dtype="float32")
...     loss_D, score_real, score_fake = discriminator_step(G, D, optimizer_D, real, z, rng=rng)
...     z = rng.standard_normal((16, 2), dtype="float32")
...     loss_G = generator_step(G, D, optimizer_G, z, rng=rng)
>>> G.forward(z)[0][0].round(1).tolist()                       # the fakes resemble real images
[1.0, -1.0, 1.0, -1.0]
"""

from collections.abc import Callable
from typing import Any

from minigan.backend import Array, get_array_module
from minigan.gan.augment import augment, augment_backward
from minigan.gan.losses import NON_SATURATING, AdversarialLoss
from minigan.nn.sequential import Sequential


def with_labels(x: Array, labels: Array | None) -> Any:
    """The input of a conditional network, (x, labels); without labels, x alone."""
    return x if labels is None else (x, labels)


def real_and_fake(real: Array, fake: Array, labels: Array | None) -> Any:
    """The input of D for N real images and then N fakes, (N, ...) each, with the same labels.

    Raises ValueError if they differ in shape.
    """
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(
            f"the real images have the shape {real.shape[1:]}, but G generates {fake.shape[1:]}:"
            " use images of that shape, or change G"
        )
    concatenate = get_array_module(real).concatenate
    return with_labels(
        concatenate([real, fake]), None if labels is None else concatenate([labels, labels])
    )


def generate_fakes(G: Sequential, z: Array, *, labels: Array | None = None, rng: Any) -> tuple:
    """(N fakes, cache of G), from noise z (N, Z)."""
    return G.forward(with_labels(z, labels), train=True, rng=rng)


def check_counts(real: Array, z: Array, fakes: tuple | None) -> None:
    """Raise ValueError unless there are as many fakes as real images in D's step.

    With other counts, the two halves of D's batch would be separated in the wrong place.
    """
    n = len(z if fakes is None else fakes[0])
    if n != len(real):
        raise ValueError(f"{len(real)} real images but {n} fakes: use as many rows of z as images")


def augment_both(
    real: Array, fake: Array, transforms: Array | None, *, pixel_min: float
) -> tuple[Array, Array]:
    """Real images and fakes as D sees them; transforms (N, 2, 3), or None for no change."""
    of_real, of_fake = split_transforms(transforms)
    return (
        augment(real, of_real, pixel_min=pixel_min),
        augment(fake, of_fake, pixel_min=pixel_min),
    )


def split_transforms(transforms: Array | None) -> tuple[Array | None, Array | None]:
    """The transforms of real images and those of fakes, each (N, 3) or None."""
    return (None, None) if transforms is None else (transforms[:, 0], transforms[:, 1])


def discriminator_step(
    G: Sequential,
    D: Sequential,
    optimizer: Any,
    real: Array,
    z: Array,
    *,
    labels: Array | None = None,
    real_label: float = 1.0,
    loss: AdversarialLoss = NON_SATURATING,
    penalty: Callable | None = None,
    fakes: tuple | None = None,
    transforms: Array | None = None,
    pixel_min: float = -1.0,
    batch_size: int = 0,
    rng: Any,
) -> tuple[Array, Array, Array]:
    """Train D on N real images (N, ...) and N fakes.

    Returns (loss, mean D(x), mean D(G(z))), or for a loss on pairs (loss, mean d, share of d > 0),
    each of shape (). `fakes` is the result of generate_fakes for z, if it has been computed before.
    A penalty is a further loss of D (see gradient_penalty.py):
    `penalty(D, real, fake, both=(logits, cache), labels=labels, rng=rng)` fills D.dtheta with its
    gradient, where `both` is the result of D's forward for the real images and the fakes. The
    returned loss does not include it. With `transforms`, D and the penalty receive changed images;
    `pixel_min` is the value of black. `batch_size` is the N of the whole batch, if real and z are
    only a part of it.
    """
    xp, n = get_array_module(real), len(real)
    check_counts(real, z, fakes)
    N = batch_size or n
    # the cache is discarded, so no gradient can flow back into G
    fake, _ = fakes or generate_fakes(G, z, labels=labels, rng=rng)
    real, fake = augment_both(real, fake, transforms, pixel_min=pixel_min)
    logits, cache = D.forward(real_and_fake(real, fake, labels), train=True, rng=rng)
    if loss.paired:
        d = logits[:n] - logits[n:]
        losses, dd = loss.discriminator_loss(d, real_label)
        dlogits = xp.concatenate([dd, -dd])
    else:
        targets = xp.zeros((2 * n, 1), dtype=real.dtype)
        targets[:n] = real_label
        losses, dlogits = loss.discriminator_loss(logits, targets)
    D.backward(dlogits / N, cache, need_dx=False)
    if penalty:
        add_penalty_gradient(penalty, D, real, fake, both=(logits, cache), labels=labels, rng=rng)
    optimizer.step(D.dtheta)

    if loss.paired:
        return losses.mean(), d.mean(), share_above_0(d)
    scores = loss.score(logits)
    return 2 * losses.mean(), scores[:n].mean(), scores[n:].mean()


def generator_step(
    G: Sequential,
    D: Sequential,
    optimizer: Any,
    z: Array,
    *,
    labels: Array | None = None,
    loss: AdversarialLoss = NON_SATURATING,
    fakes: tuple | None = None,
    real: Array | None = None,
    transforms: Array | None = None,
    pixel_min: float = -1.0,
    batch_size: int = 0,
    rng: Any,
) -> Array:
    """Train G to generate images that D considers real, from noise z (N, Z).

    Returns the loss, of shape (). `fakes` is the result of generate_fakes for z, if it has been
    computed before with the same G. Only a loss on pairs needs real images, (N, ...). `batch_size`
    is the N of the whole batch, if z is only a part of it.
    """
    N = batch_size or len(z)
    fake, cache_G = fakes or generate_fakes(G, z, labels=labels, rng=rng)
    of_real, of_fake = split_transforms(transforms)
    seen = augment(fake, of_fake, pixel_min=pixel_min)
    logits, cache_D = D.forward(with_labels(seen, labels), train=True, rng=rng)
    if loss.paired:
        if real is None:
            raise ValueError("with a loss on pairs, generator_step needs real images: real=...")
        real = augment(real, of_real, pixel_min=pixel_min)
        logits_real, _ = D.forward(with_labels(real, labels), train=True, rng=rng)
        losses, dd = loss.generator_loss(logits_real - logits)
        dlogits = -dd
    else:
        losses, dlogits = loss.generator_loss(logits)
    dseen = D.backward(dlogits / N, cache_D, need_dparams=False)
    dfake = augment_backward(dseen, of_fake)
    G.backward(dfake, cache_G, need_dx=False)
    optimizer.step(G.dtheta)
    return losses.mean()


def discriminator_step_two_passes(
    G: Sequential,
    D: Sequential,
    optimizer: Any,
    real: Array,
    z: Array,
    *,
    labels: Array | None = None,
    real_label: float = 1.0,
    loss: AdversarialLoss = NON_SATURATING,
    penalty: Callable | None = None,
    fakes: tuple | None = None,
    transforms: Array | None = None,
    pixel_min: float = -1.0,
    batch_size: int = 0,
    rng: Any,
) -> tuple[Array, Array, Array]:
    """discriminator_step with one pass over the N real images (N, ...) and one over the N fakes.

    This is the form in the paper.
    """
    check_counts(real, z, fakes)
    N = batch_size or len(real)
    fake, _ = fakes or generate_fakes(G, z, labels=labels, rng=rng)
    real, fake = augment_both(real, fake, transforms, pixel_min=pixel_min)
    logits_real, cache_real = D.forward(with_labels(real, labels), train=True, rng=rng)
    logits_fake, cache_fake = D.forward(with_labels(fake, labels), train=True, rng=rng)
    if loss.paired:
        d = logits_real - logits_fake
        losses, dreal = loss.discriminator_loss(d, real_label)
        dfake = -dreal
    else:
        losses_real, dreal = loss.discriminator_loss(logits_real, real_label)
        losses_fake, dfake = loss.discriminator_loss(logits_fake, 0.0)
    D.backward(dreal / N, cache_real, need_dx=False)
    dtheta_real = D.dtheta.copy()  # the next backward replaces it
    D.backward(dfake / N, cache_fake, need_dx=False)
    D.dtheta += dtheta_real  # the gradient of a sum is the sum of the gradients
    if penalty:
        add_penalty_gradient(penalty, D, real, fake, labels=labels, rng=rng)
    optimizer.step(D.dtheta)
    if loss.paired:
        return losses.mean(), d.mean(), share_above_0(d)
    scores = loss.score(get_array_module(real).concatenate([logits_real, logits_fake]))
    return (
        losses_real.mean() + losses_fake.mean(),
        scores[: len(real)].mean(),
        scores[len(real) :].mean(),
    )


def share_above_0(d: Array) -> Array:
    """The share of the differences d (N, 1) that are above 0, of shape () and d's dtype."""
    return (d > 0).astype(d.dtype).mean()


def add_penalty_gradient(
    penalty: Callable,
    D: Sequential,
    real: Array,
    fake: Array,
    *,
    both: tuple | None = None,
    labels: Array | None,
    rng: Any,
) -> None:
    """Add the gradient of a penalty to D.dtheta; real and fake (N, ...)."""
    dtheta = D.dtheta.copy()  # the penalty's backward replaces it
    penalty(D, real, fake, both=both, labels=labels, rng=rng)
    D.dtheta += dtheta
