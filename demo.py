"""Train a GAN on MNIST, or draw from a trained one: the command line, and nothing else.

    python demo.py                                     train on the digits in data/
    python demo.py --data PATH                         train on images of your own
    python demo.py --recipe dcgan                      train as others do
    python demo.py recipes                             which recipes there are
    python demo.py --resume RUN_DIR                    go on with a run that was interrupted
    python demo.py sample RUN_DIR --out digits.png     draw new ones
    python demo.py walk RUN_DIR --out walk.gif         walk from drawing to drawing
    python demo.py evaluate RUN_DIR                    measure it: metrics.json, and more pictures
    python demo.py compare RUN_DIR RUN_DIR ...         several runs in one table and figure
    python demo.py export RUN_DIR --to html            take it with you: a web page, PyTorch, ONNX
    python demo.py check                               every derivative against central differences
    python demo.py toy                                 a GAN on a line, with all that can be known of it, as an animation
    python demo.py inspect RUN_DIR                     what each layer does: weights, activations, gradients, dead units
"""
import argparse
import difflib
import io
import math
import os
import shlex
import signal
import sys
import time
from pathlib import Path

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until everything is loaded, Ctrl-C just ends it

import numpy as np

from minigan.adversarial import GAN_LOSSES
from minigan.animation import animate
from minigan.backend import BackendError, blas_advice, keep_memory, load_backend
from minigan.build import CONVOLUTIONAL, make_networks
from minigan.checkpoint import load_run, lock
from minigan.comparison import draw_comparison, read_run
from minigan.comparison import table as comparison_table
from minigan.data import SHIPPED, DataError, in_words
from minigan.drawing import sample, walk
from minigan.evaluation import evaluate, make_yardstick, table
from minigan.export import SUFFIXES, export
from minigan.inspection import PICTURES, inspect
from minigan.inspection import table as inspection_table
from minigan.penalties import PENALTIES
from minigan.plots import grid, save_grid, save_walk
from minigan.recipes import RECIPES, asdict, check, replace
from minigan.runs import MOST_CLASSES, RunError, default_path, fingerprint, image_shape, make_settings, new_folder, read_recipe, write_whole
from minigan.selfcheck import self_check
from minigan.sources import load
from minigan.toy import TOYS
from minigan.training import train

DEFAULT = RECIPES["default"]


class Parser(argparse.ArgumentParser):
    """An argument parser that complains in one sentence."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def whole(text):
    """A whole number from 1 on."""
    if not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a whole number from 1 to 999999999")
    return int(text)


def seed(text):
    """A whole number from 0 on."""
    if not text.isdecimal() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a whole number from 0 on, of at most 18 digits")
    return int(text)


def rate(text):
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a number above 0")
    return value


def recipe(text):
    """One of our recipes, by its name."""
    if text not in RECIPES:
        near = difflib.get_close_matches(text, RECIPES, 1, 0)
        raise argparse.ArgumentTypeError(f"no recipe is called {text[:40]!r}, did you mean {near[0]}? There are {', '.join(RECIPES)}")
    return RECIPES[text]


def classes(text):
    """Names with commas between them, sorted, so that the same classes are the same text."""
    names = sorted({name.strip() for name in text.split(",")} - {""})
    if not names:
        raise argparse.ArgumentTypeError("it is empty: name classes, such as 3,8")
    return ",".join(names)


def path(text):
    """A path that says something."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty: name a file or folder")
    return Path(text)


