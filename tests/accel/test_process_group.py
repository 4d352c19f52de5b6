"""A run shared by several processes equals the same run in one process.

Here threads take the place of the processes; test_mpi.py starts real ones.
"""

import copy
import sys
import threading
import types

import fake_cuda
import fake_cupy
import numpy as np
import pytest
from helpers import demo, small

from minigan.accel import mpi
from minigan.accel.cpu import host_share
from minigan.accel.process_group import ONE_PROCESS, ProcessGroup
from minigan.backend import BackendError, asnumpy
from minigan.gan.gradient_penalty import PENALTIES
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.recipes import RECIPES, replace, validate_recipe
from minigan.nn.layer import Layer
from minigan.nn.sequential import Sequential
from minigan.rng import RowsRng, random_uint16
from minigan.training.state import TrainingState

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
LABELS = np.arange(len(IMAGES)) % 3


class Threads:
    """What the threads of a group share."""

    def __init__(self, size):
        self.size, self.values = size, [None] * size
        self.barrier = threading.Barrier(size, timeout=20)

    def run(self, work):
        """[work(group) of each thread]; an error of any of them is raised."""
        found, errors = [None] * self.size, []

        def call(rank):
            try:
                found[rank] = work(ThreadGroup(rank, self))
            except BaseException as error:
                errors.append(error)
                self.barrier.abort()

        threads = [threading.Thread(target=call, args=[rank]) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise next(
                (e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0]
            )
        return found


class ThreadGroup(ProcessGroup):
    """A thread as one of several processes."""

    def __init__(self, rank, shared):
        super().__init__(rank, shared.size)
        self.shared = shared

    def gather(self, value):
        self.shared.values[self.rank] = copy.deepcopy(value)
        self.shared.barrier.wait()
        values = list(self.shared.values)
        self.shared.barrier.wait()
        return values

    def add_up(self, array):
        assert array.flags.c_contiguous
        array[...] = sum(self.gather(array))

    def add_up_part(self, vector):
        """As MPI does: the other parts are not the sum."""
        total = sum(self.gather(vector))
        part = self.rows(len(vector))
        vector[...] = np.nan
        vector[part] = total[part]

    def collect(self, vector):
        parts = [ProcessGroup(rank, self.size).rows(len(vector)) for rank in range(self.size)]
        for part, other in zip(parts, self.gather(vector)):
            vector[part] = other[part]

    def from_first(self, make):
        return self.gather(make() if self.leads else None)[0]


def train(recipe, group=ONE_PROCESS, steps=10, xp=np, images=IMAGES):
    """A GAN after some steps, and their losses and scores."""
    labels = dict(labels=LABELS, n_classes=3) if recipe.conditional else {}
    gan = TrainingState(recipe, images, group=group, xp=xp, **labels)
    losses = np.array([[float(value) for value in gan.train_step()] for _ in range(steps)])
    gan.collect_optimizers()
    return gan, losses


def assert_same_run(recipe, size, **options):
    """A run on `size` processes equals that on one, to the rounding of float64."""
    alone, expected = train(recipe, **options)
    for gan, losses in Threads(size).run(lambda group: train(recipe, group, **options)):
        np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-9)
        for (name, array), other in zip(alone.arrays().items(), gan.arrays().values()):
            np.testing.assert_allclose(
                asnumpy(other), asnumpy(array), rtol=0, atol=1e-9, err_msg=name
            )
        assert gan.save()[1] == alone.save()[1]  # all generators are where they would be


def together(name, loss="", penalty="", **changes):
    """A tiny recipe with that loss and penalty ("none": without one), or None if they exclude each
    other.
    """
    recipe = replace(small(name), dtype="float64", batch_size=7)
    changes = {"loss": loss or recipe.loss, "penalty": penalty or recipe.penalty, **changes}
    changes["penalty"] = changes["penalty"].replace("none", "")
    if GAN_LOSSES[changes["loss"]].paired:
        changes |= {"shared_fakes": False}
    if changes.get("conditional"):
        changes |= {"clusters": 0}
    recipe = replace(recipe, **changes)
    try:
        validate_recipe(recipe)
    except ValueError:
        return None
    return recipe


