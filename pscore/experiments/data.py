"""Image data sets as whole tensors.

`load` knows the embedded ``digits``, what torchvision can read or download, and any ``.npz`` file.
Whatever the source, it hands over normalised images, labels from 0, and a digest, or says what is
wrong before anything is trained.
"""

import lzma
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pscore.seeds import digest

# The names that torchvision knows, its classes, and how many labels and images each has.
TORCHVISION = {
    "mnist": ("MNIST", 10, 60_000, 10_000),
    "fashion-mnist": ("FashionMNIST", 10, 60_000, 10_000),
    "cifar10": ("CIFAR10", 10, 50_000, 10_000),
    "cifar100": ("CIFAR100", 100, 50_000, 10_000),
}

Normalization = Literal["standard", "unit"]

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")

DIGITS_TEST_SIZE = 297
DIGITS_SIZE = 28

Raw = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class ImageData:
    """A data set for classification, split into training and test set.

    Attributes:
        name: what it was asked for as.
        classes: how many classes there are; the labels are 0, ..., classes - 1.
        train_images: (N, C, H, W), float32, normalised.
        train_labels: (N,), int64.
        test_images: (N', C, H, W), as the training images.
        test_labels: (N',), as the training labels.
        digest: "sha256:" and the digest of the raw arrays, as they were read, before any scaling.
    """

    name: str
    classes: int
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    digest: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    def first(self, train: int, test: int) -> "ImageData":
        """Return the first images of both sets; 0 is all. They stay normalised as they are."""
        return replace(
            self,
            train_images=self.train_images[: train or None],
            train_labels=self.train_labels[: train or None],
            test_images=self.test_images[: test or None],
            test_labels=self.test_labels[: test or None],
        )

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "ImageData":
        """Return the data set on a device, its images as ``dtype``."""
        return replace(
            self,
            train_images=self.train_images.to(device, dtype),
            train_labels=self.train_labels.to(device),
            test_images=self.test_images.to(device, dtype),
            test_labels=self.test_labels.to(device),
        )


def load(
    dataset: str, data_dir: str | Path = "data", normalization: Normalization = "standard"
) -> ImageData:
    """Load a data set by its name.

    Looked for in this order: the file ``<data_dir>/<dataset>.npz``; the embedded ``digits``;
    torchvision's ``mnist``, ``fashion-mnist``, ``cifar10`` and ``cifar100``, from its own folders
    under ``data_dir`` or downloaded into them.

    With ``normalization="standard"``, each channel is shifted and scaled so that its pixels have
    mean 0 and standard deviation 1 over the training set; with "unit" pixels are divided by the
    largest value they can take, 255 (16 in ``digits``), and lie in [0, 1]. The paper does not say
    how it scaled its images. Its figures for MNIST come out with the first and not with the
    second, which is why the first is the default.

    ``digits`` are scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, drawn to 28 x 28 by
    bilinear interpolation. 297 of them, the same for everybody, are the test set: a split at
    random with the classes in proportion.

    A ``.npz`` file holds ``train_images`` and ``test_images``, uint8 of shape (N, H, W) or
    (N, H, W, C), and ``train_labels`` and ``test_labels``, whole numbers of shape (N,). It is
    never unpickled. Torchvision's CIFAR archives are pickles of their own, which it opens after
    their checksums have been compared.

    Args:
        dataset: the name.
        data_dir: the folder for everything that is not embedded.
        normalization: "standard" or "unit".

    Raises:
        FileNotFoundError: if the data are not there and cannot be downloaded.
        ValueError: if the name is unknown, a file is damaged, an array is missing or of the wrong
            shape or type, or a label is out of range.
    """
    if normalization not in get_args(Normalization):
        known = ", ".join(get_args(Normalization))
        raise ValueError(f"normalization must be one of {known}, not {normalization!r}")
    path = Path(data_dir) / f"{dataset}.npz"
    if not dataset or Path(dataset).name != dataset:
        raise ValueError(f"dataset must be a name without a folder, not {dataset!r}: use data_dir")
    if path.exists():
        classes = TORCHVISION[dataset][1] if dataset in TORCHVISION else None
        return _image_data(dataset, _read_npz(path), classes, 255, normalization, str(path))
    if dataset == "digits":
        return _image_data(dataset, _read_digits(), 10, 16, normalization, dataset, DIGITS_SIZE)
    if dataset in TORCHVISION:
        raw = _read_torchvision(dataset, Path(data_dir))
        return _image_data(dataset, raw, TORCHVISION[dataset][1], 255, normalization, dataset)
    raise ValueError(
        f"unknown dataset {dataset!r}: known are digits, {', '.join(TORCHVISION)},"
        f" and any file in data_dir with arrays {', '.join(ARRAYS)} (looked for {path})"
    )


def _read_digits() -> Raw:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.uint8)
    split = train_test_split(
        images, labels, test_size=DIGITS_TEST_SIZE, stratify=labels, random_state=0
    )
    order = ("train_images", "test_images", "train_labels", "test_labels")
    return dict(zip(order, split, strict=True))


def _read_npz(path: Path) -> Raw:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            if missing := [name for name in ARRAYS if name not in archive]:
                raise ValueError(f"it lacks {', '.join(missing)}")
            return {name: archive[name] for name in ARRAYS}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{path} cannot be read as a data set: {error}") from error


