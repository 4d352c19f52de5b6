"""Layers with kernels of their own against those of nn/: the same numbers, in fewer kernels.

On the fake CuPy, the CUDA code is compiled for the CPU (fake_cuda.py), which needs g++.
"""

import copy

import fake_cuda
import fake_cupy
import numpy as np
import pytest
from helpers import small
from test_fused_steps import HostDraws

from minigan.accel import device_batchnorm, device_conv, device_kernels
from minigan.accel.device_conv import IM2COL, DeviceConv2d, device_col2im, device_im2col
from minigan.accel.device_layers import DEVICE_LAYERS, device_network
from minigan.backend import asnumpy
from minigan.gan.recipes import RECIPES, replace
from minigan.nn.activations import LeakyReLU
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.dense import Dense
from minigan.nn.im2col import col2im, im2col
from minigan.nn.sequential import Sequential
from minigan.nn.spectral_norm import SpectralNorm
from minigan.training.state import TrainingState

needs_compiler = pytest.mark.skipif(not fake_cuda.COMPILER, reason="no g++")
pytestmark = needs_compiler
RNG = np.random.default_rng
IMAGES = RNG(0).integers(0, 256, (30, 8, 12), dtype=np.uint8)
CONVOLUTIONAL = [name for name in RECIPES if RECIPES[name].networks not in ("dense", "maxout")]
CONVS = {  # channels, kernel size, stride, padding, image
    "4 x 4, stride 2": (3, 4, 2, 1, (8, 8)),
    "one pixel": (2, 1, 1, 0, (3, 5)),
    "patches that overlap": (1, 6, 4, 1, (28, 28)),
    "not square": (2, (4, 3), (2, 1), (1, 2), (9, 6)),
    "gaps between windows": (2, 2, 3, 0, (8, 9)),
    "edge left over": (3, 3, 2, 0, (8, 8)),
    "as large as the image": (2, 5, 1, 0, (5, 5)),
}
every_conv = pytest.mark.parametrize("conv", CONVS.values(), ids=CONVS.keys())


def close(result, expected, dtype):
    """Equal up to rounding, relative to the largest number, or to 1 if that is smaller: with two
    rows, all that batch norm's backward returns is rounding.
    """
    result, expected = asnumpy(result), asnumpy(expected)
    assert result.dtype == expected.dtype == dtype and result.shape == expected.shape
    error, size = abs(result - expected).max(initial=0), abs(expected).max(initial=0)
    assert error <= (1e-5 * size + 1e-6 if dtype == "float32" else 1e-12 * size + 1e-14)


def normal(shape, dtype, seed=0, shift=0.0):
    return (RNG(seed).standard_normal(shape) + shift).astype(dtype)


def make_conv(kind, conv, dtype):
    channels, kernel_size, stride, padding, _ = conv
    options = dict(stride=stride, padding=padding, dtype=dtype, rng=RNG(1))
    layer = kind(channels, 5, kernel_size, **options)
    layer.b[...] = normal(5, dtype, 2)
    return layer


@every_conv
def test_both_kernels_against_slices(conv, device, dtype):
    layer = make_conv(Conv2d, conv, dtype)
    x = normal((4, *conv[4], conv[0]), dtype)
    geometry, rows = layer.geometry(x.shape), im2col(x, layer.geometry(x.shape))
    found = asnumpy(device_im2col(device.asarray(x), geometry, with_ones=True))
    np.testing.assert_array_equal(found[:, :-1], rows)
    assert (found[:, -1] == 1).all()
    found = asnumpy(device_im2col(device.asarray(x), geometry, with_ones=False))
    np.testing.assert_array_equal(found, rows)
    drows, bias = normal(rows.shape, dtype, 3), normal(conv[0], dtype, 4)
    expected = col2im(drows, x.shape, geometry)
    close(device_col2im(device.asarray(drows), x.shape, geometry), expected, dtype)
    with_bias = device_col2im(device.asarray(drows), x.shape, geometry, device.asarray(bias))
    close(with_bias, expected + bias, dtype)


def both(layers, device):
    """The network on NumPy, and the same one on a device with layers for it."""
    host, on_device = (Sequential(copy.deepcopy(layers)) for _ in range(2))
    net = device_network(on_device.to(device))
    assert net.theta is on_device.theta and net is not on_device
    for layer, plain in zip(net.layers, layers):
        assert type(layer) is DEVICE_LAYERS.get(type(plain), type(plain))
    return host, net


