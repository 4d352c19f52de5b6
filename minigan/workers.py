"""Workers: a move with the batch in parts, each part on a core of its own.

The idea
    NumPy's matrix products use all cores of the processor, everything else only one: in a network of
    convolutions patches, batch norm and activations, which are a third of its work. But an image needs no
    other one to find its way through the network. So the batch is cut into parts, one for each core, and with
    each part a thread plays the whole move (see gan.py). Who does that is called a worker: it has networks with
    the same parameters, and with gradients of its own. (Krizhevsky 2014: data parallelism.)

Forward, and backward
    All parts are equally large. So a loss, a mean over the batch, is the mean of those of the parts, and
    dtheta that of the workers'. The optimizer gets it when all have come to the end: until then no
    parameter moves.

    Batch norm alone looks at the whole batch: its sums are over all rows. There a worker tells the others
    the sum over its own part, waits for theirs, and adds up what all have told, in the same order as they
    do, so that all get the same, bit for bit. (Peng et al. 2018, between graphics cards.)

    Where the parts end does not depend on which thread is faster. So with as many workers a run is the same
    again, bit for bit. With more or fewer, numbers are added in another order, and rounded otherwise.

>>> import numpy as np
>>> from minigan.build import make_networks
>>> from minigan.gan import generator_step
>>> from minigan.optim import SGD
>>> from minigan.recipes import RECIPES
>>> G, D = make_networks(RECIPES["dcgan"], (8, 8), np.random.default_rng(0))
>>> optimizer, z = SGD(G.theta, lr=0.0), np.random.default_rng(1).standard_normal((6, 100), "float32")
>>> alone, dtheta = generator_step(G, D, optimizer, z, None), G.dtheta.copy()
>>> together = Workers(G, D, 2).move(generator_step, G, optimizer, z, None)          # 3 examples each
>>> np.allclose(together, alone), np.allclose(G.dtheta, dtheta, atol=1e-4 * abs(dtheta).max())
(True, True)
"""
import contextvars
import copy
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue

import numpy as np

from minigan.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.batchnorm import BatchNorm
from minigan.conv import Conv2D, ConvTranspose2D
from minigan.dense import Dense
from minigan.network import Sequential
from minigan.shapes import AveragePool2D, LabelPlanes, Maxout, Reshape, UpSample2D

CONVOLUTIONS = {Conv2D, ConvTranspose2D}
KNOWN = CONVOLUTIONS | {Dense, LeakyReLU, ReLU, Sigmoid, Tanh, BatchNorm, AveragePool2D, UpSample2D, Maxout, Reshape, LabelPlanes}
MOST = 4  # with more, they would wait for each other: only one thread at a time runs Python between two operations


def workers(G, D, n):
    """Workers(G, D, n), at most MOST. None for a single core; for networks without convolutions, where there is nothing to
    gain; and for those with layers that draw random numbers, or of which we do not know whether they mix images."""
    kinds = {type(layer) for net in (G, D) for layer in net.layers}
    return Workers(G, D, min(n, MOST)) if n > 1 and kinds & CONVOLUTIONS and kinds <= KNOWN else None


class Workers:
    """n workers for moves with G and D, on NumPy.

    Their layers are copies, made once: what is written into parameters they see, other changes of a layer they do not.
    """

    def __init__(self, G, D, n):
        import threadpoolctl  # here, so that a machine that only computes on its GPU can do without

        self.G, self.D = G, D
        self.players = [(sibling(G, i == 0), sibling(D, i == 0)) for i in range(n)]
        self.threads, self.blas = ThreadPoolExecutor(n - 1), threadpoolctl.ThreadpoolController().select(user_api="blas")

    def move(self, move, net, optimizer, x, *rest):
        """What move(G, D, optimizer, x, *rest) returns and does, of gan.py's; net is G or D, whichever learns; x (N, ...).

        All arrays in `rest` have N rows, and go into parts like x. No layer or penalty may want a random number. There are
        as many parts as there are workers or, where N cannot be divided by that, fewer.
        """
        n = next(n for n in range(len(self.players), 0, -1) if len(x) % n == 0)
        if n == 1:
            return move(self.G, self.D, optimizer, x, *rest)
        for player in self.G, self.D:
            player.check_views()
        told = self.together(move, [*zip(*(np.split(a, n) if isinstance(a, np.ndarray) else [a] * n for a in (x, *rest)))])
        net.dtheta[...] = 0
        for pair in self.players[:n]:
            net.dtheta += pair[net is self.D].dtheta
        net.dtheta /= n
        optimizer.step(net.dtheta)
        return np.mean(told, axis=0)

    def together(self, move, parts):
        """[move(G, D, ..., *part) of a worker for each part], all at the same time. Errors are raised when all have ended."""
        n = len(parts)
        post = [[SimpleQueue() for _ in range(n)] for _ in range(n)]  # post[i][j]: what worker i tells worker j

        def work(i):
            def total(*sums):
                for queue in post[i]:
                    queue.put(sums)
                told = [queues[i].get() for queues in post]
                for error in told:
                    if isinstance(error, BaseException):
                        raise error
                return [sum(parts) for parts in zip(*told)]

            G, D = self.players[i]
            for layer in G.layers + D.layers:
                layer.total = total
            try:
                return move(G, D, Later, *parts[i])
            except BaseException as error:
                for queue in post[i]:
                    queue.put(error)  # who waits for us shall not wait for ever
                raise

        patience = sys.getswitchinterval()
        sys.setswitchinterval(1e-4)  # seconds after which a thread asks another for Python's lock; usually 5e-3
        with self.blas.limit(limits=1):  # products need no more, now that every core has a worker
            others = [self.threads.submit(contextvars.copy_context().run, work, i) for i in range(1, n)]  # with our np.errstate
            try:
                first = work(0)
            finally:
                wait(others)
                sys.setswitchinterval(patience)
        return [first, *(other.result() for other in others)]


class Later:
    """A worker's optimizer: it leaves the learning to that of all workers."""

    @staticmethod
    def step(dtheta):
        """dtheta (P,) stays where it is."""


def sibling(net, first):
    """A network of copies of net's layers, with net's own theta. All keep running averages; those of the first are net's own."""
    made = Sequential.__new__(Sequential)
    made.layers = [copy.copy(layer) for layer in net.layers]
    made.place(net.theta, net.state if first else net.state.copy())
    return made
