"""The toys: densities, the optimal discriminator, a D that comes close to it, the animation."""

import io
import math
from statistics import NormalDist

import numpy as np
import pytest
from PIL import Image

from minigan.figures import toys
from minigan.figures.plots import new_figure
from minigan.figures.toy_animation import PlanePlot, animate_toy
from minigan.figures.toys import (
    BIN_CENTRES,
    BIN_EDGES,
    BIN_WIDTH,
    TOYS,
    data_density,
    gamma_at,
    generator_density,
    make_mlp,
    measure_line,
    measure_modes,
    optimal_discriminator,
    probability_real,
    sample_data,
    train_toy,
    with_loss,
)
from minigan.gan.latents import sample_latents

LINE = TOYS["line"]


class Stub:
    """A network that computes a given function."""

    def __init__(self, function):
        self.function = function

    def forward(self, x, *, train=False, rng=None):
        return self.function(x.astype("float64")), None


def mean_density(cdf):
    """The mean density in each bin of a distribution with this cumulative distribution function."""
    return np.diff([cdf(edge) for edge in BIN_EDGES.tolist()]) / BIN_WIDTH


def test_densities_integrate_to_1():
    assert data_density(BIN_CENTRES).sum() * BIN_WIDTH == pytest.approx(1, abs=1e-6)
    for seed in range(3):
        G = make_mlp(1, 1, LINE.widths, activation=LINE.activation, rng=np.random.default_rng(seed))
        assert generator_density(G).sum() * BIN_WIDTH == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", TOYS)
def test_the_weights_of_a_mixture_sum_to_1(name):
    toy = TOYS[name]
    assert len(toy.weights) == len(toy.means) and sum(toy.weights) == pytest.approx(1)


def test_the_density_of_the_data_is_that_of_its_samples():
    x = sample_data(LINE, 200_000, rng=np.random.default_rng(0))
    assert x.shape == (200_000, 1) and x.dtype == "float32"
    shares = np.histogram(x, BIN_EDGES[::25])[0] / len(x)
    expected = (data_density(BIN_CENTRES) * BIN_WIDTH).reshape(-1, 25).sum(axis=1)
    np.testing.assert_allclose(shares, expected, atol=0.004)


def test_the_density_of_a_linear_G_is_a_Gaussian():
    expected = mean_density(NormalDist(0.7, 1.2).cdf)
    for sign in 1, -1:  # increasing or decreasing
        np.testing.assert_allclose(
            generator_density(Stub(lambda z, sign=sign: 0.7 + sign * 1.2 * z)), expected, atol=0.003
        )


def test_the_density_counts_every_z_with_the_same_x():
    """z² is not monotonic: 2 and -2 both become 4."""
    expected = mean_density(lambda x: 2 * NormalDist().cdf(math.sqrt(max(x, 0))) - 1)
    q = generator_density(Stub(lambda z: z * z))
    np.testing.assert_allclose(q[5:], expected[5:], atol=0.02)
    assert q[BIN_CENTRES < 0].max() == 0
    below_5 = 2 * NormalDist().cdf(math.sqrt(5)) - 1
    assert q.sum() * BIN_WIDTH == pytest.approx(below_5, abs=1e-3)


def test_a_collapsed_G_has_all_its_density_in_one_bin():
    q = generator_density(Stub(lambda z: 0 * z + 1.003))
    assert q.max() * BIN_WIDTH == pytest.approx(1)
    assert BIN_CENTRES[q.argmax()] == pytest.approx(1.01)


def test_no_output_has_a_smaller_loss_than_the_optimum():
    """For real and fake examples in the proportion p to q, D's loss is -p log D - q log(1 - D)."""
    p, q = np.array([0.3, 0.2, 0.01]), np.array([0.1, 0.2, 0.5])
    optimum = optimal_discriminator(p, q)
    np.testing.assert_allclose(optimum, [0.75, 0.5, 0.01 / 0.51])

    def loss(D):
        return -p * np.log(D) - q * np.log(1 - D)

    others = np.linspace(0.001, 0.999, 999)[:, None]
    assert (loss(others) >= loss(optimum) - 1e-12).all()
    assert optimal_discriminator(np.zeros(1), np.zeros(1)).tolist() == [0.5]


def test_distances_of_a_known_D():
    G = Stub(lambda z: 0.5 * z)
    p, q = data_density(BIN_CENTRES), generator_density(G)
    logit = np.log(np.maximum(p, 1e-30)) - np.log(np.maximum(q, 1e-30))
    optimal_D = Stub(lambda x: np.interp(x, BIN_CENTRES, logit))
    distance, distance_of_half, variation = measure_line(G, optimal_D)
    assert distance < 1e-6 and distance_of_half == pytest.approx(variation / 2, abs=1e-3)
    assert variation == pytest.approx(abs(p - q).sum() * BIN_WIDTH / 2, abs=1e-3)
    assert 0.4 < variation < 0.9
    assert measure_line(G, Stub(lambda x: 0 * x))[0] == pytest.approx(distance_of_half)
    always_real = (q * (p + q) / 2 / np.maximum(p + q, 1e-30)).sum() * BIN_WIDTH
    assert measure_line(G, Stub(lambda x: 0 * x + 50))[0] == pytest.approx(always_real, abs=1e-6)


