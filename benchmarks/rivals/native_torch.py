"""The benchmarks' networks in PyTorch, without Keras."""

import os
import shutil

from benchmarks.harness import MissingRival

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError as error:
    raise MissingRival("PyTorch is not installed: pip install -r requirements-bench.txt") from error


def _conv(inputs, filters, kernel=3, stride=1):
    return nn.Conv2d(inputs, filters, kernel, stride, kernel // 2, bias=False)


class _BasicBlock(nn.Module):
    def __init__(self, inputs, filters, stride):
        super().__init__()
        self.conv1, self.norm1 = _conv(inputs, filters, stride=stride), nn.BatchNorm2d(filters)
        self.conv2, self.norm2 = _conv(filters, filters), nn.BatchNorm2d(filters)
        same = stride == 1 and inputs == filters
        projection = [_conv(inputs, filters, 1, stride), nn.BatchNorm2d(filters)]
        self.shortcut = nn.Identity() if same else nn.Sequential(*projection)

    def forward(self, x):
        branch = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        return functional.relu(self.norm2(self.conv2(branch)) + self.shortcut(x), inplace=True)


class _PreactivationBlock(nn.Module):
    def __init__(self, inputs, filters, stride):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), _conv(inputs, filters, stride=stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(filters), _conv(filters, filters)
        self.shortcut = None if inputs == filters else _conv(inputs, filters, 1, stride)

    def forward(self, x):
        activated = functional.relu(self.norm1(x), inplace=False)
        branch = self.conv2(functional.relu(self.norm2(self.conv1(activated)), inplace=True))
        return branch + (x if self.shortcut is None else self.shortcut(activated))


class _Network(nn.Module):
    def __init__(self, block, widths, blocks, *, preactivation):
        super().__init__()
        layers, inputs = [_conv(3, 16)], 16
        if not preactivation:
            layers += [nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
        for stage, filters in enumerate(widths):
            for index in range(blocks):
                layers.append(block(inputs, filters, 2 if stage and not index else 1))
                inputs = filters
        if preactivation:
            layers += [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
        self.features, self.logits = nn.Sequential(*layers), nn.Linear(inputs, 10)

    def forward(self, x):
        return self.logits(self.features(x).mean((2, 3)))


def _offset_norm(filters):
    """Batch normalisation without scale."""
    norm = nn.BatchNorm2d(filters)
    norm.weight.requires_grad_(False)
    return norm


class _WhitenedConvNet(nn.Module):
    """Jordan 2024, arXiv:2404.00498, with ReLU: a fixed 2x2 convolution, three stages of two 3x3 convolutions."""

    def __init__(self, widths):
        super().__init__()
        whitening, inputs = nn.Conv2d(3, 24, 2), 24
        whitening.weight.requires_grad_(False)
        layers = [whitening, nn.ReLU(inplace=True)]
        for filters in widths:
            layers += [_conv(inputs, filters), nn.MaxPool2d(2), _offset_norm(filters), nn.ReLU(inplace=True)]
            layers += [_conv(filters, filters), _offset_norm(filters), nn.ReLU(inplace=True)]
            inputs = filters
        self.features, self.logits = nn.Sequential(*layers), nn.Linear(inputs, 10)

    def forward(self, x):
        return self.logits(self.features(x).amax((2, 3))) / 9


def _network(name):
    if name == "whitened_convnet":
        return _WhitenedConvNet((32, 128, 256))
    if name == "ResNet-20":
        return _Network(_BasicBlock, (16, 32, 64), 3, preactivation=False)
    return _Network(_PreactivationBlock, (32, 64, 128), 4, preactivation=True)


def training_step(network, *, batch_size, bfloat16, channels_last, compiled=False):
    """A callable without arguments that does one step of SGD on a constant batch of uint8 images.

    With `compiled`, forward pass, loss and their gradients are what `torch.compile` (inductor) makes of them.
    """
    if compiled and not shutil.which(os.environ.get("CXX", "g++")):
        raise MissingRival("torch.compile needs a C++ compiler: apt-get install g++")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = _network(network).to(memory_format=layout)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learned, 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, foreach=True)
    images = torch.randint(0, 256, (batch_size, 3, 32, 32), dtype=torch.uint8).contiguous(memory_format=layout)
    labels = torch.randint(0, 10, (batch_size,))

    def loss_of(images, labels):
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = model(images.float() / 127.5 - 1.0)
        return functional.cross_entropy(logits.float(), labels)

    loss_of = torch.compile(loss_of) if compiled else loss_of

    def step():
        loss = loss_of(images, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step
