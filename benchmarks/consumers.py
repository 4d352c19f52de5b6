"""The programs that read minigan's ONNX files, and how far their images are from minigan's.

What it shows
    For each program and each network, the largest difference of a pixel, from 0 to 1, over batches
    of 1, 5, 7 and 100 images, which one session generates in this order. An error is shown in place
    of the number. The networks are the pretrained generator of the recipe `default`, and a `dcgan`,
    which has batch norm and transposed convolutions, with random weights.

    Each program is installed with pinned versions in a temporary virtual environment of its own,
    and runs in a process of its own. One that cannot be installed here is reported as such.
    onnxruntime-web also needs npm and node, and tinygrad needs clang.

How to run it from the folder with demo.py (a quarter of an hour, 4 GB in the temporary folder)
    pip install -e ".[export]"
    python benchmarks/consumers.py
    python benchmarks/consumers.py --only opencv       # those whose name contains a word
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

BATCHES = 1, 5, 7, 100
NETWORKS = "default", "dcgan"
SECONDS = 600  # limit for a program and for its installation
CONSUMERS = {  # name: (function below, what pip installs)
    "onnxruntime 1.19.0": ("onnx_runtime", "onnxruntime==1.19.0 numpy==2.0.2"),
    "onnxruntime 1.32.0": ("onnx_runtime", "onnxruntime==1.32.0 numpy==2.4.6"),
    "onnxruntime 1.32.0, quantize_dynamic": (
        "onnx_runtime_8_bits",
        "onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6",
    ),
    "onnxruntime-web 1.30.0": ("onnx_runtime_web", "numpy==2.4.6"),  # npm installs the rest
    "onnx.reference 1.23.2": ("onnx_reference", "onnx==1.23.2 numpy==2.4.6"),
    "openvino 2026.4.1": ("openvino", "openvino==2026.4.1 numpy==2.4.6"),
    "tract 0.23.9": ("tract", "tract==0.23.9 numpy==2.4.6"),
    "MNN 3.6.1": ("mnn", "MNN==3.6.1 numpy==2.4.6"),
    "opencv 4.8.1": ("opencv", "opencv-python-headless==4.8.1.78 numpy==1.26.4"),
    "opencv 4.12.0": ("opencv", "opencv-python-headless==4.12.0.88 numpy==2.2.6"),
    "opencv 4.14.0": ("opencv", "opencv-python-headless==4.14.0.94 numpy==2.4.6"),
    "opencv 5.0.0": ("opencv", "opencv-python-headless==5.0.0.93 numpy==2.4.6"),
    "opencv 5.0.0, classic engine": (
        "opencv_classic",
        "opencv-python-headless==5.0.0.93 numpy==2.4.6",
    ),
    "tinygrad 0.14.0": ("tinygrad", "tinygrad==0.14.0 numpy==2.4.6"),
    "tinygrad 0.14.0, a new runner for each batch": (
        "tinygrad_anew",
        "tinygrad==0.14.0 numpy==2.4.6",
    ),
    "ncnn 1.0.20261020": ("ncnn", "ncnn==1.0.20261020 pnnx==20261020 numpy==2.4.6"),
    "ncnn 1.0.20261020, fp16=0": ("ncnn_float32", "ncnn==1.0.20261020 pnnx==20261020 numpy==2.4.6"),
    "onnx2torch 1.5.15": ("onnx2torch", "onnx2torch==1.5.15 torch==2.13.0 numpy==2.4.6"),
}
NPM_PACKAGE = "onnxruntime-web@1.30.0"


# Each function takes the path of an ONNX file and returns a function from z to images. They import
# what is installed in their environment only.


def onnx_runtime(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda z: session.run(None, {"z": z})[0]


def onnx_runtime_8_bits(path):
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(path, path + ".8.onnx")
    return onnx_runtime(path + ".8.onnx")


def onnx_runtime_web(path):
    folder = Path(path).parent
    npm = ["npm", "install", "--silent", "--no-save", "--ignore-scripts", NPM_PACKAGE]
    subprocess.run(npm, cwd=folder, check=True, timeout=SECONDS)
    script = """
        const ort = require("onnxruntime-web"), fs = require("fs");
        const [model, latents, out, ...counts] = process.argv.slice(2);
        ort.env.wasm.numThreads = 1;
        (async () => {
          const session = await ort.InferenceSession.create(fs.readFileSync(model));
          const bytes = fs.readFileSync(latents), all = new Float32Array(bytes.length / 4);
          new Uint8Array(all.buffer).set(bytes);
          const Z = all.length / Math.max(...counts.map(Number));
          for (const n of counts.map(Number)) {
            const z = new ort.Tensor("float32", all.slice(0, n * Z), [n, Z]);
            const { images } = await session.run({z});
            fs.writeFileSync(out + n, Buffer.from(new Float32Array(images.data).buffer));
          }
        })();"""
    (folder / "web.js").write_text(script)
    results = {}

    def generate(z):
        if not results:  # one session for all batches
            all_z = np.load(path.replace(".onnx", ".npz"))["z"]
            all_z.astype("<f4").tofile(folder / "z.bin")
            node = ["node", "web.js", path, "z.bin", "images.", *map(str, BATCHES)]
            subprocess.run(node, cwd=folder, check=True, timeout=SECONDS, stdout=sys.stderr)
            for n in BATCHES:
                results[n] = np.fromfile(folder / f"images.{n}", "<f4").reshape(n, 28, 28)
        return results[len(z)]

    return generate


def onnx_reference(path):
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(path)
    return lambda z: session.run(None, {"z": z})[0]


def openvino(path):
    from openvino import Core

    model = Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda z: model(z)[0]


def tract(path):
    import tract

    model = tract.onnx().load(path).into_model().into_runnable()
    return lambda z: model.run([z])[0].to_numpy()


def mnn(path):
    import MNN.expr as expr
    import MNN.nn as nn

    convert = [Path(sys.executable).with_name("mnnconvert"), "-f", "ONNX", "--modelFile", path]
    convert += ["--MNNModel", path + ".mnn", "--bizCode", "minigan"]
    subprocess.run(convert, check=True, timeout=SECONDS, stdout=sys.stderr)
    module = nn.load_module_from_file(path + ".mnn", ["z"], ["images"])

    def generate(z):
        x = expr.const(np.ascontiguousarray(z), list(z.shape), expr.NCHW)
        return np.array(expr.convert(module.forward([x])[0], expr.NCHW).read())

    return generate


def opencv(path, *engine):
    import cv2

    net = cv2.dnn.readNetFromONNX(path, *engine)

    def generate(z):
        net.setInput(z)
        return net.forward()

    return generate


def opencv_classic(path):
    import cv2

    return opencv(path, cv2.dnn.ENGINE_CLASSIC)


def tinygrad(path):
    from tinygrad import Tensor
    from tinygrad.nn.onnx import OnnxRunner

    run = OnnxRunner(path)
    return lambda z: run({"z": Tensor(z)})["images"].numpy()


def tinygrad_anew(path):
    return lambda z: tinygrad(path)(z)


def ncnn(path, *, fp16=1):
    import ncnn

    latent_dim = np.load(path.replace(".onnx", ".npz"))["z"].shape[1]
    convert = [Path(sys.executable).with_name("pnnx"), path, f"inputshape=[1,{latent_dim}]"]
    convert += [f"fp16={fp16}"]
    folder, stem = Path(path).parent, Path(path).stem
    subprocess.run(convert, cwd=folder, check=True, timeout=SECONDS, stdout=sys.stderr)
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = fp16 > 0
    net.load_param(str(folder / f"{stem}.ncnn.param"))
    net.load_model(str(folder / f"{stem}.ncnn.bin"))

    def generate(z):
        images = []
        for one in z:  # it has no batches
            extractor = net.create_extractor()
            extractor.input("in0", ncnn.Mat(np.ascontiguousarray(one)).clone())
            images.append(np.array(extractor.extract("out0")[1]).reshape(28, 28))
        return np.stack(images)

    return generate


def ncnn_float32(path):
    return ncnn(path, fp16=0)


def onnx2torch(path):
    import torch

    # onnx2torch imports torchvision, which expects operators of its own library. This library does
    # not load where PyTorch was built for CPUs and torchvision for GPUs
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in "nms", "qnms":
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from onnx2torch import convert

    module = convert(path).eval()
    with torch.no_grad():
        return lambda z: module(torch.from_numpy(z)).detach().numpy()


def consume(function, folder):
    """{network: [a difference for each batch, or an error]}, for the process of a program."""
    results = {}
    for name in NETWORKS:
        path = str(folder / f"{name}.onnx")
        with np.load(folder / f"{name}.npz") as file:
            z, images = file["z"], file["images"]
        results[name] = []
        try:
            generate = globals()[function](path)
            for n in BATCHES:
                there = np.asarray(generate(np.ascontiguousarray(z[:n])))
                if there.shape != images[:n].shape:
                    raise ValueError(f"{n} images have the shape {there.shape}")
                results[name].append(float(abs(there - images[:n]).max()))
        except Exception as error:  # programs raise almost anything
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            results[name].append(f"{type(error).__name__}: {(lines or [''])[-1][:100]}")
    return results


# ---- What follows runs in minigan's environment ----


def save_networks(folder):
    """Save NAME.onnx, and NAME.npz with its input z and minigan's 100 images, of both NETWORKS.

    minigan is imported here, because the processes of the programs import this file without it.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from minigan.export.onnx import onnx_file
    from minigan.gan.models import make_networks
    from minigan.gan.recipes import RECIPES
    from minigan.training.run_folder import class_count
    from minigan.training.sampling import (
        conditional_latents,
        generate,
        latents_and_labels,
        load_generator,
    )

    rng = np.random.default_rng(0)
    settings, recipe, G = load_generator(None)
    dcgan, _ = make_networks(RECIPES["dcgan"], (28, 28), rng=rng)
    for layer in dcgan.layers:  # as large as in a trained network, so that each layer matters
        if "W" in layer.param_names:
            layer.W *= 5
        if layer.buffer_names:
            for array in layer.gamma, layer.var:
                array[...] = rng.uniform(0.5, 1.5, array.shape)
            for array in layer.beta, layer.mean:
                array[...] = rng.normal(0, 0.3, array.shape)
    for name, settings, recipe, G in (
        ("default", settings, recipe, G),
        ("dcgan", {**settings, "recipe": {}}, RECIPES["dcgan"], dcgan),
    ):
        z, labels = latents_and_labels(settings, recipe, max(BATCHES), seed=0)
        latents = conditional_latents(z, labels, class_count(settings))
        images = generate(G, latents, recipe.pixel_min)
        assert images.std(axis=0).mean() > 0.1, "z matters"
        if labels is not None:
            z = np.concatenate(latents, axis=1)  # as the exported generator takes it
        (folder / f"{name}.onnx").write_bytes(onnx_file(settings, recipe, G))
        np.savez(folder / f"{name}.npz", z=z, images=images)


