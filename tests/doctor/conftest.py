"""Gives the tests of the doctor a network of their own."""

from collections.abc import Iterator

import pytest

from transport.namespaces import Namespace, enter_namespace


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """Put the test into an empty network namespace of its own."""
    with enter_namespace() as here:
        yield here
