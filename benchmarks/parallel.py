"""Runs that processes share: speed, agreement, kills, and what communication costs.

    python benchmarks/parallel.py speed            mpiexec -n 2 against one process, in turns;
            --former FOLDER also times commit 9adfa61, from `git worktree add FOLDER 9adfa61`
    python benchmarks/parallel.py agree            recipes x losses x penalties on 1 to 4 processes;
            --batch-sizes 0 --sizes 2: each recipe at full size, as it is, on MNIST
    python benchmarks/parallel.py kills            runs killed at random moments, and resumed
    python benchmarks/parallel.py hosts            two network namespaces as two machines; as root
    python benchmarks/parallel.py cost             the constants of this machine, docs/parallel.json
    python benchmarks/parallel.py draw             docs/parallel.png, from docs/parallel.json

All need `pip install -e ".[mpi]"`, but draw. docs/parallel.md explains the numbers.
"""

import argparse
import contextlib
import json
import os
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "accel")]

from minigan.accel.cpu import disable_malloc_trim, limit_blas_threads  # noqa: E402
from minigan.accel.mpi import start_group  # noqa: E402
from minigan.datasets.load import load_dataset  # noqa: E402
from minigan.figures.plots import new_figure, save_figure  # noqa: E402
from minigan.gan.models import make_networks  # noqa: E402
from minigan.gan.recipes import RECIPES, replace  # noqa: E402
from minigan.training.inputs import TrainingOptions, load_training_data  # noqa: E402
from minigan.training.state import TrainingState  # noqa: E402

FILE = ROOT / "docs" / "parallel.json"
TIMED = ("default", "default-conv", "dcgan", "dense", "keras-mlp-fixed")
SHAPES = {"28 x 28": (28, 28), "128 x 128 in colour": (128, 128, 3)}
NO_GRADIENT = 1e-13  # below it, a gradient is the rounding error of one that should be 0
LINKS = {"1 Gb/s": (1e9 / 8, 50e-6), "25 Gb/s": (25e9 / 8, 10e-6), "200 Gb/s": (25e9, 2e-6)}


def mpiexec(size, *args, **options):
    """`mpiexec -n size python parallel.py args`; returns the completed process."""
    launcher = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    command = [launcher, "-n", str(size)] if size > 1 else []
    command += [sys.executable, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=True, **options)


# ---- speed ----


def steps(args):
    """In each process: time some training steps; the first one prints what they took."""
    group = start_group()
    disable_malloc_trim()
    cores = limit_blas_threads(args.threads or group.cores)
    recipe = RECIPES[args.recipe]
    data = load_training_data(TrainingOptions(recipe, group=group))
    labels = dict(labels=data.labels, n_classes=data.n_classes)
    gan = TrainingState(recipe, data.images, **labels, cores=cores, group=group)
    summing = [0.0]

    class Timed:
        """A communicator that counts the time of its messages, but not of waiting for others."""

        def __init__(self, comm):
            self.comm = comm

        def __getattr__(self, name):
            function = getattr(self.comm, name)

            def timed(*words, **more):
                self.comm.Barrier()
                started = time.perf_counter()
                found = function(*words, **more)
                if hasattr(found, "Wait"):
                    found.Wait()
                summing[0] += time.perf_counter() - started
                return found

            return timed

    def take_steps(count):
        times = []
        for _ in range(count):
            started = time.perf_counter()
            gan.train_step()
            times.append(time.perf_counter() - started)
        return times

    take_steps(args.warm_up)
    times = take_steps(args.count)
    share = 0.0
    if group.size > 1:  # in further steps, because the barriers take time
        group.comm = Timed(group.comm)
        total = sum(take_steps(args.count))
        share = summing[0] / total
    memory = group.gather(megabytes())
    if group.leads:
        found = {
            "median": float(np.median(times)),
            "least": min(times),
            "communication": share,
            "megabytes": sum(memory) / group.size,
            "threads": cores,
            "processes": group.size,
        }
        print(json.dumps(found))
    group.finish(0)


