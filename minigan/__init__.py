"""minigan: a GAN that you can read in an afternoon and train in a coffee break.

A GAN is two networks that play against each other. The generator, G, turns random numbers into an
image. The discriminator, D, is shown real images and G's, and says which it takes for real. D learns
to tell them apart; G learns to draw what D takes for real. That is the game of pages 11 and 12.

Every derivative on these pages was worked out by hand and stands next to the code that computes
it. There is no autograd, and no framework underneath: NumPy on a CPU, CuPy on a GPU. You need a
little Python and NumPy, and the chain rule.

Read the pages in this order. A page uses only what stands above it, with three exceptions, which
backend.py explains: `array_module` asks an array whether NumPy or CuPy made it, `to_host` brings
it home, and `@fused` above a formula changes nothing on NumPy. And skip each `double_backward`
until you come to penalties.py, which says what they are for.

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
    27  workers          the moves of convolutions on all cores: a part of the batch on each
    28  game             both networks and all else that changes while they learn
    29  plots            every picture
    30  runs             the run folder: settings, history, model
    31  drawing          new images: at random, of a class that is asked for, or on a walk
    32  checkpoint       everything needed to go on after a power cut
    33  classifier       a judge who knows digits, made of the same layers
    34  metrics          is it any good? in figures
    35  diagnosis        and in words
    36  training         the loop: epochs, and what is written when
    37  evaluation       all figures of one run, beside those of real images and of noise
    38  comparison       several runs, side by side
    39  inspection       what each layer of a run does: its weights, its numbers, its dead units
    40  selfcheck        every derivative against central differences, in one table
    41  webpage          a run as one page that draws by itself
    42  export           and for those who have PyTorch or ONNX
    43  toy              a GAN on a line, of which all is known: both densities, and the best D
    44  animation        the toy while it learns

The letters
    x         what goes into a layer, (N, K); images are (N, H, W, C): height, width, channels
    y         what comes out, (N, M)
    N         batch: how many examples go through at once; n counts them
    K         how many numbers go into a layer, per example; i counts them
    M         how many come out; j counts them
    W         a weight matrix, (K, M): what each input counts for in each output
    b         a bias, (M,): a number that is added to each output
    L         the loss: one number, the smaller the better
    dx        short for the derivative of L with respect to x. A `d` in front of any name means the
              same, and dx always has the shape of x. So dW has the shape of W.
    h         a nudge: a very small change
    e         2.718...: the power e^x is its own derivative, and log undoes it
    z         random numbers, (N, Z), that G starts from; in losses.py a logit, (N, 1)
    Z         latent: how many random numbers that are, for each image
    p         a probability; in adversarial.py and toy.py the density of real images
    t         what p should have been, the target; in optim.py the number of steps so far
    theta     all parameters of a network in one long vector, (P,)
    P         how many these are; in penalties.py the penalty
    G, D      the generator and the discriminator; G(z) is an image, D(x) how sure D is that x is real
    a         D's answer as a number of any size, before it becomes a probability: its logit
    ddx       that of a penalty with respect to a dx: the gradient of a gradient, see penalties.py
    xᵀ        x with rows and columns exchanged, `x.T` in the code
    xW        the matrix product, `x @ W` in the code; x * y, and x y of single numbers, is number by number
    (3,)      a shape, as Python writes it; () is that of a single number
    float32   numbers of about 7 digits, in 4 bytes each; float64 has about 16 digits, in 8 bytes
    host      the computer; `device`: where the numbers are computed, the same or its graphics card

The letters of single pages
    initial_weights   w: one weight; a: the largest that is possible
    dense             w: the weights of a single output
    activations       f: the bend; f': its slope; V: a second matrix; s, c: tanh above and below its line
    gradcheck         eps: how coarsely numbers are rounded; L', L'', L''': the first three derivatives of L
    optim             g: the gradient; m, v: its averages; s, q: its sums; beta1, beta2: what they keep;
                      eps: keeps from dividing by 0; r: a factor; n: the steps of an average
    adversarial       s: 1 for real, -1 for fake; q: the density of fakes; a, b, c: another paper's targets
    gan               k: how often D moves for each move of G; C: how many classes
    patches           k, l: the window's height and width; s, t: its steps down and across; v, u: a place, down
                      and across; i, j: a pixel of the window; c: a channel; drows: the gradient of the rows
    conv              k, s, v, u, i, j, c: the same, of a square window; F: how many kernels; f: one of them;
                      A: a convolution as one matrix; w: its weights; H', W': height and width of y
    batchnorm         R: rows; r: one of them; m, v: mean and variance; eps: keeps from dividing by 0;
                      xhat: x with mean 0 and variance 1; gamma, beta: its new scale and mean
    shapes            k: how many pixels, or numbers, become one; n: how many labels
    penalties         g: D's slope; e: a share; gamma: a weight; V, c: a second layer's W and b; m: a mask;
                      J: all slopes of a layer; f', f'': those of a bend
    spectral          sigma: the largest stretch; u, v: its directions; V: W / sigma; k, l, C, F: as in conv
"""

__version__ = "0.1.0"
