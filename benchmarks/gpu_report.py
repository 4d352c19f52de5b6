"""The tables of docs/gpu.md, and its plot, from benchmarks/gpu.json, which gpu_check.sh writes.

python benchmarks/gpu_report.py                     rewrite the measured part of docs/gpu.md
python benchmarks/gpu_report.py FILE.json FOLDER    the same from another file, in FOLDER/gpu.md
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from minigan.figures.plots import new_figure, save_figure

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- measured: benchmarks/gpu_report.py -->", "<!-- end of what is measured -->"
RUNNERS = {  # as gpu_steps.py names them: as the table does
    "plain": "layer by layer",
    "minigan": "minigan",
    "recorded": "minigan, `--graph`",
    "gemm": "gemm",
    "torch": "PyTorch",
    "torch, lean": "lean",
    "torch, graph": "CUDA graph",
    "torch, reduce-overhead": "reduce-overhead",
    "torch, max-autotune": "max-autotune",
}


def table(head: list[str], rows: list[list]) -> str:
    """A table in Markdown; None becomes a dash."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join('-' if cell is None else str(cell) for cell in line)} |" for line in lines
    )


def step_times(rows: list[dict]) -> dict[tuple[str, int], dict[str, float]]:
    """{(recipe, batch): {runner: microseconds}}.

    A row with a way of compiling has its own turn, in which only the compiled step is new.
    """
    found: dict[tuple[str, int], dict[str, float]] = {}
    for row in sorted(rows, key=lambda row: bool(row["mode"])):
        times = found.setdefault((row["recipe"], row["batch"]), {})
        for name, us in row["us"].items():
            times.setdefault(name, us)
    return found


def report(data: dict, picture: Path) -> str:
    """All tables; writes the plot."""
    by_part: dict[str, list[dict]] = {}
    for row in data["rows"]:
        by_part.setdefault(row["part"], []).append(row)
    parts = []
    for row in by_part.get("environment", []):
        versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        parts.append(
            f"{'A rehearsal, without a GPU' if row['rehearsal'] else row['card']},"
            f" {row['memory'] / 2**30:.0f} GB, {row['multiprocessors']} multiprocessors, CUDA"
            f" {row['cuda']}, Python {row['python']}, {versions}. {row['date']}."
        )
    parts.append("### The parts\n")
    parts.append(
        table(
            ["part", "outcome", "seconds", "limit"],
            [[name, p["status"], p["seconds"], p["limit"]] for name, p in data["parts"].items()],
        )
    )
    runs = [r for part in ("default", "recipes") for r in by_part.get(part, []) if "fd" in r]
    if runs:
        parts.append("\n### Runs\n")
        parts.append(
            table(
                ["run", "seconds", "in training steps", "epochs", "images/s", "FD of each epoch"],
                [
                    [r["key"], r["seconds"], r["training"], r["epochs"], r["images_per_second"]]
                    + [", ".join(f"{fd:.3g}" for fd in r["fd"])]
                    for r in runs
                ],
            )
        )
    steps = [r for r in by_part.get("steps", []) if r["status"] == "ok"]
    if steps:
        times = step_times(steps)
        used = [name for name in RUNNERS if any(name in t for t in times.values())]
        parts.append("\n### Training steps, in microseconds\n")
        parts.append(
            table(
                ["recipe", "batch", *(RUNNERS[name] for name in used), "PyTorch / minigan"],
                [
                    [recipe, batch, *(t.get(name) for name in used), speed_up(t)]
                    for (recipe, batch), t in times.items()
                ],
            )
        )
        reasons = {
            f"- {r['key']}, {name}: {reason}"
            for r in steps
            for name, reason in r["reasons"].items()
        }
        if reasons:
            parts.append("\nWhat is missing, and why:\n\n" + "\n".join(sorted(reasons)))
        plot(times, picture)
        parts.append(f"\n![the times of the table]({picture.name})")
    for row in by_part.get("tests", []):
        parts.append(
            f"\n### Tests\n\n{row['passed']} passed, {row['failed']} failed, {row['error']} errors,"
            f" {row['skipped']} skipped, in {row['seconds']} s."
        )
        parts += [f"- `{line}`" for line in row["failures"]]
    for row in by_part.get("resume", []):
        if "epochs" in row:
            parts.append(
                f"\n### Killed and resumed\n\nKilled after epoch {row['killed_after']}, resumed,"
                f" and then has the epochs {', '.join(map(str, row['epochs']))}."
            )
    parts += profile(by_part.get("profile", []))
    failures = [f"- {r['part']}, {r['key']}: {r['error']}" for r in data["rows"] if "error" in r]
    if any(failures):
        parts.append("\n### Failures\n\n" + "\n".join(map(str, failures)))
    return "\n".join(parts)