def train_parser():
    parser = Parser(prog="demo.py", formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__,
                    epilog="other commands, each with its own --help:\n  recipes  list the recipes\n  sample   draw new images from a trained run"
                           "\n  walk     walk from drawing to drawing\n  evaluate measure a trained run beside real images and noise"
                           "\n  compare  several runs in one table and figure\n  export   a trained run as a web page, or for PyTorch or ONNX"
                           "\n  check    compare every derivative with central differences"
                           "\n  toy      a GAN on a line or in the plane, as an animation\n  inspect  what each layer of a trained run does")
    add = parser.add_argument
    add("--recipe", type=recipe, metavar="NAME",
        help="a complete setting, of which the flags below change single values (default: default; see demo.py recipes)")
    add("--backend", metavar="numpy|cupy",
        help="where to compute (default numpy, which needs nothing else; cupy needs an NVIDIA card)")
    add("--epochs", type=whole, metavar="N",
        help=f"passes over all images (default {DEFAULT.epochs}: some two minutes on two cores; more is better)")
    add("--batch-size", type=whole, metavar="N",
        help=f"real images, and fakes, a step (default {DEFAULT.batch_size}: 64 learns about as much per minute, with noisier steps)")
    add("--seed", type=seed, metavar="N",
        help="all randomness follows from it (default 0: the same run every time, on the same machine with as many threads)")
    add("--data", type=path, metavar="PATH",
        help="images of your own: a folder of pictures, a .npy or .npz file, an IDX file, or a folder of these named like MNIST's"
             " (default: the MNIST shipped in data/)")
    add("--classes", type=classes, metavar="A,B", help="train on images with these labels only, such as 3,8 (default: all)")
    add("--conditional", action="store_true", default=None,
        help="tell both networks what each image shows, so that sample --digit 7 draws sevens (needs labels)")
    add("--size", type=whole, metavar="N",
        help="scale the images, and cut off what sticks out, to N x N pixels (default: as they are; but see minigan/pictures.py"
             " for pictures that are large, or of many sizes)")
    add("--strict", action="store_true", help="refuse a folder with a picture that cannot be read (default: name it, and leave it out)")
    add("--out", type=path, metavar="DIR",
        help="the run folder, new or empty (default runs/<time>-<recipe>, so that no run overwrites another)")
    add("--latent-dim", type=whole, metavar="N",
        help=f"random numbers that each image is drawn from (default {DEFAULT.latent_dim}: ample for digits)")
    add("--learning-rate", type=rate, metavar="X",
        help=f"of the optimizer (default {DEFAULT.learning_rate}: fast, and still stable; see docs/recipe.md)")
    add("--loss", choices=list(GAN_LOSSES),
        help="what the two networks pay (default non-saturating: the generator learns even while it is poor; see minigan/adversarial.py)")
    add("--penalty", choices=["none", *PENALTIES],
        help="on the slope of the discriminator (default none: a penalty costs a third more time; see minigan/penalties.py)")
    add("--penalty-weight", type=rate, metavar="X",
        help=f"how much the penalty weighs (default the recipe's, or {DEFAULT.penalty_weight:g}, as in the papers of both)")
    add("--spectral", action="store_true", default=None,
        help="divide each weight matrix of the discriminator by its largest singular value (default no; see minigan/spectral.py)")
    add("--resume", type=path, metavar="RUN_DIR",
        help="go on with a run that was interrupted, or with more --epochs; its settings stay (default: begin a new run)")
    add("--checkpoint-every", type=rate, default=30, metavar="S",
        help="write down everything needed to go on when so many seconds have passed (default 30: what a power cut may cost)")
    return parser


def sample_parser():
    parser = Parser(prog="demo.py sample", description="Draw new images from a trained run.")
    add = parser.add_argument
    add("run", type=path, metavar="RUN_DIR", help="the folder that training has filled")
    add("--count", type=whole, default=100, metavar="N", help="how many (default 100: a grid of 10 x 10)")
    add("--digit", metavar="NAME", help="only this digit, or whatever the classes are called; of a run that was trained --conditional")
    add("--out", type=path, default=Path("samples.png"), metavar="FILE",
        help="FILE.png: a grid; FILE.npy: float32 (N, height, width), or (N, height, width, 3) in colour, in [0, 1]"
             " (default samples.png)")
    add("--seed", type=seed, default=0, metavar="N", help="of the noise (default 0: the same images every time)")
    return parser


def seeds(text):
    """Seeds with commas between them."""
    return [seed(one.strip()) for one in text.split(",")]


