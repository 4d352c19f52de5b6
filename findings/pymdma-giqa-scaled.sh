#!/usr/bin/env bash
# pyMDMA scales each set of images by its own best and worst one, so GIQA cannot compare two sets.
#
# Versions: pymdma 0.3.0, torch 2.13.0, scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6, Linux on
#   x86-64, CPython 3.11.
# Most would expect: as in the GIQA authors' program, the score of an image is its log-likelihood
#   under a mixture of Gaussians fitted to the real images, and that of a generator is the mean
#   over its images. So the score of an image does not depend on the other generated images, a
#   worse image lowers the mean, and the better of two generators has the higher value: the class
#   declares that higher is better, from 0 to 1.
# What happens: the log-likelihoods are mapped to [0, 1] by the minimum and the maximum of the
#   very set that is assessed. The worst image of every set gets 0 and the best gets 1, even if
#   all are noise. Noise added to held-out digits raises the score, while their mean
#   log-likelihood falls. One white image among 597 digits raises the mean far more, and the score
#   of almost every digit. The class's documentation does not mention it. The mixture itself is
#   right.
# Why it matters: one number per generator is what runs and checkpoints are compared by. A single
#   failed image, common early in training, makes the whole set look better here.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1 \
    pydantic==2.14.4 matplotlib==3.11.2
"${pip[@]}" --no-deps pymdma==0.3.0
cat > "$folder/see.py" <<'END2'
import sys
import types

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

# pymdma imports piq for other measures; piq needs torchvision, whose wheels need a CUDA build of
# torch. Nothing of piq is used here.
sys.modules["piq"] = types.SimpleNamespace(FID=None, GS=None, MSID=None)
from pymdma.image.measures.synthesis_val import GIQA  # noqa: E402

rng = np.random.default_rng(0)
digits = rng.permutation(load_digits().data / 16)  # 1,797 images of 8x8 pixels in [0, 1]
real, held_out = digits[:1200], digits[1200:]
features = PCA(20, random_state=0).fit(real).transform
mixture = GaussianMixture(7, random_state=0).fit(features(real))  # GIQA's defaults


def assess(images):
    """GIQA's score of a set and of its images, and the log-likelihoods of the images."""
    result = GIQA().compute(features(real), features(images))
    scores = np.array(result.instance_level.value)
    likelihoods = mixture.score_samples(features(images))
    low, high = likelihoods.min(), likelihoods.max()
    assert np.allclose(scores, (likelihoods - low) / (high - low), atol=1e-3)
    assert scores.min() == 0 and scores.max() == 1
    return result.dataset_level.value, scores, likelihoods


noise = rng.standard_normal(held_out.shape)
sets = {
    "held-out digits": held_out,
    "with noise, 0.1": held_out + 0.1 * noise,
    "with noise, 0.2": held_out + 0.2 * noise,
    "only noise": rng.random(held_out.shape),
    "one white image more": np.concatenate([held_out, np.ones((1, 64))]),
}
assert GIQA.higher_is_better and (GIQA.min_value, GIQA.max_value) == (0, 1)
results = {}
for name, images in sets.items():
    results[name] = score, scores, likelihoods = assess(images)
    print(f"{name}: GIQA {score:.3f}, mean log-likelihood {likelihoods.mean():.1f}")
score, likelihood = ({k: result[i].mean() for k, result in results.items()} for i in (1, 2))
clean, little, more, none, white = sets
assert likelihood[clean] > likelihood[little] > likelihood[more] > likelihood[none]
assert score[clean] + 0.02 < score[little] < score[more] - 0.01
assert score[none] > score[clean] - 0.1

before, after = results[clean][1], results[white][1][:-1]
print(f"the same {len(before)} digits with one white image beside them: {before.mean():.3f} becomes"
      f" {after.mean():.3f}; {np.sum(after > before)} scores rise, {np.sum(after < before)} fall")
assert likelihood[white] < likelihood[clean] and score[white] > score[clean] + 0.15
assert not np.any(after < before - 1e-3)
END2
"$folder/venv/bin/python" "$folder/see.py"
echo "as described"
