"""AlexNet's feature stack (Krizhevsky et al. 2012), in torchvision's layout and names.

An image (B, 3, H, W), ImageNet-normalised, enters; features (B, 256, 6, 6) leave. The state-dict
names are torchvision's (`features.0.weight`, ...), so that its ImageNet weights load from a file.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mfas.errors import ModelError

ALEXNET_FEATURES = 256 * 6 * 6


class AlexNetFeatures(nn.Module):
    """The convolutional half of AlexNet, with its average pooling to 6 x 6."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))

    def forward(self, image_B3HW: Tensor) -> Tensor:  # noqa: D102
        return self.avgpool(self.features(image_B3HW))

    def load_pretrained(self, path: Path) -> None:
        """Load the `features.*` weights of a torchvision AlexNet state dict.

        `path` is a .safetensors file, or a .pth file (read with weights_only, so no code in it
        runs). Raises `ModelError` if the file is missing or its weights do not fit.
        """
        try:
            weights = (
                load_file(path)
                if Path(path).suffix == ".safetensors"
                else torch.load(path, map_location="cpu", weights_only=True)
            )
            kept = {name: w for name, w in weights.items() if name.startswith("features.")}
            self.load_state_dict(kept)
        except Exception as error:
            fault = str(error).partition("\n")[0] or type(error).__name__
            raise ModelError(
                f"{path}: not a torchvision AlexNet state dict ({fault}); "
                "unset head.alexnet_weights to start from random weights"
            ) from error
