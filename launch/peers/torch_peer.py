"""PyTorch: torch_peer.py VARIANT WORKLOAD; prints one JSON line.

plain      one process, channels last        contiguous  the same, NCHW
compile    torch.compile, channels last      sync        a process a worker, BN over all of them

PyTorch's own SyncBatchNorm refuses CPU tensors: `sync` writes it by hand over gloo.
"""

import os
import tempfile

import workloads

torch = workloads.framework("torch", "torch")

import torch.distributed as distributed  # noqa: E402
import torch.nn as nn  # noqa: E402
import torch.nn.functional as functional  # noqa: E402

import networks  # noqa: E402


class SynchronisedNormalisation(torch.autograd.Function):
    """BN with statistics over all processes, which have batches of one size.

    Forward: one all-reduce of mean and mean square, 2C values; backward: one of dβ and dγ, 2C.
    """

    @staticmethod
    def forward(context, x, scale, shift, layer):
        world = distributed.get_world_size()
        mean, variance = torch.batch_norm_update_stats(x, None, None, 0.0)
        sums = torch.stack([mean, variance + mean * mean])
        distributed.all_reduce(sums)
        mean, square = sums.div_(world)
        variance = (square - mean * mean).clamp_(min=0)
        count = world * x.numel() // x.shape[1]
        layer.running_mean.lerp_(mean, 0.1)
        layer.running_var.lerp_(variance * (count / (count - 1)), 0.1)
        context.save_for_backward(x, scale, mean, (variance + layer.eps).rsqrt())
        context.count = count
        return functional.batch_norm(x, mean, variance, scale, shift, False, 0.0, layer.eps)

    @staticmethod
    def backward(context, dy):
        x, scale, mean, inverse = context.saved_tensors
        if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
            dy = dy.contiguous(memory_format=torch.channels_last)
        _, d_scale, d_shift = torch.ops.aten.native_batch_norm_backward(
            dy, x, scale, None, None, mean, inverse, True, 0.0, [False, True, True])
        sums = torch.stack([d_scale, d_shift])
        distributed.all_reduce(sums)
        of_scale, of_shift = sums / context.count
        # dx = γ/σ·(dy − Σdy/m − (x − μ)/σ·dγ/m) = a·dy + p·x + q; p·x + q is an affine BN pass.
        a = scale * inverse
        p = -a * inverse * of_scale
        q = -a * of_shift - p * mean
        dx = functional.batch_norm(x, torch.zeros_like(p), torch.ones_like(p), p, q, eps=0.0)
        return (dx.addcmul_(dy, a.view(1, -1, *[1] * (x.dim() - 2))), d_scale, d_shift, None)


class SynchronisedBN(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.eps = 1e-5
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x):
        return SynchronisedNormalisation.apply(x, self.weight, self.bias, self)


class Network(nn.Module):
    """A network of networks.py; its first pass makes the layers."""

    relu = staticmethod(torch.relu)
    sigmoid = staticmethod(torch.sigmoid)
    add = staticmethod(torch.add)

    def __init__(self, body, classes, synchronised):
        super().__init__()
        self.body, self.classes, self.synchronised = body, classes, synchronised
        self.parts, self.next = nn.ModuleList(), 0

    def forward(self, x):
        self.next = 0
        return self.body(self, x, self.classes)

    def part(self, make):
        if self.next == len(self.parts):
            self.parts.append(make())
        self.next += 1
        return self.parts[self.next - 1]

    def conv(self, x, outputs, kernel, stride=1, padding=0, bias=False):
        return self.part(
            lambda: nn.Conv2d(x.shape[1], outputs, kernel, stride, padding, bias=bias))(x)

    def dense(self, x, outputs, bias=True):
        return self.part(lambda: nn.Linear(x.shape[1], outputs, bias=bias))(x)

    def bn(self, x):
        return self.part(lambda: normalisation(x.dim(), x.shape[1], self.synchronised))(x)

    def max_pool(self, x, size, stride, padding=0):
        return functional.max_pool2d(x, size, stride, padding)

    def mean(self, x):
        return x.mean((2, 3))

    def flatten(self, x):
        return x.flatten(1)


