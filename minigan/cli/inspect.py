"""Save figures of what each layer of a trained run does to its folder, and count dead units."""

from minigan.accel.cpu import limit_blas_threads
from minigan.cli import arguments
from minigan.console import say_step
from minigan.evaluation.layer_stats import format_layer_stats, inspect_layers
from minigan.training.run_folder import RunFiles


def add_arguments(parser):
    """The options of `demo.py inspect`."""
    arguments.add_run_and_data(parser)
    parser.add_argument(
        "--steps",
        type=arguments.positive_int,
        default=100,
        metavar="N",
        help="how many of the first training steps to repeat (default 100; the first change most)",
    )


def run(args):
    """Save the figures and print the table of dead units."""
    limit_blas_threads()
    files = RunFiles(args.run)
    counts = inspect_layers(args.run, args.steps, path=args.data, files=files, say=say_step)
    print(format_layer_stats(counts))
    files.check()
    print(f"written to {args.run}: {', '.join(files.written)}")
    return 0
