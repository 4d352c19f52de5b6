"""Evaluate a trained run; writes metrics.json and figures to its folder."""

from minigan.cli import arguments
from minigan.evaluation.report import evaluate, format_report
from minigan.training.run_folder import RunError


def add_arguments(parser):
    """The options of `demo.py evaluate`."""
    parser.add_argument(
        "run", type=arguments.path, metavar="RUN_DIR", help="the folder of a training run"
    )
    parser.add_argument(
        "--data",
        type=arguments.path,
        metavar="PATH",
        help="where the run's images are now, if they have moved (default: where they were found"
        " the last time; a new place is remembered)",
    )
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


def run(args):
    """Evaluate the run and print its metrics."""
    if args.count < 100:
        raise RunError(f"--count {args.count} is too few to measure anything: use at least 100")
    result = evaluate(args.run, args.count, seed=args.seed, path=args.data)
    print(format_report(result))
    figures = [
        *["classes.png"] * ("classes" in result["run"]),
        "real-and-fake.png",
        "neighbours.png",
        *["memorisation.png"] * ("memorisation" in result["run"]),
        "walk.png",
        "walk.gif",
        "gradient.png",
    ]
    print(f"written to {args.run / 'metrics.json'}; in the same folder: {', '.join(figures)}")
    return 0