def megabytes():
    """The memory of this process, of which it has its share of what several processes share."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1]) / 1024


# the steps of a recipe in commit 9adfa61, which trained on one process only
FORMER = """
import json, sys, time
from pathlib import Path
import numpy as np
folder, name, warm_up, count = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
sys.path.insert(0, str(folder))
from minigan.backend import blas_threads, keep_memory
from minigan.game import Game
from minigan.recipes import RECIPES
from minigan.sources import load
keep_memory()
game = Game(RECIPES[name], load(folder / "data").images, cores=blas_threads())
times = []
for _ in range(warm_up + count):
    started = time.perf_counter()
    game.step()
    times.append(time.perf_counter() - started)
print(json.dumps({"median": float(np.median(times[warm_up:]))}))
"""
FORMER_NAMES = {"dense": "default", "default": ""}  # of recipes, where they differ


def former_step(folder, name, count):
    """What a step took in a checkout of commit 9adfa61, as `steps` prints it; NaN if it had no such
    recipe.
    """
    name = FORMER_NAMES.get(name, name)
    if not (folder and name):
        return {"median": np.nan}
    words = [sys.executable, "-c", FORMER, folder, name, "5", str(count)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def speed(args):
    """mpiexec -n 2 against one process of the same tree, and one of a former tree, in turns."""
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    print(
        "| recipe | one process, ms | two, ms | ratio (quartiles) | communication | memory |",
        end="",
    )
    print(" 9adfa61, ms | ratio to that |\n|---|---|---|---|---|---|---|---|")
    for name in args.recipes:
        turns = []
        for turn in range(args.pairs):
            found = {}
            for size in (0, 1, 2) if turn % 2 == 0 else (2, 1, 0):
                words = [__file__, "steps", name, "--count", args.count]
                if size:
                    found[size] = json.loads(mpiexec(size, *words, env=clean).stdout)
                else:
                    found[size] = former_step(args.former, name, args.count)
            turns.append(found)

        def median(value):
            return np.median([value(found) for found in turns])  # noqa: B023

        ratios = [found[2]["median"] / found[1]["median"] for found in turns]
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        before, one, two = (median(lambda found: 1e3 * found[i]["median"]) for i in (0, 1, 2))  # noqa: B023
        shares = median(lambda found: found[2]["communication"])
        memory = median(lambda found: found[2]["megabytes"] / found[1]["megabytes"])
        former = median(lambda found: found[2]["median"] / found[0]["median"])
        print(
            f"| {name} | {one:.1f} | {two:.1f} | **{middle:.2f}** ({low:.2f} to {high:.2f}) |"
            f" {shares:.0%} | {memory:.2f} |"
            + (" | |" if np.isnan(former) else f" {before:.1f} | {former:.2f} |"),
            flush=True,
        )


# ---- two hosts ----


CABLES = {  # name: (bytes per second, seconds of delay)
    "a cable without limit": (np.inf, 0.0),
    "1 Gb/s": (1e9 / 8, 0.0),
    "1 Gb/s and 1 ms": (1e9 / 8, 1e-3),
}


class SlowCable:
    """Two network interfaces, one in each namespace, and a thread that carries packets from one to
    the other in this process, each after a delay and at a limited rate.

    This needs the system's TUN devices only; its own delays, netem, are missing from many kernels.
    """

    PACKET = 9000  # bytes, as in many clusters; smaller ones would need more of the processor
    SET_NAME, RAW_IP = 0x400454CA, 0x1001  # TUNSETIFF, and IFF_TUN | IFF_NO_PI, of linux/if_tun.h

    def __init__(self, bandwidth, delay):
        self.bandwidth, self.delay = bandwidth, delay
        self.ends, self.thread = [], threading.Thread(target=self.carry, daemon=True)

    def plug_in(self):
        """Make the interfaces."""
        import fcntl

        from test_two_hosts import ADDRESSES, CABLE, ip

        for host in ADDRESSES:
            self.ends.append(os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK))
            name = host[-15:].encode()
            fcntl.ioctl(self.ends[-1], self.SET_NAME, struct.pack("16sH22x", name, self.RAW_IP))
            ip("link", "set", name.decode(), "netns", host, "name", CABLE, "mtu", str(self.PACKET))
        self.thread.start()

    def carry(self):
        """Take packets from one end, and pass them on to the other when it is their time, until the
        namespaces are removed.
        """
        a, b = self.ends
        waiting = {a: deque(), b: deque()}  # (when, packet) that come out at this end
        free = {a: 0.0, b: 0.0}  # when the cable to this end has sent all packets so far
        while True:
            now = time.perf_counter()
            for end, packets in waiting.items():
                while packets and packets[0][0] <= now:
                    with contextlib.suppress(OSError):  # the other end is not up yet
                        os.write(end, packets.popleft()[1])
            times = [packets[0][0] for packets in waiting.values() if packets]
            pause = max(0.0, min(times) - now) if times else None
            ready = select.select([a, b], [], [], pause)[0]
            now = time.perf_counter()
            for end in ready:
                try:
                    packet, other = os.read(end, 65_535), b if end == a else a
                except OSError:
                    return
                free[other] = max(now, free[other]) + len(packet) / self.bandwidth
                waiting[other].append((free[other] + self.delay, packet))

    def close(self):
        if self.thread.is_alive():
            self.thread.join()
        for end in self.ends:
            os.close(end)


def hosts(args):
    """Two processes in one machine's memory, and over a cable between two network namespaces."""
    constants = json.loads(FILE.read_text())
    print("| recipe | link | step, ms | communication | by the formula, ms |")
    print("|---|---|---|---|---|")
    for name in args.recipes:
        words = [__file__, "steps", name, "--count", str(args.count), "--threads", "1"]
        memory = json.loads(mpiexec(2, *words).stdout)
        print_host(name, "memory", memory, "")
        entry = constants[f"{name}, 28 x 28"]
        entry["measured"] = {"memory": memory["median"]}
        for cable, (bandwidth, delay) in CABLES.items():
            extra = seconds_of(entry, 2, bandwidth, delay) - entry["seconds"] / 2
            found = over_cable(words, bandwidth, delay)
            print_host(name, cable, found, f"{1e3 * (memory['median'] + extra):.1f}")
            entry["measured"][cable] = found["median"]
        FILE.write_text(json.dumps(constants, indent=1) + "\n")  # for the figure


