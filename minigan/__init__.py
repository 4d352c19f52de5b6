"""minigan: a GAN that you can read in an afternoon and train in a coffee break.

Every derivative on these pages was worked out by hand and stands next to the code that computes
it. There is no autograd, and no framework underneath: NumPy on a CPU, CuPy on a GPU.

Read the pages in this order. A page uses only what stands above it, with three exceptions, which
backend.py explains: `array_module` asks an array whether NumPy or CuPy made it, `to_host` brings
it home, and `@fused` above a formula changes nothing on NumPy.

     1  layer            the contract: what forward returns, what backward gives back
     2  initial_weights  where learning starts
     3  dense            y = xW + b, fully derived; the model for every other page
     4  activations      LeakyReLU, ReLU, Tanh, Sigmoid: the local slope times dy
     5  gradcheck        how a page proves itself: central differences
     6  randomness       where random numbers come from
     7  dropout          forgetting on purpose
     8  losses           binary cross-entropy, twice: naive and stable
     9  network          layers in a row; all their parameters in one flat vector
    10  optim            SGD, Adam, and the average of weights
    11  adversarial      what the two players pay: five published losses
    12  gan              generator against discriminator: the two training steps
    13  patches          what a window sees on its way over an image, and the way back
    14  conv             the same weights at every place: convolution, and its transpose
    15  batchnorm        every feature with mean 0 and variance 1
    16  shapes           pooling, repeating, reshaping, and Maxout
    17  penalties        a price on D's slope: the backward of a backward
    18  spectral         a layer that stretches nothing by more than about 1
                         -- here the core ends; around it stand --
    19  backend          NumPy or CuPy: choose, place, bring home
    20  data             MNIST, the IDX format, and the one place that scales pixels
    21  pictures         from a folder of pictures to bytes, all of one size
    22  sources          images of one's own, whatever they lie in, and their labels
    23  recipes          complete settings, by name
    24  build            from a recipe to its networks, optimizers and noise
    25  blocks           Dense, activation and dropout on a device, in few kernels
    26  fusing           and both moves of a game, in half as many
    27  game             both networks and all else that changes while they learn
    28  plots            every picture
    29  runs             the run folder: settings, history, model
    30  drawing          new images: at random, of a class that is asked for, or on a walk
    31  checkpoint       everything needed to go on after a power cut
    32  classifier       a judge who knows digits, made of the same layers
    33  metrics          is it any good? in figures
    34  diagnosis        and in words
    35  training         the loop: epochs, and what is written when
    36  evaluation       all figures of one run, beside those of real images and of noise
    37  comparison       several runs, side by side
    38  inspection       what each layer of a run does: its weights, its numbers, its dead units
    39  selfcheck        every derivative against central differences, in one table
    40  webpage          a run as one page that draws by itself
    41  export           and for those who have PyTorch or ONNX
    42  toy              a GAN on a line, of which all is known: both densities, and the best D
    43  animation        the toy while it learns

The letters
    N   batch: how many examples go through at once
    K   how many numbers go into a layer, per example
    M   how many come out
    Z   latent: how many random numbers the generator starts from
    x   what goes into a layer, shape (N, K); images are (N, H, W, C): height, width, channels
    y   what comes out, shape (N, M)
    W   a weight matrix, shape (K, M);   b   a bias, shape (M,)
    L   the loss: one number, the smaller the better
    dx  short for the derivative of L with respect to x. A `d` in front of any name means the
        same, and dx always has the shape of x. So dW has the shape of W.
    theta   all parameters of a network in one long vector;   dtheta   its gradient
    ddx that of a penalty with respect to a dx: the gradient of a gradient, see penalties.py
    P   how many parameters a network has; in penalties.py the penalty;   lr  the learning rate, how far a step goes
    z   random numbers, shape (N, Z); in losses.py a logit, shape (N, 1)
    p   a probability;   t   what it should have been, the target
    G, D    the generator and the discriminator
    x @ W   the matrix product, xW in the text;   x * y   number by number
    xᵀ      x with rows and columns exchanged, `x.T` in the code
"""

__version__ = "0.1.0"
