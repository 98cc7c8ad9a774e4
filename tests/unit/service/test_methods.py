"""The table of methods."""

import pytest

from cowork.service.methods import METHODS
from cowork.wire.requests import METHODS as PARAMS


def test_every_method_of_the_protocol_has_its_function_and_parameters() -> None:
    assert {name: method.kind for name, method in METHODS.items()} == PARAMS
    assert all(callable(method.call) for method in METHODS.values())


@pytest.mark.parametrize("name", PARAMS)
def test_no_parameters_are_the_defaults(name: str) -> None:
    assert METHODS[name].defaults == METHODS[name].kind()


def test_no_function_serves_two_methods() -> None:
    assert len({method.call for method in METHODS.values()}) == len(METHODS)
