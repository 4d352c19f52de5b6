"""Data parallelism: a training step on parts of the batch, each on its own core.

The idea
    NumPy uses all cores for matrix products, but only one core for everything else, such as im2col,
    batch norm and activations, which are a third of the work in a convolutional network. Images
    pass through the network independently of each other, so the batch is split into equal parts,
    and one thread per core computes the whole step (gan/steps.py) for its part. Each thread has a
    replica of the networks, with the same parameters but its own gradients. (Krizhevsky 2014: data
    parallelism.)

Forward and backward
    All parts have the same size. The loss is a mean over the batch, so it equals the mean of the
    losses of the parts, and dtheta is the mean of the replicas' gradients. The optimizer receives
    this mean after all threads have finished. No parameter changes before that.

    Only batch norm needs the whole batch, because its sums are over all rows. Each replica sends
    the sum over its own part to the other replicas, waits for their sums, and adds all sums in the
    same order, so that all replicas get the same result, bit for bit. (Peng et al. 2018 do this
    between graphics cards.)

    The result does not depend on which thread is faster, so a run with the same number of replicas
    is reproducible bit for bit. With a different number of replicas, sums are computed in a
    different order and rounded differently.

>>> import numpy as np
>>> from minigan.gan.models import make_networks
>>> from minigan.gan.recipes import RECIPES
>>> from minigan.gan.steps import generator_step
>>> from minigan.nn.optim import SGD
>>> G, D = make_networks(RECIPES["dcgan"], (8, 8), rng=np.random.default_rng(0))
>>> optimizer = SGD(G.theta, lr=0.0)
>>> z = np.random.default_rng(1).standard_normal((6, 100), "float32")
>>> alone, dtheta = generator_step(G, D, optimizer, z, rng=None), G.dtheta.copy()
>>> parallel = DataParallel(G, D, 2)                                    # 3 examples each
>>> together = parallel.run(generator_step, G, optimizer, z, rng=None)
>>> np.allclose(together, alone), np.allclose(G.dtheta, dtheta, atol=1e-4 * abs(dtheta).max())
(True, True)
"""

import contextvars
import copy
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any

import numpy as np

from minigan.gan.steps import generate_fakes
from minigan.nn.layer import Layer
from minigan.nn.optim import NoOpOptimizer
from minigan.nn.sequential import Sequential

MAX_REPLICAS = 4  # more would wait for each other, because only one thread at a time runs Python


def data_parallel(G: Sequential, D: Sequential, n: int) -> "DataParallel | None":
    """DataParallel(G, D, n), with at most MAX_REPLICAS, or None where it does not apply.

    It does not apply on a single core, to networks without convolutions, which would gain nothing,
    or to networks with a layer whose class is not declared splittable.
    """
    layers = [*G.layers, *D.layers]
    convolutional = any(getattr(layer, "W", np.empty(0)).ndim == 4 for layer in layers)
    possible = n > 1 and convolutional and all(map(is_splittable, layers))
    return DataParallel(G, D, min(n, MAX_REPLICAS)) if possible else None


def is_splittable(layer: Layer) -> bool:
    """Whether the layer's own class is declared splittable; a subclass might mix examples."""
    return vars(type(layer)).get("splittable", False)


