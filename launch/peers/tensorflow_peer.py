"""TensorFlow: tensorflow_peer.py VARIANT WORKLOAD; prints one JSON line.

plain      one device, all its cores
sync       MirroredStrategy over a device a worker, Keras's synchronised BN
"""

import os

import workloads

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tensorflow = workloads.framework("tensorflow", "tensorflow")

import numpy as np  # noqa: E402

import networks  # noqa: E402

keras = tensorflow.keras


class Network:
    """The layers of networks.py, as Keras's functional interface."""

    def __init__(self, synchronised):
        self.synchronised = synchronised

    def conv(self, x, outputs, kernel, stride=1, padding=0, bias=False):
        if padding:
            x = keras.layers.ZeroPadding2D(padding)(x)
        return keras.layers.Conv2D(outputs, kernel, stride, use_bias=bias)(x)

    def dense(self, x, outputs, bias=True):
        return keras.layers.Dense(outputs, use_bias=bias)(x)

    def bn(self, x):
        return keras.layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, synchronized=self.synchronised)(x)

    def relu(self, x):
        return keras.layers.ReLU()(x)

    def sigmoid(self, x):
        return keras.layers.Activation("sigmoid")(x)

    def add(self, x, y):
        return keras.layers.Add()([x, y])

    def max_pool(self, x, size, stride, padding=0):
        if padding:
            x = keras.layers.ZeroPadding2D(padding)(x)
        return keras.layers.MaxPool2D(size, stride)(x)

    def mean(self, x):
        return keras.layers.GlobalAveragePooling2D()(x)

    def flatten(self, x):
        return keras.layers.Flatten()(x)


def main():
    args = workloads.arguments(["plain", "sync"])
    if args.workload in workloads.BN:
        raise SystemExit("tensorflow_peer.py measures networks only")
    workers = args.workers if args.variant == "sync" else 1
    tensorflow.config.threading.set_intra_op_parallelism_threads(args.workers)
    cpu = tensorflow.config.list_physical_devices("CPU")[0]
    tensorflow.config.set_logical_device_configuration(
        cpu, [tensorflow.config.LogicalDeviceConfiguration()] * workers)
    strategy = (tensorflow.distribute.get_strategy() if workers == 1 else
                tensorflow.distribute.MirroredStrategy([f"CPU:{i}" for i in range(workers)]))
    known = workloads.NETWORKS[args.workload]
    n = known["batch"] // workers
    with strategy.scope():
        network = Network(synchronised=workers > 1)
        entry = keras.Input(known["shape"], batch_size=n)
        model = keras.Model(
            entry, networks.NETWORKS[args.workload](network, entry, known["classes"]))
        rate = workloads.LEARNING_RATE
        optimizer = (keras.optimizers.Adam(rate) if known.get("optimizer") == "adam" else
                     keras.optimizers.SGD(rate, workloads.MOMENTUM))
        optimizer.build(model.trainable_variables)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="sum")

    def step_on_device(x, y):
        with tensorflow.GradientTape() as tape:
            loss = cross_entropy(y, model(x, training=True)) / known["batch"]
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return loss

    @tensorflow.function
    def train(x, y):
        return strategy.run(step_on_device, (x, y))

    random = np.random.default_rng(1)

    def spread(values):
        return strategy.experimental_distribute_values_from_function(
            lambda _: tensorflow.constant(values()))

    batches = [
        (spread(lambda: random.standard_normal((n, *known["shape"]), np.float32)),
         spread(lambda: random.integers(known["classes"], size=n)))
        for _ in range(4)]
    index = 0

    def step():
        nonlocal index
        index = (index + 1) % 4
        train(*batches[index])

    seconds, facts = workloads.measure(step, args.seconds)
    workloads.report(f"TensorFlow {tensorflow.__version__}", args, seconds, facts)


if __name__ == "__main__":
    main()