def print_host(name, link, found, expected):
    """A row of the table of `hosts`."""
    step, share = 1e3 * found["median"], found["communication"]
    print(f"| {name} | {link} | {step:.1f} | {share:.0%} | {expected} |", flush=True)


def over_cable(words, bandwidth, delay):
    """What `steps` finds on two processes, between which there is such a cable."""
    from test_two_hosts import environment_of_hosts, two_hosts

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        options = {}
        if np.isfinite(bandwidth):
            cable = stack.enter_context(contextlib.closing(SlowCable(bandwidth, delay)))
            options = {"plug_in": cable.plug_in}
        launcher = stack.enter_context(two_hosts(Path(folder), **options))
        done = subprocess.run(
            [*launcher, *words],
            env=environment_of_hosts(),
            check=True,
            capture_output=True,
            text=True,
        )
        return json.loads(done.stdout)


# ---- agreement ----


def agree_worker(args):
    """In each process: every combination; in the first, the same run on one process before it.

    Without a batch size these are the recipes themselves, on MNIST, in float64.
    """
    from test_process_group import COMBINATIONS, IMAGES, train

    group = start_group()
    combinations, images = COMBINATIONS, IMAGES
    if not args.batch_size:
        combinations = {(name, "", ""): recipe for name, recipe in RECIPES.items()}
        images = group.once_per_host(lambda: load_dataset(ROOT / "data").images, same="MNIST")
        limit_blas_threads(1)
        disable_malloc_trim()
    for (name, loss, penalty), recipe in combinations.items():
        if args.recipes and name not in args.recipes:
            continue
        if args.batch_size:
            recipe = replace(recipe, batch_size=args.batch_size)
        else:  # warm-up steps of D come before all others, and 300 would take too long
            warm_up = min(recipe.d_warmup_steps, 10)
            recipe = replace(recipe, dtype="float64", d_warmup_steps=warm_up)
        options = dict(steps=args.count, images=images)
        alone, expected = train(recipe, **options) if group.leads else (None, None)
        gan, losses = train(recipe, group, **options)
        if alone:
            right = {"losses": expected, **alone.arrays()}
            found = {"losses": losses, **gan.arrays()}
            worst, noise = (0.0, ""), 0.0
            for part, array in right.items():
                scale = max(1.0, np.nanmax(np.abs(array), initial=0))
                equal = (array == found[part]) | (np.isnan(array) & np.isnan(found[part]))
                difference = np.where(equal, 0.0, np.abs(array - found[part]) / scale)
                q = right.get(f"{part[0]}.q")  # of Adam: the mean square of the gradient
                if part.endswith(".theta") and q is not None:
                    noise = max(noise, difference[q < NO_GRADIENT**2].max(initial=0))
                    difference[q < NO_GRADIENT**2] = 0
                worst = max(
                    worst, (float(np.nan_to_num(difference, nan=np.inf).max(initial=0)), part)
                )
        state = [array.tobytes() for array in gan.arrays().values()]
        same = all(other == state for other in group.gather(state))
        if group.leads:
            finite = bool(np.isfinite(expected).all())
            print(json.dumps([name, loss, penalty, *worst, float(noise), finite, same]), flush=True)
    group.finish(0)


