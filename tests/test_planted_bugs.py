"""The tests are tested: bugs of the kind found in published NumPy GANs, each planted once.

A bug is a few lines of Python that replace a function or a method. They are appended to a module in
a copy of the package, and the tests that are named with the bug must then fail.

    python -m pytest tests/test_planted_bugs.py -v
"""

import contextlib
import importlib
import io
import os
import shutil
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GRADIENTS = "nn/test_layers.py::test_gradients_against_central_differences"
DOUBLE = "gan/test_gradient_penalty.py::test_double_backward_against_central_differences"
FORWARD = "nn/test_layers.py::test_forward_against_a_second_formula"

BUGS = {  # name: module, the lines that are appended to it, the tests that must fail
    "stale cache between real and fake": (
        "nn/dense.py",
        """
        forward_, backward_ = Dense.forward, Dense.backward
        def forward(self, x, **options):
            self.x = x
            return forward_(self, x, **options)
        def backward(self, dy, cache, **options):
            return backward_(self, dy, self.x, **options)
        Dense.forward, Dense.backward = forward, backward
        """,
        ["nn/test_layers.py::test_two_forwards_then_two_backwards[Dense]"],
    ),
    "update inside backward": (
        "nn/dense.py",
        """
        backward_ = Dense.backward
        def backward(self, dy, cache, **options):
            dx = backward_(self, dy, cache, **options)
            if options.get("need_dparams", True):
                self.W -= 0.01 * self.dW
            return dx
        Dense.backward = backward
        """,
        [
            "nn/test_layers.py::test_arguments_are_not_modified[Dense]",
            "gan/test_steps.py::test_the_discriminator_step_changes_the_discriminator_only[discriminator_step]",
        ],
    ),
    "sigmoid's derivative applied twice": (
        "nn/losses.py",
        """
        def elementwise_bce(a, t):
            p = sigmoid(a)
            return softplus(a) - t * a, (p - t) * p * (1 - p)
        """,
        [
            "nn/test_losses.py::test_gradient_against_central_differences[hard-logits]",
            "gan/test_steps.py::test_the_generator_s_gradient_against_central_differences",
        ],
    ),
    "mask from the gradient's sign": (
        "nn/activations.py",
        """
        def leaky_relu_backward(dy, y, negative_slope):
            return dy * (negative_slope + (1 - negative_slope) * (dy > 0).astype(y.dtype))
        def relu_backward(dy, y):
            return dy * (dy > 0).astype(y.dtype)
        """,
        [f"{GRADIENTS}[LeakyReLU]", f"{GRADIENTS}[ReLU]"],
    ),
    "transposed weight gradient": (
        "nn/dense.py",
        """
        backward_ = Dense.backward
        def backward(self, dy, cache, **options):
            dx = backward_(self, dy, cache, **options)
            self.dW[...] = (dy.T @ cache).reshape(self.dW.shape)
            return dx
        Dense.backward = backward
        """,
        [f"{GRADIENTS}[Dense]", f"{GRADIENTS}[Dense, square]"],
    ),
    "missing mean over the batch": (
        "nn/losses.py",
        """
        def bce_with_logits(logits, targets):
            loss, dlogits = elementwise_bce(logits, targets)
            return loss.mean(), dlogits
        """,
        ["nn/test_losses.py::test_gradient_against_central_differences[hard-logits]"],
    ),
    "missing mean over the batch of a step": (
        "gan/steps.py",
        """
        step_ = discriminator_step
        def discriminator_step(G, D, optimizer, real, z, *, loss=NON_SATURATING, **options):
            def summed(a, t):
                losses, da = loss.discriminator_loss(a, t)
                return losses, da * len(real)
            wrong = loss._replace(discriminator_loss=summed)
            return step_(G, D, optimizer, real, z, loss=wrong, **options)
        """,
        [
            "gan/test_steps.py::test_one_pass_equals_two_passes[1.0]",
            "gan/test_steps.py::test_the_discriminator_s_gradient_against_central_differences[1.0]",
        ],
    ),
    "Adam without bias correction": (
        "nn/optim.py",
        """
        def step(self, dtheta):
            self.t += 1
            r = math.sqrt(1 - self.beta2)
            rate, kept = self.lr * (1 - self.beta1) / r, 1 - self.lr * self.weight_decay
            constants = self.beta1, self.beta2, rate, self.eps / r, kept
            adam(self.theta, dtheta, self.s, self.q, *constants)
        Adam.step = step
        """,
        [
            "nn/test_optim.py::test_adam_by_hand",
            "nn/test_optim.py::test_adam_s_first_step_is_lr_for_any_gradient",
        ],
    ),
    "epsilon inside the root": (
        "nn/optim.py",
        """
        def rmsprop_bias_corrected(theta, g, s, q, beta2, rate, eps, kept):
            q *= beta2
            q += g * g
            theta *= kept
            theta -= rate * s / (q + eps * eps) ** 0.5
        """,
        [
            "nn/test_optim.py::test_eps_is_outside_of_the_root",
            "nn/test_optim.py::test_adam_by_hand",
        ],
    ),
    "weight decay that goes through Adam's moments": (
        "nn/optim.py",
        """
        step_ = Adam.step
        def step(self, dtheta):
            decay, self.weight_decay = self.weight_decay, 0.0
            step_(self, dtheta + decay * self.theta)
            self.weight_decay = decay
        Adam.step = step
        """,
        ["nn/test_optim.py::test_weight_decay_by_hand"],
    ),
    "dropout without rescaling": (
        "nn/dropout.py",
        """
        apply_ = apply_dropout
        def apply_dropout(x, bits, threshold, scale):
            return apply_(x, bits, threshold, 1.0)
        """,
        [f"{FORWARD}[Dropout, training]"],
    ),
    "generator step that moves the discriminator": (
        "gan/steps.py",
        """
        step_ = generator_step
        def generator_step(G, D, *arguments, **options):
            loss = step_(G, D, *arguments, **options)
            D.theta -= 1e-3
            return loss
        """,
        ["gan/test_steps.py::test_the_generator_step_changes_the_generator_only"],
    ),
    "discriminator step with a way back into G": (
        "gan/steps.py",
        """
        step_ = discriminator_step
        def discriminator_step(G, D, optimizer, real, z, **options):
            results = step_(G, D, optimizer, real, z, **options)
            fake, cache = G.forward(with_labels(z, options.get("labels")))
            G.backward(fake, cache)
            G.theta -= 1e-3 * G.dtheta
            return results
        """,
        [
            "gan/test_steps.py::test_the_discriminator_step_changes_the_discriminator_only[discriminator_step]"
        ],
    ),
    "fakes that are shown with another's label": (
        "gan/steps.py",
        """
        step_ = discriminator_step
        def discriminator_step(G, D, optimizer, real, z, *, labels=None, **options):
            class Mixed:
                dtheta, backward = D.dtheta, D.backward
                def forward(self, x, **options):
                    images, both = x
                    both = both.copy()
                    both[len(real):] = both[len(real):][::-1]
                    return D.forward((images, both), **options)
            wrong = D if labels is None else Mixed()
            return step_(G, wrong, optimizer, real, z, labels=labels, **options)
        """,
        [
            "gan/test_steps.py::test_with_labels_the_discriminator_s_gradient_against_central_differences[discriminator_step]"
        ],
    ),
    "labels of other images": (
        "training/state.py",
        """
        choose_ = TrainingState.choose_images
        def choose_images(self):
            batch = choose_(self)
            if batch.labels is None:
                return batch
            return batch._replace(labels=self.labels[batch.indices - 1])
        TrainingState.choose_images = choose_images
        """,
        ["training/test_state.py::test_each_image_comes_with_its_own_label"],
    ),
    "float64 leaks in": (
        "nn/activations.py",
        """
        def leaky_relu_backward(dy, y, negative_slope):
            return dy * get_array_module(y).where(y > 0, 1.0, negative_slope)
        """,
        [
            "nn/test_layers.py::test_shapes_and_dtype[float32-numpy-LeakyReLU]",
            "nn/test_layers.py::test_shapes_and_dtype[float32-numpy-LeakyReLU, flat x]",
        ],
    ),
    "gradients that add up from step to step": (
        "nn/dense.py",
        """
        backward_ = Dense.backward
        def backward(self, dy, cache, **options):
            before = self.dW.copy()
            dx = backward_(self, dy, cache, **options)
            self.dW += before
            return dx
        Dense.backward = backward
        """,
        [
            "nn/test_layers.py::test_two_forwards_then_two_backwards[Dense]",
            f"{GRADIENTS}[Dense]",
        ],
    ),
    "batch norm whose mean does not depend on x": (
        "nn/batchnorm.py",
        """
        backward_ = BatchNorm2d.backward
        def backward(self, dy, cache, **options):
            centred, sd, R, shape = cache
            rows = dy.reshape(centred.shape)
            missing = rows.mean(axis=0) * self.gamma / sd if R else 0
            return backward_(self, dy, cache, **options) + missing
        BatchNorm2d.backward = backward
        """,
        [f"{GRADIENTS}[BatchNorm2d, training]", f"{GRADIENTS}[BatchNorm2d, images]"],
    ),
    "batch norm that samples with the batch's mean": (
        "nn/batchnorm.py",
        """
        forward_ = BatchNorm2d.forward
        def forward(self, x, *, train=False, rng=None):
            return forward_(self, x, train=True, rng=rng)
        BatchNorm2d.forward = forward
        """,
        [f"{FORWARD}[BatchNorm2d, sampling]"],
    ),
    "batch norm over one part of the batch only": (
        "accel/data_parallel.py",
        """
        replica_ = make_replica
        def make_replica(net, first):
            replica = replica_(net, first)
            for layer in replica.layers:
                if layer.mixes_examples:
                    class Alone(type(layer)):
                        all_reduce = property(lambda self: lambda *s: s, lambda self, f: None)
                    layer.__class__ = Alone
            return replica
        """,
        [
            "accel/test_data_parallel.py::test_parts_equal_the_whole_batch[dcgan-2]",
            "accel/test_data_parallel.py::test_parts_equal_the_whole_batch[conv-3]",
        ],
    ),
    "only the first replica's gradient": (
        "accel/data_parallel.py",
        """
        parts_ = DataParallel.run_parts
        def run_parts(self, step, parts):
            results = parts_(self, step, parts)
            for G, D in self.replicas[1:]:
                G.dtheta[...], D.dtheta[...] = 0, 0
            return results
        DataParallel.run_parts = run_parts
        """,
        ["accel/test_data_parallel.py::test_parts_equal_the_whole_batch[dcgan-2]"],
    ),
    "running averages kept by the last replica": (
        "accel/data_parallel.py",
        """
        replica_ = make_replica
        def make_replica(net, first):
            return replica_(net, not first)
        """,
        ["accel/test_data_parallel.py::test_replicas_share_parameters_but_not_gradients"],
    ),
    "a replica that fails silently": (
        "accel/data_parallel.py",
        """
        class Lost(SimpleQueue):
            def put(self, item):
                if not isinstance(item, BaseException):
                    super().put(item)
        SimpleQueue = Lost
        """,
        [
            "accel/test_data_parallel.py"
            "::test_the_error_of_a_replica_is_raised_and_no_other_waits[1-dcgan]"
        ],
    ),
    "a penalty whose norm is taken over the wrong axis": (  # Zeleni9/pytorch-wgan#40
        "gan/gradient_penalty.py",
        """
        def wrong(g):
            xp, rows = get_array_module(g), g.reshape(len(g), -1)
            length = xp.sqrt((rows * rows).sum(axis=0))
            excess = length - 1
            ddx = rows * (excess / xp.maximum(length, 1e-12) * (2 / len(g)))
            return (excess * excess).mean(), ddx.reshape(g.shape)
        PENALTIES["wgan-gp"] = wrong
        """,
        [
            "gan/test_gradient_penalty.py::test_the_penalty_against_its_definition[convolutions-wgan-gp]",
            "gan/test_gradient_penalty.py::test_the_gradient_against_central_differences[dropout-wgan-gp]",
        ],
    ),
    # hwalsuklee/tensorflow-generative-model-collections#14
    "a penalty on the gradient of the probability": (
        "gan/gradient_penalty.py",
        """
        from minigan.nn.activations import sigmoid
        def gradient_penalty(D, logits, caches, name, *, weight=1.0):
            p = sigmoid(logits)
            dx, dys = D.input_gradient(p * (1 - p), caches)
            P, ddx = PENALTIES[name](dx)
            ddx *= weight
            D.double_backward(ddx, dys, caches)
            return weight * P
        """,
        [
            "gan/test_gradient_penalty.py::test_the_penalty_against_its_definition[activations-r1]",
            "gan/test_gradient_penalty.py::test_the_penalty_against_its_definition[convolutions-wgan-gp]",
            "gan/test_gradient_penalty.py::test_the_derivation_in_the_docstring",
        ],
    ),
    "a penalty that lost its square": (  # wiseodd/generative-models#31
        "gan/gradient_penalty.py",
        """
        def wrong(g):
            xp, rows = get_array_module(g), g.reshape(len(g), -1)
            length = xp.sqrt((rows * rows).sum(axis=1).reshape(-1, 1))
            ddx = rows / xp.maximum(length, 1e-12) / len(g)
            return (length - 1).mean(), ddx.reshape(g.shape)
        PENALTIES["wgan-gp"] = wrong
        """,
        [
            "gan/test_gradient_penalty.py::test_the_penalty_against_its_definition[convolutions-wgan-gp]",
        ],
    ),
    "a penalty without a backward": (  # mlpack#2891, #3063
        "gan/gradient_penalty.py",
        """
        penalty_ = gradient_penalty
        def gradient_penalty(D, logits, caches, name, *, weight=1.0):
            before = D.dtheta.copy()
            P = penalty_(D, logits, caches, name, weight=weight)
            D.dtheta[...] = before
            return P
        """,
        [
            "gan/test_gradient_penalty.py::test_the_gradient_against_central_differences[dropout-r1]",
            "gan/test_gradient_penalty.py::test_the_gradient_against_central_differences[convolutions-wgan-gp]",
            "gan/test_gradient_penalty.py::test_gradient_descent_reduces_the_penalty[r1]",
        ],
    ),
    "a penalty on the gradient of the labels as well": (
        "nn/reshape.py",
        """
        double_ = ConcatLabels.double_backward
        def double_backward(self, ddx, dy, cache):
            ddy, dx = double_(self, ddx, dy, cache)
            ddy[:, -self.n_classes:] = dy[:, -self.n_classes:] / len(dy)
            return ddy, dx
        ConcatLabels.double_backward = double_backward
        """,
        [
            "training/test_state.py::test_a_penalty_is_on_the_gradient_of_the_pixels_not_of_the_labels"
        ],
    ),
    "a double backward that forgets second derivatives": (
        "nn/sequential.py",
        """
        def double_backward(self, ddx, dy, cache):
            for layer, layer_dy, layer_cache in zip(self.layers, dy, cache):
                ddx, _ = layer.double_backward(ddx, layer_dy, layer_cache)
            return ddx, None
        Sequential.double_backward = double_backward
        """,
        [
            "gan/test_gradient_penalty.py::test_the_gradient_against_central_differences[activations-r1]",
            f"{DOUBLE}[Sequential]",
        ],
    ),
    "spectral norm whose sigma does not depend on W": (
        "nn/spectral_norm.py",
        """
        def write_gradients(self, cache):
            self.dW[...], self.db[...] = self.layer.dW / cache[-1], self.layer.db
        SpectralNorm.write_gradients = write_gradients
        """,
        [
            f"{GRADIENTS}[SpectralNorm of Dense]",
            f"{DOUBLE}[SpectralNorm of Conv2d]",
            "nn/test_spectral_norm.py::test_a_gradient_penalty_through_it_against_central_differences[r1]",
        ],
    ),
    "spectral norm that changes u outside of training": (
        "nn/spectral_norm.py",
        """
        forward_ = SpectralNorm.forward
        def forward(self, x, *, train=False, rng=None):
            if not train:
                W = as_matrix(self.W)
                self.u[...] = unit_vector(unit_vector(W @ self.u) @ W)
            return forward_(self, x, train=train, rng=rng)
        SpectralNorm.forward = forward
        """,
        [
            "nn/test_spectral_norm.py::test_one_power_iteration_per_training_forward_and_none_in_sampling"
        ],
    ),
    "a hinge that never ends": (
        "gan/losses.py",
        """
        def wrong(a, t):
            s = 2 * t - 1
            return get_array_module(a).maximum(1 - s * a, 0), -s + 0 * a
        GAN_LOSSES["hinge"] = GAN_LOSSES["hinge"]._replace(discriminator_loss=wrong)
        """,
        [
            "gan/test_gan_losses.py::test_derivatives_against_central_differences[discriminator_loss-hinge]"
        ],
    ),
    "a generator that minimises the wrong side": (
        "gan/losses.py",
        """
        wrong = lambda a: wasserstein_loss(a, 0.0)
        GAN_LOSSES["hinge"] = GAN_LOSSES["hinge"]._replace(generator_loss=wrong)
        """,
        ["gan/test_gan_losses.py::test_losses_against_the_papers[hinge]"],
    ),
    "a kernel that is flipped": (
        "nn/conv.py",
        """
        def forward(self, x, *, train=False, rng=None):
            geometry = self.geometry(x.shape)
            y = im2col(x, geometry) @ self.W[::-1, ::-1].reshape(-1, self.out_channels) + self.b
            return y.reshape(len(x), *geometry[3], self.out_channels), x
        Conv2d.forward = forward
        """,
        [f"{FORWARD}[Conv2d]", f"{GRADIENTS}[Conv2d]"],
    ),
    "a kernel that learns from the last few images only": (
        "nn/im2col.py",
        """
        matmul_ = im2col_matmul
        def im2col_matmul(x, geometry, W=None, *, dy=None, dW=None):
            y = matmul_(x, geometry, W, dy=dy, dW=dW)
            if dW is not None:
                n = chunk_size(get_array_module(x), len(x), im2col(x[:1], geometry).size)
                first = (len(x) - 1) // n * n
                positions = math.prod(geometry[3])
                dW[...] = im2col(x[first:], geometry).T @ dy[first * positions:]
            return y
        """,
        ["nn/test_layers.py::test_im2col_matmul_equals_the_products_of_im2col[float64-7-1296]"],
    ),
    "overlapping windows that overwrite each other": (
        "nn/im2col.py",
        """
        def col2im(rows, shape, geometry):
            xp, (n, H, W, channels) = get_array_module(rows), shape
            (k, l), (s, t), (p, q), (height, width) = geometry
            rows = rows.reshape(n, height, width, k, l, channels)
            x = xp.zeros((n, H + 2 * p, W + 2 * q, channels), dtype=rows.dtype)
            for i in range(k):
                for j in range(l):
                    x[:, i : i + s * height : s, j : j + t * width : t] = rows[:, :, :, i, j]
            return x[:, p : p + H, q : q + W]
        def matmul_col2im(y, W, shape, geometry):
            return col2im(y @ W.reshape(-1, W.shape[3]).T, shape, geometry)
        """,
        [f"{GRADIENTS}[Conv2d]", f"{FORWARD}[ConvTranspose2d]"],
    ),
    "a resumed run that forgets Adam": (
        "training/state.py",
        """
        arrays_ = TrainingState.arrays
        def arrays(self):
            return {name: a for name, a in arrays_(self).items() if name[-2:] not in (".s", ".q")}
        TrainingState.arrays = arrays
        """,
        ["training/test_checkpoint.py::test_interrupted_after_any_step_it_ends_the_same[5]"],
    ),
    "a resumed run that repeats the same noise": (
        "training/state.py",
        """
        save_ = TrainingState.save
        def save(self):
            arrays, counts = save_(self)
            counts["streams"][1] = get_rng_state(make_rng(np, seed_of(self.seed, "noise")))
            return arrays, counts
        TrainingState.save = save
        """,
        ["training/test_checkpoint.py::test_interrupted_after_any_step_it_ends_the_same[5]"],
    ),
    "NumPy where the device should compute": (
        "nn/activations.py",
        """
        import numpy
        def forward(self, x, *, train=False, rng=None):
            y = numpy.tanh(x)
            return y, y
        Tanh.forward = forward
        """,
        ["nn/test_layers.py::test_the_same_on_every_backend[float32-fake-Tanh]"],
    ),
    "the host waits in every step": (
        "gan/steps.py",
        """
        step_ = discriminator_step
        def discriminator_step(*arguments, **options):
            loss, score_real, score_fake = step_(*arguments, **options)
            return float(loss), score_real, score_fake
        """,
        ["gan/test_steps.py::test_a_step_never_makes_the_host_wait[discriminator_step]"],
    ),
}


