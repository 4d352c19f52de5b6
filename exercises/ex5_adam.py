"""Exercise 5: Adam, from the paper (30 minutes)

Read before
    minigan/nn/optim.py up to SGD; minigan/nn/sequential.py, "One flat vector"; and algorithm 1 of
    Kingma & Ba, "Adam: a method for stochastic optimization", 2015,
    https://arxiv.org/abs/1412.6980.

The task
    In the paper's letters, with g the gradient and all operations elementwise:

        before the first step   m = 0,  v = 0,  t = 0
        in every step           t = t + 1
                                m = beta1 m + (1 - beta1) g
                                v = beta2 v + (1 - beta2) g²
                                m^ = m / (1 - beta1^t)              (beta1^t: to the power of t)
                                v^ = v / (1 - beta2^t)
                                theta = theta - lr m^ / (sqrt(v^) + eps)

    Write `__init__` and `step`. theta is an array that belongs to a network: change it in place
    (theta -= ...), because the network continues to use that array. The next backward overwrites
    dtheta: do not keep a reference to it.

Shapes
    theta, dtheta, m and v are (P,), all of the dtype of theta.

Check
    python -m pytest exercises -k adam

Hint
    Which three values must be kept from step to step? m^ and v^ are not among them. Next, compute
    the first step by hand, for g = 0.001 and for g = 1000: what is m^ / sqrt(v^) in each case?
"""


class Adam:
    def __init__(self, theta, lr=1e-3, *, beta1=0.9, beta2=0.999, eps=1e-8):
        self.theta, self.lr, self.beta1, self.beta2, self.eps = theta, lr, beta1, beta2, eps
        raise NotImplementedError("Adam.__init__ is not written yet")  # what else must it keep?

    def step(self, dtheta):  # updates self.theta; returns nothing
        raise NotImplementedError("Adam.step is not written yet")