def compare(host, net, x, device, dtype, train=True):
    """Forward, backward and what it leaves out, on both."""
    (y, caches), (y_device, caches_device) = (
        each.forward(module.asarray(x), train=train) for each, module in ((host, np), (net, device))
    )
    close(y_device, y, dtype)
    close(net.buffers, host.buffers, dtype)
    dy = normal(y.shape, dtype, 5)
    for options in {}, dict(need_dx=False), dict(need_dparams=False):
        for each in host, net:
            each.dtheta[...] = 7
        dx = host.backward(dy, caches, **options)
        dx_device = net.backward(device.asarray(dy), caches_device, **options)
        close(net.dtheta, host.dtheta, dtype)
        assert (dx is None) == (dx_device is None) == (options == dict(need_dx=False))
        if dx is not None:
            close(dx_device, dx, dtype)


@every_conv
@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
def test_convolutions(kind, conv, device, dtype):
    host, net = both([make_conv(kind, conv, dtype), LeakyReLU()], device)
    compare(host, net, normal((4, *conv[4], conv[0]), dtype), device, dtype)


@every_conv
def test_double_backward(conv, device, dtype):
    host, net = both([make_conv(Conv2d, conv, dtype)], device)
    x = normal((4, *conv[4], conv[0]), dtype)
    results = []
    for each, module in (host, np), (net, device):
        y, caches = each.forward(module.asarray(x))
        dx, dys = each.input_gradient(module.asarray(normal(y.shape, dtype, 3)), caches)
        ddy, more = each.double_backward(module.asarray(normal(x.shape, dtype, 4)), dys, caches)
        assert more is None
        results.append((dx, ddy, each.dtheta))
    for on_host, on_device in zip(*results):
        close(on_device, on_host, dtype)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    "shape",
    [(2, 1), (9, 3), (3, 5, 4, 33), (40, 70), (130, 9, 8, 2)],
    ids=lambda shape: " x ".join(map(str, shape)),
)
def test_batch_norm(shape, train, device, dtype):
    """One feature, more than 32, and rows for one block and for many."""
    layer = BatchNorm2d(shape[-1], dtype=dtype)
    layer.gamma[...], layer.beta[...] = normal(shape[-1], dtype, 1), normal(shape[-1], dtype, 2)
    host, net = both([layer], device)
    compare(host, net, normal(shape, dtype, shift=3), device, dtype, train=train)


def test_a_large_mean_does_not_spoil_the_variance(device):
    """float32 numbers near 1000 with a variance of 1e-4: E[x²] - m² would be wrong altogether."""
    x = (1000 + 0.01 * RNG(0).standard_normal((300, 2))).astype("float32")
    host, net = both([BatchNorm2d(2)], device)
    host.forward(x, train=True), net.forward(device.asarray(x), train=True)
    np.testing.assert_allclose(asnumpy(net.buffers), host.buffers, rtol=1e-5)
    np.testing.assert_allclose(x.var(axis=0), 1e-4, rtol=0.2)
    same = device.asarray(np.full((300, 2), 1000, "float32"))
    assert (asnumpy(net.forward(same, train=True)[0]) == 0).all()  # beta


def test_a_batch_in_parts_is_left_to_the_plain_batch_norm(device):
    """all_reduce adds up the sums of all parts, and the kernels know nothing of it."""
    _, net = both([BatchNorm2d(3)], device)
    x, calls = device.asarray(normal((8, 3), "float32")), []

    def all_reduce(*sums):
        calls.append(len(sums))
        return sums

    net.layers[0].all_reduce = all_reduce
    y, caches = net.forward(x, train=True)
    net.backward(y, caches)
    assert calls == [2, 1, 2]


def test_what_is_refused_is_refused_in_the_same_words(device):
    host, net = both(
        [make_conv(Conv2d, CONVS["4 x 4, stride 2"], "float32"), BatchNorm2d(5)], device
    )
    for shape in (2, 1, 1, 3), (2, 8, 8, 2), (1, 2, 2, 3):
        messages = []
        for each, module in (host, np), (net, device):
            with pytest.raises(ValueError) as caught:
                each.forward(module.asarray(normal(shape, "float32")), train=True)
            messages.append(str(caught.value).replace("Device", ""))
        assert messages[0] == messages[1]


def test_arrays_too_large_for_32_bits_are_refused(monkeypatch):
    monkeypatch.setattr(device_kernels, "MAX_SIZE", 10)
    x = fake_cupy.asarray(normal((1, 3, 3, 1), "float32"))
    with pytest.raises(MemoryError):
        IM2COL.for_each(11, (x, fake_cupy.asarray(np.zeros(11, "float32"))))


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_training_steps(name, device):
    """Whole steps, penalties included, in float64: as with the layers of nn/."""
    gans = []
    for fused in True, False:
        recipe = replace(small(name), dtype="float64", penalty_every=1, d_warmup_steps=0)
        gan = TrainingState(recipe, IMAGES, xp=device, fused=fused)
        gan.noise, gan.dropout = HostDraws(1, device), HostDraws(2, device)
        losses = [[float(value) for value in gan.train_step()] for _ in range(4)]
        gans.append((gan, losses))
    (gan, losses), (plain, expected) = gans
    assert any(type(layer) is DeviceConv2d for layer in gan.D.layers)
    np.testing.assert_allclose(losses, expected, rtol=1e-9)
    for key, vector in gan.arrays().items():
        np.testing.assert_allclose(
            asnumpy(vector), asnumpy(plain.arrays()[key]), rtol=1e-7, atol=1e-9, err_msg=key
        )


