"""Local response normalisation in PyTorch and Keras, against the formula and PyTorch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archspec.backends.keras import choose_engine
from archspec.backends.numpy import functions
from archspec.backends.torch.modules import LocalResponseNorm

SIZES = [1, 3, 5, 7, 9]
CHANNELS = [1, 4, 6]


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def by_keras(x: np.ndarray, **options: float) -> np.ndarray:
    choose_engine()
    import keras

    from archspec.backends.keras.modules import LocalResponseNorm as KerasNorm

    found = KerasNorm(dtype="float64", **options)(keras.ops.convert_to_tensor(last(x)))
    return first(keras.ops.convert_to_numpy(found))


def keras_gradient(x: np.ndarray, cotangent: np.ndarray, **options: float) -> np.ndarray:
    """The gradient through a convolution by the identity, of which TensorFlow knows the rest."""
    choose_engine()
    tensorflow = pytest.importorskip("tensorflow")
    from archspec.backends.keras.modules import LocalResponseNorm as KerasNorm

    images = tensorflow.Variable(last(x))
    norm = KerasNorm(dtype="float64", **options)
    with tensorflow.GradientTape() as tape:
        total = tensorflow.reduce_sum(norm(images) * last(cotangent))
    return first(tape.gradient(total, images).numpy())


def last(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 3, 1)


def first(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_mean_mode_is_the_one_of_torch(size: int, channels: int) -> None:
    x = torch.from_numpy(numbers(2, channels, 3, 4)).requires_grad_()
    other = x.detach().clone().requires_grad_()
    ours = LocalResponseNorm(size, scale=0.3 / size, beta=0.75, k=1.5)(x)
    theirs = torch.nn.LocalResponseNorm(size, alpha=0.3, beta=0.75, k=1.5)(other)
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)
    cotangent = torch.from_numpy(numbers(2, channels, 3, 4) + 1)
    ours.backward(cotangent)
    theirs.backward(cotangent)
    torch.testing.assert_close(x.grad, other.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (4, 1), (6, 2), (6, 3), (6, 6)])
def test_sum_mode_is_the_formula(size: int, channels: int, groups: int) -> None:
    x = numbers(2, channels, 3, 4)
    options = {"size": size, "scale": 0.3, "beta": 0.75, "k": 2.0}
    expected = functions.local_response_norm(x, **options, groups=groups)
    found = LocalResponseNorm(**options, groups=groups)(torch.from_numpy(x))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13)


@pytest.mark.parametrize("beta", [0.75, 0.6])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (4, 1), (6, 2)])
def test_keras_is_the_formula_with_the_gradient_of_torch(
    size: int, channels: int, groups: int, beta: float
) -> None:
    x, cotangent = numbers(2, channels, 3, 4), numbers(2, channels, 3, 4) - 1
    options = {"size": size, "scale": 0.3, "beta": beta, "k": 2.0, "groups": groups}
    expected = functions.local_response_norm(x, **options)
    np.testing.assert_allclose(by_keras(x, **options), expected, rtol=1e-13)
    tensor = torch.from_numpy(x).requires_grad_()
    LocalResponseNorm(**options)(tensor).backward(torch.from_numpy(cotangent))
    found = keras_gradient(x, cotangent, **options)
    np.testing.assert_allclose(found, tensor.grad.numpy(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("size", "groups"), [(1, 1), (3, 1), (5, 2), (9, 1)])
@pytest.mark.parametrize("beta", [0.75, 0.5, 1.0, -0.5])
def test_the_gradient_is_that_of_finite_differences(size: int, groups: int, beta: float) -> None:
    x = torch.from_numpy(numbers(1, 6, 2, 2)).requires_grad_()
    assert torch.autograd.gradcheck(LocalResponseNorm(size, 0.4, beta, 1.5, groups), (x,))


def poisoned() -> np.ndarray:
    x = numbers(1, 9, 2, 2)
    x[0, 4, 1, 0] = np.nan
    return x


def check_spread(found: np.ndarray, channels: list[int]) -> None:
    expected = np.zeros(found.shape, dtype=bool)
    expected[0, channels, 1, 0] = True
    assert (np.isnan(found) == expected).all()


@pytest.mark.parametrize(
    ("size", "groups", "channels"), [(3, 1, [3, 4, 5]), (5, 3, [3, 4, 5]), (1, 1, [4])]
)
def test_a_nan_stays_within_its_window(size: int, groups: int, channels: list[int]) -> None:
    options = {"size": size, "scale": 0.3, "beta": 0.75, "k": 2.0, "groups": groups}
    check_spread(functions.local_response_norm(poisoned(), **options), channels)
    check_spread(LocalResponseNorm(**options)(torch.from_numpy(poisoned())).numpy(), channels)


def test_a_nan_stays_within_its_window_in_keras() -> None:
    check_spread(by_keras(poisoned(), size=3, scale=0.3, beta=0.75, k=2.0), [3, 4, 5])
