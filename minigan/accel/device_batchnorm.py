"""Batch norm on a device, in two kernels forward and two backward.

The idea
    nn/batchnorm.py launches about 15 kernels forward and 12 backward, most of which read or write
    all of x. The first kernel here adds up the rows, and the second uses the sums. It cannot be one
    kernel, because no number of y is known before all rows have been added, and blocks cannot wait
    for each other.

Sums over rows
    The rows are divided among the blocks of a grid. A block of 32 x 8 threads adds up its rows for
    32 features: thread (x, y) adds every eighth row of feature x, and then eight sums are added.
    The second kernel begins by adding the sums of all blocks, in each of its own blocks.

Forward
    One pass gives both the mean and the variance. Let a = x - x0 for each row, s the sum of all a,
    and q the sum of all a²:

        m = x0 + s / R          v = (q - s² / R) / R

    This holds for any number x0 that is subtracted from all x, but for x0 = 0 the two terms of v
    may be large and nearly equal, and their difference wrong. With the first row as x0 they are as
    small as the variance itself. The sums are computed in double precision.

Backward
    Here s is the sum of all dy, which is dbeta, and q is the sum of all dy (x - m), which is
    sd dgamma. With them each dx is elementwise (see nn/batchnorm.py):

        dx = gamma / sd * (dy - dbeta / R - (x - m) dgamma / (R sd))

Shapes
    As in nn/batchnorm.py, with the same cache.
"""

from typing import Any

import numpy as np

from minigan.accel.device_kernels import DeviceKernel, has_kernels, int32
from minigan.backend import Array, get_array_module
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.layer import check_dy

FEATURES, LANES = 32, 8  # threads of a block: across the features, and down the rows
MIN_ROWS, ROW_BLOCKS = 64, 128  # rows of a block, and blocks that share the rows

SHARED = f"""
#define FEATURES {FEATURES}
#define LANES {LANES}

// both sums of a feature over the lanes of a block, for each thread of the block
__device__ void add_lanes(double& s, double& q) {{
    __shared__ double parts[2][LANES][FEATURES];
    parts[0][threadIdx.y][threadIdx.x] = s;
    parts[1][threadIdx.y][threadIdx.x] = q;
    __syncthreads();
    s = q = 0;
    for (int lane = 0; lane < LANES; lane++) {{
        s += parts[0][lane][threadIdx.x];
        q += parts[1][lane][threadIdx.x];
    }}
}}
"""

COLUMN_SUMS = DeviceKernel(
    "column_sums",
    SHARED
    + """
// sums (blocks, 2, K) of a and a b over the rows of each block, where a and b are x and y,
// or with `shifted` x and y minus the first row
extern "C" __global__ void column_sums(
    const real* x, const real* y, double* sums, int R, int K, int rows_per_block, int shifted) {
    int c = blockIdx.y * FEATURES + threadIdx.x, first = blockIdx.x * rows_per_block;
    int last = min(R, first + rows_per_block);
    double s = 0, q = 0;
    if (c < K) {
        real x0 = shifted ? x[c] : 0, y0 = shifted ? y[c] : 0;
        for (int r = first + threadIdx.y; r < last; r += LANES) {
            real a = x[r * K + c] - x0, b = y[r * K + c] - y0;
            s += a;
            q += (double)a * b;
        }
    }
    add_lanes(s, q);
    if (threadIdx.y == 0 && c < K) {
        sums[2 * blockIdx.x * K + c] = s;
        sums[(2 * blockIdx.x + 1) * K + c] = q;
    }
}
""",
)

TOTALS = """
    int c = blockIdx.y * FEATURES + threadIdx.x, first = blockIdx.x * rows_per_block;
    int last = min(R, first + rows_per_block);
    double s = 0, q = 0;
    for (int block = threadIdx.y; c < K && block < blocks; block += LANES) {
        s += sums[2 * block * K + c];
        q += sums[(2 * block + 1) * K + c];
    }
    add_lanes(s, q);
    if (c >= K) return;
"""

