"""usage: load_checkpoint.py CHECKPOINT OUTPUT

Loads a checkpoint of `Workplace.short` into the same network in PyTorch, all names matching, takes a
step of SGD that goes on from its momentum, and writes the file again. ProgramCheckpointFaultTests
runs it.
"""
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

tensors = load_file(sys.argv[1])
model = nn.Sequential(
    nn.Linear(784, 16, bias=False), nn.BatchNorm1d(16), nn.Sigmoid(),
    nn.Linear(16, 12, bias=False), nn.BatchNorm1d(12), nn.Sigmoid(), nn.Linear(12, 10))
model.load_state_dict({
    name.removeprefix("layers."): tensor for name, tensor in tensors.items()
    if not name.startswith("optimizer.")})
optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
for name, parameter in model.named_parameters():
    velocity = tensors[f"optimizer.momentum_buffer.layers.{name}"]
    assert velocity.shape == parameter.shape, name
    optimizer.state[parameter]["momentum_buffer"] = velocity.clone()
nn.functional.cross_entropy(model(torch.rand(24, 784)), torch.arange(24) % 10).backward()
optimizer.step()

with safe_open(sys.argv[1], framework="pt") as file:
    metadata = file.metadata()
assert metadata["step"] == "30" and metadata["checkpoint_format"] == "2", metadata
# As a model: safetensors sorts tensors, and a checkpoint is what its SHA-256 say.
save_file(tensors, sys.argv[2], {"config": metadata["config"], "format": "pt"})
