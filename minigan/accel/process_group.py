"""Process groups: one training run that is shared by several processes, on one machine or on many.

The idea
    A gradient is a mean over the N images of a batch. If n processes hold the same parameters, each
    of them can compute the part of the sum that belongs to its own images. Together they add up the
    parts, one vector of length P, and each makes the same step with the same sum. They therefore
    hold the same parameters again. Between two such sums they need nothing from each other. This is
    data parallelism: the data is divided, and every process has the whole network.

    The run is meant to be the same, not only a similar one. N is the size of the batch in all,
    whatever n is. Every process draws the random numbers of the whole batch, from generators with
    the same seeds, and keeps those of its own rows (see minigan/rng.py): images, noise, dropout,
    labels, random changes. What remains is the order in which numbers are added, hence rounding.

Why the sum of the parts is the gradient
    Let process k have n_k rows, and let g_r be the gradient of row r alone. Then

        dtheta = 1/N sum over all r of g_r = sum over k of (1/N sum over the r of process k of g_r)

    Each process divides by N and not by its n_k, so that the parts are added without weights, and
    N need not be a multiple of n. (With equal parts this is the mean of their mean gradients, which
    is how it is usually put.) A mean of losses or scores over n_k rows counts n_k / N. A gradient
    penalty is a mean over images as well, so its weight is multiplied by n_k / N.

Why batch norm needs two sums
    BatchNorm2d is the one layer whose output for a row depends on the other rows. Forward, it needs
    the mean of the whole batch and then the mean of (x - mean)², two sums of K numbers over all
    processes. (The squares could be summed in the same message and corrected afterwards, but where
    the mean is large that loses digits.) Backward, it needs the sums of dy and of dy xhat over all
    rows. With the sums of its own rows alone, each process would normalise a smaller batch, and the
    run would be another one. The layer calls `all_reduce`, which is the identity in one process.

Why each process updates only a part of the parameters
    With the whole sum, every process would make the same step of Adam for all P parameters, n times
    the same work. Instead, process k receives only its part of the sum, about P / n numbers, makes
    the step for these, and sends the new parameters to the others. Its optimizer needs memory for
    that part alone. (The first stage of ZeRO: Rajbhandari et al. 2020, section 5.1.) On a device a
    step of Adam is one kernel, and every process updates all of them.

What it costs
    Adding up P numbers over n processes moves 2 P (n - 1) / n of them through each process, however
    large n is (Patarasuk & Yuan 2009): half of them to add up the parts, and half to distribute the
    result. It makes no difference whether that is the sum or the new parameters. docs/parallel.md
    computes from where on it matters.

>>> import numpy as np
>>> from minigan.gan.models import make_discriminator, make_generator
>>> from minigan.gan.steps import generator_step
>>> from minigan.nn.optim import NoOpOptimizer
>>> rng = np.random.default_rng(0)
>>> G, D = make_generator(2, [8], 4, rng=rng), make_discriminator(4, [8], rng=rng)
>>> z = rng.standard_normal((5, 2), dtype="float32")
>>> loss = generator_step(G, D, NoOpOptimizer(), z, rng=None)
>>> dtheta, total, mean = G.dtheta.copy(), 0, 0
>>> for rank in range(2):                        # two processes, one after the other
...     group = ProcessGroup(rank, 2)
...     rows = group.rows(5)                     # 3 for the first, 2 for the second
...     mean += generator_step(G, D, NoOpOptimizer(), z[rows], batch_size=5, rng=None) * (
...         group.share(5)
...     )
...     total += G.dtheta
>>> bool(np.allclose(total, dtheta, atol=1e-7)), bool(np.isclose(mean, loss))
(True, True)
"""

import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from minigan.backend import Array, asnumpy, get_array_module
from minigan.gan.losses import AdversarialLoss
from minigan.nn.optim import OPTIMIZER_ARRAYS, SGD, Adam, chunks
from minigan.nn.sequential import Sequential
from minigan.rng import RowsRng


