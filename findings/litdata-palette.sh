#!/usr/bin/env bash
# litdata stores images with a palette without their palette, and they come back black.
#
# Versions: litdata 0.2.76, torch 2.13.0, pillow 13.0.0, numpy 2.4.6, Linux on x86-64, CPython
#   3.11.
# Most would expect: an image opened with Pillow, or that image in litdata's wrapper Pil, which
#   litdata.optimize stores, comes back from StreamingDataset with the same colours. The README
#   says that its pixels are stored uncompressed, and warns only of the size.
# What happens: litdata writes the mode, the size and the raw bytes. In mode "P", which Pillow
#   gives to every PNG and GIF with a palette, the bytes are indices, and the palette that says
#   which colour an index means is not written. The image that comes back has mode "P" and an
#   empty palette: convert("RGB") makes all pixels black, and np.asarray makes them nearly black,
#   since the indices of few colours are small. Nothing is said. Greyscale and RGB images in the
#   same dataset are right.
# Why it matters: sprites, pixel art, emoji and icons, on which small generators are often
#   trained, mostly come as PNGs with a palette, because optimizers of PNGs choose it for up to
#   256 colours. In a folder with both kinds, only those files turn black, and a generator learns
#   that a part of the images is black.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.4.6 pillow==13.0.0 boto3==1.44.8 requests==2.34.2 \
    filelock==4.3.1 tifffile==2026.3.3 obstore==0.12.1 lightning-utilities==0.15.3
"${pip[@]}" --no-deps litdata==0.2.76  # without torchvision, which Pillow's images don't need
cat > "$folder/see.py" <<'END2'
import os
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
os.environ["DATA_OPTIMIZER_CACHE_FOLDER"] = str(folder / "cache")
os.environ["DATA_OPTIMIZER_DATA_CACHE_FOLDER"] = str(folder / "data-cache")

import litdata  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

kinds = "RGB.png", "L.png", "palette.png", "palette.gif"


def load(number):
    """What litdata stores: an image as Pillow opens it, the same in a wrapper, and its number."""
    image = Image.open(folder / f"{number:03}-{kinds[number % 4]}")
    return {"image": image, "wrapped": litdata.Pil(image=image), "number": number}


def colours(image):
    """The image's pixels in RGB, and how many colours they have."""
    pixels = np.asarray(image.convert("RGB"), dtype=int)
    return pixels, len(np.unique(pixels.reshape(-1, 3), axis=0))


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    shades = np.array([[255, 255, 255], [220, 40, 40], [30, 90, 200], [250, 210, 60]], np.uint8)
    for number in range(40):  # sprites of 28x28 pixels in four colours
        sprite = Image.fromarray(shades[np.kron(rng.integers(0, 4, (7, 7)), np.ones((4, 4), int))])
        kind = kinds[number % 4]
        if kind == "L.png":
            sprite = sprite.convert("L")
        elif kind != "RGB.png":
            sprite = sprite.quantize(4)
        sprite.save(folder / f"{number:03}-{kind}")

    stored = str(folder / "stored")
    numbers = list(range(40))
    litdata.optimize(load, numbers, stored, chunk_bytes="64MB", num_workers=1, verbose=False)
    errors = {kind: [] for kind in kinds}
    for sample in litdata.StreamingDataset(stored):
        kind, image, wrapped = kinds[sample["number"] % 4], sample["image"], sample["wrapped"]
        right, count = colours(load(sample["number"])["image"])
        pixels, left = colours(image)
        errors[kind].append(np.abs(pixels - right).mean())
        assert count == 4 and image.size == (28, 28)
        assert wrapped.mode == image.mode and wrapped.tobytes() == image.tobytes()
        assert image.mode == ("P" if kind.startswith("palette") else kind[:-4])
        if image.mode == "P":
            assert not pixels.any() and left == 1 and np.asarray(image).max() < 4
        else:
            assert np.array_equal(pixels, right)
    for kind, of_kind in errors.items():
        print(f"{kind}: {len(of_kind)} images, mean error of a pixel {np.mean(of_kind):.1f} of 255")
        assert len(of_kind) == 10
        assert np.mean(of_kind) > 100 if kind.startswith("palette") else max(of_kind) == 0
END2
"$folder/venv/bin/python" "$folder/see.py" "$folder"
echo "as described"