NORMALISE = DeviceKernel(
    "normalise",
    SHARED
    + f"""
extern "C" __global__ void normalise(
    const real* x, const double* sums, const real* gamma, const real* beta, real* mean, real* var,
    real* sd, real* centred, real* y, int R, int K, int rows_per_block, int blocks,
    double eps, double momentum) {{
    {TOTALS}
    real m = x[c] + s / R;
    double v = max(0.0, (q - s * s / R) / R);
    real root = sqrt(v + eps), factor = gamma[c] / root, offset = beta[c];
    for (int r = first + threadIdx.y; r < last; r += LANES) {{
        real a = x[r * K + c] - m;
        centred[r * K + c] = a;
        y[r * K + c] = a * factor + offset;
    }}
    if (blockIdx.x == 0 && threadIdx.y == 0) {{
        sd[c] = root;
        mean[c] += momentum * (m - mean[c]);
        var[c] += momentum * (R / (R - 1.0) * v - var[c]);
    }}
}}
""",
)

NORMALISE_BACKWARD = DeviceKernel(
    "normalise_backward",
    SHARED
    + f"""
extern "C" __global__ void normalise_backward(
    const real* dy, const real* centred, const double* sums, const real* gamma, const real* sd,
    real* dgamma, real* dbeta, real* dx, int R, int K, int rows_per_block, int blocks,
    int need_dx, int need_dparams) {{
    {TOTALS}
    q /= sd[c];  // s is dbeta, and q is dgamma
    real factor = gamma[c] / sd[c], shift = s / R, scale = q / (R * (double)sd[c]);
    for (int r = first + threadIdx.y; need_dx && r < last; r += LANES)
        dx[r * K + c] = factor * (dy[r * K + c] - shift - centred[r * K + c] * scale);
    if (need_dparams && blockIdx.x == 0 && threadIdx.y == 0) {{
        dgamma[c] = q;
        dbeta[c] = s;
    }}
}}
""",
)


class DeviceBatchNorm2d(BatchNorm2d):
    """BatchNorm2d on a device; a batch that is computed in parts takes the form of BatchNorm2d."""

    splittable = True

    def forward(self, x, *, train=False, rng=None):
        gamma = self.gamma
        usual = (
            has_kernels(x) and x.ndim > 1 and x.shape[-1] == len(gamma) and x.dtype == gamma.dtype
        )
        R = x.size // len(gamma)
        if not (train and usual and R > 1 and self.is_whole()):
            return super().forward(x, train=train, rng=rng)
        xp = get_array_module(x)
        x = xp.ascontiguousarray(x)
        sums, grid, numbers = column_sums(x, x, R=R, K=len(gamma), shifted=True)
        centred, y, sd = xp.empty((R, len(gamma)), x.dtype), xp.empty_like(x), xp.empty_like(gamma)
        arrays = x, sums, gamma, self.beta, self.mean, self.var, sd, centred, y
        constants = np.float64(self.eps), np.float64(self.momentum)
        NORMALISE(grid, (FEATURES, LANES), arrays, (*numbers, *constants))
        return y, (centred, sd, R, x.shape)

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        centred, sd, R, shape = cache
        check_dy(self, dy, shape)
        if not (R and self.is_whole() and has_kernels(dy)):
            return super().backward(dy, cache, need_dx=need_dx, need_dparams=need_dparams)
        xp = get_array_module(dy)
        dy = xp.ascontiguousarray(dy)
        sums, grid, numbers = column_sums(dy, centred, R=R, K=len(sd), shifted=False)
        dx = xp.empty_like(dy) if need_dx else dy
        arrays = dy, centred, sums, self.gamma, sd, self.dgamma, self.dbeta, dx
        NORMALISE_BACKWARD(
            grid, (FEATURES, LANES), arrays, (*numbers, *int32(need_dx, need_dparams))
        )
        return dx if need_dx else None

    def is_whole(self) -> bool:
        """Whether all rows of the batch are here: nothing replaces all_reduce."""
        return "all_reduce" not in vars(self)


def column_sums(
    x: Array, y: Array, *, R: int, K: int, shifted: bool
) -> tuple[Array, tuple[int, int], tuple[Any, ...]]:
    """(sums, grid, numbers): the sums of a and a b over the rows of each block, and the grid and
    the numbers R, K, rows_per_block and blocks for the kernel that uses them.
    """
    rows_per_block = max(MIN_ROWS, -(-R // ROW_BLOCKS))
    grid = blocks, _ = -(-R // rows_per_block), -(-K // FEATURES)
    sums = get_array_module(x).empty((blocks, 2, K), "float64")
    numbers = int32(R, K, rows_per_block)
    COLUMN_SUMS(grid, (FEATURES, LANES), (x, y, sums), (*numbers, *int32(shifted)))
    return sums, grid, (*numbers, *int32(blocks))
