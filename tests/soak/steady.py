"""Memory over long work: python -m tests.soak.steady training|predictions COUNT.

Prints the memory after a fifth of the work, and the most of all that follows, in MB.
"""
import json
import sys

import numpy as np

from tests.soak.fuzz import memory


def main() -> None:
    import minifcn
    from minifcn.training import Recipe, Trainer

    kind, count = sys.argv[1], int(sys.argv[2])
    seen: list[float] = []
    if kind == "training":
        class Watched(Trainer):
            def _train(self, samples):
                seen.append(memory("VmRSS"))
                return super()._train(samples)

        recipe = Recipe(count, batch=2, rate=1e-3, augmentation=minifcn.data.Augmentation(
            scale=(0.5, 1.5)))
        Watched(minifcn.FCN(classes=7, width=1 / 16, fc_channels=16),
                minifcn.data.Shapes(50, (64, 64)), recipe).run()
    else:
        rng = np.random.default_rng(0)
        model = minifcn.pretrained("streets-8s")
        for _ in range(count):
            model.predict(rng.integers(0, 256, (*rng.integers(1, 200, 2), 3), np.uint8))
            seen.append(memory("VmRSS"))
    warm = count // 5
    print(json.dumps([max(seen[:warm]), max(seen[warm:])]))


if __name__ == "__main__":
    main()
