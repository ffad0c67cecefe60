"""Shapes in annotations are checked at run time in every test; hypothesis draws the same examples each time."""

from jaxtyping import install_import_hook

install_import_hook("humesh", "beartype.beartype")

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from humesh.body.model import BodyModel  # noqa: E402

hypothesis.settings.register_profile("same", derandomize=True, deadline=None, max_examples=25, database=None)
hypothesis.settings.load_profile("same")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def open_body() -> BodyModel:
    return BodyModel.load("open")


@pytest.fixture(scope="session")
def small_body() -> BodyModel:
    return BodyModel.load("open-low")
