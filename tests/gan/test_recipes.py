"""Recipes: from and to a dict, old names included, and values that are refused."""

import json
import math

import numpy as np
import pytest
from cases import refusal

from minigan.gan.losses import GAN_LOSSES
from minigan.gan.models import make_networks
from minigan.gan.recipes import (
    MAX_CLUSTERS,
    OLD_FIELDS,
    RECIPES,
    asdict,
    recipe_from_dict,
    replace,
)
from minigan.training.run_folder import MAX_CLASSES

NAMES_BEFORE_0_2 = {  # new name of a field: the old one, in settings of old runs
    "negative_slope_G": "slope_G",
    "negative_slope_D": "slope_D",
    "init": "rule",
    "init_D": "rule_D",
    "pixel_min": "low",
    "batch_size_G": "batch_G",
    "steps_per_epoch": "steps",
    "d_warmup_steps": "head_start",
    "final_lr_factor": "final_rate",
    "lr_decay": "divisor",
    "weight_decay_G": "decay_G",
    "ema_decay": "average",
}
OTHER_VALUES = {  # a value other than the default for each of these fields
    "negative_slope_G": 0.1,
    "negative_slope_D": 0.3,
    "init": "he",
    "init_D": "normal",
    "pixel_min": 0,
    "batch_size_G": 17,
    "steps_per_epoch": 23,
    "d_warmup_steps": 5,
    "final_lr_factor": 0.5,
    "lr_decay": 1.01,
    "weight_decay_G": 0.03,
    "ema_decay": 0.99,
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name):
    recipe = RECIPES[name]
    assert recipe_from_dict(json.loads(json.dumps(asdict(recipe)))) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_old_field_names_are_read(name):
    values = {NAMES_BEFORE_0_2.get(key, key): value for key, value in asdict(RECIPES[name]).items()}
    assert not set(NAMES_BEFORE_0_2) & set(values)
    assert recipe_from_dict(json.loads(json.dumps(values))) == RECIPES[name]


@pytest.mark.parametrize("field", NAMES_BEFORE_0_2)
def test_each_old_field_keeps_its_value(field):
    expected = replace(RECIPES["dense"], **{field: OTHER_VALUES[field]})
    values = asdict(RECIPES["dense"])
    del values[field]
    values[NAMES_BEFORE_0_2[field]] = OTHER_VALUES[field]
    assert expected != RECIPES["dense"] and recipe_from_dict(values) == expected


def test_no_old_name_is_forgotten():
    assert OLD_FIELDS == {old: new for new, old in NAMES_BEFORE_0_2.items()}


@pytest.mark.parametrize("field", ["rule", "rule_D", "init", "init_D"])
@pytest.mark.parametrize("width", ["05", "005"])
def test_old_names_of_initializers_are_read(field, width):
    new = {"rule": "init", "rule_D": "init_D"}.get(field, field)
    values = asdict(RECIPES["default"])
    del values[new]
    recipe = recipe_from_dict({**values, field: f"uniform .{width}"})
    assert getattr(recipe, new) == f"uniform(0.{width})"
    assert recipe_from_dict(asdict(recipe)) == recipe
    G, D = make_networks(recipe, (8, 8), rng=np.random.default_rng(0))
    net = D if new == "init_D" else G
    largest = max(abs(layer.W).max() for layer in net.layers if "W" in layer.param_names)
    assert 0.9 * float(f"0.{width}") < largest <= float(f"0.{width}") * (1 + 1e-6)


def test_fields_that_older_recipes_lack_have_their_defaults():
    required = ("name", "latent_dim", "widths_G", "widths_D", "batch_size", "epochs")
    values = {name: asdict(RECIPES["pytorch-mlp"])[name] for name in (*required, "learning_rate")}
    recipe = recipe_from_dict(values)
    assert recipe.ema_decay == 0 and recipe.init == "glorot" and recipe.networks == "dense"
    with pytest.raises(KeyError, match="latent_dim"):
        recipe_from_dict({name: value for name, value in values.items() if name != "latent_dim"})


REFUSED = [
    ("latent_dim", 0),
    ("latent_dim", 2.5),
    ("latent_dim", True),
    ("batch_size_G", -1),
    ("widths_G", (8, 0)),
    ("widths_D", (8, 1.5)),
    ("widths_D", 8),
    ("momentum", (0.5, 0.7)),
    ("momentum", (0.5, -0.7, 9)),
    ("momentum", (0.5, 0.7, 0)),
    ("momentum", (0.5, math.inf, 9)),
    ("dropout", 1),
    ("dropout", -0.1),
    ("negative_slope_G", 1.5),
    ("negative_slope_D", -0.2),
    ("pixel_min", 0.5),
    ("noise", "pink"),
    ("optimizer", "lion"),
    ("dtype", "float16"),
    ("networks", "transformer"),
    ("init", ""),
    ("init", "best"),
    ("init_D", "best"),
    ("loss", "best"),
    ("penalty", "r3"),
    ("conditional", 1),
    ("clusters", -1),
    ("name", 3),
    ("name", ""),
    ("name", "a/b"),
    ("name", "a\\b"),
    ("learning_rate", 0),
    ("learning_rate", math.inf),
    ("learning_rate_D", -1e-4),
    ("final_lr_factor", math.nan),
    ("lr_decay", 0.99),
    ("penalty_weight", 0),
    ("real_label", 1.1),
    ("beta1", 1),
    ("beta2", 1.0),
    ("ema_decay", 1),
    ("weight_decay_G", "0.1"),
]


