"""The training loop: algorithm 1 of Goodfellow et al. 2014, with a record of its progress.

The idea
    Unless a recipe sets another number of steps, an epoch shows every image once, in a new order,
    in batches of N. The few images left over at the end are skipped. Each batch is one training
    step: train the discriminator on the batch and on N fakes, then train the generator, then update
    the moving average of its weights (see state.py). After an epoch, samples are evaluated and
    saved (see run.py).

    demo.py contains the same loop, with the same calls, for readers. This one is for
    `python -m minigan` and for use from Python. A test checks that the two are equivalent.
"""

from collections.abc import Callable

from minigan.accel.cpu import limit_blas_threads
from minigan.backend import load_backend
from minigan.training.inputs import TrainingOptions, load_training_data
from minigan.training.run import Run
from minigan.training.schedule import make_optimizers
from minigan.training.state import TrainingState, make_initial_networks


def train(options: TrainingOptions, make_evaluator: Callable) -> int:
    """Train a GAN and write its run folder.

    Returns 0, or 128 plus the number of the signal that interrupted the run.
    `make_evaluator(dataset, digits)` returns an object that evaluates the samples of each epoch,
    such as a minigan.evaluation.metrics.Evaluator. Raises BackendError, DataError or RunError.
    """
    xp = load_backend(options.backend)
    data = load_training_data(options, xp)
    G, D = make_initial_networks(
        options.recipe, data.image_shape, n_classes=data.n_classes, seed=options.seed, xp=xp
    )
    optimizer_G, optimizer_D = make_optimizers(options.recipe, G, D)
    gan = TrainingState(
        options.recipe,
        data.images,
        labels=data.labels,
        n_classes=data.n_classes,
        seed=options.seed,
        xp=xp,
        networks=(G, D),
        optimizers=(optimizer_G, optimizer_D),
        cores=limit_blas_threads(options.threads),
        group=options.group,
    )
    with Run(options, data, gan, make_evaluator) as run:
        for epoch in run.epochs():
            for _ in run.steps(epoch):
                gan.set_learning_rates()
                batch = gan.next_batch()
                loss_D, score_real, score_fake = gan.discriminator_step(batch)
                loss_G = gan.generator_step(batch)
                gan.update_average()
                run.record(loss_D, loss_G, score_real, score_fake)
            run.end_epoch(epoch)
    return run.status
