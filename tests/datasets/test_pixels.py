"""Averages of pixels; the other functions of datasets/pixels.py are tested where they are used."""

import numpy as np

from minigan.datasets.pixels import pixel_features

RNG = np.random.default_rng(0)


def test_pixel_features_are_averages():
    images = RNG.random((3, 16, 8)).astype("float32")
    small = pixel_features(images, (16, 8))
    assert small.shape == (3, 64)
    expected = images.reshape(3, 8, 2, 8).mean(axis=2)
    np.testing.assert_allclose(small.reshape(3, 8, 8), expected, rtol=1e-5)
    np.testing.assert_array_equal(pixel_features(images.reshape(3, -1), (16, 8)), small)
    assert pixel_features(images, (16, 8), size=4).shape == (3, 16)
    assert pixel_features(RNG.random((3, 6, 5)).astype("float32"), (6, 5)).shape == (3, 30)
    assert pixel_features(RNG.random((3, 29, 31)).astype("float32"), (29, 31)).shape == (3, 64)


def test_pixel_features_average_each_colour():
    images = RNG.random((3, 16, 8, 3)).astype("float32")
    features = pixel_features(images, (16, 8, 3))
    assert features.shape == (3, 3 * 64)
    for channel in range(3):
        grey = pixel_features(np.ascontiguousarray(images[..., channel]), (16, 8))
        np.testing.assert_allclose(features[:, 64 * channel : 64 * (channel + 1)], grey, rtol=1e-6)
