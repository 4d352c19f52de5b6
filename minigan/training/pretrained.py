"""The pretrained generator: new digits without training.

The idea
    `python demo.py sample` generates digits before anything has been trained, to show what the
    recipe `default` achieves. Its generator is in pretrained.npz beside this file. Two commands
    made it. The first trained a run, and is stored in the file. The second copied its generator:

        python demo.py --seed 0 --out RUN_DIR
        python -m minigan.training.pretrained RUN_DIR pretrained.npz

    The file is a model.npz (see run_folder.py) with nothing but the settings and the moving average
    of the generator's weights, rounded to float16. If the recipe `default` changes, its generator
    has to be trained again: a test compares the settings with the recipe. The second command
    therefore only accepts a finished run of this recipe on MNIST.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from minigan.gan.recipes import RECIPES, Recipe, replace
from minigan.training.run_folder import (
    RunError,
    count_epochs,
    load_model,
    read_model,
    read_npz,
    write_atomically,
)

PRETRAINED_PATH = Path(__file__).with_name("pretrained.npz")
PRETRAINED_COMMAND = "python -m minigan.training.pretrained RUN_DIR pretrained.npz"
PRETRAINED_VECTORS = ("average", "average_state")  # of a model.npz


def is_default_recipe(recipe: Recipe) -> bool:
    """Whether a recipe has all settings of the recipe `default`; its description may differ."""
    return replace(recipe, source="") == replace(RECIPES["default"], source="")


def load_pretrained() -> tuple[dict, Recipe, dict[str, np.ndarray]]:
    """Load (settings, recipe, {name: vector}) of the pretrained generator. Raises RunError."""
    return read_model(PRETRAINED_PATH, names=PRETRAINED_VECTORS, half=True)


def load_training_command() -> str:
    """The command that trained the pretrained generator."""
    return str(read_npz(PRETRAINED_PATH)["command"])


def save_pretrained(folder: Path, path: Path) -> None:
    """Save the generator of a run like the pretrained one.

    Raises RunError unless it is a finished run of the recipe `default` on all digits of MNIST.
    """
    settings, recipe, vectors = load_model(folder)
    if not is_default_recipe(recipe):
        raise RunError(f"{folder} was trained with other settings than the recipe default")
    if not settings["digits"] or settings.get("classes"):
        raise RunError(f"{folder} was not trained on all digits of MNIST")
    if count_epochs(folder) != recipe.epochs:
        raise RunError(f"{folder} has {count_epochs(folder)} of {recipe.epochs} epochs: resume it")
    halves = {name: vectors[name].astype("float16") for name in PRETRAINED_VECTORS}
    content: dict[str, Any] = {
        # without the path of the data, which means nothing on another computer
        "settings": json.dumps({**settings, "data": "MNIST"}),
        "command": training_command(settings),
        **halves,
    }
    write_atomically(path, lambda file: np.savez(file, **content))


def training_command(settings: dict) -> str:
    """The command of a run of the recipe `default` with these settings."""
    backend = settings["backend"]
    words = ["python demo.py", "--seed", str(settings["seed"])]
    return " ".join(words + (["--backend", backend] if backend != "numpy" else []))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        sys.exit(f"to make the pretrained generator again: {PRETRAINED_COMMAND}")
    try:
        save_pretrained(Path(sys.argv[1]), Path(sys.argv[2]))
    except RunError as error:
        sys.exit(str(error))
    size = Path(sys.argv[2]).stat().st_size
    print(f"{sys.argv[2]}: the generator of {sys.argv[1]}, {size / 1e6:.1f} MB")