def speed_up(times: dict[str, float]) -> str | None:
    """PyTorch's time divided by the better of minigan's."""
    ours = [times[name] for name in ("minigan", "recorded") if name in times]
    return f"**{times['torch'] / min(ours):.2f}**" if "torch" in times and ours else None


def profile(rows: list[dict]) -> list[str]:
    """Where the microseconds of a step go, and what single calls cost."""
    rows = [row for row in rows if row["status"] == "ok"]
    phases, calls, outside = (
        [r for r in rows if key in r] for key in ("host_us", "returns_us", "outside_s")
    )
    parts = []
    for row in phases:
        parts.append(
            f"\n### Where the {row['step_us']} µs of a step of `{row['key']}` go\n\n"
            f"{row['launches']} kernels; launching them takes {row['launching_us']} µs.\n"
        )
        host, device = row["host_us"], row["device_us"]
        parts.append(
            table(
                ["part of the step", "host, µs", "device, µs"],
                [[name, host[name], device[name]] for name in host],
            )
        )
        parts.append("")
        parts.append(
            table(
                ["function", "calls", "own µs, under a profiler"],
                [[f"`{f['name']}`", f["calls"], f["us"]] for f in row["functions"][:10]],
            )
        )
    if calls:
        parts.append("\n### What a call costs\n")
        parts.append(
            table(
                ["call", "returns after, µs", "complete after, µs"],
                [[f"`{row['key']}`", row["returns_us"], row["us"]] for row in calls],
            )
        )
    if outside:
        parts.append("\n### Outside the steps\n")
        parts.append(
            table(["what", "seconds"], [[row["key"], row["outside_s"]] for row in outside])
        )
    return parts


def plot(times: dict[tuple[str, int], dict[str, float]], path: Path) -> None:
    """The times of each recipe and batch size, on a logarithmic axis."""
    names = [f"{recipe}, {batch}" for recipe, batch in times]
    with new_figure(9, 1.8 + 0.24 * len(names)) as figure:
        axes = figure.add_subplot()
        for runner, label in RUNNERS.items():
            points = [(t[runner], i) for i, t in enumerate(times.values()) if runner in t]
            if points:
                ours = runner in ("minigan", "recorded", "plain")
                axes.plot(*zip(*points), "o" if ours else "x", label=label.replace("`", ""))
        axes.set(title="How long a training step takes", yticks=range(len(names)))
        axes.set(xscale="log", xlabel="microseconds of a training step")
        axes.set_yticklabels(names)
        axes.invert_yaxis()
        axes.grid(alpha=0.2)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        save_figure(figure, path)


def main(argv: list[str]) -> None:
    """Rewrite the measured part of docs/gpu.md, or write FOLDER/gpu.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("source", metavar="FILE.json", nargs="?", type=Path, default=ROOT / "benchmarks/gpu.json")
    add("folder", metavar="FOLDER", nargs="?", type=Path, default=ROOT / "docs")
    args = parser.parse_args(argv)
    source, folder = args.source, args.folder
    if not source.exists():
        sys.exit(f"{source} does not exist: bash benchmarks/gpu_check.sh writes it, on a GPU")
    data = json.loads(source.read_text())
    found = report(data, folder / "gpu.png")
    path = folder / "gpu.md"
    before, after = "", ""
    if path.exists():
        before, _, rest = path.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{found}\n{END}{after}")
    print(f"{path} and {folder / 'gpu.png'} are written")


if __name__ == "__main__":
    main(sys.argv[1:])
