"""Training steps on a GPU: how long they take, beside PyTorch on the same card, and where the time
goes. The parts `steps` and `profile` of gpu_check.py.
"""

import cProfile
import gc
import pstats
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import step
from step import Gemm, record_steps, time_alternately

from minigan.backend import first_line, load_backend
from minigan.datasets.idx import SHIPPED, load_images
from minigan.datasets.load import load_dataset
from minigan.evaluation.report import make_evaluator
from minigan.gan.recipes import RECIPES, Recipe, replace
from minigan.rng import random_uint16
from minigan.training.state import TrainingState, find_clusters

BATCHES = 512, 4096, 64
COMPILED = ("default", "keras-mlp-fixed")  # the recipes that torch.compile tunes
MODES = ("reduce-overhead", "max-autotune-no-cudagraphs", "max-autotune")


def measure_steps(row: Callable, is_done: Callable, attempt: Callable, *, rehearsal: bool) -> None:
    """One row for each recipe and batch size, and one for each way of compiling PyTorch's step.

    The most important rows come first, because time may run out.
    """
    xp, images, rounds = load_backend("cupy"), load_images(), 1 if rehearsal else 3
    images = images[: max(BATCHES)] if rehearsal else images
    names = ["default", "keras-mlp-fixed", *RECIPES]
    own = [(name, 8 if rehearsal else RECIPES[name].batch_size) for name in dict.fromkeys(names)]
    others = [(name, batch) for batch in BATCHES for name, _ in own]
    modes = [(*pair, mode) for mode in MODES for pair in own if pair[0] in COMPILED]
    modes += [(*pair, MODES[0]) for pair in own if pair[0] not in COMPILED]
    for name, batch, *mode in [*own, *others, *modes]:  # compiling takes most of a minute each
        key = "/".join(map(str, (name, batch, *mode)))
        slow = rehearsal and batch > 128 and RECIPES[name].networks not in ("dense", "maxout")
        if is_done(key) or slow or (mode and not step.torch):
            continue
        runners: dict[str, Any] = {}
        release_memory(xp)  # of the last row
        with attempt(key):
            recipe = with_batch(RECIPES[name], batch)
            began = time.perf_counter()
            runners, reasons = step_runners(recipe, images, xp, *mode)
            times = time_alternately(
                runners, xp.cuda.Device().synchronize, rounds=rounds, seconds=0.05, warm_up=0.02
            )
            microseconds = {k: round(1e6 * float(np.median(t)), 1) for k, t in times.items()}
            row(
                key,
                recipe=name,
                batch=batch,
                mode=mode[0] if mode else "",
                us=microseconds,
                reasons=reasons,
                seconds=round(time.perf_counter() - began, 1),
            )


def release_memory(xp: Any) -> None:
    """Give back the memory of the last row, which both libraries keep for their own arrays."""
    gc.collect()
    xp.get_default_memory_pool().free_all_blocks()
    if step.torch and step.torch.cuda.is_available():
        step.torch.cuda.empty_cache()


def with_batch(recipe: Recipe, batch: int) -> Recipe:
    """The recipe with another batch size."""
    if batch == recipe.batch_size:
        return recipe
    return replace(recipe, batch_size=batch, batch_size_G=2 * batch if recipe.batch_size_G else 0)