COMBINATIONS = {
    (name, loss, penalty): recipe
    for name in RECIPES
    for loss in GAN_LOSSES
    for penalty in ("none", *PENALTIES)
    if (recipe := together(name, loss, penalty))
}
# every recipe as it is, every loss and penalty once, and what is hard to share
SELECTED = {
    **{name: together(name) for name in RECIPES},
    **{loss: together("default", loss, "none") for loss in GAN_LOSSES},
    **{
        f"dcgan, {loss}": together("dcgan", loss, "none")
        for loss in ("wasserstein", "relativistic")
    },
    **{penalty: together("dense", "", penalty) for penalty in PENALTIES},
    "pairs, r1+r2": together("default-conv", "relativistic", "r1+r2"),
    "wgan-gp, dropout": together("dense", "wasserstein", "wgan-gp", dropout=0.4),
    "dcgan, dropout": together("dcgan", dropout=0.4),
    "augment": together("default-conv", augment="flip,shift"),
    "augment, pairs": together("dense", "relativistic", augment="flip,shift"),
    "conditional": together("auto-write", conditional=True),
    "spectral": together("dense", "hinge", "none", spectral=True),
}


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", SELECTED)
def test_a_shared_run_is_the_same_run(name, size):
    assert_same_run(SELECTED[name], size)


def test_every_combination_is_listed():
    assert len(COMBINATIONS) > 100 and None not in SELECTED.values()


@pytest.mark.long
@pytest.mark.parametrize("name, loss, penalty", list(COMBINATIONS)[::5])
def test_recipes_with_losses_and_penalties(name, loss, penalty):
    """Every fifth; `python benchmarks/parallel.py agree` runs all, in real processes."""
    assert_same_run(COMBINATIONS[name, loss, penalty], 4, steps=20)


@pytest.mark.parametrize("name", ["dcgan", "keras-mlp-fixed", "default"])
def test_a_shared_run_on_a_device(name):
    assert_same_run(SELECTED[name], 2, steps=3, xp=fake_cupy)


def test_an_mpi_that_reads_devices_is_given_the_arrays_on_them(monkeypatch):
    """After all work on them has ended."""
    monkeypatch.setattr(ThreadGroup, "reads_devices", True)
    waited = len(fake_cuda.synchronized)
    seen = []

    def add_up(group, array):
        seen.append((type(array), len(fake_cuda.synchronized) > waited))
        array._host[...] = sum(group.gather(array._host))

    monkeypatch.setattr(ThreadGroup, "add_up", add_up)

    def work(group):
        vector = fake_cupy.asarray(np.full(3, group.rank + 1.0))
        group.add_up_vector(vector)
        return vector.tolist()

    assert Threads(2).run(work) == [[3.0] * 3] * 2
    assert seen == [(fake_cupy.Array, True)] * 2


def test_rows():
    assert ONE_PROCESS.rows(5) == slice(0, 5) and ONE_PROCESS.share(5) == 1
    for n, size in (7, 3), (12, 4), (3, 3):
        rows = [ProcessGroup(rank, size).rows(n) for rank in range(size)]
        lengths = [r.stop - r.start for r in rows]
        assert [r.start for r in rows] == [sum(lengths[:i]) for i in range(size)]
        assert sum(lengths) == n and lengths == sorted(lengths, reverse=True)
        assert lengths[0] - lengths[-1] == (n % size > 0)


@pytest.mark.parametrize("shape", [(3,), (5, 3), (1, 2, 2)])
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_the_numbers_of_some_rows(shape, blocks):
    """Whatever is drawn in between, also where 32 bits of a number are kept for later."""
    n, rows = 9, slice(2, 7)
    for bits in np.random.PCG64, np.random.MT19937:  # the second cannot skip
        whole, part = (np.random.Generator(bits(5)) for _ in range(2))
        of_part, counts = RowsRng(part, rows=rows, n=n), (blocks * n, blocks * 5)

        def selected(x):
            return x.reshape(blocks, n, *shape)[:, rows].reshape(counts[1], *shape)

        for _ in range(3):
            expected, found = (
                random_uint16(np, rng, (count, *shape))
                for rng, count in zip((whole, of_part), counts)
            )
            np.testing.assert_array_equal(found, selected(expected))
            for dtype in "float32", "float64":
                for method in "random", "standard_normal":
                    expected, found = (
                        getattr(rng, method)((count, *shape), dtype=dtype)
                        for rng, count in zip((whole, of_part), counts)
                    )
                    np.testing.assert_array_equal(found, selected(expected))
        assert str(whole.bit_generator.state) == str(part.bit_generator.state)


def test_a_count_of_rows_that_float32_cannot_hold():
    group = Threads(2).run(lambda group: group.all_reduce(2**24 + 1, np.ones(3, "float32")))
    for count, ones in group:
        assert count == 2**25 + 2 and type(count) is int
        assert ones.tolist() == [2, 2, 2] and ones.dtype == "float32"


def test_a_layer_that_cannot_be_shared_is_refused():
    class Mixing(Layer):
        mixes_examples = True

    gan, _ = train(SELECTED["default"], steps=0)
    with pytest.raises(ValueError, match="mixes the examples"):
        ProcessGroup(0, 2).share_networks(Sequential([*gan.D.layers, Mixing()]))


