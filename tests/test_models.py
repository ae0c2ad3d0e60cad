"""The networks of the image experiments: their sizes, and their first weights."""

import torch
from torch import nn

from pscore.models import initialized, lenet5


def test_lenet5_has_the_parameters_of_the_classic():
    counts = [
        sum(p.numel() for p in layer.parameters())
        for layer in lenet5()
        if any(True for _ in layer.parameters())
    ]
    # 6(25+1), 16(6·25+1), 120(400+1), 84(120+1), 10(84+1)
    assert counts == [156, 2416, 48120, 10164, 850]
    assert sum(counts) == 61_706
    assert sum(p.numel() for p in lenet5(100).parameters()) == 61_706 + 90 * 85


def test_lenet5_halves_the_image_as_it_should():
    x, sizes = torch.zeros(2, 1, 28, 28), []
    for layer in lenet5():
        x = layer(x)
        if isinstance(layer, nn.MaxPool2d):
            sizes.append(tuple(x.shape[1:]))
    assert sizes == [(6, 14, 14), (16, 5, 5)]
    assert x.shape == (2, 10)


def test_first_weights_depend_on_the_seed_alone_and_leave_the_global_stream_alone():
    def weights(seed):
        return torch.cat([p.detach().reshape(-1) for p in initialized(lenet5, seed).parameters()])

    torch.manual_seed(0)
    first = weights(3)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))
    assert torch.equal(first, weights(3))
    assert first.dtype == torch.float64
    assert torch.get_default_dtype() == torch.float32
    assert not torch.equal(first, weights(4))


def test_first_weights_are_torchs_default():
    """Uniform on ±1/√(fan in), layer by layer, biases included."""
    for layer in initialized(lenet5, 0):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = layer.weight[0].numel() ** -0.5
            for values in (layer.weight, layer.bias):
                assert values.abs().max() <= bound
            assert layer.weight.abs().max() > 0.9 * bound
