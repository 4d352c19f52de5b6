"""Exercise 8: a loss of your own (60 minutes)

Read before
    minigan/gan/steps.py and minigan/nn/losses.py.

The task
    D outputs one number for an image, its score a: the higher, the more likely D considers the
    image to be real. Invent three losses for such scores: the loss of D for a real image, the loss
    of D for a fake, and the loss of G for a fake. Write them, and their gradients.

    minigan/gan/losses.py has five published pairs, to compare yours with afterwards. If you have no
    idea, take the squares of Mao et al. 2017: (a - 1)² for a real image and a² for a fake in D's
    loss, and (a - 1)² in G's loss. Any losses will do if they make a GAN:
    - the mean loss of a batch does not depend on the number of images in it;
    - D's loss is lower when D is right than when it is wrong, and its gradients push the scores of
      real images and fakes apart;
    - G's loss is lower the higher D scores its fakes, and its gradient does not vanish when D is
      certain that they are fakes, as the gradient of the 2014 formula does (steps.py says why);
    - a small GAN learns with them. The checker trains one.

Shapes
    a_real and a_fake (N, 1); each gradient has the shape and the dtype of its scores; each L is a
    scalar.

Check
    python -m pytest exercises -k loss

Hint
    Plot the three losses over a, from -3 to 3, before you write a line. Where is each of them flat?
    There the network does not learn. Next, differentiate them, and remember that the mean divides
    the gradient by N.
"""


def discriminator_loss(a_real, a_fake):  # -> (L, da_real, da_fake)
    raise NotImplementedError("discriminator_loss is not written yet")


def generator_loss(a_fake):  # -> (L, da_fake)
    raise NotImplementedError("generator_loss is not written yet")