def test_the_first_difference():
    def facts(group):
        return group.first_difference({"version": 1, "data": group.rank == 2})

    assert Threads(3).run(facts) == [(2, "data")] * 3
    assert Threads(2).run(facts) == [None] * 2
    assert ONE_PROCESS.first_difference({"a": 1}) is None


# ---- the launcher ----


@pytest.fixture
def launched(monkeypatch):
    """Nothing has started this process; a test sets what a launcher would."""
    for rank, size in mpi.LAUNCHERS.items():
        monkeypatch.delenv(rank, raising=False)
        if size:
            monkeypatch.delenv(size, raising=False)
    return monkeypatch


def test_without_a_launcher_there_is_one_process(launched):
    launched.setitem(sys.modules, "mpi4py", None)  # an import would fail
    assert mpi.start_group() is ONE_PROCESS and mpi.launched_rank() == 0
    launched.setenv("PMI_RANK", "0")
    launched.setenv("PMI_SIZE", "1")  # mpiexec -n 1
    assert mpi.start_group() is ONE_PROCESS


@pytest.mark.parametrize("rank", [0, 1])
def test_without_mpi4py_one_sentence_says_what_to_install(rank, launched, tmp_path):
    launched.setitem(sys.modules, "mpi4py", None)
    launched.setenv("OMPI_COMM_WORLD_RANK", str(rank))
    launched.setenv("OMPI_COMM_WORLD_SIZE", "2")
    result = demo("--out", "run", cwd=tmp_path)
    assert result.returncode == 2 and not list(tmp_path.iterdir())
    assert result.stderr.count("mpi4py is missing") == (rank == 0)
    assert ("[mpi]" in result.stderr) == (rank == 0) and result.stderr.count("\n") == (rank == 0)


@pytest.mark.parametrize(
    "library, launcher, refused",
    [
        ("MPICH Version:      5.0.2", "OMPI_COMM_WORLD", True),
        ("Open MPI v5.0.11, package: Open MPI", "PMI", True),
        ("MPICH Version:      5.0.2", "PMI", False),
        ("Open MPI v5.0.11, package: Open MPI", "OMPI_COMM_WORLD", False),
    ],
)
def test_the_launcher_of_another_mpi(library, launcher, refused, launched):
    """Open MPI's mpiexec starts MPICH's library, which aborts, so it must not be initialised."""

    class Started(Exception):
        pass

    def init(level):
        raise Started

    MPI = types.SimpleNamespace(
        Get_library_version=lambda: library,
        Is_initialized=lambda: False,
        Init_thread=init,
        THREAD_FUNNELED=1,
    )
    launched.setitem(sys.modules, "mpi4py", types.SimpleNamespace(rc=lambda **options: None))
    launched.setitem(sys.modules, "mpi4py.MPI", MPI)
    launched.setenv(f"{launcher}_RANK", "0")
    launched.setenv(f"{launcher}_SIZE", "2")
    with pytest.raises(BackendError if refused else Started) as caught:
        mpi.start_group()
    assert not refused or library[:5] in str(caught.value)


def test_each_process_takes_its_share_of_the_cores_of_its_host():
    two, four, eight = (frozenset(range(n)) for n in (2, 4, 8))
    for processes, shares in (
        ([(2, two)], [2]),
        ([(2, two)] * 2, [1, 1]),
        ([(2, two)] * 3, [1, 1, 1]),  # more processes than cores
        ([(8, eight)] * 3, [2, 2, 2]),
        ([(2, eight)] * 2, [1, 1]),  # a container's quota of two cores
        ([(1, frozenset([i])) for i in range(4)], [1] * 4),  # bound, as by Open MPI
        ([(4, four), (4, eight - four)], [4, 4]),  # bound to halves of a machine
        ([(4, frozenset())] * 2, [2, 2]),  # an affinity that the system does not tell
    ):
        assert host_share(processes) == shares, processes


@pytest.mark.parametrize("size, chosen", [(1, []), (4, [0, 1, 0, 1])])
def test_each_process_takes_a_card(size, chosen, monkeypatch):
    """Two cards; one process keeps CuPy's own choice."""
    used = []

    def device(number):
        return types.SimpleNamespace(use=lambda: used.append(number))

    runtime = types.SimpleNamespace(getDeviceCount=lambda: 2)
    cuda = types.SimpleNamespace(Device=device, runtime=runtime)
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=cuda))
    for rank in range(size):
        group = ProcessGroup(rank, size)
        group.local_rank = rank
        group.choose_card()
    assert used == chosen
    monkeypatch.setitem(sys.modules, "cupy", None)  # load_backend reports it
    ProcessGroup(1, 2).choose_card()
