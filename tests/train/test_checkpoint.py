"""A checkpoint holds everything a fit needs, in a format that cannot run code."""

import json

import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.optim import SGD, AdamW

from mfas.train import Checkpoint, fit, load_checkpoint, save_checkpoint
from mfas.train.checkpoint import optimizer_tensors, restore_optimizer


@pytest.mark.parametrize(
    "make", [lambda p: AdamW(p, lr=0.1), lambda p: SGD(p, lr=0.1, momentum=0.9)]
)
def test_an_optimizer_goes_on_as_if_nothing_had_happened(make, tmp_path):
    def step(layer, optimizer, seed):
        inputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
        layer(inputs).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    layer = nn.Linear(3, 2)
    optimizer = make(layer.parameters())
    step(layer, optimizer, 0)
    save_checkpoint(tmp_path / "c", Checkpoint(optimizer_tensors("optimizer", optimizer)))
    copy = nn.Linear(3, 2)
    copy.load_state_dict(layer.state_dict())
    restored = make(copy.parameters())
    restore_optimizer(restored, load_checkpoint(tmp_path / "c").part("optimizer"))
    for seed in (1, 2):
        step(layer, optimizer, seed)
        step(copy, restored, seed)
    assert torch.equal(layer.weight, copy.weight)
    assert torch.equal(layer.bias, copy.bias)


def test_a_fits_checkpoint_is_safetensors_with_json(
    experiment, make_model, said_by, settings, tmp_path
):
    path = tmp_path / "train.safetensors"
    train, validation = said_by("ann", "bob"), said_by("cid")
    fit(make_model(), experiment.data, train, validation, settings(epochs=1), 0, print, path)
    content = path.read_bytes()
    header_bytes = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_bytes])
    facts = json.loads(header["__metadata__"]["facts"])
    assert [epoch["epoch"] for epoch in facts["history"]] == [0]
    with safe_open(path, framework="pt") as opened:
        parts = {name.split(".")[0] for name in opened.keys()}  # noqa: SIM118
    assert parts == {"model", "best", "optimizer"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_part_is_told_by_its_whole_name(tmp_path):
    saved = Checkpoint({"model.a": torch.ones(1), "model2.a": torch.zeros(1)}, {"epoch": 3})
    save_checkpoint(tmp_path / "c", saved)
    loaded = load_checkpoint(tmp_path / "c")
    assert loaded.facts == {"epoch": 3}
    assert list(loaded.part("model")) == ["a"]
    assert load_checkpoint(tmp_path / "none") is None