def agree(args):
    """The largest difference over all losses and penalties, for each recipe and number: of losses,
    scores, parameters and what the optimizers keep, relative to the largest number of a vector if
    that is above 1. A batch size of 0 is that of the recipe, at full size.
    """
    rows, noises, diverged, apart = {}, [0.0], set(), []
    for size in args.sizes:
        for batch_size in args.batch_sizes:
            words = ["agree-worker", "--count", args.count, "--batch-size", batch_size]
            words += ["--recipes", *args.recipes] if args.recipes else []
            done = mpiexec(size, __file__, *words)
            for line in done.stdout.splitlines():
                name, loss, penalty, worst, part, noise, finite, same = json.loads(line)
                row = rows.setdefault(name, {}).setdefault(size, [0, 0.0, True])
                rows[name][size] = [row[0] + 1, max(row[1], worst), row[2] and same]
                noises.append(noise)
                run = f"{name}, {loss}, {penalty}, {batch_size} images" if batch_size else name
                if not finite:
                    diverged.add(run)
                if worst > 1e-9:
                    apart.append(f"{run}, {size} processes: {part} {worst:.0e}")
    print(f"| recipe | {' | '.join(f'{size} processes' for size in args.sizes)} |")
    print("|---" * (1 + len(args.sizes)) + "|")
    for name, row in rows.items():
        cells = [
            f"{count} run{'s' * (count > 1)}, {worst:.0e}{'' if same else ', PROCESSES DIFFER'}"
            for count, worst, same in row.values()
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"parameters whose gradient is 0 but for rounding: {max(noises):.0e} at most")
    print("diverged, on one process as well:", "; ".join(sorted(diverged)) or "none")
    print("above 1e-9:", *(apart or ["none"]), sep="\n    ")


# ---- kills ----


