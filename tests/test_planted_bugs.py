"""The tests are tested: bugs of the kind found in published NumPy GANs, each planted once.

Each is written into a copy of the package, and the tests that are named with it must then fail.

    python -m pytest tests/test_planted_bugs.py -v
"""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

BUGS = {  # name: page, {right: wrong}, the tests that must fail
    "stale cache between real and fake": ("dense.py", {
        "        return y, x\n": "        self.x = x\n        return y, x\n",
        "        check_dy(self, dy, (x": "        x = self.x\n        check_dy(self, dy, (x",
    }, ["test_layers.py::test_two_forwards_then_two_backwards[Dense]"]),
    "update inside backward": ("dense.py", {
        "            dy.sum(axis=0, out=self.db)": "            dy.sum(axis=0, out=self.db); self.W -= 0.01 * self.dW",
    }, ["test_layers.py::test_nothing_is_written_into_what_was_given[Dense]",
        "test_gan.py::test_the_discriminator_s_step_moves_the_discriminator_only[discriminator_step]"]),
    "sigmoid slope applied twice": ("losses.py", {
        "- t * z, sigmoid(z) - t": "- t * z, (sigmoid(z) - t) * sigmoid(z) * (1 - sigmoid(z))",
    }, ["test_losses.py::test_gradient_against_central_differences[hard-logits]",
        "test_gan.py::test_the_generator_s_gradient_against_central_differences"]),
    "mask from the gradient's sign": ("activations.py", {
        "dy * (slope + (1 - slope) * (y > 0)": "dy * (slope + (1 - slope) * (dy > 0)",
        "return dy * (y > 0)": "return dy * (dy > 0)",
    }, ["test_layers.py::test_gradients_against_central_differences[LeakyReLU]",
        "test_layers.py::test_gradients_against_central_differences[ReLU]"]),
    "transposed weight gradient": ("dense.py", {
        "array_module(x).matmul(x.T, dy, out=self.dW)": "self.dW[...] = (dy.T @ x).reshape(self.dW.shape)",
    }, ["test_layers.py::test_gradients_against_central_differences[Dense]",
        "test_layers.py::test_gradients_against_central_differences[Dense, square]"]),
    "missing mean over the batch": ("losses.py", {
        "slope / z.size": "slope",
    }, ["test_losses.py::test_gradient_against_central_differences[hard-logits]"]),
    "missing mean over the batch of a step": ("gan.py", {
        "D.backward(slope / n, cache": "D.backward(slope, cache",
    }, ["test_gan.py::test_one_batch_of_both_is_two_passes[1.0]",
        "test_gan.py::test_the_discriminator_s_gradient_against_central_differences[1.0]"]),
    "Adam without bias correction": ("optim.py", {
        "math.sqrt((1 - self.beta2) / (1 - self.beta2 ** self.t))": "math.sqrt(1 - self.beta2)",
        "self.lr * (1 - self.beta1) / (1 - self.beta1 ** self.t) / r": "self.lr * (1 - self.beta1) / r",
    }, ["test_optim.py::test_adam_by_hand",
        "test_optim.py::test_adam_moves_by_lr_at_first_whatever_the_gradient"]),
    "epsilon inside the root": ("optim.py", {
        "(array_module(q).sqrt(q) + eps)": "array_module(q).sqrt(q + eps * eps)",
    }, ["test_optim.py::test_epsilon_stands_outside_of_the_root",
        "test_optim.py::test_adam_by_hand"]),
    "dropout without rescale": ("dropout.py", {
        "round(self.rate * 2 ** 16), 1 / (1 - self.rate))": "round(self.rate * 2 ** 16), 1.0)",
    }, ["test_layers.py::test_forward_against_a_second_formula[Dropout, training]"]),
    "generator step that moves the discriminator": ("gan.py", {
        "D.backward(slope / len(z), cache_D, need_dparams=False)[:, :fake.shape[1]]\n":
            "D.backward(slope / len(z), cache_D)[:, :fake.shape[1]]; D.theta -= 1e-3 * D.dtheta\n",
    }, ["test_gan.py::test_the_generator_s_step_moves_the_generator_only"]),
    "the same fakes for both, with a way back into G": ("gan.py", {
        "    D.backward(slope / n, cache, need_dx=False)\n":
            "    G.backward(D.backward(slope / n, cache)[n:], _); G.theta -= 1e-3 * G.dtheta\n",
    }, ["test_gan.py::test_the_discriminator_s_step_moves_the_discriminator_only[discriminator_step]"]),
    "fakes that are shown with another's label": ("gan.py", {
        "both = xp.concatenate([join(real, labels), join(fake, labels)])":
            "both = xp.concatenate([join(real, labels), join(fake, labels if labels is None else labels[::-1])])",
    }, ["test_gan.py::test_with_labels_the_discriminator_s_gradient_against_central_differences[discriminator_step]"]),
    "labels of other images": ("game.py", {
        "labels = self.labels[self.rows()]": "labels = self.labels[self.rows() - 1]",
    }, ["test_game.py::test_each_image_comes_with_its_own_label"]),
    "float64 leaks in": ("activations.py", {
        "(1 - slope) * (y > 0).astype(y.dtype))": "(1 - slope) * (y > 0))",
    }, ["test_layers.py::test_shapes_and_dtype[float32-numpy-LeakyReLU]",
        "test_layers.py::test_shapes_and_dtype[float32-numpy-LeakyReLU, flat x]"]),
    "gradients that add up from step to step": ("dense.py", {
        "array_module(x).matmul(x.T, dy, out=self.dW)": "self.dW += x.T @ dy",
    }, ["test_layers.py::test_two_forwards_then_two_backwards[Dense]",
        "test_layers.py::test_gradients_against_central_differences[Dense]"]),
    "batch norm whose mean does not depend on x": ("batchnorm.py", {
        "        dx -= dbeta / R  ": "        # ",
    }, ["test_layers.py::test_gradients_against_central_differences[BatchNorm, training]",
        "test_layers.py::test_gradients_against_central_differences[BatchNorm, images]"]),
    "batch norm that samples with the batch's mean": ("batchnorm.py", {
        "        if train:\n            R, m = ": "        if True:\n            R, m = ",
    }, ["test_layers.py::test_forward_against_a_second_formula[BatchNorm, sampling]"]),
    "batch norm over one's own part of the batch": ("workers.py", {
        "[sum(parts) for parts in zip(*told)]": "[n * part for part in sums]",
    }, ["test_workers.py::test_parts_are_the_whole[dcgan-2]",
        "test_workers.py::test_parts_are_the_whole[default-conv-3]"]),
    "only the first worker's gradient": ("workers.py", {
        "self.players[:n]:\n            net.dtheta +=": "self.players[:1]:\n            net.dtheta +=",
    }, ["test_workers.py::test_parts_are_the_whole[dcgan-2]"]),
    "running averages kept by the last worker": ("workers.py", {
        "net.state if first else net.state.copy()": "net.state.copy() if first else net.state",
    }, ["test_workers.py::test_a_worker_s_parameters_are_the_network_s_own"]),
    "a worker that fails without a word": ("workers.py", {
        "                    queue.put(error)  # who waits": "                    pass  # who waits",
    }, ["test_workers.py::test_a_worker_that_fails_is_heard_and_nobody_waits[1]"]),
    "a penalty whose norm is taken over the wrong axis": ("penalties.py", {  # Zeleni9/pytorch-wgan#40
        "rows).sum(axis=1).reshape(-1, 1)": "rows).sum(axis=0)",
    }, ["test_penalties.py::test_the_price_by_its_definition[convolutions-wgan-gp]",
        "test_penalties.py::test_the_gradient_against_central_differences[dropout-wgan-gp]"]),
    "a penalty on the slope of the sigmoid": ("penalties.py", {  # hwalsuklee/tensorflow-generative-model-collections#14
        "    dx, dys = D.input_gradient(xp.ones_like(logits), caches)\n":
            "    from minigan.activations import sigmoid; p = sigmoid(logits)\n    dx, dys = D.input_gradient(p * (1 - p), caches)\n",
    }, ["test_penalties.py::test_the_price_by_its_definition[bends-r1]",
        "test_penalties.py::test_the_price_by_its_definition[convolutions-wgan-gp]",
        "test_penalties.py::test_the_masked_forward_of_the_page"]),
    "a penalty that lost its square": ("penalties.py", {  # wiseodd/generative-models#31
        "(over / xp.maximum(length, 1e-12) * (2 / len(g)))": "(xp.ones_like(over) / xp.maximum(length, 1e-12) / len(g))",
        "(over * over).mean()": "over.mean()",
    }, ["test_penalties.py::test_the_price_by_its_definition[convolutions-wgan-gp]",
        "test_penalties.py::test_the_gradient_against_central_differences[dropout-wgan-gp]"]),
    "a penalty that is priced but has no backward": ("penalties.py", {  # mlpack#2891, #3063
        "    D.double_backward(ddx, dys, caches)\n": "",
    }, ["test_penalties.py::test_the_gradient_against_central_differences[dropout-r1]",
        "test_penalties.py::test_the_gradient_against_central_differences[convolutions-wgan-gp]",
        "test_penalties.py::test_a_descent_along_it_makes_the_slope_what_it_should_be[r1]"]),
    "a penalty on the labels' slope, too": ("penalties.py", {
        "pixels = slice(0, dx.shape[1] - n_labels)": "pixels = slice(None)",
    }, ["test_game.py::test_a_penalty_is_on_the_pixels_slope_not_on_the_labels"]),
    "a double backward that forgets where the slope bends": ("network.py", {
        "if any(more is not None for more in dxs)": "if False",
    }, ["test_penalties.py::test_the_gradient_against_central_differences[bends-r1]",
        "test_penalties.py::test_double_backward_against_central_differences[Sequential]"]),
    "spectral norm whose sigma does not depend on W": ("spectral.py", {
        "(self.matrix(dV) - (dV * V).sum() * v[:, None] * u) / sigma": "self.matrix(dV) / sigma",
    }, ["test_layers.py::test_gradients_against_central_differences[SpectralNorm of Dense]",
        "test_penalties.py::test_double_backward_against_central_differences[SpectralNorm of Conv2D]",
        "test_spectral.py::test_a_penalty_through_it[r1]"]),
    "spectral norm that turns u while it samples": ("spectral.py", {
        "        if train:\n            self.u": "        if True:\n            self.u",
    }, ["test_spectral.py::test_a_round_of_power_iteration_in_every_training_step_and_none_in_sampling"]),
    "a hinge that never ends": ("adversarial.py", {
        "-s * (missing > 0).astype(a.dtype)": "-s + 0 * a",
    }, ["test_adversarial.py::test_slopes_against_central_differences[of_D-hinge]"]),
    "a generator that lowers the price of the wrong side": ("adversarial.py", {
        '"hinge": AdversarialLoss(hinge, lambda a: wasserstein(a, 1.0)': '"hinge": AdversarialLoss(hinge, lambda a: wasserstein(a, 0.0)',
    }, ["test_adversarial.py::test_prices_against_the_papers[hinge]"]),
    "a kernel that is turned around": ("conv.py", {
        "patches_and_products(x, how, self.W.reshape": "patches_and_products(x, how, self.W[::-1, ::-1].reshape",
    }, ["test_layers.py::test_forward_against_a_second_formula[Conv2D]",
        "test_layers.py::test_gradients_against_central_differences[Conv2D]"]),
    "a kernel that learns from the last few images only": ("patches.py", {
        "dW += rows.T @ dy[part]": "dW[...] = rows.T @ dy[part]",
    }, ["test_layers.py::test_products_of_patches_are_the_plain_way[7-1296-float64]"]),
    "patches that overlap overwrite each other": ("patches.py", {
        "+= rows[:, :, :, i, j]": "= rows[:, :, :, i, j]",
        "+= rows[j].reshape(-1, height, run)": "= rows[j].reshape(-1, height, run)",
    }, ["test_layers.py::test_gradients_against_central_differences[Conv2D]",
        "test_layers.py::test_forward_against_a_second_formula[ConvTranspose2D]"]),
    "weight decay that goes through Adam's moments": ("optim.py", {
        "adam(theta, g, s, q, self.beta1": "adam(theta, g + self.decay * theta, s, q, self.beta1",
    }, ["test_optim.py::test_decay_by_hand"]),
    "a resumed run that forgets Adam": ("game.py", {
        '("s", "q", "velocity")': '("velocity",)',
    }, ["test_checkpoint.py::test_cut_off_after_any_step_it_goes_on_as_if_nothing_had_been[5]"]),
    "a resumed run that draws the same noise again": ("game.py", {
        "(self.order, self.noise, self.dropout), counts": "(self.order, self.dropout), counts",
    }, ["test_checkpoint.py::test_cut_off_after_any_step_it_goes_on_as_if_nothing_had_been[5]"]),
    "NumPy where the device should compute": ("activations.py", {
        "y = array_module(x).tanh(x)": "import numpy; y = numpy.tanh(x)",
    }, ["test_layers.py::test_the_same_on_every_backend[float32-double-Tanh]"]),
    "the host waits in every step": ("gan.py", {
        "    return 2 * price.mean(), scores": "    return 2 * float(price.mean()), scores",
    }, ["test_gan.py::test_a_step_never_makes_the_host_wait[discriminator_step]"]),
}


def failed_tests(folder, tests):
    """Which of the tests fail in that copy."""
    result = subprocess.run([sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", "-c", ROOT / "setup.cfg",
                             "--rootdir", folder, *(str(folder / "tests" / test) for test in tests)],
                            cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True)
    assert "passed" in result.stdout or "failed" in result.stdout, result.stdout + result.stderr
    lines = result.stdout.replace("tests/", "").splitlines()
    return [test for test in tests if any(line.startswith(f"FAILED {test}") for line in lines)]


@pytest.fixture
def copy(tmp_path):
    for part in "minigan", "tests":
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize("page, changes, tests", BUGS.values(), ids=BUGS.keys())
def test_a_planted_bug_is_caught(copy, page, changes, tests):
    path = copy / "minigan" / page
    text = path.read_text(encoding="utf-8")
    for right, wrong in changes.items():
        assert text.count(right) == 1, f"{page} no longer says {right!r}"
        text = text.replace(right, wrong)
    path.write_text(text, encoding="utf-8")
    assert failed_tests(copy, tests) == tests


def test_without_a_bug_none_of_them_fails(copy):
    assert failed_tests(copy, sorted({test for _, _, tests in BUGS.values() for test in tests})) == []