def test_modes_are_counted_by_the_good_samples_closest_to_them():
    ring = TOYS["ring"]
    x = np.repeat(ring.means[:5], [100, 100, 32, 31, 1], axis=0)
    assert len(x) / 8 / 2 == 16.5  # good samples that cover a mode
    assert measure_modes(x, ring) == (5, 4, 1.0)
    x[:100, 0] += 0.29  # within three standard deviations of 0.1
    x[100:200] *= 1.16  # 0.32 away
    assert measure_modes(x, ring) == (4, 3, 164 / 264)
    assert measure_modes(0 * x, ring) == (0, 0, 0.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_D_comes_close_to_the_optimum_and_q_to_p(seed):
    history = [measure_line(G, D) for _, G, D in train_toy(LINE, 400, seed=seed)]
    (first, _, first_variation), *_, (last, _, last_variation) = history
    assert first > 0.4 and first_variation > 0.9
    assert last < 0.1 and last_variation < 0.4  # most of the way, in 400 steps
    distances, distances_of_half, _ = np.mean(history[len(history) // 4 :], axis=0)
    assert distances < 0.75 * distances_of_half  # D is better than 1/2 everywhere


def test_the_same_seed_gives_the_same_training():
    runs = [
        [
            (step, float(probability_real(D, BIN_CENTRES[:, None]).sum()))
            for step, G, D in train_toy(LINE, 5, seed=seed)
        ]
        for seed in (3, 3, 4)
    ]
    assert runs[0] == runs[1] != runs[2]
    assert [step for step, _ in runs[0]] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", TOYS)
def test_the_animation_has_a_frame_for_each_moment_and_a_row_for_every_fourth(name, capsys):
    file = io.BytesIO()
    animate_toy(name, steps=4, seed=0, file=file)
    head, *rows = capsys.readouterr().out.splitlines()
    assert [int(row.split()[0]) for row in rows] == [0, 4]
    assert ("D to D*" in head) == (name == "line")
    with Image.open(file) as picture:
        assert picture.n_frames == 5 and picture.size == (600, 450)
        frames = []
        for i in range(5):
            picture.seek(i)
            frames.append(np.asarray(picture.convert("RGB")))
            assert picture.info["duration"] == {0: 1000, 4: 3000}.get(i, 120)
    assert all((a != b).any() for a, b in zip(frames, frames[1:]))
    assert (frames[0] == 255).all(axis=2).mean() > 0.3  # the background is a pure white
    assert len(np.unique(frames[-1].reshape(-1, 3), axis=0)) > 10


# ---- Other losses ----


def test_the_toy_of_the_relativistic_loss_has_settings_of_its_own():
    grid = TOYS["grid"]
    assert with_loss(grid, "non-saturating") == grid
    assert with_loss(grid, "hinge") == grid._replace(loss="hinge")
    paired = with_loss(grid, "relativistic", "r1+r2")
    assert (paired.noise, paired.latent_dim, paired.gamma) == ("half-binary", 8, 0.1)
    assert with_loss(grid, "relativistic").penalty == ""
    heavy = with_loss(grid, "non-saturating", "r1", 2.0)
    assert (heavy.noise, heavy.gamma) == ("normal", 2.0)
    assert heavy.final_gamma == pytest.approx(0.06)


def test_gamma_falls_by_the_same_factor_in_every_step_of_the_first_half():
    toy = with_loss(TOYS["grid"], "relativistic", "r1+r2", 1.0)
    gammas = [gamma_at(toy, progress) for progress in (0, 0.125, 0.25, 0.375, 0.5, 0.75, 1)]
    assert gammas[0] == 1 and gammas[4:] == pytest.approx([0.03] * 3)
    ratios = np.array(gammas[1:5]) / gammas[:4]
    np.testing.assert_allclose(ratios, 0.03**0.25)


def test_the_penalty_has_the_weight_of_the_step(monkeypatch):
    seen, make = [], toys.make_penalty
    monkeypatch.setattr(toys, "make_penalty", lambda *args: seen.append(args) or make(*args))
    for _ in train_toy(with_loss(TOYS["ring"], "relativistic", "r1+r2"), 4, seed=0):
        pass
    assert [name for name, _ in seen] == ["r1+r2"] * 5
    np.testing.assert_allclose([w for _, w in seen], 0.1 * 0.03 ** np.array([0, 0.5, 1, 1, 1]))


def test_the_samples_are_those_of_the_moving_average():
    toy = with_loss(TOYS["ring"], "relativistic", "r1+r2")
    averaged = [G.theta.copy() for _, G, _ in train_toy(toy, 9, seed=0)]
    alone = [G.theta.copy() for _, G, _ in train_toy(toy._replace(ema_decay=0.0), 9, seed=0)]
    assert (averaged[0] == alone[0]).all()
    assert np.linalg.norm(averaged[-1] - averaged[0]) < np.linalg.norm(alone[-1] - alone[0])
    assert (averaged[-1] != alone[-1]).any()


@pytest.mark.long
def test_the_relativistic_loss_covers_the_ring():
    toy = with_loss(TOYS["ring"], "relativistic", "r1+r2")
    *_, (_, G, _) = train_toy(toy, 600, seed=0)
    x = G.forward(sample_latents(toy, np.random.default_rng(1), 2500))[0]
    hit, covered, good = measure_modes(x, toy)
    assert (hit, covered) == (8, 8) and good > 0.9


def test_the_map_of_a_loss_on_pairs_does_not_depend_on_the_constant(capsys):
    toy = with_loss(TOYS["ring"], "relativistic", "r1+r2")
    rng = np.random.default_rng(0)
    G = make_mlp(8, 2, (4,), activation=toy.activation, rng=rng)
    D = make_mlp(2, 1, (4,), activation=toy.activation, rng=rng)
    maps = []
    with new_figure(6, 4.5) as figure:
        plot = PlanePlot(figure, toy, rng=rng)
        for _ in range(2):
            plot.update(0, G, D)
            maps.append(np.array(plot.output.get_array()))
            D.theta[-1] += 7  # the last bias
    np.testing.assert_allclose(*maps, atol=1e-5)
