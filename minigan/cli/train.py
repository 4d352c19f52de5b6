"""Train on images: turn the options of the command line into TrainingOptions."""

from typing import Any

from minigan.accel.cpu import is_set_by_user, threads_of_resumed_run
from minigan.accel.process_group import ONE_PROCESS, ProcessGroup
from minigan.backend import BackendError, load_backend
from minigan.cli import arguments
from minigan.cli.arguments import format_value
from minigan.datasets.idx import SHIPPED
from minigan.datasets.stacked import STACKED_MNIST
from minigan.datasets.value_range import format_range
from minigan.gan.gradient_penalty import PENALTIES
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.recipes import RECIPES, Recipe, asdict, change_recipe, replace, unused_fields
from minigan.training.checkpoint import load_run
from minigan.training.inputs import TrainingOptions
from minigan.training.run_data import format_path, read_options, recorded_path
from minigan.training.run_folder import FORMAT, RunError, read_recipe

DEFAULT = RECIPES["default"]
RECIPE_OPTIONS = (
    "epochs",
    "batch_size",
    "latent_dim",
    "learning_rate",
    "loss",
    "penalty",
    "penalty_weight",
    "augment",
    "spectral",
    "conditional",
    "clusters",
)


def add_arguments(parser):
    """The options of training."""
    add = parser.add_argument
    add(
        "--recipe",
        type=arguments.recipe,
        metavar="NAME",
        help="a complete set of settings; the options below change single values (default:"
        " default; see demo.py recipes)",
    )
    add(
        "--set",
        type=arguments.setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change any setting of the recipe, such as dropout=0.3 or widths_G=512,64,32; may be"
        " repeated (default: the recipe's values; demo.py recipes NAME lists them)",
    )
    add(
        "--backend",
        metavar="numpy|cupy",
        help="array library (default numpy; cupy computes on an NVIDIA GPU)",
    )
    add(
        "--epochs",
        type=arguments.positive_int,
        metavar="N",
        help=f"passes over all images (default {DEFAULT.epochs}: about two and a half minutes on"
        " two cores; docs/recipe.md shows the effect of more)",
    )
    add(
        "--batch-size",
        type=arguments.positive_int,
        metavar="N",
        help=f"real images, and fakes, per step (default {DEFAULT.batch_size}; with 64 training"
        " progresses about equally per minute, in noisier steps)",
    )
    add(
        "--seed",
        type=arguments.seed,
        metavar="N",
        help="determines all random numbers (default 0: the same run every time, on the same"
        " machine with the same number of threads)",
    )
    add(
        "--data",
        type=arguments.path,
        metavar="PATH",
        help="your own images: a folder or .zip of pictures, a NumPy, MATLAB, HDF5, CSV or Parquet"
        " file, an IDX file, or a folder of IDX files named like MNIST's; docs/data.md lists them"
        " all; stacked-mnist: three random digits in each image, one in each colour (default: the"
        " MNIST in data/)",
    )
    add(
        "--classes",
        type=arguments.classes,
        metavar="A,B",
        help="train on images with these labels only, such as 3,8; a name with a comma is written"
        " in double quotes within single ones (default: all)",
    )
    add(
        "--conditional",
        action="store_true",
        default=None,
        help="give both networks the class of each image, so that sample --digit 7 generates sevens"
        " (needs labels)",
    )
    add(
        "--clusters",
        type=arguments.clusters,
        metavar="N",
        help="group similar images into N clusters, which take the place of labels (default"
        f" {DEFAULT.clusters}, or one per 100 images; 0: none; docs/recipe.md shows the effect)",
    )
    add(
        "--size",
        type=arguments.positive_int,
        metavar="N",
        help="scale and crop the images to N x N pixels (default: unchanged, but see docs/usage.md"
        " for pictures that are large or of different sizes)",
    )
    add(
        "--range",
        type=arguments.value_range,
        metavar="LOW,HIGH",
        help="which values of the images are black and white, such as 0,1 for floats, or 0,4095 for"
        " 12 bits (default: 0,255, but you are asked if this seems wrong)",
    )
    add(
        "--transpose",
        action="store_true",
        default=None,
        help="exchange rows and columns of every image (default: no; EMNIST needs it)",
    )
    add(
        "--strict",
        action="store_true",
        help="refuse a folder with an unreadable picture (default: report and skip the picture)",
    )
    add(
        "--out",
        type=arguments.path,
        metavar="DIR",
        help="the run folder, new or empty (default runs/<time>-<recipe>, so that no run overwrites"
        " another)",
    )
    add(
        "--open",
        action="store_true",
        help="open the page of the run, index.html in its folder, in a browser; it shows samples"
        " and curves while training goes on (default: no; you can open it at any time)",
    )
    add(
        "--latent-dim",
        type=arguments.positive_int,
        metavar="N",
        help="number of random numbers from which each image is generated (default"
        f" {DEFAULT.latent_dim}: ample for digits)",
    )
    add(
        "--learning-rate",
        type=arguments.positive_float,
        metavar="X",
        help=f"learning rate of the optimizers (default {DEFAULT.learning_rate}: fast but still"
        " stable; see docs/recipe.md)",
    )
    add(
        "--loss",
        choices=list(GAN_LOSSES),
        help="what the two networks minimise (default non-saturating, with which even a poor"
        " generator learns; see docs/losses.md)",
    )
    add(
        "--penalty",
        choices=["none", *PENALTIES],
        help="penalty on the gradient of the discriminator (default: the recipe's; computed at"
        " every step, r1 makes a step of dense 1.4 times as long: docs/losses.md)",
    )
    add(
        "--penalty-weight",
        type=arguments.positive_float,
        metavar="X",
        help=f"weight of the penalty (default: the recipe's, or {Recipe.penalty_weight:g}, as in"
        " both papers)",
    )
    add(
        "--augment",
        type=arguments.augment,
        metavar="flip,shift",
        help="change all images that the discriminator sees, real and generated alike, so that it"
        " cannot memorise a few real ones: flip mirrors half of them, and shift moves them by up to"
        " an eighth of their side (default: no change; docs/data.md shows the effect)",
    )
    add(
        "--spectral",
        action="store_true",
        default=None,
        help="divide each weight matrix of the discriminator by its largest singular value"
        " (default: no; see docs/losses.md)",
    )
    add(
        "--threads",
        type=arguments.positive_int,
        metavar="N",
        help="threads of NumPy's matrix products, and cores that share a batch (default: the cores"
        " that this process may use, or the number in OPENBLAS_NUM_THREADS; with another number the"
        " last bits of a run may differ)",
    )
    add(
        "--graph",
        action="store_true",
        help="with --backend cupy: record both training steps as CUDA graphs, check them, and"
        " launch each by one call (default: no; it has not run on a GPU yet)",
    )
    add(
        "--resume",
        type=arguments.path,
        metavar="RUN_DIR",
        help="continue an interrupted run, or train a run for more --epochs; its settings are kept"
        " (default: start a new run)",
    )
    add(
        "--checkpoint-every",
        type=arguments.positive_float,
        default=30,
        metavar="S",
        help="save a checkpoint every S seconds (default 30; a power cut loses about that much"
        " training)",
    )


