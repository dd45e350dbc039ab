#!/usr/bin/env python3
"""Writes what PyTorch makes of convolutional layers and networks: layers.txt, lenet.txt, …

    python3 make_network_fixtures.py [layers] [norms] [lenet] [resnet20] [resnet20-A] [resnet18]
        [resnet20-layer] [resnet20-instance] [resnet20-group]

needs torch, torchvision and numpy; without a name it makes all. Other versions of torch may move
the last bits. Everything that goes in, weights included, comes from one formula of integers (see
`formula`), which the tests know, too; so that the files hold results alone. Of each tensor, images
as NHWC and parameters as in state dicts, they hold a summary in one line (see `summary`):

    CASE TENSOR largest norm projection value value ...

All is computed in Float64. A line `CASE conditioning ...` holds how far torch's own Float32 results
are from it, the worst of plain and channels-last memory and of four runs whose parameters are off
by as much as Float32 rounds. `key` is where the formula starts: the first for which no value comes
so close to a kink of ReLU or max pooling that one of these runs falls on its other side, nor, of
ResNet-20, one of six that are off by eight times as much, for Winograd's tiles of 4×4 (twice on
images of 16×16, which have four times the values: of 268 keys none stood four times).
"""
import functools
import pathlib
import sys

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

FOLDER = pathlib.Path(__file__).parent
STEPS, BATCH, SAMPLES, CLASSES = 5, 12, 21, 5
MOMENTUM, DECAY = 0.9, 5e-4


def formula(count, key):
    """Float64 values in -1 ..< 1 with 24 bits, as good as random."""
    mask = 0xFFFFFFFF
    h = (np.arange(count, dtype=np.uint64) * 2654435761 + key * 2246822519) & mask
    h ^= h >> np.uint64(15)
    h = (h * np.uint64(2246822519)) & mask
    h ^= h >> np.uint64(13)
    h = (h * np.uint64(3266489917)) & mask
    h ^= h >> np.uint64(16)
    return (h >> np.uint64(8)).astype(np.float64) * 2.0**-23 - 1


def values(shape, key, scale=1.0):
    # Rounded as the tests round it.
    count = int(np.prod(shape))
    return torch.from_numpy((formula(count, key) * scale).astype(np.float32)).reshape(shape)


def fill(model, key, disturbance=0, size=1):
    """Parameter number n in the state dict's order has key + n."""
    with torch.no_grad():
        for number, (name, p) in enumerate(model.named_parameters()):
            if p.dim() > 1:
                fan = int(np.prod(p.shape[1:]))
                p.copy_(values(p.shape, key + number, (6 / fan) ** 0.5))
            elif name.split(".")[-1] == "weight":
                p.copy_(1 + values(p.shape, key + number, 0.25))
            else:
                p.copy_(values(p.shape, key + number, 0.25))
            if disturbance:
                p *= 1 + size * 2.0**-23 * values(p.shape, 10_000 * disturbance + number)


def summary(tensor):
    """The largest magnitude, the norm, the product with formula(count, 77), 16 values."""
    v = tensor.detach().double().contiguous().reshape(-1).numpy()
    at = ((formula(16, 78) + 1) / 2 * len(v)).astype(np.int64)
    return [np.abs(v).max(), np.sqrt((v * v).sum()), (v * formula(len(v), 77)).sum(), *v[at]]


def nhwc(t):
    return t.permute(0, 2, 3, 1) if t.dim() == 4 else t


def nchw(t):
    return t.permute(0, 3, 1, 2)


class PaddedShortcut(nn.Module):
    """Option A: every second pixel, zeros for new channels, half in front."""

    def __init__(self, channels, outputs):
        super().__init__()
        self.front = (outputs - channels) // 2
        self.back = outputs - channels - self.front

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.front, self.back))


class Block(nn.Module):
    def __init__(self, channels, outputs, stride, padded=False, norm=nn.BatchNorm2d):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, outputs, 3, stride, 1, bias=False)
        self.bn1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = norm(outputs)
        self.downsample = None
        if stride != 1 or channels != outputs:
            self.downsample = PaddedShortcut(channels, outputs) if padded else nn.Sequential(
                nn.Conv2d(channels, outputs, 1, stride, bias=False), norm(outputs))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + shortcut)


