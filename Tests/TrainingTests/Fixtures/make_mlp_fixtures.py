#!/usr/bin/env python3
"""Writes the PyTorch fixtures that the trainer is tested against.

    python3 make_mlp_fixtures.py

needs torch, numpy and safetensors, and writes NAME.safetensors and NAME.json beside this file, in a
few seconds. Run it again only to add cases or after changing one: other versions of torch may
move the last bits, which is why the version stands in every NAME.json.

Two kinds of fixtures:

mlp-*     20 training steps of 20-16-12-5 on 43 samples in file order, batch 12 (12, 12, 12, 7 rows,
          five epochs) or 24 (24, 19 rows, ten epochs). In Float64 and in Float32, from the same
          initial weights and inputs, which are Float32 values.
layer-*   one forward and backward pass of one or two layers on 9 rows, or [3, 4, 5] positions.

Tensors are named PRECISION.WHAT.NAME: `float64.gradient1.layers.0.weight` is the gradient of step 1.
Float64 tensors are stored as their 64 bits in I64, because the project's reader knows F32 and I64.
Names and layouts are those of torch.nn.Sequential under the name `layers`.
"""
import json
import pathlib

import numpy
import safetensors.numpy
import torch
from torch import nn
from torch.nn import functional as F

FOLDER = pathlib.Path(__file__).parent
WIDTHS = [20, 16, 12, 5]
SAMPLES, STEPS = 43, 20
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}

# momentum of the running statistics: a number, or None for the cumulative average.
# groups: into how many runs of rows a batch is cut, each with statistics of its own.
# optimizer: "sgd" by default, or "adam", "adamw"; sgd: what torch.optim.SGD takes; adam: what the
# others take. one_cycle: what OneCycleLR takes, but for the number of steps; the rates are its own.
# clip: of clip_grad_norm_, to a norm that some steps exceed. smoothing: of cross_entropy.
# batch: 24 where 12 would make the trajectory ill-conditioned: with groups of two to four samples,
# or with ReLU before BN over 7 to 12, torch's own Float32 gradients of step 20 are 7e-5 and 1.4e-5
# off its Float64 ones; with 24, 1e-6. A smaller rate does not help the groups.
CASES = {
    "plain": dict(activation="sigmoid", placement="before"),
    "momentum": dict(activation="sigmoid", placement="before", sgd=dict(momentum=0.9, decay=5e-4)),
    "nesterov": dict(
        activation="relu", placement="after", seed=2, batch=24, rates=[0.1] * 10 + [0.01] * 10,
        sgd=dict(momentum=0.9, decay=5e-4, nesterov=True)),
    "cumulative": dict(activation="tanh", placement="before", seed=3, running=None),
    "decay-all": dict(
        activation="tanh", placement="after", seed=4,
        sgd=dict(momentum=0.5, decay=1e-2, decay_all=True)),
    "relu-before": dict(
        activation="relu", placement="before", seed=5, epsilon=1e-3, running=0.25,
        sgd=dict(momentum=0.9, decay=0)),
    "no-affine": dict(activation="sigmoid", placement="after", seed=6, affine=False),
    "none": dict(activation="tanh", placement="none", seed=7, sgd=dict(momentum=0.9, decay=5e-4)),
    "groups": dict(
        activation="sigmoid", placement="before", seed=8, batch=24, groups=3,
        sgd=dict(momentum=0.9, decay=5e-4)),
    "adam": dict(
        activation="tanh", placement="before", seed=9, batch=24, rates=[0.01] * STEPS,
        optimizer="adam", adam=dict(betas=(0.9, 0.999), eps=1e-8, decay=1e-2)),
    "adamw": dict(
        activation="sigmoid", placement="after", seed=10, batch=24,
        rates=[0.02] * 10 + [0.005] * 10, optimizer="adamw",
        adam=dict(betas=(0.8, 0.95), eps=1e-3, decay=0.1), smoothing=0.1),
    "one-cycle": dict(
        activation="tanh", placement="before", seed=11, sgd=dict(momentum=0.95, decay=5e-4),
        one_cycle=dict(max_lr=0.2, pct_start=0.3, div_factor=25, final_div_factor=1e4,
                       cycle_momentum=True, base_momentum=0.85, max_momentum=0.95)),
    "adam-one-cycle": dict(
        activation="tanh", placement="after", seed=12, batch=24, optimizer="adam",
        adam=dict(betas=(0.95, 0.99), eps=1e-4, decay=0),
        one_cycle=dict(max_lr=0.02, pct_start=0.4, div_factor=10, final_div_factor=100,
                       cycle_momentum=True, base_momentum=0.8, max_momentum=0.95),
        clip=1.0),
    "clip": dict(
        activation="sigmoid", placement="before", seed=13, sgd=dict(momentum=0.9, decay=1e-2),
        clip=0.5, smoothing=0.2),
}


