"""Small models and data in float64, and the explicit Hessian of their loss."""

import torch
from torch import nn


def images_and_labels(count=12, features=5, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, features, generator=generator, dtype=torch.float64)
    return x, torch.randint(classes, (count,), generator=generator)


def small_model(*middle: nn.Module, features=5, width=6, classes=3, seed=1) -> nn.Sequential:
    """Two linear layers in float64 with something in between, its weights fixed by the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Linear(features, width), *middle, nn.ReLU(), nn.Linear(width, classes)
        )
    return model.double()


def explicit(loss, parameters, weight_decay):
    """g and H of the regularised loss as a vector and a matrix, row by row by double backward."""
    regularised = loss + weight_decay / 2 * sum((p**2).sum() for p in parameters)
    g = torch.cat(
        [
            gradient.reshape(-1)
            for gradient in torch.autograd.grad(regularised, parameters, create_graph=True)
        ]
    )
    rows = [torch.autograd.grad(entry, parameters, retain_graph=True) for entry in g]
    hessian = torch.stack([torch.cat([r.reshape(-1) for r in row]) for row in rows])
    return g.detach(), hessian


def quotient(g, hessian):
    return float(2 * g @ hessian @ g / (g @ g))
