"""Save an animation that walks from one generated image to the next, and back to the first."""

import io

import numpy as np

from minigan.cli import arguments
from minigan.cli.arguments import add_force, check_out, default_out, write_out
from minigan.figures.plots import make_grid, save_walk
from minigan.training.run_folder import RunError
from minigan.training.sampling import walk_images

MAX_FRAMES = 2000


def add_arguments(parser):
    """The options of `demo.py walk`."""
    add = parser.add_argument
    add(
        "run",
        type=arguments.path,
        metavar="RUN_DIR",
        help="the folder of a training run; a --conditional run shows all classes side by side",
    )
    add(
        "--seeds",
        type=arguments.seeds,
        default=[0, 1, 2, 3],
        metavar="A,B,...",
        help="images to visit: the first image of sample --seed A, that of --seed B, and so on"
        " (default 0,1,2,3)",
    )
    add(
        "--frames",
        type=arguments.positive_int,
        default=20,
        metavar="N",
        help="frames from one image to the next (default 20: 1.6 seconds)",
    )
    add(
        "--digit",
        metavar="NAME",
        help="show only this digit, or the class of this name, with a run trained with"
        " --conditional",
    )
    add(
        "--out",
        type=arguments.path,
        metavar="FILE",
        help="the file for the animation, a GIF (default: RUN_DIR/latent-walk.gif, or the next free"
        " name)",
    )
    arguments.add_epoch(parser)
    add_force(parser)


def run(args):
    """Generate the images and write the animation."""
    out = args.out or default_out(args.run, "latent-walk.gif")
    check_out(out, ".gif", force=args.force)
    if len(args.seeds) * args.frames > MAX_FRAMES:
        raise RunError(
            f"{len(args.seeds)} seeds with {args.frames} frames each are too many for an animation:"
            f" at most {MAX_FRAMES} frames in all"
        )
    images, content = (
        walk_images(args.run, args.seeds, args.frames, digit=args.digit, epoch=args.epoch),
        io.BytesIO(),
    )
    save_walk(
        np.stack([make_grid(columns, columns=min(len(columns), 10)) for columns in images]) / 255,
        content,
        zoom=4,
    )
    write_out(out, content)
    print(f"{len(images)} frames from seed to seed in {out}")
    return 0