def walk_parser():
    parser = Parser(prog="demo.py walk", description="Walk from one drawing to the next, and back to the first: an animation. Of a"
                    " --conditional run all classes walk side by side.")
    add = parser.add_argument
    add("run", type=path, metavar="RUN_DIR", help="the folder that training has filled")
    add("--seeds", type=seeds, default=[0, 1, 2, 3], metavar="A,B,...",
        help="which drawings to pass: the first image that sample --seed A draws, and so on (default 0,1,2,3)")
    add("--frames", type=whole, default=20, metavar="N", help="pictures from one to the next (default 20: 1.6 seconds)")
    add("--digit", metavar="NAME", help="only this digit, or whatever the classes are called; of a run that was trained --conditional")
    add("--out", type=path, default=Path("walk.gif"), metavar="FILE", help="the animation, a GIF file (default walk.gif)")
    return parser


def run_walk(args):
    check_out(args.out, ".gif")
    if len(args.seeds) * args.frames > 2000:
        raise RunError(f"{len(args.seeds)} seeds with {args.frames} pictures each are too many for an animation: at most 2000 in all")
    images, content = walk(args.run, args.seeds, args.frames, args.digit), io.BytesIO()
    save_walk(np.stack([grid(columns, columns=min(len(columns), 10)) for columns in images]) / 255, content, 4)
    write_out(args.out, content)
    print(f"{len(images)} pictures on the way from seed to seed in {args.out}")
    return 0


def evaluate_parser():
    parser = Parser(prog="demo.py evaluate", description="Measure a trained run; writes metrics.json and pictures into it.")
    parser.add_argument("run", type=path, metavar="RUN_DIR", help="the folder that training has filled")
    parser.add_argument("--count", type=whole, default=10_000, metavar="N",
                        help="how many images to draw (default 10000: figures of other counts cannot be compared)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of the noise (default 0: the same figures every time)")
    return parser


def run_evaluate(args):
    if args.count < 100:
        raise RunError(f"--count {args.count} is too few to measure anything: at least 100")
    result = evaluate(args.run, args.count, args.seed)
    print(table(result))
    pictures = ["classes.png"] * ("classes" in result["run"]) + [
        "real-and-fake.png", "neighbours.png", "walk.png", "walk.gif", "gradient.png"]
    print(f"written to {args.run / 'metrics.json'}; beside it {', '.join(pictures)}")
    return 0


def compare_parser():
    parser = Parser(prog="demo.py compare", description="Several runs in one table and one figure; they need not be finished.")
    parser.add_argument("runs", type=path, nargs="+", metavar="RUN_DIR", help="the folders that training has filled")
    parser.add_argument("--out", type=path, default=Path("comparison.png"), metavar="FILE", help="the figure, a PNG file (default comparison.png)")
    return parser


def run_compare(args):
    check_out(args.out, ".png")
    runs = {str(folder): read_run(folder) for folder in args.runs}
    content = io.BytesIO()
    draw_comparison(runs).savefig(content, format="png")
    write_out(args.out, content)
    print(comparison_table(runs))
    print(f"curves in {args.out}")
    return 0


def check_out(file, *endings):
    """Refuse, before any work is done, a file that cannot be meant, or that is there already."""
    if file.suffix not in endings:
        raise RunError(f"--out {file} should end in {' or '.join(endings)}")
    if file.exists() or file.is_symlink():
        raise RunError(f"{file} exists: choose another --out, nothing was overwritten")


def write_out(file, content):
    """Write what a BytesIO holds."""
    try:
        write_whole(file, lambda opened: opened.write(content.getbuffer()))
    except OSError as error:
        raise RunError(f"cannot write {file} ({error.strerror or error}): choose another --out") from None


def export_parser():
    parser = Parser(prog="demo.py export", description="Take a trained run with you, to where minigan is not.")
    parser.add_argument("run", type=path, metavar="RUN_DIR", help="the folder that training has filled")
    parser.add_argument("--to", choices=SUFFIXES, required=True,
                        help="html: a web page that draws by itself; torch: a state dict for PyTorch, and a script that loads it;"
                             " onnx: a graph (these two want pip install -e \".[export]\")")
    parser.add_argument("--out", type=path, metavar="FILE",
                        help="where to, ending in .html, .safetensors or .onnx (default the run's name, in this folder)")
    return parser


def run_export(args):
    out = args.out or Path(args.run.resolve().name + SUFFIXES[args.to])
    check_out(out, SUFFIXES[args.to])
    files = export(args.run, args.to, out)
    for file in files:
        check_out(file, file.suffix)
    for file, content in files.items():
        write_out(file, io.BytesIO(content))
    print(f"written: {' and '.join(map(str, files))} ({sum(map(len, files.values())) / 1e6:.1f} MB)")
    return 0


