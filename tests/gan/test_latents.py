"""Latents: their distributions, and the paths between them."""

import math

import numpy as np
import pytest

from minigan.gan.latents import (
    interpolate_latents,
    latent_grid,
    latent_walk,
    latents_for_each_class,
    one_hot,
    sample_latents,
    slerp,
)
from minigan.gan.recipes import RECIPES, replace


def test_slerp_stays_on_the_arc():
    a, b = np.array([3.0, 0.0, 0.0]), np.array([0.0, 3.0, 0.0])
    np.testing.assert_allclose(slerp(a, b, 0), a)
    np.testing.assert_allclose(slerp(a, b, 1), b, atol=1e-15)
    for t in 0.1, 0.5, 0.8:
        point = slerp(a, b, t)
        assert np.linalg.norm(point) == pytest.approx(3)  # never closer to 0
        assert math.atan2(point[1], point[0]) == pytest.approx(t * math.pi / 2)
    np.testing.assert_allclose(slerp(a, a, 0.3), a)
    assert np.isfinite(slerp(a, -a, 0.5)).all()


def test_slerp_of_different_lengths_goes_through_the_angle_between_them():
    a, b = np.array([5.0, 0.0]), np.array([0.0, 0.2])
    np.testing.assert_allclose(slerp(a, b, 0.5), (a + b) / math.sqrt(2))
    a, b = np.array([0.2, 0.0]), np.array([0.1, 0.1])
    t, w = 0.3, math.pi / 4
    expected = (math.sin((1 - t) * w) * a + math.sin(t * w) * b) / math.sin(w)
    np.testing.assert_allclose(slerp(a, b, t), expected)
    assert latent_walk(np.float32([a, b]), 3).dtype == "float32"


def test_a_grid_has_its_corners_and_a_walk_returns():
    corners = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
    points = latent_grid(corners, 5)
    assert points.shape == (25, 6) and points.dtype == "float32"
    np.testing.assert_allclose(points[[0, 4, 20, 24]], corners, rtol=1e-5)
    walk = latent_walk(corners, 7)
    assert walk.shape == (28, 6)
    np.testing.assert_allclose(walk[::7], corners, rtol=1e-5)
    np.testing.assert_allclose(walk[24], slerp(corners[3], corners[0], 3 / 7), rtol=1e-5)


@pytest.mark.parametrize("noise", ["normal", "uniform", "half-binary"])
def test_latents_have_mean_0_and_variance_1(noise, dtype):
    recipe = replace(RECIPES["default"], noise=noise, latent_dim=5, dtype=dtype)
    z = sample_latents(recipe, np.random.default_rng(0), 20_000)
    assert z.shape == (20_000, 5) and z.dtype == dtype
    assert abs(z.mean()) < 0.01 and z.var() == pytest.approx(1, abs=0.02)
    largest = math.sqrt(3) if noise == "uniform" else 3.5
    assert (abs(z).max() < largest) == (noise == "uniform")
    assert z.min() < -1.7 and z.max() > 1.7


@pytest.mark.parametrize("latent_dim", [1, 2, 5, 64])
def test_the_second_half_of_half_binary_latents_are_signs(latent_dim, dtype):
    """Of an odd number of latents, the larger part are signs."""
    recipe = replace(RECIPES["default"], noise="half-binary", latent_dim=latent_dim, dtype=dtype)
    z = sample_latents(recipe, np.random.default_rng(0), 20_000)
    assert z.shape == (20_000, latent_dim) and z.dtype == dtype
    normal, signs = np.split(z, [latent_dim // 2], axis=1)
    assert normal.shape[1] in (signs.shape[1], signs.shape[1] - 1)
    assert set(np.unique(signs)) == {-1, 1}
    assert abs(signs.mean(axis=0)).max() < 0.03
    assert len(np.unique(normal)) >= 0.95 * normal.size
    for column in normal.T:
        assert abs(column.mean()) < 0.03 and column.var() == pytest.approx(1, abs=0.05)
        assert (abs(column) > 2).mean() == pytest.approx(0.0455, abs=0.006)
    covariance = z.T @ z / len(z)  # all numbers are independent
    np.testing.assert_allclose(covariance, np.eye(latent_dim), atol=0.05)


@pytest.mark.parametrize("noise", ["normal", "uniform", "half-binary"])
def test_latents_are_reproducible_at_once_or_in_parts(noise, dtype):
    recipe = replace(RECIPES["default"], noise=noise, latent_dim=5, dtype=dtype)
    z = sample_latents(recipe, np.random.default_rng(3), 9)
    rng = np.random.default_rng(3)
    parts = [sample_latents(recipe, rng, n) for n in (4, 5)]
    np.testing.assert_array_equal(z, np.concatenate(parts))
    assert (z != sample_latents(recipe, np.random.default_rng(4), 9)).any()
    assert (parts[0] != parts[1][:4]).any()


def test_one_hot_labels():
    labels = one_hot(np.array([2, 0]), 3)
    assert labels.dtype == "float32" and labels.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert one_hot(np.array([1]), 2, "float64").dtype == "float64"


def test_latents_for_each_class_share_their_first_rows():
    z = np.arange(10).reshape(5, 2)
    rows, labels = latents_for_each_class(z, 5, 2)
    assert labels.tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_array_equal(rows, z[[0, 1, 2, 0, 1]])
    rows, labels = latents_for_each_class(z, 2, 6)  # more classes than images
    assert labels.tolist() == [0, 3]
    np.testing.assert_array_equal(rows, z[[0, 0]])


@pytest.mark.parametrize("path", [latent_walk, latent_grid])
def test_labels_are_interpolated_along_the_straight_line(path):
    z, labels = np.random.default_rng(0).standard_normal((4, 6)), np.eye(3)[[0, 2, 2, 1]]
    points, between = interpolate_latents(path, z, labels, 5)
    np.testing.assert_array_equal(points, path(z, 5))
    assert between.shape == (len(points), 3)
    np.testing.assert_allclose(between.sum(axis=1), 1)
    if path is latent_walk:
        np.testing.assert_allclose(between[2], [0.6, 0, 0.4])
        np.testing.assert_array_equal(between[5:11], np.tile(labels[1], (6, 1)))
    np.testing.assert_array_equal(interpolate_latents(path, z, None, 5), points)
