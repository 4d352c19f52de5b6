"""Exercise 8: a loss of your own (60 minutes)

Read before
    minigan/gan.py and minigan/losses.py.

The task
    D answers an image with one number, a: the higher, the more it takes the image for real. Think of prices for
    such answers: one that D pays for each real image, one that D pays for each fake, and one that G pays for each
    fake. Write them, and their gradients.

    Invent them; minigan/adversarial.py has five published games, to compare yours with afterwards. If nothing comes to
    mind, take the squares of Mao et al. 2017: D pays (a - 1)² for a real image and a² for a fake, and G
    pays (a - 1)². Any prices will do if they make a GAN:
    - the mean price of a batch does not depend on how many images there are in it;
    - D pays less when it is right than when it is wrong, and its gradients push both kinds of answers apart;
    - G pays less the more D takes its fakes for real; and its gradient does not fade away just when D is surest
      that they are fakes, as that of the 2014 formula does (gan.py says why);
    - and a small GAN learns with them. The checker trains one.

Shapes
    a_real and a_fake (N, 1); gradients like them, in their dtype; each L one number.

Check
    python -m pytest exercises -k loss

Hint
    Draw the three prices as curves over a, from -3 to 3, before you write a line. Where is each of them flat? There
    nobody learns. Then derive; and do not forget what the mean does to the slopes.
"""


def loss_of_D(a_real, a_fake):  # -> (L, da_real, da_fake)
    raise NotImplementedError("loss_of_D is not written yet")


def loss_of_G(a_fake):  # -> (L, da_fake)
    raise NotImplementedError("loss_of_G is not written yet")