def check_parser():
    return Parser(prog="demo.py check", description="Compare every hand-written derivative with central differences.")


def recipes_parser():
    return Parser(prog="demo.py recipes", description="List the recipes: name, parameters for images of 28 x 28, source.")


def run_recipes(args):
    for recipe in RECIPES.values():
        G, D = make_networks(recipe, (28, 28), np.random.default_rng(0))
        print(f"{recipe.name:16} G {G.theta.size:9,}  D {D.theta.size:9,}  {recipe.source}")
    return 0


def changed(recipe, args):
    """The recipe with the values that were given; what goes with one of them changes in proportion."""
    names = "epochs", "batch_size", "latent_dim", "learning_rate", "loss", "penalty", "penalty_weight", "spectral", "conditional"
    new = {name: value for name in names if (value := getattr(args, name)) is not None}
    if args.penalty not in (None, recipe.penalty):  # another penalty's weight says nothing of this one's
        new = {"penalty_weight": DEFAULT.penalty_weight, "penalty_every": DEFAULT.penalty_every, **new}
    if args.penalty == "none":
        new["penalty"] = ""
    if args.penalty_weight and not new.get("penalty", recipe.penalty):
        raise RunError(f"--penalty-weight {args.penalty_weight:g} without a penalty: give --penalty {' or '.join(PENALTIES)} as well")
    if "batch_size" in new:
        larger = new["batch_size"] / recipe.batch_size
        new |= {"batch_G": math.ceil(recipe.batch_G * larger), "steps": math.ceil(recipe.steps / larger)}
    if "conditional" in new:
        new["dropout"] = 0.0  # with labels it does harm: docs/recipe.md
    if "learning_rate" in new:
        new["learning_rate_D"] = recipe.learning_rate_D * new["learning_rate"] / recipe.learning_rate
    recipe = replace(recipe, **new)
    try:
        check(recipe)
    except ValueError as error:
        raise RunError(error) from None
    return recipe


