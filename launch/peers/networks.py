"""The networks, once for all frameworks: `n` makes or finds the layer, in the order of calls.

Shapes and names are those of bn-train's models; a layer right before BN has no bias. `n` gives
conv, dense, bn, relu, sigmoid, max_pool, mean (over H and W), flatten and add.
"""


def mlp(n, x, classes):
    for _ in range(3):
        x = n.sigmoid(n.bn(n.dense(x, 128, bias=False)))
    return n.dense(x, classes)


def lenet(n, x, classes):
    for channels in (6, 16):
        x = n.max_pool(n.relu(n.conv(x, channels, 5, bias=True)), 2, 2)
    x = n.flatten(x)
    for width in (120, 84):
        x = n.relu(n.bn(n.dense(x, width, bias=False)))
    return n.dense(x, classes)


def mnist_cnn(n, x, classes):
    x = n.max_pool(n.relu(n.conv(x, 32, 3, bias=True)), 2, 2)
    return n.bn(n.dense(n.flatten(x), classes, bias=False))


def residual(n, x, inputs, outputs, stride, layers):
    """A block: convolutions of (channels, kernel, stride), BN behind each, and the shortcut."""
    y = x
    for index, (channels, kernel, step) in enumerate(layers):
        y = n.bn(n.conv(y, channels, kernel, step, kernel // 2))
        if index < len(layers) - 1:
            y = n.relu(y)
    if stride != 1 or inputs != outputs:
        x = n.bn(n.conv(x, outputs, 1, stride))
    return n.relu(n.add(y, x))


def stages(n, x, classes, widths, blocks, bottleneck):
    inputs = widths[0]
    for stage, (width, count) in enumerate(zip(widths, blocks)):
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            outputs = 4 * width if bottleneck else width
            layers = ([(width, 1, 1), (width, 3, stride), (outputs, 1, 1)] if bottleneck
                      else [(width, 3, stride), (width, 3, 1)])
            x = residual(n, x, inputs, outputs, stride, layers)
            inputs = outputs
    return n.dense(n.mean(x), classes)


def cifar(widths, blocks):
    def network(n, x, classes):
        x = n.relu(n.bn(n.conv(x, widths[0], 3, 1, 1)))
        return stages(n, x, classes, widths, blocks, bottleneck=False)
    return network


def resnet50(n, x, classes):
    x = n.max_pool(n.relu(n.bn(n.conv(x, 64, 7, 2, 3))), 3, 2, 1)
    return stages(n, x, classes, (64, 128, 256, 512), (3, 4, 6, 3), bottleneck=True)


NETWORKS = {
    "mlp": mlp, "lenet": lenet, "lenet4": lenet, "mnist-cnn": mnist_cnn,
    "resnet20": cifar((16, 32, 64), (3, 3, 3)),
    "resnet18": cifar((64, 128, 256, 512), (2, 2, 2, 2)), "resnet50": resnet50,
}
