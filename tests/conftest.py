"""Settings that hold for every test."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import pytest

from tfrender.ops import forms


@pytest.fixture(autouse=True)
def graph_form():
    """Renderers need no compiling here, unless a test asks for the other form."""
    with forms.default_form("graph"):
        yield