@pytest.mark.parametrize("field, value", REFUSED)
def test_values_that_are_not_allowed_are_refused(field, value):
    with refusal(ValueError, f"{field} is {value!r}, but must be "):
        recipe_from_dict({**asdict(RECIPES["default"]), field: value})


def test_the_refusal_says_what_is_allowed():
    for field, value, allowed in (
        ("dropout", 1, "a number of at least 0 and less than 1"),
        ("negative_slope_G", 2, "a number from 0 to 1"),
        ("epochs", 0, "an integer of at least 1"),
        ("clusters", -1, "an integer of at least 0"),
        ("penalty", "r3", "one of r1, r2, r1+r2, wgan-gp, none"),
        ("noise", "pink", "one of normal, uniform, half-binary"),
        ("pixel_min", 0.5, "one of -1, 0"),
        ("spectral", 1, "true or false"),
        ("source", 1, "text"),
    ):
        with refusal(ValueError, f"{field} is {value!r}, but must be {allowed}"):
            recipe_from_dict({**asdict(RECIPES["default"]), field: value})


def test_the_smallest_and_largest_values_are_allowed():
    narrow = dict(widths_G=(1,), widths_D=(1,), latent_dim=1, negative_slope_G=1, dropout=0)
    recipe = recipe_from_dict({**asdict(RECIPES["dense"]), **narrow})
    assert (recipe.widths_G, recipe.negative_slope_G) == ((1,), 1)


def test_a_recipe_without_a_source_is_of_an_earlier_version():
    values = {name: value for name, value in asdict(RECIPES["default"]).items() if name != "source"}
    assert recipe_from_dict(values).source == "an earlier minigan"


@pytest.mark.parametrize("loss", GAN_LOSSES)
def test_only_a_loss_with_probabilities_allows_a_smoothed_target(loss):
    values = {**asdict(RECIPES["default"]), "loss": loss, "dropout": 0.0, "shared_fakes": False}
    assert recipe_from_dict({**values, "real_label": 1.0}).loss == loss
    if GAN_LOSSES[loss].equilibrium_logit:
        assert recipe_from_dict({**values, "real_label": 0.9}).real_label == 0.9
    else:
        with pytest.raises(ValueError) as found:
            recipe_from_dict({**values, "real_label": 0.9})
        assert str(found.value) == (
            f"the {loss} loss requires real_label to be 1, but the recipe default has 0.9: choose"
            " another loss"
        )


def test_a_penalty_through_batch_norm_is_refused():
    with pytest.raises(ValueError, match="has batch norm: choose another recipe, or no penalty$"):
        recipe_from_dict({**asdict(RECIPES["dcgan"]), "penalty": "r1"})


@pytest.mark.parametrize("n", [1, 127, 256])
def test_shared_fakes_of_another_number_are_refused(n):
    """G's step has as many fakes as D's."""
    values = {**asdict(RECIPES["default"]), "batch_size": 128, "shared_fakes": True}
    for same in 0, 128:
        assert recipe_from_dict({**values, "batch_size_G": same}).batch_size_G == same
    with refusal(ValueError, "shared_fakes", "the 128 fakes", "default", f"batch_size_G of {n}"):
        recipe_from_dict({**values, "batch_size_G": n})
    assert recipe_from_dict({**values, "batch_size_G": n, "shared_fakes": False})


def test_clusters_take_the_place_of_labels_and_are_not_too_many():
    values = asdict(RECIPES["default"])
    for clusters in 0, 1, MAX_CLUSTERS:
        recipe = recipe_from_dict({**values, "clusters": clusters})
        assert recipe.has_labels == (clusters > 0)
    assert recipe_from_dict({**values, "clusters": 0, "conditional": True}).has_labels
    with refusal(ValueError, "5 clusters", "conditional", "choose one of the two"):
        recipe_from_dict({**values, "clusters": 5, "conditional": True})
    with refusal(ValueError, f"{MAX_CLUSTERS + 1} clusters", f"at most {MAX_CLUSTERS}"):
        recipe_from_dict({**values, "clusters": MAX_CLUSTERS + 1})
    assert MAX_CLUSTERS <= MAX_CLASSES  # a run with more could not be read


def test_an_unhashable_value_is_refused_as_well():
    for field in "init", "loss", "noise":
        with refusal(ValueError, f"{field} is ['he']"):
            recipe_from_dict({**asdict(RECIPES["default"]), field: ["he"]})
