"""PyTorch's time to an accuracy: the recipe of configs/cifar10-resnet20-fast.json5.

    DIR/bin/python launch/peers/time_to_accuracy.py data/cifar10
    bn-train train --config configs/cifar10-resnet20-fast.json5 --set evaluate.everySteps=391

Prints one JSON line an epoch: the seconds since the first step, evaluations included, and the test
accuracy with the running statistics. Channels last, the tuned malloc of compare.py. The images lie
in memory as scaled floats, and a batch is cropped and flipped by one gather.
"""

import argparse
import json
import os
import sys
import tempfile
import time

import compare
import workloads

torch = workloads.framework("torch", "torch")

import torch.nn as nn  # noqa: E402

import networks  # noqa: E402
import torch_peer  # noqa: E402

BATCH, PEAK, MOMENTUM, DECAY, PADDING, SIDE = 128, 0.3, 0.9, 5e-4, 4, 32
TRAINING = [f"data_batch_{index}.bin" for index in range(1, 6)]


def samples(folder, names):
    """Images [N, 3, 32, 32] from 0 to 1 and labels [N] of CIFAR-10's binary version."""
    records = torch.cat([
        torch.frombuffer(bytearray(open(os.path.join(folder, name), "rb").read()),
                         dtype=torch.uint8).view(-1, 1 + 3 * SIDE * SIDE) for name in names])
    return records[:, 1:].reshape(-1, 3, SIDE, SIDE).float() / 255, records[:, 0].long()


def augmented(padded, indices):
    """Random crops of images that are padded by PADDING, half of them mirrored; channels last.

    padded: [N, H, W, C], the padding included.
    """
    count, side = len(indices), torch.arange(SIDE)
    top, left = torch.randint(2 * PADDING + 1, (2, count, 1))
    columns = torch.where(torch.rand(count, 1) < 0.5, side, SIDE - 1 - side)
    rows, columns = top + side, left + columns
    images = padded[indices[:, None, None], rows[:, :, None], columns[:, None, :]]
    return images.permute(0, 3, 1, 2)


def accuracy(model, images, labels):
    model.eval()
    with torch.inference_mode():
        right = sum(int((model(x).argmax(1) == y).sum())
                    for x, y in zip(images.split(500), labels.split(500)))
    model.train()
    return right / len(labels)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", help="the folder of CIFAR-10's .bin files")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    images, labels = samples(args.data, TRAINING)
    mean = images.mean((0, 2, 3), keepdim=True)
    deviation = images.std((0, 2, 3), correction=0, keepdim=True)
    test, test_labels = samples(args.data, ["test_batch.bin"])
    test = ((test - mean) / deviation).contiguous(memory_format=torch.channels_last)
    padded = nn.functional.pad((images - mean) / deviation, [PADDING] * 4)
    padded = padded.permute(0, 2, 3, 1).contiguous()

    model = torch_peer.Network(networks.NETWORKS["resnet20"], 10, synchronised=False)
    model(test[:2])
    for part in model.parts:
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
    for part in model.parts:
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
    model = model.to(memory_format=torch.channels_last).train()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": DECAY}, {"params": others}], lr=PEAK,
        momentum=MOMENTUM, nesterov=True)
    steps = args.epochs * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK, total_steps=steps, cycle_momentum=False)
    cross_entropy = nn.CrossEntropyLoss()

    start, training = time.perf_counter(), 0.0
    for epoch in range(1, args.epochs + 1):
        begin = time.perf_counter()
        for indices in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss = cross_entropy(model(augmented(padded, indices)), labels[indices])
            loss.backward()
            optimizer.step()
            schedule.step()
        training += time.perf_counter() - begin
        line = {"epoch": epoch, "test_accuracy": accuracy(model, test, test_labels),
                "seconds": round(time.perf_counter() - start, 1),
                "images_per_second": round(epoch * len(labels) / training)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        main()
    else:
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | compare.tuned_environment(folder)
            arguments = [sys.executable, *sys.argv]
            sys.exit(os.spawnve(os.P_WAIT, sys.executable, arguments, environment))