class ProcessGroup:
    """The processes of a run, as one of them sees them: `size` of them, of which it is number
    `rank`, counted from 0.

    This class is a group of one process. A larger group replaces `add_up`, `add_up_part`,
    `collect`, `gather`, `from_first`, `once_per_host`, `watch`, `crash` and `finish` (see mpi.py).
    """

    name = "this process"
    cores = 0  # the share of each process of its host's cores; 0: all
    local_rank = 0  # its number among the processes on the same host
    reads_devices = False  # whether add_up can add up arrays that are on a GPU

    def __init__(self, rank: int = 0, size: int = 1):
        self.rank, self.size = rank, size
        self.buffers: dict[int, Any] = {}  # memory on the host, by its length in bytes

    def __deepcopy__(self, memo: dict) -> "ProcessGroup":  # networks that know it can be copied
        return self

    @property
    def leads(self) -> bool:
        """Whether this process writes the run folder and the terminal: the first one does."""
        return self.rank == 0

    # ---- what a larger group replaces ----

    def add_up(self, array: Array) -> None:
        """Replace an array, on the host unless `reads_devices`, by its sum over all processes."""

    def add_up_part(self, vector: np.ndarray) -> None:
        """Replace this process's part of a vector (P,), its rows(P), by the sum over all processes.
        What the other parts then hold is undefined.
        """

    def collect(self, vector: np.ndarray) -> None:
        """Replace the parts of a vector (P,) that belong to other processes by what these hold."""

    def gather(self, value: Any) -> list:
        """[the value of each process], on all of them."""
        return [value]

    def from_first(self, make: Callable[[], Any]) -> Any:
        """make(), called by the first process only, on all of them; an error is raised on all."""
        return make()

    def once_per_host(self, make: Callable[[], Any], same: str) -> Any:
        """make(), which all processes call, but on each host only the first one does of those with
        the same `same`. The arrays in it, which nothing may change, are in memory that they share.
        """
        return make()

    def watch(self, advice: str) -> None:
        """From now on, print which process was killed, and `advice`, if one is."""

    def choose_card(self) -> None:
        """On a GPU, take the card of this process's number on its host, counted around.

        This comes before anything else is asked of CuPy, so that no process has memory on a card
        that it does not use. If CuPy does not work, load_backend says why.
        """
        if self.size == 1:
            return
        with suppress(Exception):
            cuda = importlib.import_module("cupy").cuda
            cuda.Device(self.local_rank % cuda.runtime.getDeviceCount()).use()

    def crash(self, error: Exception) -> None:
        """End all processes after an error that nobody foresaw."""

    def finish(self, status: int, sentence: object = None) -> tuple[int, object]:
        """What to end with, (exit status, error message or None), once all processes end."""
        return status, sentence

    # ---- the rows of this process ----

    def rows(self, n: int) -> slice:
        """The rows of this process in a batch of n. The first n mod size have one row more."""
        some, more = divmod(n, self.size)
        return slice(*(i * some + min(i, more) for i in (self.rank, self.rank + 1)))

    def share(self, n: int) -> float:
        """The share of this process's rows in a batch of n."""
        rows = self.rows(n)
        return (rows.stop - rows.start) / n

    def rows_rng(self, rng: Any, n: int) -> Any:
        """A generator that gives this process's rows the numbers they have in a batch of n."""
        return rng if self.size == 1 else RowsRng(rng, rows=self.rows(n), n=n)

    # ---- sums over the processes ----

    def all_reduce(self, *sums: Any) -> list:
        """The sums over all processes of numbers and arrays (K,), of the same types.

        They travel as one vector of float64, because a count of rows can need more digits than
        float32 has.
        """
        if self.size == 1:
            return list(sums)
        hosts = [
            np.asarray(part if isinstance(part, (int, float)) else asnumpy(part)) for part in sums
        ]
        vector = np.concatenate([host.astype("float64").ravel() for host in hosts])
        self.add_up(vector)
        ends = np.cumsum([host.size for host in hosts])
        found: list = []
        for part, host, values in zip(sums, hosts, np.split(vector, ends[:-1])):
            if isinstance(part, (int, float)):
                found.append(type(part)(values[0]))
            else:
                values = values.reshape(host.shape).astype(host.dtype)
                found.append(get_array_module(part).asarray(values))
        return found

    def add_up_vector(self, vector: Array) -> None:
        """Replace a gradient (P,), on the host or on a device, by its sum over all processes."""
        if self.size == 1:
            return
        if isinstance(vector, np.ndarray):
            self.add_up(vector)
            return
        cuda = get_array_module(vector).cuda
        if self.reads_devices:
            cuda.get_current_stream().synchronize()  # MPI does not know CuPy's streams
            self.add_up(vector)
            return
        if vector.nbytes not in self.buffers:  # page-locked memory, which the device copies fastest
            self.buffers[vector.nbytes] = cuda.alloc_pinned_memory(vector.nbytes)
        host = np.ndarray(vector.shape, vector.dtype, buffer=self.buffers[vector.nbytes])
        vector.get(out=host)
        self.add_up(host)
        vector.set(host)

    def mean(self, means: Any, n: int) -> Any:
        """The means over a batch of n, from the means over this process's rows: a tuple of arrays
        of shape (), or a single one.
        """
        if self.size == 1:
            return means
        parts = means if isinstance(means, tuple) else (means,)
        whole = self.all_reduce(*(np.asarray(asnumpy(m)) * self.share(n) for m in parts))
        xp = get_array_module(parts[0])
        found = tuple(xp.asarray(w, m.dtype)[()] for w, m in zip(whole, parts))
        return found if isinstance(means, tuple) else found[0]

    def summing(self, optimizer: Any) -> Any:
        """An optimizer whose gradients are added up over all processes before each step."""
        return optimizer if self.size == 1 else SummingOptimizer(optimizer, self)

    def collect_optimizer(self, optimizer: Any) -> None:
        """Give all processes the whole memory of an optimizer, whose parts they have updated."""
        if self.size > 1 and updates_parts(optimizer):
            for name in OPTIMIZER_ARRAYS:
                if hasattr(optimizer, name):
                    self.collect(getattr(optimizer, name))

    def whole_loss(self, loss: AdversarialLoss) -> AdversarialLoss:
        """The same loss; if its score depends on the logits of the whole batch, then on those of
        all processes.
        """
        if self.size == 1 or not loss.score_over_batch:
            return loss

        def score(a: Array) -> Array:
            parts = self.gather(asnumpy(a))
            start = sum(map(len, parts[: self.rank]))
            whole = loss.score(get_array_module(a).asarray(np.concatenate(parts)))
            return whole[start : start + len(a)]

        return loss._replace(score=score)

    def share_networks(self, *networks: Sequential) -> None:
        """Let the layers of networks add up their sums over all processes.

        Raises ValueError if a layer mixes examples but does not say that it can do this.
        """
        if self.size == 1:
            return
        for net in networks:
            for layer in net.layers:
                if layer.mixes_examples and not vars(type(layer)).get("splittable", False):
                    raise ValueError(
                        f"{layer!r} mixes the examples of a batch, and cannot be shared by"
                        " processes: see `splittable` in minigan/nn/layer.py"
                    )
            net.compute_parts(self.all_reduce)

    # ---- what the processes must have in common ----

    def first_difference(self, facts: dict[str, Any]) -> tuple[int, str] | None:
        """(rank, name) of the first of some facts that another process does not share with the
        first one; None if all agree.
        """
        everywhere = self.gather(facts)
        for name in everywhere[0]:
            for rank, found in enumerate(everywhere):
                if found.get(name) != everywhere[0][name]:
                    return rank, name
        return None


class SummingOptimizer:
    """An optimizer that receives the sum of the gradients of all processes.

    On the host, SGD and Adam then update this process's part of theta, and receive the rest. On a
    device, and with an optimizer of one's own, every process updates all of theta.
    """

    def __init__(self, optimizer: Any, group: ProcessGroup):
        self.optimizer, self.group = optimizer, group

    def step(self, dtheta: Array) -> None:
        """Add up dtheta (P,) in place, and take a step with the sum.

        Afterwards dtheta is that sum, or only this process's part of it is.
        """
        group, optimizer = self.group, self.optimizer
        if not updates_parts(optimizer):
            group.add_up_vector(dtheta)
            optimizer.step(dtheta)
            return
        group.add_up_part(dtheta)
        optimizer.chunks = chunks(optimizer.theta, group.rows(len(dtheta)))
        optimizer.step(dtheta)
        group.collect(optimizer.theta)


def updates_parts(optimizer: Any) -> bool:
    """Whether an optimizer can update a part of theta, and should: SGD and Adam, on the host."""
    return type(optimizer) in (SGD, Adam) and isinstance(optimizer.theta, np.ndarray)


ONE_PROCESS = ProcessGroup()