def kills(args):
    """A process of a run, chosen at random, is killed at a random moment; the run is resumed.

    It has survived if it ended in time, had new steps in its folder, and named the process.
    """
    rng, survived = random.Random(args.seed), 0
    demo = str(ROOT / "demo.py")
    with tempfile.TemporaryDirectory() as folder:
        images = np.random.default_rng(0).integers(0, 256, (90, 8, 8), dtype=np.uint8)
        np.savez(Path(folder) / "data.npz", images=images)
        tiny = ["--recipe", "dense", "--set", "widths_G=6", "--set", "widths_D=6,5"]
        tiny += ["--latent-dim", "3", "--batch-size", "7", "--data", "data.npz", "--out", "run"]
        from test_mpi import Started, processes_of, steps_of

        args_new = [*tiny, "--epochs", "9999", "--checkpoint-every", "0.01"]
        for kill in range(args.count):
            words = args_new if kill == 0 else ["--resume", "run", "--checkpoint-every", "0.01"]
            before = max(steps_of(Path(folder) / "run"), default=0)
            run = Started(args.size, *words, cwd=Path(folder))
            run.wait_for(lambda: max(steps_of(run.folder), default=0) > before)  # noqa: B023
            time.sleep(rng.uniform(0, args.seconds))
            pid = rng.choice(processes_of(run))
            os.kill(pid, signal.SIGKILL)
            status, seconds, text = run.end()
            saved = max(steps_of(run.folder))
            named = re.search(rf"\(PID {pid} on [^(]*\) was killed or failed: mpiexec", text)
            survived += bool(status != 0 and seconds < 10 and saved > before and named)
            print(
                f"kill {kill + 1}: ended after {seconds:.1f} s, step {saved} is saved,"
                f" the process is {'named' if named else 'not named'}",
                flush=True,
            )
        done = mpiexec(args.size, demo, "--resume", "run", "--epochs", saved // 12 + 1, cwd=folder)
        print(f"{survived} of {args.count} survived; {done.stdout.splitlines()[-2]}")


# ---- cost ----


def parameters(recipe, shape):
    """The number of parameters of G and of D."""
    G, D = make_networks(recipe, shape, n_classes=recipe.clusters, rng=np.random.default_rng(0))
    return len(G.theta), len(D.theta)


def cost(args):
    """The seconds of a step on one core, and the numbers that have to be summed, of each recipe."""
    limit_blas_threads(1)
    disable_malloc_trim()
    before = json.loads(FILE.read_text()) if FILE.exists() else {}
    found = {}
    for title, shape in SHAPES.items():
        for name in args.recipes:
            recipe = RECIPES[name]
            n = max(10 * recipe.clusters, recipe.batch_size)
            images = np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)
            labels = np.arange(n) % recipe.clusters if recipe.clusters else None
            gan = TrainingState(recipe, images, labels=labels, n_classes=recipe.clusters)
            times = []
            for _ in range(args.count):
                started = time.process_time()  # of one thread; other programs do not count
                gan.train_step()
                times.append(time.process_time() - started)
            started = time.process_time()
            gan.generate(gan.evaluation_latents)
            generating = time.process_time() - started
            found[f"{name}, {title}"] = {
                "seconds": min(times),
                "parameters": list(parameters(recipe, shape)),
                "batch_size": recipe.batch_size,
                "sums": messages(gan),
                "generating": generating,  # the samples that are evaluated after an epoch
            }
            if measured := before.get(f"{name}, {title}", {}).get("measured"):
                found[f"{name}, {title}"]["measured"] = measured  # by `hosts`
            print(name, title, found[f"{name}, {title}"], flush=True)
    FILE.write_text(json.dumps(found, indent=1) + "\n")


def messages(gan):
    """How many sums over all processes a step has."""
    count = [0]

    def all_reduce(*sums):
        count[0] += 1
        return list(sums)

    gan.G.compute_parts(all_reduce)
    gan.D.compute_parts(all_reduce)
    gan.train_step()
    return count[0] + 5  # two gradients, the losses of both steps, and what all agree on