def test_a_copy_has_views_of_its_own():
    """The moving average of G is a copy, and a view of W and b must be one of its own theta."""
    _, net = both([make_conv(Conv2d, CONVS["4 x 4, stride 2"], "float32")], fake_cupy)
    x = fake_cupy.asarray(normal((4, 8, 8, 3), "float32"))
    before = net.forward(x)[0].get()
    copied = copy.deepcopy(net)
    net.theta[...] = 0
    np.testing.assert_array_equal(copied.forward(x)[0].get(), before)
    copied.theta[...] = 0
    assert (copied.forward(x)[0].get() == 0).all()


def test_a_network_that_is_moved_back_to_numpy_computes_as_before():
    conv = [make_conv(kind, CONVS["one pixel"], "float64") for kind in (Conv2d, ConvTranspose2d)]
    conv[1].in_channels, conv[1].W, conv[1].dW = 5, *2 * [normal((1, 1, 5, 5), "float64", 8)]
    host, net = both([conv[0], BatchNorm2d(5, dtype="float64"), conv[1]], fake_cupy)
    compare(host, net.to(np), normal((4, 3, 5, 2), "float64"), np, "float64")
    host, net = both(conv[:1], fake_cupy)
    for each in host, net.to(np):
        dx, dys = each.input_gradient(*each.forward(np.ones((4, 3, 5, 2))))
        each.double_backward(dx, dys, each.forward(np.ones((4, 3, 5, 2)))[1])
    close(net.dtheta, host.dtheta, "float64")


def test_networks_that_nothing_would_change_are_left_alone():
    conv = [make_conv(Conv2d, CONVS["4 x 4, stride 2"], "float32")]
    spectral = Sequential([SpectralNorm(Dense(3, 2, rng=RNG(0)), rng=RNG(0))]).to(fake_cupy)
    for net in Sequential(copy.deepcopy(conv)), spectral:
        assert device_network(net) is net
    net = device_network(Sequential(conv).to(fake_cupy))
    assert device_network(net) is net


LAUNCHES = {"default": 117, "long": 117, "default-conv": 127, "dcgan": 138, "auto-write": 162}


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_launches_of_a_step(name):
    recipe = replace(RECIPES[name], batch_size=4, d_warmup_steps=0)
    images, counts = RNG(0).integers(0, 256, (8, 28, 28), dtype=np.uint8), []
    for fused in True, False:
        gan = TrainingState(recipe, images, xp=fake_cupy, fused=fused)
        gan.train_step()
        before = fake_cupy.launches
        with fake_cupy.no_sync():
            gan.train_step()
        counts.append(fake_cupy.launches - before)
    assert counts[0] == LAUNCHES[name] and counts[1] > 2 * counts[0]


def test_a_missing_synchronisation_is_noticed():
    """The fake device itself: without __syncthreads() the sums are wrong."""
    x, expected = fake_cupy.asarray(normal((70, 3), "float64")), None
    kernel = copy.copy(device_batchnorm.COLUMN_SUMS)
    for code in kernel.code, kernel.code.replace("__syncthreads();", ""):
        kernel.compiled, kernel.code = {}, code
        sums = fake_cupy.empty((2, 2, 3), "float64")
        numbers = device_kernels.int32(70, 3, 64, 0)
        kernel((2, 1), (32, 8), (x, x, sums), numbers)
        found = sums.get().sum(axis=0)
        if expected is None:
            expected = found
            np.testing.assert_allclose(found[0], x.get().sum(axis=0), rtol=1e-12)
    assert abs(found - expected).max() > 0.1


def test_nvrtc_compiles_every_kernel_for_a_card(dtype):
    """Needs CuPy and NVRTC (pip install nvidia-cuda-nvrtc), but no card."""
    nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc")
    try:
        nvrtc.getVersion()
    except RuntimeError as error:
        pytest.skip(f"no NVRTC: {error}")
    real = {"float32": "float", "float64": "double"}[dtype]
    modules = device_conv, device_batchnorm
    kernels = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, device_kernels.DeviceKernel)
    ]
    assert len(kernels) == 5
    for kernel in kernels:
        code = f"typedef {real} real;\n{kernel.code}"
        program = nvrtc.createProgram(code, "kernel.cu", (), ())
        nvrtc.compileProgram(program, ("-arch=sm_90", "-std=c++17"))