class Failures:
    """A pytest plugin that keeps the ids of the tests that fail, and counts those that run.

    A test that fails because the bug itself is broken Python has detected nothing.
    """

    BROKEN = ("NameError", "RecursionError", "SyntaxError", "AttributeError", "ImportError")

    def __init__(self):
        self.ids, self.count = set(), 0

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            self.count += 1
            if report.failed and not report.longrepr.reprcrash.message.startswith(self.BROKEN):
                self.ids.add(report.nodeid)


def is_ours(module):
    """Whether a module is one of minigan's, or one of its tests."""
    file = getattr(module, "__file__", None) or ""
    name = getattr(module, "__name__", "")  # mpi4py's has none
    return name.split(".")[0] == "minigan" or file.startswith(str(ROOT / "tests"))


@contextlib.contextmanager
def fresh_modules(folder):
    """minigan and its tests are imported anew, minigan from that folder, and afterwards forgotten.

    A process for each bug would do the same, but would take five times as long.
    """
    path, before = sys.path[:], {name: m for name, m in sys.modules.items() if is_ours(m)}
    place = Path.cwd()
    os.chdir(folder)  # for the tests that start a process
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    for name in before:
        del sys.modules[name]
    try:
        yield
    finally:
        os.chdir(place)
        sys.path[:] = path
        for name in [name for name, m in sys.modules.items() if is_ours(m)]:
            del sys.modules[name]
        sys.modules.update(before)