def seconds_of(entry, n, bandwidth, latency):
    """compute / n + latency + 2 P (n - 1) / n / bandwidth, for float32."""
    rounds = entry["sums"] * 2 * np.ceil(np.log2(n)) * latency
    volume = 2 * 4 * sum(entry["parameters"]) * (n - 1) / n / bandwidth
    return entry["seconds"] / n + rounds + volume


def draw(args):
    """docs/parallel.png: the seconds of a step over the number of processes."""
    found = json.loads(FILE.read_text())
    names = list(dict.fromkeys(key.partition(", ")[0] for key in found))
    with new_figure(3 * len(names), 7) as figure:
        axes = figure.subplots(2, len(names), sharex=True)
        for row, title in zip(axes, SHAPES):
            for axis, name in zip(row, names):
                entry = found[f"{name}, {title}"]
                ns = [2**i for i in range(9) if 2**i <= entry["batch_size"]]
                for link, (bandwidth, latency) in LINKS.items():
                    times = [1e3 * seconds_of(entry, n, bandwidth, latency) for n in ns]
                    axis.loglog(ns, times, label=link)
                ideal = [1e3 * entry["seconds"] / n for n in ns]
                axis.loglog(ns, ideal, ":", color="grey", label="no communication")
                for link, mark in {"memory": "kx", "1 Gb/s": "C0s"}.items():
                    if link in entry.get("measured", {}):
                        label = f"measured, {link}"
                        axis.loglog(2, 1e3 * entry["measured"][link], mark, label=label)
                axis.set(title=f"{name}\n{title}", xlabel="processes")
            row[0].set_ylabel("milliseconds per step")
        figure.suptitle("How long a training step takes on several machines")
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=len(LINKS) + 3,
            frameon=False,
        )
        save_figure(figure, args.out)
    print("| recipe | images | P | 1 Gb/s | 25 Gb/s | 200 Gb/s |")
    print("|---|---|---|---|---|---|")
    for key, entry in found.items():
        name, _, title = key.partition(", ")
        cells = []
        for bandwidth, latency in LINKS.values():
            ns = range(1, entry["batch_size"] + 1)
            times = [seconds_of(entry, n, bandwidth, latency) for n in ns]
            best = int(np.argmin(times))
            # the largest number of processes of which at most half of the time is lost
            useful = [n for n, t in zip(ns, times) if entry["seconds"] / n / t >= 0.5]
            cells.append(f"{max(useful)} ({times[0] / times[best]:.0f} times at {ns[best]})")
        size = f"{sum(entry['parameters']) / 1e6:.2f} million"
        print(f"| {name} | {title} | {size} | {' | '.join(cells)} |")


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)

    def command(name, run, **defaults):
        found = commands.add_parser(name)
        for option, value in defaults.items():
            many = dict(nargs="*") if isinstance(value, (list, tuple)) else {}
            kind = type(value[0]) if isinstance(value, (list, tuple)) and value else type(value)
            kind = str if kind in (list, tuple) else kind
            found.add_argument(f"--{option.replace('_', '-')}", default=value, type=kind, **many)
        found.set_defaults(run=run)
        return found

    worker = command("steps", steps, count=30, warm_up=5, threads=0)
    worker.add_argument("recipe")
    command("speed", speed, recipes=TIMED, pairs=15, count=30, former="")
    command("hosts", hosts, recipes=TIMED, count=30)
    command("agree-worker", agree_worker, recipes=[], count=100, batch_size=12)
    command("agree", agree, recipes=[], count=100, sizes=(1, 2, 3, 4), batch_sizes=(12, 13))
    command("kills", kills, count=20, seconds=3.0, size=2, seed=0)
    command("cost", cost, recipes=TIMED, count=5)
    command("draw", draw, out=str(ROOT / "docs" / "parallel.png"))
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