class GroupedBatchNorm(nn.BatchNorm1d):
    """BatchNorm whose statistics are taken over each of several runs of rows.

    The running statistics move towards the averages, weighted by rows, of the groups' means and of
    their unbiased variances.
    """

    def __init__(self, channels, groups, **settings):
        super().__init__(channels, **settings)
        self.groups = groups

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        rows = len(x)
        cuts = [i * rows // self.groups for i in range(self.groups + 1)]
        parts = [x[a:b] for a, b in zip(cuts, cuts[1:])]
        with torch.no_grad():
            mean = sum(len(p) * p.mean(0) for p in parts) / rows
            variance = sum(len(p) * p.var(0, unbiased=True) for p in parts) / rows
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (variance - self.running_var)
            self.num_batches_tracked += 1
        return torch.cat([
            F.batch_norm(p, None, None, self.weight, self.bias, training=True, eps=self.eps)
            for p in parts])


def norm(channels, case):
    settings = dict(
        eps=case.get("epsilon", 1e-5), momentum=case.get("running", 0.1),
        affine=case.get("affine", True))
    if "groups" in case:
        return GroupedBatchNorm(channels, case["groups"], **settings)
    return nn.BatchNorm1d(channels, **settings)


def network(case):
    modules = []
    for fan_in, fan_out in zip(WIDTHS, WIDTHS[1:-1]):
        activation = ACTIVATIONS[case["activation"]]
        placement = case["placement"]
        modules.append(nn.Linear(fan_in, fan_out, bias=placement != "before"))
        if placement == "before":
            modules.append(norm(fan_out, case))
        modules.append(activation())
        if placement == "after":
            modules.append(norm(fan_out, case))
    modules.append(nn.Linear(WIDTHS[-2], WIDTHS[-1]))
    return nn.Sequential(*modules)


def make_optimizer(case, sgd, groups, rate):
    adam = case.get("adam", {})
    if case.get("optimizer", "sgd") == "sgd":
        return torch.optim.SGD(
            groups, lr=rate, momentum=sgd["momentum"], nesterov=sgd["nesterov"])
    kind = torch.optim.Adam if case["optimizer"] == "adam" else torch.optim.AdamW
    return kind(groups, lr=rate, betas=adam["betas"], eps=adam["eps"])


def store(tensors, prefix, named):
    for name, tensor in named:
        values = tensor.detach().contiguous()
        if values.dtype == torch.float64:
            values = values.view(torch.int64)
        # Copied: some of these change in place with the next step.
        tensors[f"{prefix}.{name}"] = values.numpy().copy()


def layered(named):
    return [(f"layers.{name}", tensor) for name, tensor in named]


def write(name, tensors, record):
    record = dict(script="make_mlp_fixtures.py", torch=torch.__version__, **record)
    path = FOLDER / f"{name}.safetensors"
    safetensors.numpy.save_file(tensors, path)
    path.chmod(0o644)
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def make_mlp(name, case):
    seed = case.get("seed", 1)
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(SAMPLES, WIDTHS[0], generator=generator)
    labels = torch.randint(0, WIDTHS[-1], (SAMPLES,), generator=generator)
    batch = case.get("batch", 12)
    rates = case.get("rates", [0.1] * STEPS)
    adam = case.get("adam", {})
    cycle, clip = case.get("one_cycle"), case.get("clip")
    smoothing = case.get("smoothing", 0.0)
    decay = adam.get("decay", case.get("sgd", {}).get("decay", 0))
    momenta = []
    sgd = dict(dict(momentum=0, decay=0, nesterov=False, decay_all=False), **case.get("sgd", {}))
    initial = network(case)
    with torch.no_grad():
        for parameter_name, parameter in initial.named_parameters():
            draw = torch.randn(parameter.shape, generator=generator)
            is_scale = parameter.dim() == 1 and parameter_name.endswith("weight")
            parameter.copy_(1 + 0.2 * draw if is_scale else 0.3 * draw)

    tensors, losses = {}, {}
    tensors["float32.inputs"] = inputs.numpy()
    tensors["labels"] = labels.numpy()
    store(tensors, "float32.initial", layered(initial.named_parameters()))
    for precision, dtype in PRECISIONS.items():
        model = network(case).to(dtype)
        model.load_state_dict(initial.state_dict())
        parameters = list(model.named_parameters())
        decayed = [p for n, p in parameters if sgd["decay_all"] or p.dim() == 2]
        kept = [p for n, p in parameters if not (sgd["decay_all"] or p.dim() == 2)]
        groups = [dict(params=decayed, weight_decay=decay)]
        if kept:
            groups.append(dict(params=kept, weight_decay=0.0))
        optimizer = make_optimizer(case, sgd, groups, rates[0])
        if cycle:
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, total_steps=STEPS, **cycle)
            rates, momenta = [], []
        losses[precision] = []
        for step in range(1, STEPS + 1):
            for group in optimizer.param_groups:
                if not cycle:
                    group["lr"] = rates[step - 1]
            if cycle:
                group = optimizer.param_groups[0]
                rates.append(group["lr"])
                momenta.append(group["betas"][0] if adam else group["momentum"])
            start = (step - 1) % -(-SAMPLES // batch) * batch
            rows = slice(start, min(start + batch, SAMPLES))
            optimizer.zero_grad()
            output = inputs[rows].to(dtype)
            for index, module in enumerate(model):
                output = module(output)
                if step == 1:
                    store(tensors, f"{precision}.output1", [(f"layers.{index}", output)])
            loss = F.cross_entropy(output, labels[rows], label_smoothing=smoothing)
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            losses[precision].append(loss.item())
            if step in (1, STEPS):
                store(
                    tensors, f"{precision}.gradient{step}",
                    layered((n, p.grad) for n, p in parameters))
            optimizer.step()
            if cycle and step < STEPS:
                schedule.step()
            if step in (1, STEPS):
                store(tensors, f"{precision}.after{step}", layered(model.state_dict().items()))
        model.eval()
        store(tensors, precision, [("inference", model(inputs.to(dtype)))])

    write(f"mlp-{name}", tensors, dict(
        seed=seed, widths=WIDTHS, activation=case["activation"], placement=case["placement"],
        epsilon=case.get("epsilon", 1e-5), runningMomentum=case.get("running", 0.1),
        affine=case.get("affine", True), groups=case.get("groups", 1), samples=SAMPLES, batch=batch,
        steps=STEPS, learningRates=rates, momentum=sgd["momentum"], nesterov=sgd["nesterov"],
        optimizer=case.get("optimizer", "sgd"), betas=adam.get("betas"),
        optimizerEpsilon=adam.get("eps"), oneCycle=cycle, momenta=momenta, clipNorm=clip,
        labelSmoothing=smoothing, weightDecay=decay, decayAll=sgd["decay_all"], losses=losses))


def make_layer(name, seed, modules, shape):
    """One pass; `shape` is [N, C], or [N, H, W, C], which is permuted for torch and back."""
    generator = torch.Generator().manual_seed(seed)
    inputs = 0.5 + 2 * torch.randn(shape, generator=generator)
    initial = nn.Sequential(*modules())
    with torch.no_grad():
        for parameter in initial.parameters():
            parameter.copy_(0.5 + torch.randn(parameter.shape, generator=generator))
    channels = shape[-1]
    for module in initial:
        channels = getattr(module, "out_features", channels)
    upstream = torch.randn([*shape[:-1], channels], generator=generator)

    def to_torch(t):
        return t.permute(0, 3, 1, 2) if t.dim() == 4 else t

    def from_torch(t):
        return t.permute(0, 2, 3, 1) if t.dim() == 4 else t

    tensors = {"float32.inputs": inputs.numpy(), "float32.outputGradient": upstream.numpy()}
    store(tensors, "float32.initial", layered(initial.named_parameters()))
    for precision, dtype in PRECISIONS.items():
        model = nn.Sequential(*modules()).to(dtype)
        model.load_state_dict(initial.state_dict())
        x = inputs.detach().to(dtype, copy=True).requires_grad_()
        output = from_torch(model(to_torch(x)))
        output.backward(upstream.to(dtype))
        store(tensors, precision, [("output", output), ("inputGradient", x.grad)])
        store(
            tensors, f"{precision}.gradient",
            layered((n, p.grad) for n, p in model.named_parameters()))
        store(tensors, f"{precision}.after", layered(model.state_dict().items()))
    write(f"layer-{name}", tensors, dict(
        seed=seed, shape=list(shape), modules=[type(m).__name__ for m in initial]))


def main():
    torch.set_num_threads(1)
    for name, case in CASES.items():
        make_mlp(name, case)
    make_layer("linear", 11, lambda: [nn.Linear(6, 5)], [9, 6])
    make_layer(
        "linear-batchnorm", 12, lambda: [nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5)], [9, 6])
    for name, activation in ACTIVATIONS.items():
        make_layer(f"batchnorm-{name}", 13, lambda: [nn.BatchNorm1d(7), activation()], [9, 7])
        make_layer(f"{name}-batchnorm", 14, lambda: [activation(), nn.BatchNorm1d(7)], [9, 7])
    make_layer("batchnorm2d", 15, lambda: [nn.BatchNorm2d(6)], [3, 4, 5, 6])
    make_layer("batchnorm2d-relu", 16, lambda: [nn.BatchNorm2d(18), nn.ReLU()], [3, 4, 5, 18])


if __name__ == "__main__":
    main()