def failed_tests(folder, tests):
    """Which of the tests fail with the package in that folder, in a pytest within this one."""
    options = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", ROOT / "setup.cfg"]
    options += ["-o", "addopts=", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    names = [str(option) for option in (*options, *(ROOT / "tests" / test for test in tests))]
    failures, output = Failures(), io.StringIO()
    with fresh_modules(folder), contextlib.redirect_stdout(output):
        pytest.main(names, plugins=[failures])
    assert failures.count > 0, output.getvalue()
    return [test for test in tests if any(name.endswith(test) for name in failures.ids)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "minigan", folder / "minigan")
    return folder


QUICK = (  # one bug of each kind; the others are long tests
    "stale cache between real and fake",
    "sigmoid's derivative applied twice",
    "transposed weight gradient",
    "missing mean over the batch",
    "Adam without bias correction",
    "generator step that moves the discriminator",
    "float64 leaks in",
    "a penalty that lost its square",
    "a kernel that is flipped",
    "a resumed run that forgets Adam",
)


@pytest.mark.parametrize(
    "module, lines, tests",
    [
        pytest.param(*bug, id=name, marks=[pytest.mark.long] * (name not in QUICK))
        for name, bug in BUGS.items()
    ],
)
def test_a_planted_bug_is_caught(copy, module, lines, tests, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    with open(copy / "minigan" / module, "a", encoding="utf-8") as file:
        file.write("\n\n" + textwrap.dedent(lines))
    try:
        assert failed_tests(copy, tests) == tests
    finally:
        shutil.copy2(ROOT / "minigan" / module, copy / "minigan" / module)


@pytest.mark.long
def test_without_a_bug_none_of_them_fails(copy, monkeypatch):
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    tests = sorted({test for _, _, tests in BUGS.values() for test in tests})
    assert failed_tests(copy, tests) == []