def normalisation(dimensions, channels, synchronised):
    if synchronised:
        return SynchronisedBN(channels)
    return (nn.BatchNorm2d if dimensions == 4 else nn.BatchNorm1d)(channels)


def ordered(x, variant):
    """Images in the variant's layout."""
    last = x.dim() == 4 and variant != "contiguous"
    return x.contiguous(memory_format=torch.channels_last) if last else x.contiguous()


def kernel_step(args, processes):
    known = workloads.BN[args.workload]
    n, h, w, c = known["shape"]
    x, dy = (ordered(torch.randn(n // processes, c, h, w), args.variant) for _ in range(2))
    x.requires_grad_()
    layer = normalisation(4, c, args.variant == "sync")
    pass_forward = (lambda x: torch.relu(layer(x))) if known["relu"] else layer
    if args.variant == "compile":
        pass_forward = torch.compile(pass_forward)
    return lambda: torch.autograd.grad(pass_forward(x), (x, layer.weight, layer.bias), dy)


def network_step(args, processes):
    known = workloads.NETWORKS[args.workload]
    shape, n = known["shape"], known["batch"] // processes
    shape = shape if len(shape) == 1 else (shape[2], *shape[:2])
    images = [ordered(torch.randn(n, *shape), args.variant) for _ in range(4)]
    labels = [torch.randint(known["classes"], (n,)) for _ in range(4)]
    model = Network(
        networks.NETWORKS[args.workload], known["classes"], args.variant == "sync").train()
    model(images[0])
    if args.variant != "contiguous":
        model = model.to(memory_format=torch.channels_last)
    parameters = list(model.parameters())
    if known.get("optimizer") == "adam":
        optimizer = torch.optim.Adam(parameters, lr=workloads.LEARNING_RATE)
    else:
        optimizer = torch.optim.SGD(
            parameters, lr=workloads.LEARNING_RATE, momentum=workloads.MOMENTUM)
    if args.variant == "compile":
        model = torch.compile(model)
    cross_entropy, index = nn.CrossEntropyLoss(), 0

    def step():
        nonlocal index
        index = (index + 1) % 4
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(model(images[index]), labels[index]).backward()
        if processes > 1:
            average([parameter.grad for parameter in parameters], processes)
        optimizer.step()

    return step


def average(gradients, processes):
    """One all-reduce for all gradients."""
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    flat.div_(processes)
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start:start + gradient.numel()].view(gradient.shape))
        start += gradient.numel()


def run(rank, args, store):
    processes = args.workers if args.variant == "sync" else 1
    torch.set_num_threads(args.workers // processes)
    # All processes draw the same initial weights, as DistributedDataParallel would send them.
    torch.manual_seed(1)
    options = {}
    if processes > 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        distributed.init_process_group(
            "gloo", init_method=f"file://{store}", rank=rank, world_size=processes)

        def agree(value):
            number = torch.tensor([value])
            distributed.broadcast(number, 0)
            return number.item()

        ids = [None] * processes
        distributed.all_gather_object(ids, os.getpid())
        options = dict(finish=distributed.barrier, agree=agree, processes=ids)
    make = kernel_step if args.workload in workloads.BN else network_step
    seconds, facts = workloads.measure(make(args, processes), args.seconds, **options)
    if rank == 0:
        workloads.report(f"PyTorch {torch.__version__}", args, seconds, facts)
    if processes > 1:
        distributed.barrier()
        distributed.destroy_process_group()


def main():
    args = workloads.arguments(["plain", "contiguous", "compile", "sync"])
    if args.variant != "sync":
        return run(0, args, None)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(
            run, (args, os.path.join(folder, "store")), nprocs=args.workers)


if __name__ == "__main__":
    main()
