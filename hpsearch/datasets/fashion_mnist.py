"""Fashion-MNIST: 70,000 pictures of clothes of 28x28 pixels, with a test split of its own."""

from pathlib import Path
from typing import Final

from hpsearch.datasets.base import REGISTRY, Arrays, Dataset
from hpsearch.datasets.images import (
    MNIST_PLAIN_SHA256,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    ImageSource,
    load_images,
)
from hpsearch.spec.sections import DatasetInfo, Task

SOURCE: Final = ImageSource(
    name="fashion_mnist",
    mirrors=(
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    ),
    sha256={
        TRAIN_IMAGES: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        TRAIN_LABELS: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        TEST_IMAGES: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        TEST_LABELS: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    not_ours=MNIST_PLAIN_SHA256,
)


@REGISTRY.register("fashion_mnist")
class FashionMnist(Dataset):
    """The same shape and size as MNIST, and harder."""

    def info(self) -> DatasetInfo:
        """Return the facts of the data set."""
        return DatasetInfo(
            name="fashion_mnist",
            task=Task.CLASSIFICATION,
            input_shape=(28, 28),
            n_outputs=10,
            has_test_split=True,
            n_examples=60_000,
            description="70,000 pictures of clothes of 28x28 pixels",
        )

    def load(self, folder: Path, source: ImageSource = SOURCE) -> Arrays:
        """Return the images found in ``folder`` or downloaded into it.

        Args:
            folder: Where data sets live.
            source: Mirrors and checksums.
        """
        return load_images(source, folder)