def step_runners(
    recipe: Recipe, images: np.ndarray, xp: Any, mode: str = ""
) -> tuple[dict[str, Any], dict[str, str]]:
    """({name: an object with a train_step}, {name: why it is missing})."""
    runners: dict[str, Any] = {}
    reasons: dict[str, str] = {}

    def add(name, make):
        try:
            made = make()
            made.train_step()
            runners[name] = made
        except Exception as error:  # of any kind: the other runners are measured all the same
            reasons[name] = f"{type(error).__name__}: {first_line(error)}"[:300]

    labels, n_classes = find_clusters(recipe, images[:2000], seed=0)
    options: dict[str, Any] = dict(xp=xp)
    if labels is not None:  # any clusters will do, and these take less time
        options |= dict(labels=np.resize(labels, len(images)), n_classes=n_classes)
    add("minigan", lambda: TrainingState(recipe, images, **options))
    if not mode:
        add("plain", lambda: TrainingState(recipe, images, fused=False, **options))
        add("gemm", lambda: Gemm(recipe, xp))
        recorded, reason = record_steps(recipe, images, **options)
        runners |= recorded
        if reason:
            reasons["recorded"] = reason
    if step.torch:
        from peers import Twin, TwinGraph

        device = "cuda" if xp.__name__ == "cupy" and step.torch.cuda.is_available() else "cpu"
        twin: dict[str, Any] = dict(device=device, labels=options.get("labels"))
        if mode:
            twin |= dict(lean=True, compiled=mode)
            add(f"torch, {mode}", lambda: Twin(recipe, images, **twin))
        else:
            add("torch", lambda: Twin(recipe, images, **twin))
            add("torch, lean", lambda: Twin(recipe, images, lean=True, **twin))
            add("torch, graph", lambda: TwinGraph(recipe, images, **twin))
    return runners, reasons


def measure_phases(row: Callable, is_done: Callable, attempt: Callable, *, rehearsal: bool) -> None:
    """For three recipes, and for two of them with --graph, the time of each part of a step on the
    host and on the device, and the Python functions that take most of it.
    """
    xp, images, steps = load_backend("cupy"), load_images(), 5 if rehearsal else 200
    recorded = "default", "keras-mlp-fixed"
    for key in (*recorded, "dcgan", *(f"{name}, --graph" for name in recorded)):
        if is_done(key):
            continue
        name, _, graph = key.partition(", ")
        with attempt(key):
            recipe = replace(RECIPES[name], clusters=0)
            gan = TrainingState(
                with_batch(recipe, 8) if rehearsal else recipe, images[:2000], xp=xp
            )
            names = "set_learning_rates next_batch discriminator_step generator_step update_average"
            host, device = dict.fromkeys(names.split(), 0.0), dict.fromkeys(names.split(), 0.0)
            gan.train_step()
            if graph and (reason := gan.record()):
                raise RuntimeError(reason)
            for _ in range(5):
                gan.train_step()
            synchronize = xp.cuda.Device().synchronize
            synchronize()
            began = time.perf_counter()
            for _ in range(steps):
                gan.train_step()
            launched = time.perf_counter() - began
            synchronize()
            whole = time.perf_counter() - began
            for _ in range(steps):
                batch: Any = ()
                for phase in host:
                    start, end = xp.cuda.Event(), xp.cuda.Event()
                    start.record()
                    began = time.perf_counter()
                    result = getattr(gan, phase)(*([batch] if "or_step" in phase else []))
                    host[phase] += time.perf_counter() - began
                    end.record()
                    end.synchronize()
                    device[phase] += xp.cuda.get_elapsed_time(start, end) / 1e3
                    batch = result if phase == "next_batch" else batch
            profiler = cProfile.Profile()
            profiler.enable()
            for _ in range(steps):
                gan.train_step()
            profiler.disable()
            synchronize()
            functions = sorted(
                pstats.Stats(profiler).stats.items(),  # type: ignore[attr-defined]
                key=lambda item: -item[1][2],
            )
            row(
                key,
                step_us=round(1e6 * whole / steps, 1),
                launching_us=round(1e6 * launched / steps, 1),
                launches=step.count_launches(RECIPES[name], images, graph=bool(graph)),
                host_us={phase: round(1e6 * t / steps, 1) for phase, t in host.items()},
                device_us={phase: round(1e6 * t / steps, 1) for phase, t in device.items()},
                functions=[
                    {
                        "name": f"{file.rpartition('/')[2]}:{line} {function}",
                        "calls": round(calls / steps, 1),
                        "us": round(1e6 * own / steps, 1),
                    }
                    for (file, line, function), (_, calls, own, _, _) in functions[:20]
                ],
            )


