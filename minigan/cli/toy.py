"""Train a GAN on data with a known density, and save an animation of it."""

import io

from minigan.accel.cpu import is_set_by_user, limit_blas_threads
from minigan.cli import arguments
from minigan.figures.dirac import STEPS
from minigan.figures.toy_animation import animate_dirac, animate_toy
from minigan.figures.toys import FIRST_GAMMA, LAST_GAMMA, TOYS
from minigan.gan.gradient_penalty import PENALTIES
from minigan.gan.losses import GAN_LOSSES
from minigan.training.run_folder import RunError


def add_arguments(parser):
    """The options of `demo.py toy`."""
    add = parser.add_argument
    add(
        "--shape",
        choices=[*TOYS, "dirac"],
        default="line",
        help="line: numbers, shown with all densities; ring and grid: points, shown on a map of the"
        " discriminator's output; dirac: a single number, shown as a phase portrait (default line)",
    )
    add(
        "--out",
        type=arguments.path,
        metavar="FILE",
        help="FILE.gif: an animation; FILE.png, .svg or .pdf: its last frame (default: toy.gif, or"
        " the next free name)",
    )
    add(
        "--seed",
        type=arguments.seed,
        default=0,
        metavar="N",
        help="determines all random numbers (default 0); dirac has none",
    )
    add(
        "--steps",
        type=arguments.positive_int,
        metavar="N",
        help="generator steps (default"
        f" {', '.join(f'{toy.steps} for the {name}' for name, toy in TOYS.items())},"
        f" {STEPS} for dirac)",
    )
    add(
        "--loss",
        choices=list(GAN_LOSSES),
        help="what the two networks minimise on the ring or the grid (default non-saturating);"
        " relativistic comes with settings of its own",
    )
    add(
        "--penalty",
        choices=["none", *PENALTIES],
        help="penalty on the gradient of the discriminator, on the ring or the grid (default none)",
    )
    add(
        "--penalty-weight",
        type=arguments.positive_float,
        metavar="X",
        help=f"weight of the penalty at the first step (default {FIRST_GAMMA}); it falls to"
        f" {LAST_GAMMA / FIRST_GAMMA:.0%}% of that during the first half of training",
    )
    arguments.add_look(parser)
    arguments.add_force(parser)


def run(args):
    """Train on the toy and write the animation."""
    out = args.out or arguments.default_out(None, "toy.gif")
    arguments.check_out(out, ".gif", *arguments.PICTURES, force=args.force)
    given = [name for name in ("loss", "penalty", "penalty_weight") if getattr(args, name)]
    if given and args.shape in ("line", "dirac"):
        flag = f"--{given[0].replace('_', '-')}"
        raise RunError(f"{flag} does not apply to --shape {args.shape}: choose ring or grid")
    penalty = "" if args.penalty in (None, "none") else args.penalty
    if args.penalty_weight and not penalty:
        raise RunError("--penalty-weight without a penalty: add --penalty, such as r1+r2")
    if not is_set_by_user():
        limit_blas_threads(1)  # of small matrices: more threads would mostly wait for each other
    content, look = io.BytesIO(), arguments.look_of(args, out)
    if args.shape == "dirac":
        animate_dirac(steps=args.steps, file=content, look=look)
    else:
        animate_toy(
            args.shape,
            steps=args.steps,
            seed=args.seed,
            loss=args.loss or "non-saturating",
            penalty=penalty,
            gamma=args.penalty_weight or 0.0,
            file=content,
            look=look,
        )
    arguments.write_out(out, content)
    print(f"{'animation' if look.kind == 'gif' else 'picture'} in {out}")
    return 0