def training_options(args: Any) -> TrainingOptions:
    """TrainingOptions for parsed options.

    Raises RunError if they contradict each other or the run that is resumed.
    """
    merge_settings(args)
    group = getattr(args, "group", ONE_PROCESS)
    options = resume_options(args, group) if args.resume else new_options(args)
    options.group = group
    if not (options.threads or is_set_by_user()):
        options.threads = group.cores
    if args.graph and options.backend != "cupy":
        raise RunError("--graph needs a GPU: add --backend cupy")
    if args.graph and group.size > 1:
        raise RunError("--graph records the steps of one process: omit it under mpiexec")
    return options


def new_options(args: Any) -> TrainingOptions:
    """The options of a new run."""
    recipe, notes = args.recipe or DEFAULT, []
    if args.conditional and recipe.dropout and "dropout" not in args.set:
        notes = ["--conditional trains without dropout (docs/recipe.md says why)"]
    if args.data == STACKED_MNIST and recipe.clusters and args.clusters is None:
        args.clusters = 0
        notes.append(f"{args.data} trains without clusters, because its images are made on the fly")
    return TrainingOptions(
        recipe=changed_recipe(recipe, args),
        data=args.data or SHIPPED,
        folder=args.out,
        seed=args.seed or 0,
        backend=args.backend or "numpy",
        classes=args.classes or "",
        size=args.size or 0,
        value_range=args.range,
        transpose=args.transpose or False,
        strict=args.strict,
        checkpoint_every=args.checkpoint_every,
        threads=args.threads or 0,
        graph=args.graph,
        epochs_given=bool(args.epochs),
        notes=notes,
    )


def merge_settings(args: Any) -> None:
    """Make args.set a dict, without the settings that have an option of their own.

    `--set epochs=3` becomes `--epochs 3`. Raises RunError if both are given and differ.
    """
    args.set = dict(args.set)
    for name in RECIPE_OPTIONS:
        if name not in args.set:
            continue
        value, given = args.set.pop(name), getattr(args, name)
        value = value or "none" if name == "penalty" else value
        if given not in (None, value):
            raise RunError(
                f"--set {name}={format_value(value)} contradicts"
                f" --{name.replace('_', '-')}{'' if given is True else f' {given}'}: omit one of"
                " the two"
            )
        setattr(args, name, value)


