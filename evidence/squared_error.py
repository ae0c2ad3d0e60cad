"""What is claimed of the image experiment by the squared error: seen, and decided by no check."""

from evidence.claims import unchecked

unchecked(
    __name__,
    "fig-mnist-squared",
    "Figure 2 by the squared error: the path of LeNet-5 is convex from the first step",
    "observed",
    "Ten trials on MNIST beside those by cross-entropy of the same seeds.",
    uses=("eq-17", "fig-mnist-full-shares"),
)
