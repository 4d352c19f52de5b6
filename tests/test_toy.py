"""The toys: densities that are densities, the best answer, a D that comes near it, and the animation."""
import io
import math
from statistics import NormalDist

import numpy as np
import pytest
from PIL import Image

from minigan.animation import animate
from minigan.toy import (
    EDGES, MIDDLES, TOYS, WIDTH, best_answer, data, data_density, generator_density, judge, measure_line, measure_modes, network, play)

LINE = TOYS["line"]


class Stub:
    """A network of which the function is given."""

    def __init__(self, function):
        self.function = function

    def forward(self, x, train=False, rng=None):
        return self.function(x.astype("float64")), None


def shares_of(cdf):
    """What a distribution has in each bin, per width."""
    return np.diff([cdf(edge) for edge in EDGES.tolist()]) / WIDTH


def test_densities_integrate_to_1():
    assert data_density(MIDDLES).sum() * WIDTH == pytest.approx(1, abs=1e-6)
    for seed in range(3):
        G = network(1, LINE, 1, np.random.default_rng(seed))
        assert generator_density(G).sum() * WIDTH == pytest.approx(1, abs=1e-9)


def test_the_density_of_the_data_is_that_of_the_data():
    x = data(LINE, np.random.default_rng(0), 200_000)
    assert x.shape == (200_000, 1) and x.dtype == "float32"
    drawn = np.histogram(x, EDGES[::25])[0] / len(x)
    np.testing.assert_allclose(drawn, (data_density(MIDDLES) * WIDTH).reshape(-1, 25).sum(axis=1), atol=0.004)


def test_the_density_of_a_straight_G_is_a_bell():
    expected = shares_of(NormalDist(0.7, 1.2).cdf)
    for sign in 1, -1:                                                # uphill or downhill
        np.testing.assert_allclose(generator_density(Stub(lambda z, sign=sign: 0.7 + sign * 1.2 * z)), expected, atol=0.003)


def test_the_density_counts_every_z_that_comes_to_the_same_x():
    """z² is no monotone function: 2 and -2 both become 4."""
    expected = shares_of(lambda x: 2 * NormalDist().cdf(math.sqrt(max(x, 0))) - 1)
    np.testing.assert_allclose(generator_density(Stub(lambda z: z * z))[5:], expected[5:], atol=0.02)
    folded = generator_density(Stub(lambda z: z * z))
    assert folded[MIDDLES < 0].max() == 0 and folded.sum() * WIDTH == pytest.approx(2 * NormalDist().cdf(math.sqrt(5)) - 1, abs=1e-3)


def test_a_G_that_has_collapsed_has_all_its_density_in_one_place():
    q = generator_density(Stub(lambda z: 0 * z + 1.003))
    assert q.max() * WIDTH == pytest.approx(1) and MIDDLES[q.argmax()] == pytest.approx(1.01)


def test_no_answer_pays_less_than_the_best():
    """On real and fake in the proportion p to q, D pays -p log D - q log(1 - D)."""
    p, q = np.array([0.3, 0.2, 0.01]), np.array([0.1, 0.2, 0.5])
    best = best_answer(p, q)
    np.testing.assert_allclose(best, [0.75, 0.5, 0.01 / 0.51])
    others = np.linspace(0.001, 0.999, 999)[:, None]
    assert (-p * np.log(others) - q * np.log(1 - others) >= -p * np.log(best) - q * np.log(1 - best) - 1e-12).all()
    assert best_answer(np.zeros(1), np.zeros(1)).tolist() == [0.5]


def test_distances_of_a_D_that_is_known():
    G = Stub(lambda z: 0.5 * z)
    p, q = data_density(MIDDLES), generator_density(G)
    logit = np.log(np.maximum(p, 1e-30)) - np.log(np.maximum(q, 1e-30))
    distance, half, apart = measure_line(G, Stub(lambda x: np.interp(x, MIDDLES, logit)))
    assert distance < 1e-6 and half == pytest.approx(apart / 2, abs=1e-3)
    assert apart == pytest.approx(abs(p - q).sum() * WIDTH / 2, abs=1e-3) and 0.4 < apart < 0.9
    assert measure_line(G, Stub(lambda x: 0 * x))[0] == pytest.approx(half)
    assert measure_line(G, Stub(lambda x: 0 * x + 50))[0] == pytest.approx((q * (p + q) / 2 / np.maximum(p + q, 1e-30)).sum() * WIDTH, abs=1e-6)


def test_modes_are_counted_by_the_good_samples_nearest_to_them():
    ring = TOYS["ring"]
    x = np.repeat(ring.bells[:5], [100, 100, 32, 31, 1], axis=0)       # 8 bells, 264 samples: filled from 16.5 on
    assert measure_modes(x, ring) == (5, 4, 1.0)
    x[:100, 0] += 0.29                                                # within three standard deviations of 0.1
    x[100:200] *= 1.16                                                # 0.32 away
    assert measure_modes(x, ring) == (4, 3, 164 / 264)
    assert measure_modes(0 * x, ring) == (0, 0, 0.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_D_comes_near_the_best_answer_and_q_near_p(seed):
    told = [measure_line(G, D) for _, G, D in play(LINE, 400, seed)]
    (first, _, apart_first), *_, (last, half, apart_last) = told
    assert first > 0.4 and apart_first > 0.9
    assert last < 0.1 and apart_last < 0.4                            # most of the way, in 400 steps
    learning = told[len(told) // 4:]
    assert np.mean([distance for distance, _, _ in learning]) < 0.75 * np.mean([half for _, half, _ in learning])  # and D knows more than 1/2


def test_the_same_seed_is_the_same_game():
    runs = [[(step, float(judge(D, MIDDLES[:, None]).sum())) for step, G, D in play(LINE, 5, seed)] for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2] and [step for step, _ in runs[0]] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", TOYS)
def test_the_animation_has_a_frame_for_each_moment(name, capsys):
    file = io.BytesIO()
    animate(name, 4, 0, file)
    head, *rows = capsys.readouterr().out.splitlines()
    assert [int(row.split()[0]) for row in rows] == [0, 4] and ("D to D*" in head) == (name == "line")
    with Image.open(file) as picture:
        assert picture.n_frames == 5 and picture.size == (600, 450)
        pixels = []
        for i in range(5):
            picture.seek(i)
            pixels.append(np.asarray(picture.convert("RGB")))
            assert picture.info["duration"] == {0: 1000, 4: 3000}.get(i, 120)
        assert all((a != b).any() for a, b in zip(pixels, pixels[1:]))
        assert (pixels[0] == 255).all(axis=2).mean() > 0.3 and len(np.unique(pixels[-1].reshape(-1, 3), axis=0)) > 10