def measure_outside(row: Callable, is_done: Callable, attempt: Callable) -> None:
    """The seconds of a default run that are not training steps: what is done once, and what is done
    for each epoch.
    """
    xp, images = load_backend("cupy"), load_images()
    recipe = RECIPES["default"]
    gan = TrainingState(replace(recipe, clusters=0), images[:2000], xp=xp)
    found: dict[str, Any] = {}

    def evaluator():
        found["evaluator"] = make_evaluator(load_dataset(SHIPPED), True)
        found["evaluator"].to(xp)

    def generate():
        found["samples"] = gan.generate(gan.evaluation_latents, xp=xp)
        xp.cuda.Device().synchronize()

    for name, function in {
        "clusters, once": lambda: find_clusters(recipe, images, seed=0, xp=xp),
        "evaluator, once": evaluator,
        "2,000 samples, the first time": generate,
        "2,000 samples, each epoch": generate,
        "metrics, each epoch": lambda: found["evaluator"].quick(found["samples"]),
    }.items():
        if is_done(name) and "once" not in name:
            continue
        with attempt(name):
            began = time.perf_counter()
            function()
            row(name, outside_s=round(time.perf_counter() - began, 3))


def measure_calls(row: Callable, is_done: Callable, attempt: Callable) -> None:
    """What single calls of a step cost: the microseconds until they return, and until they are
    complete.
    """
    xp = load_backend("cupy")
    from minigan.accel.fused_layers import leaky_relu_dropout
    from minigan.nn.activations import tanh_backward
    from minigan.rng import make_rng

    rng, x, y = make_rng(xp, 0), xp.ones((256, 784), "float32"), xp.ones((256, 512), "float32")
    W, h, bits = xp.ones((784, 512), "float32"), 0 * y, xp.zeros((256, 512), "uint16")
    images, indices = xp.zeros((1000, 784), "uint8"), xp.arange(256)
    taken = images[:256].copy()
    total = xp.zeros(512, "float32")
    calls = {
        "x * 2": lambda: x * 2,
        "x *= 2": lambda: x.__imul__(0.5),
        "matmul(out=)": lambda: xp.matmul(x, W, out=h),
        "matmul(x.T, out=)": lambda: xp.matmul(x.T, y, out=W),
        "x @ W": lambda: x @ W,
        "sum(axis=0, out=)": lambda: y.sum(axis=0, out=total),
        "sum()": lambda: y.sum(),
        "mean()": lambda: y.mean(),
        "take(out=)": lambda: xp.take(images, indices, axis=0, out=taken),
        "images[indices]": lambda: images[indices],
        "concatenate": lambda: xp.concatenate([x, x]),
        "zeros": lambda: xp.zeros((256, 784), "float32"),
        "empty": lambda: xp.empty((256, 784), "float32"),
        "fused, 2 arrays": lambda: tanh_backward(y, h),
        "fused, 3 arrays, 3 numbers": lambda: leaky_relu_dropout(y, h, 0.2, bits, 19661, 1.25),
        "standard_normal": lambda: rng.standard_normal((256, 64), dtype="float32"),
        "random_uint16": lambda: random_uint16(xp, rng, (256, 512)),
        "slice and reshape": lambda: x[:128].reshape(-1),
    }
    for name, call in calls.items():
        if is_done(name):
            continue
        with attempt(name):
            synchronize = xp.cuda.Device().synchronize
            for _ in range(3):
                call()
            synchronize()
            n, began = 200, time.perf_counter()
            for _ in range(n):
                call()
            returned = time.perf_counter() - began
            synchronize()
            complete = time.perf_counter() - began
            row(name, returns_us=round(1e6 * returned / n, 2), us=round(1e6 * complete / n, 2))
