"""Exercise 9: a GAN for digits (45 minutes)

Read before
    minigan/gan/steps.py, and in minigan/gan/models.py the functions make_generator and
    make_discriminator, which build networks from a list of layers.

The task
    Write the two functions below, and train a GAN on the 60,000 digits in data/ with them. The two
    training steps are those of minigan, and all other parts are yours.

    make_networks returns the generator and the discriminator. Each is a Sequential of a few layers,
    with fewer than a million parameters. G ends with a Tanh. D ends with a logit, without a
    Sigmoid.

    train is a Python generator: it trains forever, and `yield`s the two losses after each step.
    Whoever calls it decides when to stop. In each epoch every image is shown once, in a new order,
    in batches of N. (The few images that are left over at the end of an epoch are skipped.) For
    each batch, D takes a step with N real images and noise z_D, and then G takes one with noise z_G
    (N, 64), standard normal numbers. Adam with a learning rate of 0.001, beta1=0 and beta2=0.99 is
    a good optimizer to begin with, and N = 64 a good size for a batch.

Shapes
    z (N, 64) -> G -> images (N, 784), from -1 to 1 -> D -> logits (N, 1); all are float32. `images`
    is (n, 784), bytes from 0 to 255. A loss is a number, or an array of shape ().

Check
    python -m pytest exercises -k digits         trains for 400 steps, which takes a few seconds
    python exercises/train_digits.py             trains for a minute and shows how digits emerge

Hint
    What do the bytes have to become before D may see them? Compare the range of a Tanh. Which
    function of a numpy.random.Generator gives the numbers from 0 to n - 1 in a random order?
"""

N, Z, PIXELS = 64, 64, 784


def make_networks(rng):  # -> (G, D); the layers need rng for their initial weights
    raise NotImplementedError("make_networks is not written yet")


def train(G, D, images, rng):  # after each step: yield loss_D, loss_G
    raise NotImplementedError("train is not written yet")
    yield