def run_train(args):
    checkpoint = None
    if args.resume:
        settings, checkpoint, complaints = load_run(args.resume)
        for complaint in complaints:
            print(f"note: {complaint}")
        recipe, seed, folder = read_recipe(settings), settings["seed"], args.resume
        data = SHIPPED if settings["digits"] else args.data or Path(settings["data"])  # the folder may have moved
        given = {"recipe": args.recipe and args.recipe.name, "seed": args.seed, "backend": args.backend, "batch-size": args.batch_size,
                 "latent-dim": args.latent_dim, "learning-rate": args.learning_rate, "out": args.out,
                 "classes": args.classes, "size": args.size,
                 "loss": args.loss, "penalty": args.penalty, "penalty-weight": args.penalty_weight, "spectral": args.spectral,
                 "conditional": args.conditional}
        made_with = {"classes": "", "size": 0, **settings, **asdict(recipe), "recipe": recipe.name, "out": folder,
                     "penalty": recipe.penalty or "none"}
        for flag, value in given.items():
            if value not in (None, was := made_with[flag.replace("-", "_")]):
                was = {"classes": was or "all", "size": was or "none"}.get(flag, was)
                if value is True:
                    raise RunError(f"--{flag} contradicts {folder}, which was begun without it: leave the flag out, or begin a new run")
                raise RunError(f"--{flag} {value} contradicts {folder}, which was begun with {was}: leave the flag out, or begin a new run")
        if args.epochs:
            recipe = replace(recipe, epochs=args.epochs)
            settings["recipe"]["epochs"] = args.epochs
        done = len(checkpoint[1]["history"])
        if recipe.epochs < done:
            raise RunError(f"{folder} has {done} epochs already: give --epochs {done + 1} or more to go on")
        if recipe.epochs == done:  # it may have been cut off while it drew its figures
            print(f"{folder} has all of its {done} epochs: its figures are drawn again (--epochs {done + 1} or more would go on)")
        args.backend, args.classes, args.size = settings["backend"], made_with["classes"], made_with["size"]
    else:
        recipe = changed(args.recipe or DEFAULT, args)
        seed, data = args.seed or 0, args.data or SHIPPED
    if recipe.latent_dim > 4096:
        raise RunError(f"--latent-dim {recipe.latent_dim} is too many: at most 4096")
    xp = load_backend(args.backend or "numpy")
    found = load(data, args.classes or "", args.size or 0, args.strict)
    images, shape = found.images, found.images.shape[1:]
    if args.resume and images.shape != (settings["n_images"], *image_shape(settings)):
        raise RunError(f"{data} holds other images than those that {folder} was begun with: put them back to go on")
    if args.resume and settings.get("fingerprint") not in (None, fingerprint(images, found.labels if recipe.conditional else None)):
        raise RunError(f"{data} holds other images or labels than those that {folder} was begun with: put them back to go on")
    if args.resume and recipe.conditional and found.names != settings["names"]:
        raise RunError(f"{data} calls its classes otherwise than when {folder} was begun ({', '.join(settings['names'])}): put them back to go on")
    if recipe.batch_size > len(images):
        raise RunError(f"there are only {len(images)} images{' of these classes' if args.classes else ''} in {data}:"
                       f" give --batch-size {len(images)} or less, not {recipe.batch_size}")
    if recipe.networks in CONVOLUTIONAL and (shape[0] % 4 or shape[1] % 4):
        raise RunError(f"{data} holds images of {in_words(shape)}, and the recipe {recipe.name} wants multiples of 4: give"
                       f" --size {min(shape[:2]) // 4 * 4 or 4}, or choose a fully connected one, such as --recipe default")
    if args.conditional and (args.recipe or DEFAULT).dropout and not args.resume:
        found.notes.append("--conditional leaves dropout away (docs/recipe.md says why)")
    if recipe.conditional and found.labels is None:
        raise RunError(f"{data} has no labels, which --conditional needs: pictures get them from sub-folders, arrays from `labels`"
                       f" beside `images`{''.join(f'; {note}' for note in found.notes if 'no classes' in note)}")
    if recipe.conditional and len(found.names) > MOST_CLASSES:
        raise RunError(f"{len(found.names):,} classes are too many for --conditional: at most {MOST_CLASSES}")
    digits = data.resolve() == SHIPPED and shape == (28, 28)
    yardstick, _ = make_yardstick(found, digits)
    if not args.resume:
        folder = new_folder(args.out or default_path(recipe.name))
        settings = make_settings(recipe, seed, images, data, xp.__name__, digits, args.classes or "", args.size or 0, found.labels, found.names)
    with lock(folder):
        for note in found.notes:
            print(f"note: {note}")
        print(f"{'going on with' if args.resume else 'training on'} {len(images):,} images of {in_words(shape)}"
              f" with {xp.__name__}; Ctrl-C saves and stops; everything goes to {folder}", flush=True)
        began = time.perf_counter()
        if xp is np and blas_advice():
            print(f"hint: {blas_advice()}", flush=True)
        if not (args.resume or args.epochs or recipe.steps) and len(images) < 15_000:
            print(f"hint: with so few images {recipe.epochs} epochs are only {len(images) // recipe.batch_size * recipe.epochs:,} steps;"
                  f" --epochs {math.ceil(recipe.epochs * 60_000 / len(images))} is as long a training as this recipe's with MNIST", flush=True)
        status = train(recipe, images, folder, settings, yardstick, seed, xp, args.checkpoint_every, checkpoint,
                       found.labels if recipe.conditional else None)
    seconds = time.perf_counter() - began
    print(f"{'interrupted, and saved' if status else 'done'} after {seconds // 60:.0f} min {seconds % 60:.0f} s:"
          f" {folder / 'progress.gif'} shows how it learned,")
    asked = f" --digit {shlex.quote(found.names[-1])}" if recipe.conditional else ""
    name = shlex.quote(str(folder) if str(folder)[0] != "-" else f"./{folder}")
    print(f"python demo.py {f'--resume {name} goes on' if status else f'sample {name}{asked} --out digits.png draws new ones'}")
    return status


