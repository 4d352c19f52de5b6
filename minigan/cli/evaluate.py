"""Evaluate a trained run; writes metrics.json and figures to its folder."""

from minigan.accel.cpu import limit_blas_threads
from minigan.cli import arguments
from minigan.console import say_step
from minigan.evaluation.report import evaluate, evaluation_folder, format_report
from minigan.training.run_folder import RunError, RunFiles


def add_arguments(parser):
    """The options of `demo.py evaluate`."""
    arguments.add_run_and_data(parser)
    parser.add_argument(
        "--count",
        type=arguments.positive_int,
        default=10_000,
        metavar="N",
        help="how many images to generate (default 10000; metrics of different counts cannot be"
        " compared, except KID)",
    )
    parser.add_argument(
        "--seed",
        type=arguments.seed,
        default=0,
        metavar="N",
        help="seed of the latents (default 0: the same metrics every time)",
    )
    arguments.add_epoch(parser)
    arguments.add_look(
        parser,
        columns_of="images in a row",
        default_columns="10 or 14",
        invert=True,
        formats=True,
    )


def run(args):
    """Evaluate the run and print its metrics."""
    if args.count < 100:
        raise RunError(f"--count {args.count} is too few to measure anything: use at least 100")
    limit_blas_threads()
    files = RunFiles(evaluation_folder(args.run, args.epoch))
    metrics = evaluate(
        args.run,
        args.count,
        seed=args.seed,
        epoch=args.epoch,
        path=args.data,
        files=files,
        look=arguments.look_of(args),
        say=say_step,
    )
    print(format_report(metrics))
    files.check()
    *figures, last = files.written
    print(f"written to {files.folder / last}; in the same folder: {', '.join(figures)}")
    return 0
