"""The networks of the image experiments: their sizes, and their first weights."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from pscore.experiments.models import (
    ResidualBlock,
    initialized,
    lenet5,
    rescaled,
    resnet22,
    started,
)


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


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_resnet22_has_the_parameters_of_the_one_it_is():
    """Counted by hand: stem, three stages with two norms of 2c weights a block, two wideners."""
    stem = 16 * (3 * 9 + 1)
    blocks = 3 * sum(2 * (9 * c * c + 2 * c) for c in (16, 32, 64))
    wideners = (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
    assert count(resnet22()) == stem + blocks + wideners + 10 * 65 == 295_498
    assert count(resnet22(100)) == 301_348
    convolutions = [m for m in resnet22().modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(convolutions) == 22
    assert sum(m.bias is not None for m in convolutions) == 2


def test_resnet22_works_at_the_resolutions_it_should():
    x, shapes = torch.zeros(2, 3, 32, 32), []
    for layer in resnet22():
        x = layer(x)
        if isinstance(layer, ResidualBlock):
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [
        *3 * [(16, 32, 32)],
        *3 * [(32, 16, 16)],
        *3 * [(64, 8, 8)],
    ]
    assert x.shape == (2, 10)


def test_resnet22_multiplies_as_often_as_it_should():
    """72 million multiply-adds an image; half the resolution comes at the end of a stage's first
    block, so its own two convolutions and the widener before it still see the old one."""
    multiplied = []

    def note(layer, inputs, output):
        positions = output[0, 0].numel() if output.ndim == 4 else 1
        multiplied.append(positions * layer.weight.numel())

    model = resnet22()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(note)
    model(torch.zeros(2, 3, 32, 32))
    assert round(sum(multiplied) / 1e6) == 72


def test_residual_block_adds_its_input_before_the_last_relu():
    block, x = ResidualBlock(4), torch.randn(2, 4, 6, 6)
    torch.nn.init.zeros_(block.body[-1].weight)  # the body's norm: nothing but the input is left
    assert torch.equal(block(x), x.relu())
    halved = ResidualBlock(4, halve=True)
    torch.nn.init.zeros_(halved.body[-1].weight)
    torch.testing.assert_close(halved(x), x.relu().unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)))


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


@pytest.mark.parametrize(("build", "norms"), [(lenet5, 4), (resnet22, 21)])
def test_first_weights_are_the_same_with_and_without_batch_norm(build, norms):
    """Layer by layer; what only one form has starts where it changes nothing."""
    forms = [initialized(partial(build, batch_norm=kept), 3) for kept in (False, True)]
    layers = [[m for m in form.modules() if isinstance(m, nn.Conv2d | nn.Linear)] for form in forms]
    assert len(layers[0]) == len(layers[1])
    for plain, normed in zip(*layers, strict=True):
        assert torch.equal(plain.weight, normed.weight)
        bias = torch.zeros(len(plain.weight)) if normed.bias is None else normed.bias
        assert torch.equal(plain.bias, bias.double())
    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    found = [[m for m in form.modules() if isinstance(m, kinds)] for form in forms]
    assert [len(f) for f in found] == [0, norms]
    for norm in found[1]:
        assert norm.weight is None or (norm.weight == 1).all() and (norm.bias == 0).all()


def test_batch_norm_changes_the_counts_by_what_it_has():
    assert count(lenet5(batch_norm=True)) == count(lenet5()) + 2 * (6 + 16 + 120 + 84) == 62_158
    factors = 3 * 2 * (16 + 32 + 64) + 32 + 64  # each shift has a bias in its place
    assert count(resnet22(batch_norm=False)) == count(resnet22()) - factors == 294_730


@pytest.mark.parametrize("build", [lenet5, resnet22])
def test_rescaled_networks_map_as_before_if_they_have_batch_norm(build):
    def outputs(factor, kept):
        model = rescaled(initialized(partial(build, batch_norm=kept), 0), factor)
        return model(images)

    images = torch.randn(8, 1 if build is lenet5 else 3, 28, 28).double()
    for kept in (True, False):
        same = torch.allclose(outputs(1.0, kept), outputs(4.0, kept), rtol=0.02, atol=0.02)
        assert same == kept
    with pytest.raises(ValueError, match="factor must be positive"):
        rescaled(build(), 0.0)


def first_layers(initialization, seed=0):
    model = initialized(lambda: started(resnet22(), initialization), seed)
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def test_he_s_first_weights_have_twice_the_variance_of_one_over_the_fan_in():
    for layer in first_layers("he"):
        weight = layer.weight.detach()
        assert weight.std().item() * weight[0].numel() ** 0.5 == pytest.approx(2**0.5, rel=0.1)
        assert weight.abs().max() > 2 * weight.std()  # normal and not uniform
        assert layer.bias is None or not layer.bias.any()
    assert not torch.equal(first_layers("he")[0].weight, first_layers("he", 1)[0].weight)


def test_softmax_changes_the_1_x_1_convolutions_alone():
    """To what NumPy makes of torch's own."""
    for plain, changed in zip(first_layers("default"), first_layers("softmax"), strict=True):
        expected = plain.weight.detach().numpy()
        if isinstance(plain, nn.Conv2d) and plain.kernel_size == (1, 1):
            expected = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
            assert (changed.weight > 0).all()
        assert np.allclose(changed.weight.detach().numpy(), expected, rtol=1e-12)
    assert sum(m.kernel_size == (1, 1) for m in first_layers("softmax")[:-1]) == 2


def test_an_unknown_initialization_is_refused():
    with pytest.raises(ValueError, match="one of default, he, softmax, not 'xavier'"):
        started(lenet5(), "xavier")
