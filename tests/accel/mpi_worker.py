"""What test_mpi.py lets several processes do: `mpiexec -n 3 python mpi_worker.py CHECK`."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from test_process_group import SELECTED, train

from minigan.accel.mpi import start_group
from minigan.accel.process_group import ProcessGroup
from minigan.backend import asnumpy
from minigan.datasets.pixels import DataError
from minigan.gan.recipes import replace

# with real processes, each that is shared in another way: convolutions and shared fakes, batch norm
# in both networks, pairs with both penalties, random points and dropout, scores over the batch
REAL = (
    "default-conv",
    "dcgan",
    "dcgan, relativistic",
    "pairs, r1+r2",
    "wgan-gp, dropout",
    "augment, pairs",
    "keras-mlp-fixed",
)


def some(group):
    """A short form of `agree`."""
    agree(group, names=REAL[:2], steps=3)


def agree(group, *, names=REAL, steps=10):
    """A run on all processes is the run on one, to 1e-9, and all hold the same bits."""
    for name in names:
        alone, expected = train(SELECTED[name], steps=steps)
        gan, losses = train(SELECTED[name], group, steps=steps)
        np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-9, err_msg=name)
        for part, array in alone.arrays().items():
            np.testing.assert_allclose(gan.arrays()[part], array, rtol=0, atol=1e-9, err_msg=part)
        state = [asnumpy(array).tobytes() for array in gan.arrays().values()]
        assert group.gather(state) == [state] * group.size, name


def repeat(group):
    """Two runs on the same number of processes are equal bit for bit, in float32 as well."""
    recipe = replace(SELECTED["dcgan"], dtype="float32")
    (one, losses), (two, again) = (train(recipe, group, steps=5) for _ in range(2))
    assert losses.tobytes() == again.tobytes()
    for array, other in zip(one.arrays().values(), two.arrays().values()):
        assert array.tobytes() == other.tobytes()


def sums(group):
    """What a library that adds up arrays could get wrong without an error."""
    vector = np.arange(5.0) + group.rank
    group.add_up(vector)
    n = group.size
    np.testing.assert_array_equal(vector, n * np.arange(5.0) + n * (n - 1) / 2)
    transposed = np.arange(6.0).reshape(2, 3).T  # MPI would add it as it lies in memory
    try:
        group.add_up(transposed)
    except ValueError:
        pass
    else:
        raise AssertionError("a transposed array was added")
    for length in 1, n, 3 * n + 1:  # parts of unequal lengths, and empty ones
        vector = np.arange(length, dtype="float32") * (group.rank + 1)
        group.add_up_part(vector)
        part = group.rows(length)
        np.testing.assert_array_equal(
            vector[part], n * (n + 1) / 2 * np.arange(length, dtype="float32")[part]
        )
        vector = np.full(length, float(group.rank))
        group.collect(vector)
        lengths = [len(range(length)[ProcessGroup(rank, n).rows(length)]) for rank in range(n)]
        np.testing.assert_array_equal(vector, np.repeat(np.arange(n), lengths))
    # a loss that is NaN in one process only is NaN in all of them, and so is infinity
    for bad in np.nan, np.inf:
        loss = group.mean(np.float32(bad if group.rank == n - 1 else 1), 7)
        assert not np.isfinite(loss)
    assert group.gather(group.rank) == list(range(n))
    count, ones = group.all_reduce(2**24 + 1, np.ones((2, 3), "float32"))
    assert count == n * (2**24 + 1) and ones.shape == (2, 3) and (ones == n).all()


def errors(group):
    """An error of the first process is raised on all of them."""
    for expected in (OSError(28, "disk full"), None):

        def make(error=expected):
            if error:
                raise error
            return group.rank

        try:
            assert group.from_first(make) == 0
        except OSError as error:
            assert expected and error.strerror == "disk full"


def arrays(group):
    """Arrays that all processes of a host need are made by one of them, and are in memory once."""
    calls = [0]

    def make():
        calls[0] += 1
        images = np.arange(21, dtype="uint8").reshape(3, 7)
        return images, np.arange(3), "three", None

    def count():
        return sum(group.gather(calls[0]))

    images, labels, *rest = group.once_per_host(make, same="a")
    np.testing.assert_array_equal(images, np.arange(21).reshape(3, 7))
    assert labels.tolist() == [0, 1, 2] and labels.dtype == np.arange(3).dtype
    assert labels.flags.aligned and rest == ["three", None]
    assert not images.flags.writeable and count() == 1
    maps = Path("/proc/self/maps").read_text().splitlines()
    assert any("minigan-" in line and line.endswith("(deleted)") for line in maps), "not shared"
    # processes that do not read the same data each have their own
    mine = group.once_per_host(make, same=f"process {group.rank}")[0]
    assert mine.flags.writeable and count() == 1 + group.size
    # where no file can be written, so does each
    tempfile.tempdir = "/nowhere"
    found = group.once_per_host(make, same="a")[0]
    np.testing.assert_array_equal(found, images)
    assert count() == 1 + 2 * group.size
    tempfile.tempdir = None

    def fail():
        raise DataError("no images")

    try:
        group.once_per_host(fail, same="a")
    except DataError as error:
        assert str(error) == "no images"
    else:
        raise AssertionError("only the process that read the data failed")


if __name__ == "__main__":
    group = start_group()
    assert group.size > 1
    for check in sys.argv[1:]:
        globals()[check](group)
    if group.leads:
        print(f"{group.size} agree")
    group.finish(0)
