#!/usr/bin/env bash
# torchmetrics' KID functions take both sets to be of the same size, and say nothing if they are not.
#
# Versions: torchmetrics 1.9.0, torch 2.13.0, numpy 2.4.6, Linux on x86-64, CPython 3.11.
# Most would expect: poly_mmd(real, generated), the unbiased kernel distance behind KID, is near 0 for
#   two samples of one distribution, whatever their sizes, is symmetric in its arguments, or raises an
#   error for sizes that it cannot handle.
# What happens: maximum_mean_discrepancy divides every sum by the size of the first set. With 1,500 and
#   1,000 rows of the same distribution the result is far from 0, and has another value if the
#   arguments are swapped. Nothing is said. The class KernelInceptionDistance is not concerned, because
#   it draws subsets of equal size.
# Why it matters: who trains small generators computes KID on own features, without subsets, because
#   10,000 samples fit into memory, and compares a short run of 1,000 samples with all test images.
#   KID is chosen for being comparable between sample sizes, and here it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 torchmetrics==1.9.0 numpy==2.4.6
cat > "$folder/see.py" <<'END'
import torch
from torchmetrics.image.kid import poly_kernel, poly_mmd

torch.manual_seed(0)
features = torch.randn(2500, 64, dtype=torch.float64)
real, generated = features[:1500], features[1500:]  # one distribution


def unbiased(x, y):
    n, m = len(x), len(y)
    within_x, within_y = poly_kernel(x, x), poly_kernel(y, y)
    return (
        (within_x.sum() - within_x.trace()) / (n * (n - 1))
        + (within_y.sum() - within_y.trace()) / (m * (m - 1))
        - 2 * poly_kernel(x, y).mean()
    ).item()


equal = poly_mmd(real[:1000], generated).item()
there, back = poly_mmd(real, generated).item(), poly_mmd(generated, real).item()
right = unbiased(real, generated)
print(f"1,000 and 1,000 rows: poly_mmd {equal:.4f}, by the formula {unbiased(real[:1000], generated):.4f}")
print(f"1,500 and 1,000 rows: poly_mmd {there:.4f}, swapped {back:.4f}, by the formula {right:.4f}")
assert abs(equal - unbiased(real[:1000], generated)) < 1e-9
assert abs(right) < 0.01 and abs(right - unbiased(generated, real)) < 1e-9
assert abs(there) > 0.05 and abs(back) > 0.05 and abs(there - back) > 0.1
END
"$folder/venv/bin/python" "$folder/see.py"
echo "as described"
