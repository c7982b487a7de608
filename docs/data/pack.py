"""Pack features of images for the tutorial: ``python docs/data/pack.py FEATURES.npy LABELS-idx1-ubyte.gz``."""

import gzip
import sys
from pathlib import Path

import numpy as np


def main(features_file: str, labels_file: str) -> None:
    features = np.load(features_file)[:1000]
    with gzip.open(labels_file) as file:
        classes = np.frombuffer(file.read(), np.uint8, offset=8)[: len(features)]
    np.savez_compressed(
        Path(__file__).with_name("image_features.npz"),
        features=np.rint(features / features.max() * 255).astype(np.uint8),
        classes=classes,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