class DataParallel:
    """n replicas of G and D for training steps on NumPy.

    The replicas' layers are copies that are made once. They share the parameters, but later changes
    to other attributes of a layer do not reach them.
    """

    def __init__(self, G: Sequential, D: Sequential, n: int):
        import threadpoolctl  # imported here because a machine with a GPU does not need it

        self.G, self.D = G, D
        self.replicas = [(make_replica(G, i == 0), make_replica(D, i == 0)) for i in range(n)]
        self.threads = ThreadPoolExecutor(n - 1)
        self.blas = threadpoolctl.ThreadpoolController().select(user_api="blas")

    def generate_fakes(self, z: np.ndarray, *, labels: Any, rng: Any) -> list:
        """[generate_fakes(G, part of z) of a replica, for each part], the `fakes` of `run`."""

        def step(G, D, optimizer, z, **options):
            return generate_fakes(G, z, **options)

        return self.run_parts(step, self.make_parts([z], dict(labels=labels, rng=rng)))

    def run(
        self,
        step: Callable,
        net: Sequential,
        optimizer: Any,
        x: np.ndarray,
        *arrays: np.ndarray,
        **options: Any,
    ) -> np.ndarray:
        """Compute step(G, D, optimizer, x, *arrays, **options) in parts; net is the network that
        learns, G or D.

        x, the arrays, and the arrays among the options have N rows and are split. No layer and no
        penalty may use random numbers. The number of parts is the number of replicas or, if that
        does not divide N, the next smaller number that does.
        """
        parts = self.make_parts([x, *arrays], options)
        if len(parts) == 1:
            [(args, options)] = parts
            return step(self.G, self.D, optimizer, *args, **options)
        results = self.run_parts(step, parts)
        net.dtheta[...] = 0
        for G, D in self.replicas[: len(parts)]:
            net.dtheta += D.dtheta if net is self.D else G.dtheta
        net.dtheta /= len(parts)
        optimizer.step(net.dtheta)
        return np.mean(results, axis=0)

    def make_parts(self, arrays: list, options: dict) -> list:
        """[(arguments, options) of each part]; the number of parts divides N."""
        n = next(n for n in range(len(self.replicas), 0, -1) if len(arrays[0]) % n == 0)
        return [
            (args, dict(zip(options, values)))
            for args, values in zip(zip(*split(arrays, n)), zip(*split(options.values(), n)))
        ]

    def run_parts(self, step: Callable, parts: list) -> list:
        """[step(G, D, ..., *args, **options) of a replica, for each part], computed in parallel.

        Errors are raised after all threads have finished.
        """
        for network in self.G, self.D:
            network.check_views()
        n = len(parts)
        # queues[i][j] leads from replica i to replica j
        queues: list[list[SimpleQueue]] = [[SimpleQueue() for _ in range(n)] for _ in range(n)]

        def work(i):
            def all_reduce(*sums):
                for queue in queues[i]:
                    queue.put(sums)
                received = [row[i].get() for row in queues]
                for error in received:
                    if isinstance(error, BaseException):
                        raise error
                return [sum(parts) for parts in zip(*received)]

            G, D = self.replicas[i]
            G.compute_parts(all_reduce)
            D.compute_parts(all_reduce)
            try:
                args, options = parts[i]
                return step(G, D, NoOpOptimizer(), *args, **options)
            except BaseException as error:
                for queue in queues[i]:
                    queue.put(error)  # so that no replica waits forever for this one
                raise

        interval = sys.getswitchinterval()
        # the time in seconds after which a thread requests Python's lock; the default is 5e-3
        sys.setswitchinterval(1e-4)
        # each core has a replica, so one thread per matrix product is enough
        with self.blas.limit(limits=1):
            # the copied contexts contain np.errstate
            others = [
                self.threads.submit(contextvars.copy_context().run, work, i) for i in range(1, n)
            ]
            try:
                first = work(0)
            finally:
                wait(others)
                sys.setswitchinterval(interval)
        return [first, *(other.result() for other in others)]


def split(values: Any, n: int) -> list[list]:
    """For each value the list of its n parts; arrays are split along axis 0, a list consists of
    parts already, and everything else is repeated.
    """
    return [
        value
        if isinstance(value, list)
        else np.split(value, n)
        if isinstance(value, np.ndarray)
        else [value] * n
        for value in values
    ]


def make_replica(net: Sequential, first: bool) -> Sequential:
    """A network made of copies of net's layers, which shares net's theta.

    The first replica also shares net's buffers.
    """
    replica = Sequential.__new__(Sequential)
    replica.layers = [copy.copy(layer) for layer in net.layers]
    replica.bind_views(net.theta, net.buffers if first else net.buffers.copy())
    return replica
