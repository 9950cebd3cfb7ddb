"""State dicts with the names, shapes and order of torchvision's and timm's, onto the shipped specs.

The names are written out from the libraries' modules. The arrays take no memory: they are one
number, broadcast.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import archspec
from archspec.weights import matching, state_dict
from archspec.weights.foreign import Foreign
from archspec.weights.loaded import Loaded

Size = int | tuple[int, int]


class State(dict[str, tuple[int, ...]]):
    """A state dict: shapes by name."""

    def conv(self, name: str, out: int, of: int, size: Size, bias: bool = False) -> None:
        size = size if isinstance(size, tuple) else (size, size)
        self[f"{name}.weight"] = (out, of, *size)
        if bias:
            self[f"{name}.bias"] = (out,)

    def norm(self, name: str, channels: int) -> None:
        for role in ("weight", "bias", "running_mean", "running_var"):
            self[f"{name}.{role}"] = (channels,)
        self[f"{name}.num_batches_tracked"] = ()

    def plain_norm(self, name: str, channels: int) -> None:
        self[f"{name}.weight"] = self[f"{name}.bias"] = (channels,)

    def both(self, name: str, out: int, of: int, size: Size) -> None:
        """BasicConv2d: a convolution and what normalises it."""
        self.conv(f"{name}.conv", out, of, size)
        self.norm(f"{name}.bn", out)

    def linear(self, name: str, out: int, of: int) -> None:
        self[f"{name}.weight"] = (out, of)
        self[f"{name}.bias"] = (out,)


GOOGLENET = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def googlenet() -> State:
    """With its auxiliary heads, which stand in the downloaded file."""
    found = State()
    found.both("conv1", 64, 3, 7)
    found.both("conv2", 64, 64, 1)
    found.both("conv3", 192, 64, 3)
    for name, (of, one, red3, three, red5, five, pool) in GOOGLENET.items():
        block = f"inception{name}"
        found.both(f"{block}.branch1", one, of, 1)
        found.both(f"{block}.branch2.0", red3, of, 1)
        found.both(f"{block}.branch2.1", three, red3, 3)
        found.both(f"{block}.branch3.0", red5, of, 1)
        found.both(f"{block}.branch3.1", five, red5, 3)
        found.both(f"{block}.branch4.1", pool, of, 1)
    for name, of in (("aux1", 512), ("aux2", 528)):
        found.both(f"{name}.conv", 128, of, 1)
        found.linear(f"{name}.fc1", 1024, 2048)
        found.linear(f"{name}.fc2", 1000, 1024)
    found.linear("fc", 1000, 1024)
    return found


def inception_v3() -> State:
    found = State()
    both = found.both
    for name, out, of, size in (
        ("1a_3x3", 32, 3, 3),
        ("2a_3x3", 32, 32, 3),
        ("2b_3x3", 64, 32, 3),
        ("3b_1x1", 80, 64, 1),
        ("4a_3x3", 192, 80, 3),
    ):
        both(f"Conv2d_{name}", out, of, size)
    for name, of, pool in (("b", 192, 32), ("c", 256, 64), ("d", 288, 64)):
        block = f"Mixed_5{name}"
        both(f"{block}.branch1x1", 64, of, 1)
        both(f"{block}.branch5x5_1", 48, of, 1)
        both(f"{block}.branch5x5_2", 64, 48, 5)
        both(f"{block}.branch3x3dbl_1", 64, of, 1)
        both(f"{block}.branch3x3dbl_2", 96, 64, 3)
        both(f"{block}.branch3x3dbl_3", 96, 96, 3)
        both(f"{block}.branch_pool", pool, of, 1)
    both("Mixed_6a.branch3x3", 384, 288, 3)
    both("Mixed_6a.branch3x3dbl_1", 64, 288, 1)
    both("Mixed_6a.branch3x3dbl_2", 96, 64, 3)
    both("Mixed_6a.branch3x3dbl_3", 96, 96, 3)
    for name, wide in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
        block = f"Mixed_6{name}"
        both(f"{block}.branch1x1", 192, 768, 1)
        both(f"{block}.branch7x7_1", wide, 768, 1)
        both(f"{block}.branch7x7_2", wide, wide, (1, 7))
        both(f"{block}.branch7x7_3", 192, wide, (7, 1))
        both(f"{block}.branch7x7dbl_1", wide, 768, 1)
        both(f"{block}.branch7x7dbl_2", wide, wide, (7, 1))
        both(f"{block}.branch7x7dbl_3", wide, wide, (1, 7))
        both(f"{block}.branch7x7dbl_4", wide, wide, (7, 1))
        both(f"{block}.branch7x7dbl_5", 192, wide, (1, 7))
        both(f"{block}.branch_pool", 192, 768, 1)
    both("AuxLogits.conv0", 128, 768, 1)
    both("AuxLogits.conv1", 768, 128, 5)
    found.linear("AuxLogits.fc", 1000, 768)
    both("Mixed_7a.branch3x3_1", 192, 768, 1)
    both("Mixed_7a.branch3x3_2", 320, 192, 3)
    both("Mixed_7a.branch7x7x3_1", 192, 768, 1)
    both("Mixed_7a.branch7x7x3_2", 192, 192, (1, 7))
    both("Mixed_7a.branch7x7x3_3", 192, 192, (7, 1))
    both("Mixed_7a.branch7x7x3_4", 192, 192, 3)
    for name, of in (("b", 1280), ("c", 2048)):
        block = f"Mixed_7{name}"
        both(f"{block}.branch1x1", 320, of, 1)
        both(f"{block}.branch3x3_1", 384, of, 1)
        both(f"{block}.branch3x3_2a", 384, 384, (1, 3))
        both(f"{block}.branch3x3_2b", 384, 384, (3, 1))
        both(f"{block}.branch3x3dbl_1", 448, of, 1)
        both(f"{block}.branch3x3dbl_2", 384, 448, 3)
        both(f"{block}.branch3x3dbl_3a", 384, 384, (1, 3))
        both(f"{block}.branch3x3dbl_3b", 384, 384, (3, 1))
        both(f"{block}.branch_pool", 192, of, 1)
    found.linear("fc", 1000, 2048)
    return found


def densenet121() -> State:
    found, channels = State(), 64
    found.conv("features.conv0", 64, 3, 7)
    found.norm("features.norm0", 64)
    for block, layers in enumerate((6, 12, 24, 16), 1):
        for number in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{number}"
            found.norm(f"{name}.norm1", channels)
            found.conv(f"{name}.conv1", 128, channels, 1)
            found.norm(f"{name}.norm2", 128)
            found.conv(f"{name}.conv2", 32, 128, 3)
            channels += 32
        if block < 4:
            found.norm(f"features.transition{block}.norm", channels)
            found.conv(f"features.transition{block}.conv", channels // 2, channels, 1)
            channels //= 2
    found.norm("features.norm5", channels)
    found.linear("classifier", 1000, channels)
    return found


def resnet50() -> State:
    found, channels = State(), 64
    found.conv("conv1", 64, 3, 7)
    found.norm("bn1", 64)
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        width = 32 << stage
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            for number, (out, of, size) in enumerate(
                ((width, channels, 1), (width, width, 3), (4 * width, width, 1)), 1
            ):
                found.conv(f"{name}.conv{number}", out, of, size)
                found.norm(f"{name}.bn{number}", out)
            if block == 0:
                found.conv(f"{name}.downsample.0", 4 * width, channels, 1)
                found.norm(f"{name}.downsample.1", 4 * width)
            channels = 4 * width
    found.linear("fc", 1000, channels)
    return found


def convnext(timm: bool) -> State:
    """torchvision's layer scales are C x 1 x 1, timm's C; both stand before their blocks."""
    found, widths = State(), (96, 192, 384, 768)
    stem = "stem.{}" if timm else "features.0.{}"
    found.conv(stem.format(0), 96, 3, 4, bias=True)
    found.plain_norm(stem.format(1), 96)
    for stage, blocks in enumerate((3, 3, 9, 3)):
        width = widths[stage]
        if stage:
            down = f"stages.{stage}.downsample" if timm else f"features.{2 * stage}"
            found.plain_norm(f"{down}.0", widths[stage - 1])
            found.conv(f"{down}.1", width, widths[stage - 1], 2, bias=True)
        for block in range(blocks):
            name = f"stages.{stage}.blocks.{block}" if timm else f"features.{2 * stage + 1}.{block}"
            found[f"{name}.{'gamma' if timm else 'layer_scale'}"] = (
                (width,) if timm else (width, 1, 1)
            )
            parts = "conv_dw norm mlp.fc1 mlp.fc2" if timm else "block.0 block.2 block.3 block.5"
            deep, norm, one, two = (f"{name}.{part}" for part in parts.split())
            found.conv(deep, width, 1, 7, bias=True)
            found.plain_norm(norm, width)
            found.linear(one, 4 * width, width)
            found.linear(two, width, 4 * width)
    found.plain_norm("head.norm" if timm else "classifier.0", 768)
    found.linear("head.fc" if timm else "classifier.2", 1000, 768)
    return found


def loaded(spec: str, state: State) -> Loaded:
    arrays = {name: np.broadcast_to(np.float32(0), shape) for name, shape in state.items()}
    tensors, said = state_dict.tensors(arrays)
    foreign = Foreign("PyTorch", tensors, "CHW", notes=said)
    return matching.match(foreign, archspec.load(spec), Path("net.pth"))


def of_googlenet(name: str) -> str:
    inner = {"branch2.0": "reduce3x3", "branch2.1": "branch2", "branch3.0": "reduce5x5"}
    inner |= {"branch3.1": "branch3", "branch4.1": "branch4"}
    name = re.sub(r"branch\d\.\d", lambda match: inner[match[0]], name).replace(".bn.", ".norm.")
    return name.replace("conv2.conv", "conv2.reduce3x3.conv").replace("conv3.", "conv2.conv3x3.")


def of_densenet(name: str) -> str:
    name = name.removeprefix("features.").replace("denseblock", "dense")
    return name.replace("denselayer", "layer").replace("classifier", "fc")


def of_resnet(name: str) -> str:
    parts = {"1": "reduce", "2": "middle", "3": "expand"}
    name = name.replace("downsample.0", "shortcut.conv").replace("downsample.1", "shortcut.norm")
    name = re.sub(r"^conv1\.", "conv1.conv.", re.sub(r"^bn1\.", "conv1.norm.", name))
    name = re.sub(r"\.conv(\d)\.", lambda m: f".{parts[m[1]]}.conv.", name)
    name = re.sub(r"\.bn(\d)\.", lambda m: f".{parts[m[1]]}.norm.", name)
    return re.sub(r"^layer(\d)\.(\d)", lambda m: f"conv{int(m[1]) + 1}_{int(m[2]) + 1}", name)


@pytest.mark.parametrize(
    ("spec", "state", "expected"),
    [
        ("googlenet", googlenet, of_googlenet),
        ("googlenet-aux", googlenet, of_googlenet),
        ("densenet121", densenet121, of_densenet),
        ("resnet50", resnet50, of_resnet),
    ],
)
def test_every_tensor_finds_its_place(
    spec: str, state: Callable[[], State], expected: Callable[[str], str]
) -> None:
    found = loaded(spec, state())
    assert not found.missing
    assert all(name.startswith("aux") for name in found.extra)
    assert bool(found.extra) is (spec == "googlenet")
    names = archspec.weights.store.tensor_shapes(archspec.load(spec))
    for match in found.matches:
        if match.source.startswith(("conv2.bn", "aux")):
            continue
        if expected(match.source) in names:
            assert match.name == expected(match.source)
    known = sum(expected(match.source) in names for match in found.matches)
    assert known > 0.9 * len(found.matches)


@pytest.mark.parametrize("spec", ["inception-v3", "inception-v3-no-aux"])
def test_the_blocks_of_inception_v3(spec: str) -> None:
    found = loaded(spec, inception_v3())
    assert not found.missing
    assert all(name.startswith("AuxLogits.") for name in found.extra)
    for match in found.matches:
        if match.source.startswith("Mixed"):
            block = match.source.partition(".")[0].replace("_", "").lower()
            assert match.name.partition(".")[0] == block
            # The last letter or digit of the branch tells the layer in it.
            theirs, ours = (
                re.findall(r"_(\d?[ab]?)\.", n.partition(".")[2])
                for n in (match.source, match.name)
            )
            if theirs and ours:
                assert theirs[-1][-1] == ours[-1][-1]


@pytest.mark.parametrize("timm", [False, True])
def test_convnext_with_its_layer_scales(timm: bool) -> None:
    found = loaded("convnext-tiny", convnext(timm))
    assert not found.missing
    assert not found.extra
    scales = [match for match in found.matches if ".gamma." in match.name]
    assert len(scales) == 18
    for match in scales:
        stage, block = map(int, re.findall(r"\d+", match.name)[:2])
        first = f"stages.{stage - 1}.blocks" if timm else f"features.{2 * stage - 1}"
        assert match.source.startswith(f"{first}.{block - 1}.")