def _read_torchvision(dataset: str, data_dir: Path) -> Raw:
    from torchvision import datasets

    kind, _, *sizes = TORCHVISION[dataset]
    make = getattr(datasets, kind)
    raw: Raw = {}
    for part, train, size in (("train", True, sizes[0]), ("test", False, sizes[1])):
        try:
            found = _from_folder_or_network(make, data_dir, train)
        except OSError as error:  # a URLError is one
            raise FileNotFoundError(
                f"{dataset} is not under data_dir and could not be downloaded: put torchvision's"
                f" files or {dataset}.npz into {str(data_dir)!r} ({error})"
            ) from error
        except Exception as error:  # its readers assert, or fail as they may, on a damaged file
            raise ValueError(
                f"{dataset}'s {part} set under {str(data_dir)!r} is damaged, remove it: {error}"
            ) from error
        raw[f"{part}_images"] = np.asarray(found.data)
        raw[f"{part}_labels"] = np.asarray(found.targets)
        if len(raw[f"{part}_images"]) != size:
            raise ValueError(
                f"{dataset} under {str(data_dir)!r} has {len(found.data)} {part} images, not {size}"
            )
    return raw


def _from_folder_or_network(make: Any, data_dir: Path, train: bool) -> Any:
    try:
        return make(data_dir, train=train, download=False)
    except RuntimeError as error:
        if "Dataset not found" not in str(error):
            raise
    try:
        return make(data_dir, train=train, download=True)
    except RuntimeError as error:
        raise OSError(error) from error


def _image_data(
    name: str,
    raw: Raw,
    classes: int | None,
    scale: int,
    normalization: Normalization,
    source: str,
    size: int | None = None,
) -> ImageData:
    """Check the raw arrays and make tensors of them."""
    for part in ("train", "test"):
        _check_images(f"{source}: {part}_images", raw[f"{part}_images"], scale)
        _check_labels(f"{source}: {part}_labels", raw[f"{part}_labels"], raw[f"{part}_images"])
    if raw["train_images"].shape[1:] != raw["test_images"].shape[1:]:
        raise ValueError(
            f"{source}: train_images are of shape {raw['train_images'].shape[1:]},"
            f" test_images of {raw['test_images'].shape[1:]}"
        )
    known = classes or int(raw["train_labels"].max()) + 1
    for part in ("train", "test"):
        labels = raw[f"{part}_labels"]
        if labels.min() < 0 or labels.max() >= known:
            raise ValueError(
                f"{source}: {part}_labels must lie in 0, ..., {known - 1},"
                f" not in {labels.min()}, ..., {labels.max()}"
            )
    shift, unit = _shift_and_unit(raw["train_images"], scale, normalization, source)

    def pixels(images: NDArray[np.generic]) -> Tensor:
        tensor = _channels_first(images).contiguous()
        if size is None:
            return tensor.float().sub_(shift.float()).div_(unit.float())
        exact = (tensor.double() - shift) / unit  # so that every machine rounds to the same
        return functional.interpolate(exact, (size, size), mode="bilinear").float()

    return ImageData(
        name,
        known,
        pixels(raw["train_images"]),
        torch.from_numpy(raw["train_labels"].astype(np.int64)),
        pixels(raw["test_images"]),
        torch.from_numpy(raw["test_labels"].astype(np.int64)),
        _digest(raw),
    )


def _shift_and_unit(
    images: NDArray[np.generic], scale: int, normalization: Normalization, source: str
) -> tuple[Tensor, Tensor]:
    """What is subtracted from the bytes, and what they are divided by: (1, C, 1, 1) each."""
    channels = _channels_first(images).transpose(0, 1).flatten(1).numpy()
    if normalization == "unit":
        shift, unit = np.zeros(len(channels)), np.full(len(channels), float(scale))
    else:  # sums of whole numbers: the same in any order
        shift = channels.mean(1, dtype=np.float64)
        squares = np.square(channels, dtype=np.uint16).mean(1, dtype=np.float64)
        unit = np.sqrt(squares - shift**2)
        if not unit.all():
            raise ValueError(f"{source}: train_images have a channel that is everywhere the same")
    return torch.from_numpy(shift).view(1, -1, 1, 1), torch.from_numpy(unit).view(1, -1, 1, 1)


def _check_images(name: str, images: NDArray[np.generic], scale: int) -> None:
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
        raise ValueError(
            f"{name} must be uint8 of shape (N, H, W) or (N, H, W, C) and not empty,"
            f" not {images.dtype} of shape {images.shape}"
        )
    if images.ndim == 4 and images.shape[3] not in (1, 3):
        raise ValueError(f"{name} must have 1 or 3 channels, the last axis of {images.shape}")
    if images.max() > scale:
        raise ValueError(f"{name} must not exceed {scale}, but reach {images.max()}")


def _check_labels(name: str, labels: NDArray[np.generic], images: NDArray[np.generic]) -> None:
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),):
        raise ValueError(
            f"{name} must be whole numbers of shape ({len(images)},), one an image,"
            f" not {labels.dtype} of shape {labels.shape}"
        )


def _channels_first(images: NDArray[np.generic]) -> Tensor:
    """(N, H, W) or (N, H, W, C) to (N, C, H, W), in view of the same bytes where possible."""
    tensor = torch.from_numpy(np.ascontiguousarray(images))
    return tensor.unsqueeze(1) if tensor.ndim == 3 else tensor.permute(0, 3, 1, 2)


def _digest(raw: Raw) -> str:
    """Digest the arrays with their names, types and shapes, whatever file they came from."""
    parts: list[str | NDArray[Any]] = []
    for name in ARRAYS:
        array = raw[name].astype("<i8") if name.endswith("labels") else raw[name]
        parts += [f"{name} {array.dtype.str} {array.shape}", array]
    return digest(*parts)