class ResNet20(nn.Module):
    def __init__(self, padded=False, norm=nn.BatchNorm2d):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = norm(16)
        channels = 16
        for stage, width in enumerate([16, 32, 64]):
            blocks = []
            for block in range(3):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Block(channels, width, stride, padded, norm))
                channels = width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.bn1 = nn.Linear(16 * 1 * 2, 120, bias=False), nn.BatchNorm1d(120)
        self.fc2, self.bn2 = nn.Linear(120, 84, bias=False), nn.BatchNorm1d(84)
        self.fc3 = nn.Linear(84, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        x = F.relu(self.bn1(self.fc1(x)))
        return self.fc3(F.relu(self.bn2(self.fc2(x))))


def resnet18():
    model = torchvision.models.resnet18(num_classes=CLASSES)
    model.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    model.maxpool = nn.Identity()
    return model


class AddNorm(nn.Module):
    def __init__(self, norm=nn.BatchNorm2d):
        super().__init__()
        self.bn = norm(18)

    def forward(self, x):
        return F.relu(self.bn(x) + x)


def layer_norm(channels):
    return nn.GroupNorm(1, channels)


def instance_norm(channels):
    return nn.InstanceNorm2d(channels, affine=True)


def group_norm(groups):
    return lambda channels: nn.GroupNorm(groups, channels)


class Norm(nn.Module):
    """One normalisation and tanh; on [N, C] where `flat`."""

    def __init__(self, norm, flat=False):
        super().__init__()
        self.bn, self.flat = norm, flat

    def forward(self, x):
        if self.flat:
            return torch.tanh(self.bn(x.flatten(1)))[:, :, None, None]
        return torch.tanh(self.bn(x))


def convolution(channels, outputs, kernel, bias, **more):
    return lambda: nn.Sequential(nn.Conv2d(channels, outputs, kernel, bias=bias, **more))


# Name: image [H, W, C], module. The tests have them as networks of the same names.
LAYERS = {
    "max-pool": ((7, 5, 19), lambda: nn.MaxPool2d(3, 2, 1)),
    "max-pool-2": ((5, 6, 16), lambda: nn.MaxPool2d(2)),
    "average-pool": ((6, 7, 5), lambda: nn.AvgPool2d(3, 2, 1)),
    "global-average-pool": ((3, 5, 21), lambda: nn.AdaptiveAvgPool2d(1)),
    "norm-add-relu": ((4, 3, 18), AddNorm),
    "block-identity": ((5, 6, 17), lambda: Block(17, 17, 1)),
    "block-projection": ((5, 6, 6), lambda: Block(6, 20, 2)),
    "block-A": ((5, 6, 6), lambda: Block(6, 20, 2, padded=True)),
}
NORMS = {
    "layer-norm": ((4, 3, 18), lambda: Norm(layer_norm(18))),
    "layer-norm-flat": ((1, 1, 37), lambda: Norm(nn.LayerNorm(37), True)),
    "instance-norm": ((5, 3, 7), lambda: Norm(instance_norm(7))),
    "group-norm": ((4, 5, 18), lambda: Norm(nn.GroupNorm(6, 18))),
    "group-norm-32": ((3, 3, 64), lambda: Norm(nn.GroupNorm(2, 64))),
    "group-norm-flat": ((1, 1, 36), lambda: Norm(nn.GroupNorm(4, 36), True)),
    "group-norm-add-relu": ((4, 3, 18), lambda: AddNorm(group_norm(3))),
    "layer-norm-add-relu": ((4, 3, 18), lambda: AddNorm(layer_norm)),
    "block-identity-instance": ((5, 6, 17), lambda: Block(17, 17, 1, norm=instance_norm)),
    "block-projection-group": ((5, 6, 6), lambda: Block(6, 20, 2, norm=group_norm(5))),
    "block-A-layer": ((5, 6, 6), lambda: Block(6, 20, 2, padded=True, norm=layer_norm)),
}
CONVOLUTIONS = [
    ((5, 8), 5, 7, 3, dict(stride=2, padding=1)),
    ((1, 1), 18, 33, 1, {}),
    ((1, 1), 16, 32, 3, dict(padding=1)),
    ((6, 4), 6, 9, (3, 2), dict(padding=(1, 0), groups=3)),
    ((4, 7), 17, 34, 3, dict(padding=1, groups=17)),
    ((9, 6), 4, 20, 3, dict(padding=2, dilation=2)),
    ((7, 10), 16, 16, (5, 1), dict(stride=(2, 3), padding=(2, 0))),
    ((6, 9), 48, 32, 1, dict(stride=2)),
    ((9, 7), 1, 6, 5, {}),
    ((8, 6), 3, 16, 3, dict(padding=1)),
]
for number, (size, channels, outputs, kernel, more) in enumerate(CONVOLUTIONS):
    for bias in (False, True):
        LAYERS[f"convolution-{number}" + ("-bias" if bias else "")] = (
            (*size, channels), convolution(channels, outputs, kernel, bias, **more))

# Name: image [H, W, C], network, learning rate: small where the last stage has 9 or 12 values a
# channel, or steps would lead nowhere that Float32 can follow.
NETWORKS = {
    "lenet": ((17, 20, 3), LeNet, 0.05),
    "resnet20": ((8, 8, 3), ResNet20, 0.05),
    "resnet20-A": ((8, 8, 3), lambda: ResNet20(padded=True), 0.05),
    "resnet18": ((4, 6, 3), resnet18, 0.002),
    "resnet20-layer": ((8, 8, 3), lambda: ResNet20(norm=layer_norm), 0.05),
    "resnet20-instance": ((16, 16, 3), lambda: ResNet20(norm=instance_norm), 0.05),
    "resnet20-group": ((8, 8, 3), lambda: ResNet20(norm=group_norm(8)), 0.05),
}


def state(model):
    return {n: t.clone() for n, t in model.state_dict().items() if "tracked" not in n}


def run_layer(image, make, dtype, channels_last, key, disturbance=0):
    model = make().to(dtype)
    fill(model, key, disturbance)
    x = values((7, *image), key + 500).to(dtype)
    x = nchw(x).contiguous(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    x.requires_grad_()
    y = model(x)
    dy = values(nhwc(y).shape, key + 501).to(dtype)
    nhwc(y).backward(dy)
    tensors = {"output": nhwc(y), "inputGradient": nhwc(x.grad)}
    tensors |= {f"gradient.{n}": p.grad for n, p in model.named_parameters()}
    tensors |= {f"after.{n}": t for n, t in state(model).items() if "running" in n}
    return tensors


def run_network(image, make, dtype, channels_last, key, disturbance=0, size=1, rate=0):
    model = make().to(dtype)
    fill(model, key, disturbance, size)
    x = values((SAMPLES, *image), key + 500).to(dtype)
    x = nchw(x).contiguous(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    labels = torch.from_numpy(
        ((formula(SAMPLES, key + 501) + 1) / 2 * CLASSES).astype(np.int64))
    parameters = list(model.named_parameters())
    optimizer = torch.optim.SGD([
        dict(params=[p for _, p in parameters if p.dim() > 1], weight_decay=DECAY),
        dict(params=[p for _, p in parameters if p.dim() == 1]),
    ], lr=rate, momentum=MOMENTUM)
    tensors, losses = {}, []
    for step in range(1, STEPS + 1):
        rows = slice(0, BATCH) if step % 2 else slice(BATCH, SAMPLES)
        optimizer.zero_grad()
        output = model(x[rows])
        loss = F.cross_entropy(output, labels[rows])
        loss.backward()
        losses.append(loss.detach())
        if step == 1:
            tensors["output1"] = output
        if step in (1, STEPS):
            tensors |= {f"gradient{step}.{n}": p.grad.clone() for n, p in parameters}
        optimizer.step()
        if step in (1, STEPS):
            tensors |= {f"after{step}.{n}": t for n, t in state(model).items()}
    tensors["losses"] = torch.stack(losses)
    model.eval()
    with torch.no_grad():
        tensors["inference"] = model(x)
    return tensors


def difference(a, b):
    """Of two sets of tensors, by kind: max |a - b| / max |b|; gradients of biases before BN are
    nothing but rounding and have the scale of the kind."""
    worst = {}
    for name, exact in b.items():
        kind = name.split(".")[0]
        scale = max(t.abs().max() for n, t in b.items() if n.split(".")[0] == kind).item()
        error = (a[name].double() - exact).abs().max().item()
        relative = error / max(exact.abs().max().item(), 1e-3 * scale)
        worst[kind] = max(worst.get(kind, 0), relative)
    return worst


def stays_clear(run, image, module, key, exact, limit):
    """Whether runs that are off by more stay on the same side of all kinks."""
    size = 8 if image[0] == 8 else 2
    return all(
        max(difference(
            run(image, module, torch.float32, False, key, disturbance, size=size), exact).values())
        <= 8 * limit for disturbance in range(3, 9))


def make(run, name, image, module, keys, limit):
    for key in keys:
        exact = run(image, module, torch.float64, False, key)
        worst = {}
        for disturbance in range(6):
            rounded = run(
                image, module, torch.float32, disturbance % 2 == 1, key, disturbance // 2)
            for kind, value in difference(rounded, exact).items():
                worst[kind] = max(worst.get(kind, 0), value)
            if max(worst.values()) > limit:
                break
        print(name, key, {k: f"{v:.1e}" for k, v in worst.items()}, flush=True)
        if max(worst.values()) <= limit and (
                not name.startswith("resnet20") or stays_clear(run, image, module, key, exact, limit)):
            lines = [f"{name} key {key}"]
            lines.append(f"{name} conditioning " + " ".join(
                f"{kind} {value:.1e}" for kind, value in worst.items()))
            for tensor, result in exact.items():
                numbers = " ".join(f"{v:.9g}" for v in summary(result))
                lines.append(f"{name} {tensor} {numbers}")
            return lines
    raise SystemExit(f"{name}: no key has a Float32 run within {limit}")


def main():
    torch.set_num_threads(1)
    wanted = sys.argv[1:] or ["layers", "norms", *NETWORKS]
    header = f"# make_network_fixtures.py, torch {torch.__version__}, {{}}\n"
    for file, layers in [("layers", LAYERS), ("norms", NORMS)]:
        if file not in wanted:
            continue
        lines = []
        for name, (image, module) in layers.items():
            lines += make(run_layer, name, image, module, range(1000, 1100), 2e-6)
        (FOLDER / f"{file}.txt").write_text(header.format("one pass") + "\n".join(lines) + "\n")
    for name, (image, module, rate) in NETWORKS.items():
        if name in wanted:
            run = functools.partial(run_network, rate=rate)
            lines = make(run, name, image, module, range(1000, 9000, 17), 6e-5)
            (FOLDER / f"{name}.txt").write_text(
                header.format(f"{STEPS} steps") + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