def changed_recipe(recipe: Recipe, args: Any) -> Recipe:
    """The recipe with the given values; values that depend on them are adapted, unless they are
    given as well.
    """
    new = {name: value for name in RECIPE_OPTIONS if (value := getattr(args, name)) is not None}
    if args.penalty == "none":
        new["penalty"] = ""
    if args.penalty_weight and not new.get("penalty", recipe.penalty):
        raise RunError(
            f"--penalty-weight {args.penalty_weight:g} without a penalty: add --penalty"
            f" {' or '.join(PENALTIES)}"
        )
    try:
        recipe = change_recipe(recipe, **new | args.set)
    except ValueError as error:
        raise RunError(error) from None
    reasons = unused_fields(recipe)
    for name, value in args.set.items():
        if name in reasons:
            raise RunError(
                f"--set {name}={format_value(value)} would have no effect: {reasons[name]}; omit it"
            )
    return recipe


def resume_options(args: Any, group: ProcessGroup = ONE_PROCESS) -> TrainingOptions:
    """The options of a resumed run; only its epochs, data path, backend and threads may
    change.
    """
    folder = args.resume
    settings, checkpoint, complaints = group.from_first(lambda: load_run(folder))
    for complaint in complaints:
        print(f"note: {complaint}")
    recipe = read_recipe(settings)
    refuse_contradictions(args, settings, recipe)
    if args.epochs:
        recipe = replace(recipe, epochs=args.epochs)
    history = checkpoint[1]["history"]
    done = history[-1]["epoch"] if history else 0
    if recipe.epochs < done:
        raise RunError(
            f"{folder} has {done} epochs already: use --epochs {done + 1} or more to continue"
        )
    if recipe.epochs == done:  # it may have been interrupted while its figures were plotted
        print(
            f"{folder} has all of its {done} epochs: only its figures are plotted again (use"
            f" --epochs {done + 1} or more to continue training)"
        )
    notes = []
    if settings["format"] < 3 and recipe.conditional and recipe.networks == "maxout":
        notes.append(
            "until version 0.2.0 the discriminator of this conditional run had dropout at its"
            " input; it is trained without dropout from here on"
        )
    backend = args.backend or settings["backend"]
    if backend != settings["backend"]:
        notes.append(
            f"this run goes on with {backend} instead of {settings['backend']}: with the same"
            " weights, but with other noise than it would have received"
        )
    elif backend == "cupy":
        try:
            load_backend(backend)
        except BackendError as error:
            raise RunError(f"{error}; or add --backend numpy to go on without a GPU") from None
    # it may have been moved
    data = args.data or group.from_first(lambda: recorded_path(folder, settings))
    same = settings.get("processes", 1) == group.size
    settings |= {
        "recipe": asdict(recipe),
        "format": FORMAT,
        "backend": backend,
        "data": format_path(folder, data),
    }
    return TrainingOptions(
        recipe=recipe,
        data=data,
        folder=folder,
        seed=settings["seed"],
        backend=backend,
        **read_options(settings),
        strict=args.strict,
        checkpoint_every=args.checkpoint_every,
        threads=args.threads or (threads_of_resumed_run(settings.get("threads", 0)) if same else 0),
        graph=args.graph,
        epochs_given=bool(args.epochs),
        settings=settings,
        checkpoint=checkpoint,
        notes=notes,
    )


def refuse_contradictions(args: Any, settings: dict, recipe: Recipe) -> None:
    """Raise RunError if an option contradicts the run that is resumed."""
    given = {"recipe": args.recipe and args.recipe.name, "out": args.out} | {
        name: getattr(args, name)
        for name in ("seed", "classes", "size", "transpose", *RECIPE_OPTIONS)
        if name != "epochs"
    }
    made_with = {
        "classes": "",
        "size": 0,
        "transpose": False,
        **settings,
        **asdict(recipe),
        "recipe": recipe.name,
        "out": args.resume,
        "penalty": recipe.penalty or "none",
    }
    before = read_options(settings)["value_range"]
    given["range"] = args.range and format_range(args.range)
    made_with["range"] = before and format_range(before)
    for name, value in args.set.items():
        if value != made_with[name]:
            raise RunError(
                f"--set {name}={format_value(value)} contradicts {args.resume}, which was started"
                f" with {format_value(made_with[name])}: omit it, or start a new run"
            )
    for name, value in given.items():
        flag, was = f"--{name.replace('_', '-')}", made_with[name]
        if value in (None, was):
            continue
        if value is True:
            raise RunError(
                f"{flag} contradicts {args.resume}, which was started without it: omit it, or start"
                " a new run"
            )
        was = {"classes": was or "all", "size": was or "none", "range": was or "none"}.get(
            name, was
        )
        raise RunError(
            f"{flag} {format_value(value)} contradicts {args.resume}, which was started with"
            f" {format_value(was)}: omit it, or start a new run"
        )