def run_sample(args):
    check_out(args.out, ".png", ".npy")
    images = sample(args.run, args.count, args.seed, args.digit)
    content = io.BytesIO()
    np.save(content, images) if args.out.suffix == ".npy" else save_grid(images, content)
    write_out(args.out, content)
    print(f"{args.count} new images in {args.out}")
    return 0


def run_check(args):
    began, failed, count = time.perf_counter(), [], 0
    print(f"{'page':12} {'what':26} {'gradient':9} relative error")
    for page, name, check in self_check():
        count += 1
        print(f"{page:12} {name:26} {check.name:9} {check.error:.0e} {'✓' if check.ok else '✗'}", flush=True)
        failed += [] if check.ok else [f"{page}.py, {name}: {check}"]
    print(*failed, sep="\n", end="\n" if failed else "")
    print(f"{count - len(failed)} of {count} gradients agree with central differences in float64"
          f" to 7 digits and more, in {time.perf_counter() - began:.1f} s")
    return 1 if failed else 0


def toy_parser():
    parser = Parser(prog="demo.py toy", description="Train a GAN on data whose density is known, and draw how it learns.")
    add = parser.add_argument
    add("--shape", choices=TOYS, default="line",
        help="line: numbers, with all densities; ring and grid: points, over the discriminator's field (default line)")
    add("--out", type=path, default=Path("toy.gif"), metavar="FILE", help="the animation, a GIF file (default toy.gif)")
    add("--seed", type=seed, default=0, metavar="N", help="all randomness follows from it (default 0)")
    add("--steps", type=whole, metavar="N",
        help=f"of the generator (default {', '.join(f'{toy.steps} for the {name}' for name, toy in TOYS.items())})")
    return parser


def run_toy(args):
    check_out(args.out, ".gif")
    content = io.BytesIO()
    animate(args.shape, args.steps, args.seed, content)
    write_out(args.out, content)
    print(f"animation in {args.out}")
    return 0


def inspect_parser():
    parser = Parser(prog="demo.py inspect", description="Draw what each layer of a trained run does, into its folder, and count dead units.")
    parser.add_argument("run", type=path, metavar="RUN_DIR", help="the folder that training has filled")
    parser.add_argument("--steps", type=whole, default=100, metavar="N",
                        help="how many first steps of the run to take again (default 100: what happens fastest)")
    return parser


def run_inspect(args):
    print(inspection_table(inspect(args.run, args.steps)))
    print(f"written to {args.run}: {', '.join(PICTURES)}")
    return 0


COMMANDS = {"recipes": (recipes_parser, run_recipes), "sample": (sample_parser, run_sample), "walk": (walk_parser, run_walk), "evaluate": (evaluate_parser, run_evaluate),
            "compare": (compare_parser, run_compare), "export": (export_parser, run_export), "check": (check_parser, run_check),
            "toy": (toy_parser, run_toy), "inspect": (inspect_parser, run_inspect)}


def main(argv):
    """Run one command; the exit status: 0, 1 if a check failed, 2 for bad input, 130 or 143 for Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    keep_memory()
    for stream in sys.stdout, sys.stderr:
        if stream:
            stream.reconfigure(errors="replace")  # a terminal that has no ✓ shows a ?
    try:
        if argv and argv[0] in COMMANDS:
            parser, run = COMMANDS[argv[0]]
            return run(parser().parse_args(argv[1:]))
        if argv and not argv[0].startswith("-"):
            raise RunError(f"there is no command {argv[0]!r}: there is {', '.join(COMMANDS)}, or none at all, to train")
        return run_train(train_parser().parse_args(argv))
    except (BackendError, DataError, RunError) as error:
        return complain(error)
    except MemoryError:  # CuPy's OutOfMemoryError is one, too
        return complain("out of memory: choose a smaller --count, --batch-size or --latent-dim, or smaller images")
    except BrokenPipeError:  # as with `| head`: nobody reads on, so there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except OSError as error:
        return complain(f"{error.filename or 'cannot write'}: {error.strerror or error}")
    except KeyboardInterrupt:
        print("demo.py: interrupted; what was saved until now is in its folder", file=sys.stderr)
        return 130


def complain(sentence):
    """Say on the standard error what was wrong; the exit status for that."""
    print(f"demo.py: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    status = main(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError:  # the pipe was closed, or the disk is full, at the very end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)