def install_and_run(function, packages, networks):
    """The result of `consume` in a new environment with these packages, or a sentence."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shutil.copytree(networks, folder / "networks")
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        python = folder / "venv" / "bin" / "python"
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            done = subprocess.run(
                [*pip, *packages.split()], capture_output=True, text=True, timeout=SECONDS
            )
            if done.returncode:
                return "cannot be installed here"
            done = subprocess.run(
                [python, Path(__file__).resolve(), "--consume", function, folder / "networks"],
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            return f"not finished after {SECONDS} s"
        if done.returncode:
            return f"ended with status {done.returncode}"
        return json.loads(done.stdout.splitlines()[-1])


def describe(differences):
    """The differences of a network in words: the largest, or each one where they differ much."""
    numbers = [d for d in differences if not isinstance(d, str)]
    words = [d for d in differences if isinstance(d, str)]
    if not numbers:
        return words[0]
    large = max(numbers) > 1e-5 and max(numbers) > 10 * min(numbers)
    text = f"{max(numbers):.0e}"
    if large or words:
        text = ", ".join(f"{n}: {d:.0e}" for n, d in zip(BATCHES, numbers))
    return "; then ".join([text, *words])


def main(arguments=None):
    """Print a line for each program and network; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="WORD", help="programs with WORD in the name")
    parser.add_argument("--consume", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.consume:
        function, folder = args.consume
        print(json.dumps(consume(function, Path(folder))))
        return 0
    chosen = {name: row for name, row in CONSUMERS.items() if args.only in name}
    if not chosen:
        parser.error(f"no program is called {args.only!r}: there are {', '.join(CONSUMERS)}")
    with tempfile.TemporaryDirectory() as temporary:
        save_networks(Path(temporary))
        print(f"largest difference of a pixel in batches of {', '.join(map(str, BATCHES))}")
        for name, row in chosen.items():
            results = install_and_run(*row, temporary)
            if isinstance(results, str):
                results = {network: [results] for network in NETWORKS}
            for network, differences in results.items():
                print(f"{name:46}{network:9}{describe(differences)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
