"""Damaged files by the thousand: a result or an error of our own, soon, and in little memory.

    python -m tests.weights.mutations 20000
"""
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import minifcn
from minifcn.weights import convert, inspect
from tests.weights import written

SECONDS, MEGABYTES = 5, 500
RARE = 50                   # one in so many is an .h5, which takes a process of its own


def samples(folder):
    """A small valid file of each kind."""
    fcn = written.randomised(minifcn.FCN(8, 2, "caffe", width=1 / 64, fc_channels=2))
    vgg = written.randomised(minifcn.VGG16(2, width=1 / 64, fc_channels=2))
    arrays = written.pytorch_fcn(fcn)
    np.savez(folder / "a.npz", **written.chainer(fcn))
    np.savez_compressed(folder / "b.npz", **written.chainer(fcn))
    np.save(folder / "a.npy", written.tensorflow_vgg(vgg), allow_pickle=True)
    save_file(written.timm(vgg), folder / "a.safetensors")
    fcn.save(folder / "ours.safetensors")
    paths = [folder / name for name in ("a.npz", "b.npz", "a.npy", "a.safetensors",
                                        "ours.safetensors")]
    return [*paths, written.zip_pth(folder / "zip.pth", arrays),
            written.legacy_pth(folder / "legacy.pth", written.torchvision(vgg)),
            written.caffemodel(folder / "new.caffemodel", arrays),
            written.caffemodel(folder / "old.caffemodel", written.torch_arrays(vgg), True, True),
            written.keras(folder / "a.h5", vgg)]


def damaged(content, dice):
    """Some bytes of a file changed, cut off, doubled, or put elsewhere."""
    content = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 5))):
        # what is not numbers is mostly at both ends
        near = dice.choice((64, 600, 4000, len(content)))
        place = dice.randrange(min(near, len(content)))
        place = len(content) - 1 - place if dice.random() < 0.4 else place
        kind = dice.randrange(8)
        if kind < 3:
            content[place] = dice.randrange(256)
        elif kind == 3:
            content[place] ^= 1 << dice.randrange(8)
        elif kind == 4:
            width = dice.choice((2, 4, 8))
            value = dice.choice((0, 1, 2**31 - 1, 2**31, 2**40, 2**60, 2**63, 2**64 - 1))
            content[place:place + width] = (value % 256**width).to_bytes(width, "little")
        elif kind == 5:
            del content[place:place + dice.choice((1, 4, 100, len(content)))]
        elif kind == 6:
            content[place:place] = content[place:place + dice.choice((1, 8, 200))]
        else:
            other = dice.randrange(len(content))
            content[place:place + 30] = content[other:other + 30]
        if not content:
            break
    return bytes(content)


def try_one(path):
    """The error of our own, or None for a result."""
    error = None
    for work in (convert, inspect):
        try:
            work(path)
        except (ValueError, OSError) as raised:
            assert str(path) in str(raised), raised
            error = raised
    return error


def run(count, seed, paths, folder):
    """Damage files in turn; returns how many still gave a result."""
    dice = random.Random(seed)
    *most, h5 = paths
    results = 0
    for number in range(1, count + 1):
        whole = h5 if number % RARE == 0 else most[number % len(most)]
        path = folder / f"damaged{number}"
        path.write_bytes(damaged(whole.read_bytes(), dice))
        start = time.process_time()
        try:
            results += try_one(path) is None
        except BaseException:
            print(f"number {number} of seed {seed}, {whole.name}", file=sys.stderr)
            raise
        assert time.process_time() - start < SECONDS, (number, whole)
        path.unlink()
    return results


def main():
    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.process_time()
        results = run(count, int((sys.argv[2:] or ["0"])[0]), samples(folder), folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(f"{count:,} damaged files: {results:,} results, {count - results:,} errors, "
              f"{time.process_time() - start:.0f} s of CPU, at most {peak:.0f} MB")
        assert peak < MEGABYTES


if __name__ == "__main__":
    main()
