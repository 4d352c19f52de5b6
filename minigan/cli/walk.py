"""Save an animation that walks from one generated image to the next, and back to the first."""

import io

import numpy as np

from minigan.cli import arguments
from minigan.figures.plots import Look
from minigan.figures.sheets import (
    Sheet,
    arrange_images,
    class_rows,
    labelled_rows,
    save_sheet,
    save_walk,
)
from minigan.training.run_folder import RunError, class_names, load_model
from minigan.training.sampling import check_invert, walk_images

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
        help="FILE.gif: an animation; FILE.png, .svg or .pdf: its frames beside each other, a row"
        " from each image to the next (default: RUN_DIR/latent-walk.gif, or"
        " the next free name)",
    )
    arguments.add_look(
        parser,
        columns_of="images in a row: classes of an animation, frames of a picture",
        default_columns="up to 10 classes, all frames",
        invert=True,
    )
    arguments.add_epoch(parser)
    arguments.add_force(parser)


def run(args):
    """Generate the images and write the animation."""
    out = args.out or arguments.default_out(args.run, "latent-walk.gif")
    arguments.check_out(out, ".gif", *arguments.PICTURES, force=args.force)
    if len(args.seeds) * args.frames > MAX_FRAMES:
        raise RunError(
            f"{len(args.seeds)} seeds with {args.frames} frames each are too many for an animation:"
            f" at most {MAX_FRAMES} frames in all"
        )
    images, content = (
        walk_images(args.run, args.seeds, args.frames, digit=args.digit, epoch=args.epoch),
        io.BytesIO(),
    )
    check_invert(args.invert, images.shape[2:])
    names = class_names(load_model(args.run)[0])
    names = [args.digit] if args.digit is not None else names
    look = arguments.look_of(args, out)
    if look.kind == "gif":
        save_animated_walk(args, images, names, content, look)
    else:
        save_sheet(frames_in_rows(args, images, names, look), content, look)
    arguments.write_out(out, content)
    print(f"{len(images)} frames from seed to seed in {out}")
    return 0


def ways(seeds: list[int]) -> list[str]:
    """A name for the way from each seed to the next, and from the last to the first."""
    return [f"seed {a} to {b}" for a, b in zip(seeds, [*seeds[1:], seeds[0]])]


def save_animated_walk(
    args, images: np.ndarray, names: list[str], content: io.BytesIO, look: Look
) -> None:
    """Write a GIF of images (frames, classes, H, W[, 3]), with the names of the classes."""
    n = images.shape[1]
    columns = min(n, look.columns or 10)
    grids = [arrange_images(frame, columns=columns, look=look) for frame in images]
    save_walk(
        np.stack(grids),
        content,
        titles=[way for way in ways(args.seeds) for _ in range(args.frames)],
        headings=names if n == columns else [],
        rows=[] if n == columns else class_rows(names, n, columns),
        zoom=8 if n == 1 else 4,
        look=look,
    )


def frames_in_rows(args, images: np.ndarray, names: list[str], look: Look) -> Sheet:
    """A sheet of images (frames, classes, H, W[, 3]), with a row for each way and class."""
    groups = []
    for i, way in enumerate(ways(args.seeds)):
        part = images[i * args.frames : (i + 1) * args.frames]
        for k in range(images.shape[1]):
            groups.append((f"{names[k]}: {way}" if names else way, part[:, k]))
    columns = min(look.columns or args.frames, args.frames)
    rows, labels = labelled_rows(groups, columns, alternate=False)
    grid = arrange_images(rows, columns=columns, look=look)
    return Sheet(grid, "From one generated image to the next", labels)
