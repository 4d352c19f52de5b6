"""Train a GAN on handwritten digits, or use a trained one.

python demo.py                                     train on the digits in data/
python demo.py --data PATH                         train on images of your own
python demo.py --recipe dcgan                      train with another recipe
python demo.py recipes                             list the recipes
python demo.py summary                             list the layers of both networks
python demo.py --open                              watch the run in a browser
python demo.py runs                                list the runs
python demo.py --resume RUN_DIR                    continue a run that was interrupted
python demo.py sample                              generate digits with a pretrained generator
python demo.py sample RUN_DIR --out digits.png     generate new images
python demo.py walk RUN_DIR --out walk.gif         interpolate from one image to the next
python demo.py evaluate RUN_DIR                    evaluate a run: metrics.json and more figures
python demo.py compare RUN_DIR RUN_DIR ...         compare several runs in a table and a figure
python demo.py export RUN_DIR --to html            export it as a web page, to PyTorch or to ONNX
python demo.py check                               compare every derivative with central differences
python demo.py toy                                 animate a GAN on a line beside the optimal
                                                   discriminator
python demo.py inspect RUN_DIR                     show what each layer does: weights, activations,
                                                   gradients, dead units
python demo.py data                                check MNIST, or say where to get it
"""

# The function `train` below is the whole of training, as in algorithm 1 of Goodfellow et al. 2014.
# Every call leads to a short module. The two training steps lead to minigan/gan/steps.py, and from
# there to the layers in minigan/nn.
import signal
import sys

if __name__ == "__main__":  # until everything is imported, Ctrl-C simply ends the process
    signal.signal(signal.SIGINT, signal.SIG_DFL)

try:
    from minigan.accel.cpu import limit_blas_threads
    from minigan.backend import load_backend
    from minigan.cli import main as cli
    from minigan.training.inputs import load_training_data
    from minigan.training.run import Run
    from minigan.training.schedule import make_optimizers
    from minigan.training.state import TrainingState, make_initial_networks
except ModuleNotFoundError as error:
    print(f"demo.py: {error}: pip install -e . installs what is missing", file=sys.stderr)
    sys.exit(2)


def train(options, make_evaluator):
    """Train with the options of the command line; returns the exit status."""
    recipe = options.recipe  # all settings, such as sizes, learning rates and loss
    xp = load_backend(options.backend)  # the module numpy or cupy

    # The images, as bytes (n, height, width). The labels are clusters of similar images, or classes
    # in a conditional run, or None, depending on the recipe.
    data = load_training_data(options, xp)

    # The generator G maps noise to images, and the discriminator D maps images to logits. Each is a
    # chain of layers. All its parameters are stored in one flat vector, G.theta or D.theta.
    start = dict(n_classes=data.n_classes, seed=options.seed, xp=xp)
    G, D = make_initial_networks(recipe, data.image_shape, **start)

    # Two optimizers, one for each vector.
    optimizers = make_optimizers(recipe, G, D)

    # Everything that changes during training: the networks, the optimizers, the moving average of
    # G's weights, and the random states.
    gan = TrainingState(
        recipe,
        data.images,
        labels=data.labels,
        networks=(G, D),
        optimizers=optimizers,
        cores=limit_blas_threads(options.threads),
        group=options.group,
        **start,
    )

    # The run writes the run folder. It also resumes an earlier run, shows progress, and saves
    # everything when you press Ctrl-C.
    with Run(options, data, gan, make_evaluator) as run:
        for epoch in run.epochs():
            for _ in run.steps(epoch):
                gan.set_learning_rates()
                # N real images
                batch = gan.next_batch()
                # D learns to distinguish the real images from N fakes.
                loss_D, score_real, score_fake = gan.discriminator_step(batch)
                # G learns from the gradient that D returns for G's images.
                loss_G = gan.generator_step(batch)
                gan.update_average()
                run.record(loss_D, loss_G, score_real, score_fake)
            # Measure new samples; write history.csv, samples/ and model.npz. (When epochs take
            # less than a few seconds, not after each of them.)
            run.end_epoch(epoch)
    return run.status


def main(argv):
    """Run one command, or train if none is named; returns the exit status."""
    return cli.main(argv, train, description=__doc__)


if __name__ == "__main__":
    cli.exit_with(main(sys.argv[1:]))
