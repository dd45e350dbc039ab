"""JAX: jax_peer.py VARIANT WORKLOAD; prints one JSON line.

plain      one device, all its cores         one-core    one device on one core
sync       a device a worker, BN statistics and gradients averaged over them
"""

import os

import workloads

if __name__ == "__main__":
    # XLA reads these when it starts.
    args = workloads.arguments(["plain", "one-core", "sync"])
    os.environ["JAX_PLATFORMS"] = "cpu"
    if args.variant == "sync":
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={args.workers}"
    if args.variant == "one-core":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

jax = workloads.framework("jax", "jax")

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jax import lax  # noqa: E402
from jax.sharding import Mesh, NamedSharding, PartitionSpec  # noqa: E402

import networks  # noqa: E402

AXIS = "workers"


class Network:
    """The layers of networks.py: makes parameters where it has none, else takes them in order."""

    relu = staticmethod(jax.nn.relu)
    sigmoid = staticmethod(jax.nn.sigmoid)
    add = staticmethod(jnp.add)

    def __init__(self, parameters=None, running=None, workers=1):
        self.made, self.parameters = [], iter(parameters) if parameters is not None else None
        self.new_running, self.running = [], iter(running) if running is not None else None
        self.workers = workers

    def parameter(self, shape, deviation=0.0, value=0.0):
        if self.parameters is not None:
            return next(self.parameters)
        random = np.random.default_rng(len(self.made))
        self.made.append(
            jnp.asarray(value + deviation * random.standard_normal(shape), jnp.float32))
        return self.made[-1]

    def conv(self, x, outputs, kernel, stride=1, padding=0, bias=False):
        inputs = x.shape[-1]
        weight = self.parameter(
            (kernel, kernel, inputs, outputs), (2 / (kernel * kernel * inputs)) ** 0.5)
        y = lax.conv_general_dilated(
            x, weight, (stride, stride), [(padding, padding)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return y + self.parameter((outputs,)) if bias else y

    def dense(self, x, outputs, bias=True):
        y = x @ self.parameter((x.shape[-1], outputs), x.shape[-1] ** -0.5)
        return y + self.parameter((outputs,)) if bias else y

    def bn(self, x):
        channels = x.shape[-1]
        scale, shift = self.parameter((channels,), value=1.0), self.parameter((channels,))
        axes = tuple(range(x.ndim - 1))
        moments = jnp.stack([x.mean(axes), (x * x).mean(axes)])
        if self.workers > 1:
            moments = lax.pmean(moments, AXIS)
        mean, variance = moments[0], jnp.maximum(moments[1] - moments[0] ** 2, 0)
        count = self.workers * x.size // channels
        old = next(self.running) if self.running is not None else jnp.zeros((2, channels))
        new = jnp.stack([mean, variance * (count / (count - 1))])
        self.new_running.append(old + 0.1 * (new - old))
        return (x - mean) * (lax.rsqrt(variance + 1e-5) * scale) + shift

    def max_pool(self, x, size, stride, padding=0):
        edge = ((0, 0), (padding, padding), (padding, padding), (0, 0))
        return lax.reduce_window(
            x, -jnp.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1), edge)

    def mean(self, x):
        return x.mean((1, 2))

    def flatten(self, x):
        return x.reshape(x.shape[0], -1)


def spread(function, workers, inputs, outputs):
    """`function` on every device; BATCH in `inputs` marks what is cut along the batch."""
    if workers == 1:
        return function
    mesh = Mesh(np.array(jax.devices()[:workers]), (AXIS,))
    return jax.shard_map(
        function, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=False)


BATCH, WHOLE = PartitionSpec(AXIS), PartitionSpec()


def placed(value, workers, where):
    """On its devices from the start: otherwise every step would copy it there."""
    if workers == 1:
        return jax.tree.map(jnp.asarray, value)
    mesh = Mesh(np.array(jax.devices()[:workers]), (AXIS,))
    return jax.device_put(value, NamedSharding(mesh, where))


def kernel_step(args, workers):
    known = workloads.BN[args.workload]
    random = np.random.default_rng(1)
    x, dy = (placed(random.standard_normal(known["shape"], np.float32), workers, BATCH)
             for _ in range(2))
    channels = known["shape"][3]
    parameters = placed([jnp.ones(channels), jnp.zeros(channels)], workers, WHOLE)

    def forward_backward(parameters, x, dy):
        def forward(parameters, x):
            y = Network(parameters, workers=workers).bn(x)
            return jax.nn.relu(y) if known["relu"] else y
        of_parameters, of_x = jax.vjp(forward, parameters, x)[1](dy)
        return (lax.pmean(of_parameters, AXIS) if workers > 1 else of_parameters), of_x

    call = jax.jit(spread(
        forward_backward, workers, (WHOLE, BATCH, BATCH), (WHOLE, BATCH)))
    return (lambda: jax.block_until_ready(call(parameters, x, dy))), lambda: None


def network_step(args, workers):
    known = workloads.NETWORKS[args.workload]
    body, classes = networks.NETWORKS[args.workload], known["classes"]
    random, n = np.random.default_rng(1), known["batch"]
    images = [placed(random.standard_normal((n, *known["shape"]), np.float32), workers, BATCH)
              for _ in range(4)]
    labels = [placed(random.integers(classes, size=n).astype(np.int32), workers, BATCH)
              for _ in range(4)]
    new = Network()
    body(new, jnp.zeros((2, *known["shape"])), classes)
    is_adam = known.get("optimizer") == "adam"
    moments = [jax.tree.map(jnp.zeros_like, new.made) for _ in range(2 if is_adam else 1)]
    state = placed((new.made, new.new_running, moments, jnp.zeros(())), workers, WHOLE)

    def loss(parameters, running, x, y):
        network = Network(parameters, running, workers)
        likelihood = jax.nn.log_softmax(body(network, x, classes))
        return -jnp.take_along_axis(likelihood, y[:, None], 1).mean(), network.new_running

    def train(state, x, y):
        parameters, running, moments, time = state
        (value, running), gradient = jax.value_and_grad(loss, has_aux=True)(
            parameters, running, x, y)
        if workers > 1:
            value, gradient = lax.pmean((value, gradient), AXIS)
        parameters, moments = update(is_adam, parameters, gradient, moments, time + 1)
        return (parameters, running, moments, time + 1), value

    train = jax.jit(
        spread(train, workers, (WHOLE, BATCH, BATCH), WHOLE), donate_argnums=0)
    index, value = 0, None

    def step():
        nonlocal index, state, value
        index += 1
        state, value = train(state, images[index % 4], labels[index % 4])
        # Dispatch runs ahead of the devices; not without end.
        if index % 8 == 0:
            value.block_until_ready()

    return step, lambda: value.block_until_ready()


def update(is_adam, parameters, gradient, moments, time):
    rate = workloads.LEARNING_RATE
    if not is_adam:
        velocity = jax.tree.map(
            lambda v, g: workloads.MOMENTUM * v + g, moments[0], gradient)
        return jax.tree.map(lambda w, v: w - rate * v, parameters, velocity), [velocity]
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradient)
    second = jax.tree.map(lambda m, g: 0.999 * m + 0.001 * g * g, moments[1], gradient)
    parameters = jax.tree.map(
        lambda w, m, v: w - rate * (m / (1 - 0.9 ** time))
        / (jnp.sqrt(v / (1 - 0.999 ** time)) + 1e-8), parameters, first, second)
    return parameters, [first, second]


def main():
    workers = args.workers if args.variant == "sync" else 1
    make = kernel_step if args.workload in workloads.BN else network_step
    step, finish = make(args, workers)
    seconds, facts = workloads.measure(step, args.seconds, finish=finish)
    workloads.report(f"JAX {jax.__version__}", args, seconds, facts)


if __name__ == "__main__":
    main()
