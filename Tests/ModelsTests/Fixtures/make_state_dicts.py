#!/usr/bin/env python3
"""Writes names and shapes of torchvision's state dicts to state-dicts.txt beside this file.

    python3 make_state_dicts.py

needs torch and torchvision. A line is a model's name and its number of parameters, or, indented, a
tensor's name and its extents.
"""
import pathlib

import torchvision

MODELS = ["resnet18", "resnet34", "resnet50", "vgg11_bn", "vgg11"]


def main():
    lines = []
    for name in MODELS:
        model = torchvision.models.get_model(name, weights=None)
        lines.append(f"{name} {sum(p.numel() for p in model.parameters())}")
        for key, tensor in model.state_dict().items():
            lines.append("  " + " ".join([key, *map(str, tensor.shape)]))
    path = pathlib.Path(__file__).parent / "state-dicts.txt"
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
