"""AlexNet is torchvision's, so its ImageNet weights load; nothing else does, and nothing runs."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mfas.errors import ModelError
from mfas.heads.alexnet import ALEXNET_FEATURES, AlexNetFeatures

TORCHVISION = {
    "features.0.weight": (64, 3, 11, 11),
    "features.0.bias": (64,),
    "features.3.weight": (192, 64, 5, 5),
    "features.3.bias": (192,),
    "features.6.weight": (384, 192, 3, 3),
    "features.6.bias": (384,),
    "features.8.weight": (256, 384, 3, 3),
    "features.8.bias": (256,),
    "features.10.weight": (256, 256, 3, 3),
    "features.10.bias": (256,),
}


def torchvision_weights() -> dict[str, Tensor]:
    """A state dict as torchvision's alexnet has it, with its classifier cut down."""
    generator = torch.Generator().manual_seed(0)
    shapes = {**TORCHVISION, "classifier.1.weight": (8, 4), "classifier.1.bias": (8,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def write(path: Path, weights: dict[str, Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as raised:
        AlexNetFeatures().load_pretrained(path)
    message = str(raised.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: not a torchvision AlexNet state dict (")
    assert message.endswith("unset head.alexnet_weights to start from random weights")
    return message


def test_names_and_shapes_are_torchvisions():
    state = AlexNetFeatures().state_dict()
    assert {name: tuple(weight.shape) for name, weight in state.items()} == TORCHVISION


@pytest.mark.parametrize(("height", "width"), [(256, 384), (224, 224)])
def test_feature_maps(height, width):
    with torch.no_grad():
        features = AlexNetFeatures()(torch.zeros(1, 3, height, width))
    assert features.shape == (1, 256, 6, 6)
    assert features.numel() == ALEXNET_FEATURES


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_pretrained_weights_load(suffix, tmp_path):
    weights = torchvision_weights()
    network = AlexNetFeatures()
    network.load_pretrained(write(tmp_path / f"alexnet{suffix}", weights))
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, weights[name])


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("fault", ["missing", "empty", "text", "incomplete", "other shape"])
def test_a_wrong_file_is_one_line(fault, suffix, tmp_path):
    path = tmp_path / f"alexnet{suffix}"
    weights = torchvision_weights()
    if fault == "empty":
        path.touch()
    elif fault == "text":
        path.write_text("<html>\n404\n</html>\n" * 100)
    elif fault == "incomplete":
        del weights["features.8.bias"]
        write(path, weights)
    elif fault == "other shape":
        weights["features.10.bias"] = torch.zeros(255)
        write(path, weights)
    refusal(path)


def test_a_list_of_tensors_is_no_state_dict(tmp_path):
    torch.save([torch.zeros(3)], tmp_path / "alexnet.pth")
    refusal(tmp_path / "alexnet.pth")


class Intruder:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("save", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))])
def test_code_in_a_file_does_not_run(save, tmp_path):
    save({"features.0.weight": Intruder(tmp_path / "ran")}, tmp_path / "alexnet.pth")
    refusal(tmp_path / "alexnet.pth")
    assert not (tmp_path / "ran").exists()
