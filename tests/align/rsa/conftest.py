"""Simulated geometries for the tests of inference."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def simulated():
    """The module of simulations that lies beside the tests."""
    spec = importlib.util.spec_from_file_location("simulated_geometries", Path(__file__).with_name("_simulated.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
