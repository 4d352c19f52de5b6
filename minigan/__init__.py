"""minigan: a GAN that you can read in an afternoon and train in a coffee break.

A GAN is two networks that are trained against each other. The generator, G, turns random numbers
into an image. The discriminator, D, receives real images and generated ones, and outputs how likely
each is to be real. D learns to distinguish the two, and G learns to generate images that D
considers real.

Every derivative in this package was derived by hand, and the derivation is next to the code that
computes it. There is no autograd and no framework underneath, only NumPy on a CPU or CuPy on a GPU.
You need to know some Python and NumPy, and the chain rule.

demo.py holds the whole of training. Read it first, then the modules below, in this order. A module
uses only the modules before it, with two exceptions, which backend explains. `get_array_module`
returns the module that an array belongs to, NumPy or CuPy. `@fused` above a formula changes nothing
on NumPy. Skip every `double_backward` until you reach gan/gradient_penalty.

First course: layers, losses, optimizers, and the two training steps

    nn/layer                  the contract: what forward returns and what backward gives back
    nn/initializers           the weights a network starts from
    nn/dense                  y = x @ W + b, fully derived; the model for all other layers
    nn/activations            LeakyReLU, ReLU, Tanh, Sigmoid
    nn/gradcheck              comparing a backward with central differences
    nn/dropout                random activations set to zero
    nn/losses                 binary cross-entropy, from probabilities and from logits
    nn/sequential             a chain of layers; all parameters in one flat vector
    nn/optim                  SGD and Adam
    nn/ema                    the moving average of weights
    gan/losses                what D and G minimise, in six published versions
    gan/augment               random flips and shifts of all images that D sees
    gan/steps                 the two training steps
    gan/models                the networks
    gan/recipes               complete settings, by name

Second course: convolutions, normalisation, penalties

    nn/im2col                 every window of an image as a row of a matrix
    nn/conv                   convolution, and its transpose
    nn/batchnorm              every channel with mean 0 and variance 1
    nn/reshape                between vectors, images, and images with labels
    nn/projection             a logit that depends on the image and on its label
    nn/pooling                average pooling and upsampling
    nn/maxout                 the largest of several sums
    nn/gradcheck_hints        the likely cause of a wrong gradient
    nn/double_gradcheck       comparing a double backward with central differences
    gan/gradient_penalty      R1, R2 and WGAN-GP: the backward of a backward
    nn/spectral_norm          a bound on how much a layer stretches its input
    gan/latents               latent vectors, and paths between them
    rng                       where random numbers come from
    backend                   NumPy or CuPy

What trains, measures and shows

    datasets/pixels           image sizes, scaling of bytes to pixel values, averages of pixels
    datasets/idx              MNIST and the IDX format
    datasets/names            the names of classes: their order, and lists of them
    datasets/raw              what a file holds: images, labels, and the part they belong to
    datasets/value_range      which values are black and white
    datasets/labels           classes from integers, words, floats or one-hot rows
    datasets/files            which files of a folder are data
    datasets/images           reading a folder of pictures into an array
    datasets/numpy_files      NumPy files
    datasets/optional         packages that only some files need
    datasets/matlab           MATLAB and HDF5 files
    datasets/tables           CSV and Parquet
    datasets/load             your own images and their labels, in any supported format
    datasets/stacked          three digits in each image: StackedMNIST
    datasets/batches          batches for a training loop of your own
    datasets/clusters         groups of similar images, which take the place of labels
    training/schedule         optimizers and learning rates of a recipe
    training/run_folder       what a run leaves behind
    training/run_data         the data of a run, also after it has moved
    training/pretrained       a generator for samples without a run
    training/sampling         new images from a trained run
    training/own_networks     a G, a D and a loss of your own instead of a recipe's
    training/state            everything that changes during training
    training/inputs           the options and the images of a run, checked against each other
    training/checkpoint       resuming after a power cut
    training/lock             two runs never share a folder
    training/diagnosis        what the numbers of an epoch mean, in words
    training/interruption     Ctrl-C and other signals end a run between two steps
    training/run_page         a page that shows a run in a browser as it goes on
    training/run              data, progress, checkpoints, interruptions
    training/loop             the training loop
    figures/plots             the figures of a run, and what all figures have in common
    figures/sheets            images with words around them
    figures/diagram           a GAN and its gradients, a convolution and its transpose
    figures/html_page         pages that hold their own data and style
    figures/toys              a GAN on a line, beside the optimal discriminator
    figures/dirac             the smallest GAN, and why it needs a gradient penalty
    figures/toy_animation     an animation of the toy GANs as they learn
    evaluation/classifier     a classifier of digits, made of the same layers
    evaluation/legibility     how many digits a second classifier can read
    evaluation/metrics        the quality of the generated images, in numbers
    evaluation/modes          how many of StackedMNIST's 1000 kinds of images occur
    evaluation/memorisation   whether the generator copies training images
    evaluation/report         all metrics of a run, beside the metrics of real images and of noise
    evaluation/compare        several runs side by side
    evaluation/layer_stats    what each layer does: weights, activations, gradients, dead units
    evaluation/derivatives    every gradient, compared with central differences

What makes training faster, and what exports a generator

    accel/cpu                 BLAS threads and memory settings
    accel/data_parallel       a batch split over all cores
    accel/device_kernels      CUDA code in a few lines: what a kernel is
    accel/device_conv         im2col and col2im as one kernel each
    accel/device_batchnorm    batch norm in two kernels each way
    accel/device_dense        Dense and Projection, with products that a graph can contain
    accel/device_layers       these layers in the place of those in nn
    accel/process_group       a run shared by several processes: the idea, and the sums
    accel/witness             which process of a run was killed
    accel/mpi                 the processes that mpiexec has started
    accel/fused_layers        Dense, activation and dropout in few kernels of a device
    accel/fused_steps         both training steps in half as many kernels
    accel/graph               both steps recorded, and launched by two calls
    export/formats            each layer as PyTorch and ONNX know it
    export/html               a web page that generates images
    export/torch              PyTorch
    export/onnx               ONNX
    export/run                the files of an export
    api                       minigan.GAN: to train, sample and evaluate from Python
    console                   lines that reach the reader wherever a program runs
    moved                     old names, and what replaced them

The letters
    x         the input of a layer, (N, K); images are (N, H, W, C): height, width, channels
    y         its output, (N, M)
    N         the batch size, the number of examples that pass through a network at once; index n
    K         the number of inputs of a layer, per example; index i
    M         the number of outputs of a layer, per example; index j
    W         a weight matrix, (K, M)
    b         a bias, (M,)
    L         the loss, a single number; smaller is better
    dx        the derivative of L with respect to x, of the shape of x. A `d` in front of any other
              name means the same: dW is the derivative with respect to W, of the shape of W
    h         a very small change
    z         the latents, (N, Z), from which G generates images; Z is their dimension
    a         a logit: D's output, an unbounded number that a sigmoid turns into a probability
    p         a probability; in gan/losses the density of real images, and q the density of fakes
    t         a target, the value that p should have; in nn/optim the number of steps so far
    theta     all parameters of a network in one flat vector, (P,)
    P         the number of parameters; in gan/gradient_penalty the penalty
    G, D      the generator and the discriminator; G(z) is an image, D(x) a probability
    ddx       the gradient of a penalty with respect to a dx: see gan/gradient_penalty
    xᵀ        x transposed, `x.T` in the code
    x @ W     the matrix product, as in the code; x * y is elementwise
    (3,)      a shape, as Python writes it; () is the shape of a single number
    float32   numbers with about 7 digits, in 4 bytes; float64 has about 16 digits, in 8 bytes
    host      the computer; the device is the graphics card that computes, or else the host itself
"""

import importlib
from typing import Any

from minigan import moved
from minigan.nn.activations import LeakyReLU, Sigmoid, Tanh
from minigan.nn.dense import Dense
from minigan.nn.dropout import Dropout
from minigan.nn.losses import bce_with_logits
from minigan.nn.optim import Adam
from minigan.nn.sequential import Sequential

__version__ = "0.2.0"
__all__ = [
    "GAN",
    "Adam",
    "AdversarialLoss",
    "Dense",
    "Dropout",
    "LeakyReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "batches",
    "bce_with_logits",
]
LAZY = {  # names that are imported on first use, so that importing the layers stays light
    "GAN": "minigan.api",
    "AdversarialLoss": "minigan.gan.losses",
    "batches": "minigan.datasets.batches",
}

moved.explain_old_imports()


def __getattr__(name: str) -> Any:
    """The names in LAZY are imported on first use. The name of an old module raises ImportError
    with its new name.
    """
    if name in LAZY:
        return getattr(importlib.import_module(LAZY[name]), name)
    if name in moved.MODULES:
        raise ImportError(moved.sentence(name))
    raise AttributeError(f"module 'minigan' has no attribute {name!r}")
