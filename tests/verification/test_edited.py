"""`archspec verify --source`: which layers an edit changed, and files that cannot be run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from networks import EXAMPLES, branching, example_network, heads, layer, network, sgd_network, unet

import archspec
from archspec import cli
from archspec.backends import get_backend
from archspec.diagnostics import ArchspecError
from archspec.graph import Graph
from archspec.verification.edited import Edited, redrawn, verify_source


def noisy() -> Graph:
    """Layers whose settings matter in training alone."""
    layers = [
        layer("conv", "conv2d", filters=4, kernel_size=3),
        layer("norm", "batch_norm", eps=1.0e-3, decay=0.9),
        layer("act", "relu"),
        layer("drop", "dropout", rate=0.5),
        layer("flatten", "flatten"),
        layer("fc", "dense", units=3, weight_init={"type": "normal", "std": 0.1}),
    ]
    return network(layers, (3, 5, 5), "noisy", defaults={"bias_init": "zeros"})


def clipped() -> Graph:
    """No number gets to 6 where the clip is."""
    layers = [
        layer("conv", "conv2d", filters=4, kernel_size=3),
        layer("clip", "relu6"),
        layer("flatten", "flatten"),
    ]
    tame = {"weight_init": {"type": "uniform", "low": -0.1, "high": 0.1}}
    return network(layers, (3, 5, 5), "clipped", defaults=tame)


def edited(folder: Path, backend: str, graph: Graph, *edits: tuple[str, str]) -> Edited:
    """What is found in the emitted source with some of its text replaced."""
    text = get_backend(backend).emit(graph)
    for old, new in edits:
        assert old in text, f"{old!r} is not in\n{text}"
        text = text.replace(old, new)
    file = folder / f"edited_{backend}.py"
    file.write_text(text, encoding="utf-8")
    return verify_source(graph, file)


def told(found: Edited) -> dict[str, str]:
    """The changes that matter, by layer."""
    return {finding.layer: finding.told() for finding in found.findings if finding.differs}


@dataclass(frozen=True)
class Edit:
    """An edit, and the layers that are changed by it with words of what is said of each."""

    graph: Callable[[], Graph]
    replace: tuple[tuple[str, str], ...]
    layers: dict[str, str]


def edit(graph: Callable[[], Graph], *replace: tuple[str, str], **layers: str) -> Edit:
    return Edit(graph, replace, layers)


TORCH = {
    "a bend that no number gets to": edit(
        clipped,
        ("nn.ReLU6()", "nn.ReLU()"),
        clip="is ReLU, in the spec ReLU6; between -10 and 10, another output",
    ),
    "a setting": edit(
        sgd_network, ("k=2", "k=1"), response1="k is 1.0, in the spec 2.0; computes something else"
    ),
    "a setting of several": edit(
        sgd_network,
        ("eps=0.001, momentum", "eps=0.01, momentum"),
        norm1="eps is 0.01",
        norm2="eps is 0.01",
    ),
    "a helper class": edit(
        sgd_network,
        ("return x * total", "return 2 * x * total"),
        response1="computes something else",
    ),
    "the gradient of a helper class": edit(
        sgd_network,
        ("total = total.mul_", "total = total.detach().mul_"),
        response1="in training, another gradient of input 1",
    ),
    "another class": edit(
        sgd_network, ("nn.GELU()", "nn.SiLU()"), active="is SiLU, in the spec GELU"
    ),
    "an approximation": edit(
        sgd_network, ("nn.GELU()", 'nn.GELU(approximate="tanh")'), active="approximate is tanh"
    ),
    "a width": edit(
        noisy,
        ("nn.Linear(36, 3)", "nn.Linear(36, 4)"),
        fc="weight is 4 x 36, in the spec 3 x 36; bias is 4, in the spec 3",
    ),
    "a width that does not fit": edit(
        noisy, ("nn.Conv2d(3, 4", "nn.Conv2d(3, 5"), conv="weight is 5 x 3 x 3 x 3"
    ),
    "a bias left out": edit(
        noisy,
        ("nn.Linear(36, 3)", "nn.Linear(36, 3, bias=False)"),
        ("        nn.init.zeros_(layer.bias)", "        pass"),
        fc="has no bias",
        conv="bias begins with mean",
    ),
    "a bias added": edit(
        branching,
        ("self.excite = nn.Conv2d(8, 8, kernel_size=1)", "self.excite = Twice(8)"),
        (
            "class Branching",
            "class Twice(nn.Conv2d):\n    def __init__(self, n):\n"
            "        super().__init__(n, n, 1)\n"
            "        self.more = nn.Parameter(torch.zeros(n))\n\n\nclass Branching",
        ),
        excite="has a more (8), in the spec none",
    ),
    "a layer removed": edit(
        sgd_network,
        ("        self.relu1 = nn.ReLU(inplace=True)\n", ""),
        ("        x = self.relu1(x)  # 8 x 7 x 7\n", ""),
        relu1="is missing; response1 reads norm1",
    ),
    "a layer not used": edit(
        sgd_network,
        ("        x = self.relu1(x)  # 8 x 7 x 7\n", ""),
        relu1="is there and not used; response1 reads norm1",
    ),
    "a dropout not used": edit(
        noisy, ("        x = self.drop(x)", "        # "), drop="is there and not used"
    ),
    "a layer added": edit(
        sgd_network,
        ("self.relu1 = ", "self.extra = nn.Tanh()\n        self.relu1 = "),
        ("x = self.relu1(x)", "x = self.extra(self.relu1(x))"),
        extra="is added (Tanh)",
    ),
    "a parameter added": edit(
        sgd_network,
        ("self.relu1 = ", "self.gain = nn.Parameter(torch.ones(1))\n        self.relu1 = "),
        gain="is added (Parameter)",
    ),
    "a layer renamed": edit(
        sgd_network, ("conv2", "convolution"), conv2="is called convolution in the file"
    ),
    "a layer in a block renamed": edit(
        heads,
        ("block.second.relu", "block.second.act"),
        **{f"body.block{n}.second.relu": "is called body." for n in (1, 2, 3, 4)},
    ),
    "layers in a Sequential": edit(
        noisy,
        ("self.norm = ", "self.body = nn.Sequential()\n        self.body.norm = "),
        ("        self.act = ", "        self.body.act = "),
        ("x = self.norm(x)  # 4 x 3 x 3\n        x = self.act(x)", "x = self.body(x)"),
        norm="is called body.norm in the file",
        act="is called body.act in the file",
    ),
    "the order": edit(
        noisy,
        ("x = self.norm(x)", "x = self.swap(x)"),
        ("x = self.act(x)", "x = self.norm(x)"),
        ("x = self.swap(x)", "x = self.act(x)"),
        norm="reads act, in the spec conv",
        act="reads conv, in the spec norm",
        drop="reads norm, in the spec act",
    ),
    "an input": edit(
        branching,
        ("self.joined(x, left)", "self.joined(x, right)"),
        joined="reads product and right, in the spec product and left",
    ),
    "something between": edit(
        sgd_network,
        ("x = self.relu1(x)", "x = self.relu1(x) * 2"),
        response1="reads what is no layer's output, in the spec relu1",
    ),
    "something behind": edit(
        sgd_network,
        ("        return x\n\n\ndef main", "        return x.softmax(1)\n\n\ndef main"),
        logits="the network returns something else than its output",
    ),
    "an auxiliary output": edit(
        heads,
        ("return x, aux1_fc, aux2_fc, early", "return x, aux1_fc, early"),
        fc="the network returns 3 outputs, not 4",
    ),
    "a gradient that stops": edit(
        noisy,
        ("x = self.norm(x)", "x = self.norm(x).detach()"),
        act="reads what is no layer's output, in the spec norm",
    ),
    "an output without a gradient": edit(
        noisy, ("        return x\n\n\ndef main", "        return x.detach()\n\n\ndef main")
    ),
    "a layer thawed": edit(
        sgd_network,
        ("        self.still.requires_grad_(False)\n", ""),
        still="weight learns, in the spec it is frozen",
    ),
    "a layer frozen": edit(
        sgd_network,
        ("self.still.requires_grad_(False)", "self.requires_grad_(False)"),
        **dict.fromkeys(
            ("conv1", "norm1", "conv2", "norm2", "norm3", "up", "norm4"),
            "weight is frozen, in the spec it learns",
        ),
        factor="weight is frozen",
        logits="weight is frozen",
    ),
    "a dropout rate": edit(
        noisy, ("nn.Dropout(0.5)", "nn.Dropout(0.3)"), drop="p is 0.3, in the spec 0.5"
    ),
    "a decay of statistics": edit(
        noisy,
        ("momentum=0.1", "momentum=0.2"),
        norm="momentum is 0.2, in the spec 0.1; in training, another running_mean after a batch",
    ),
    "the spread of initial values": edit(
        noisy,
        ("std=0.1", "std=0.2"),
        fc="weight begins with mean",
    ),
    "an initial constant": edit(
        noisy,
        ("nn.init.zeros_(layer.bias)", "nn.init.constant_(layer.bias, 0.1)"),
        conv="bias begins as 0.1, in the spec as 0",
        fc="bias begins as 0.1, in the spec as 0",
    ),
}
KERAS = {
    "a setting": edit(
        noisy,
        ("epsilon=0.001", "epsilon=0.01"),
        norm="epsilon is 0.01, in the spec 0.001; computes",
    ),
    "a renamed layer with weights": edit(
        noisy, ('name="conv"', 'name="convolution"'), conv="is called convolution in the file"
    ),
    "a layer removed": edit(
        noisy,
        ('        x = layers.ReLU(name="act")(x)', "        # "),
        act="is missing; drop reads norm",
    ),
    "a layer added": edit(
        noisy,
        ('name="act")(x)', 'name="act")(layers.Activation("tanh", name="more")(x))'),
        more="is added (Activation)",
    ),
    "an operation between": edit(
        noisy, ('name="act")(x)', 'name="act")(x + 1)'), act="computes something else"
    ),
    "a width": edit(
        noisy,
        ("layers.Dense(\n            3,", "layers.Dense(\n            4,"),
        fc="weight is 4 x 36, in the spec 3 x 36",
    ),
    "a rate and a start": edit(
        noisy,
        ("layers.Dropout(0.5", "layers.Dropout(0.3"),
        ("stddev=0.1", "stddev=0.2"),
        drop="rate is 0.3, in the spec 0.5",
        fc="weight begins with mean",
    ),
    "padding, a frozen layer and an input": edit(
        branching,
        ("((0, 1), (1, 2))", "((1, 0), (1, 2))"),
        ("            trainable=False,\n", ""),
        ('name="joined")([x, left])', 'name="joined")([x, right])'),
        stem="padding is ((1, 0), (1, 2)), in the spec ((0, 1), (1, 2)); weight learns",
        right_norm="in training",
        joined="reads product and right, in the spec product and left",
    ),
    "the output": edit(
        noisy,
        ("outputs=x,", "outputs=keras.ops.softmax(x),"),
        fc="the network returns something else than its output",
    ),
    "a decay of statistics": edit(
        noisy, ("momentum=0.9", "momentum=0.8"), norm="in training, another running_mean"
    ),
}
NUMPY = {
    "a function": edit(
        sgd_network,
        ("return np.maximum(x, 0)", "return np.maximum(x, 0.1)"),
        relu1="computes something else",
        relu2="computes something else",
    ),
    "a call": edit(
        noisy, ('relu(out["norm"])', 'np.tanh(out["norm"])'), act="computes something else"
    ),
    "an input": edit(
        noisy, ('relu(out["norm"])', 'relu(out["conv"])'), act="reads conv, in the spec norm"
    ),
    "a renamed layer": edit(
        noisy, ('out["act"]', 'out["other"]'), act="is missing; drop reads other", other="is added"
    ),
    "a start": edit(noisy, ("std=0.1", "std=0.2"), fc="weight begins with mean"),
    "a shape": edit(noisy, ("(3, 36)", "(4, 36)"), fc="weight is 4 x 36, in the spec 3 x 36"),
    "the output": edit(
        noisy,
        ('return self.outputs(x)["fc"]', 'return 2 * self.outputs(x)["fc"]'),
    ),
}
EDITS = [
    pytest.param(backend, change, id=f"{backend}: {what}")
    for backend, edits in (("torch", TORCH), ("keras", KERAS), ("numpy", NUMPY))
    for what, change in edits.items()
]


@pytest.mark.parametrize(("backend", "change"), EDITS)
def test_the_layers_that_were_edited_are_told_and_no_others(
    backend: str, change: Edit, tmp_path: Path
) -> None:
    found = edited(tmp_path, backend, change.graph(), *change.replace)
    assert told(found).keys() == change.layers.keys(), told(found)
    for name, words in change.layers.items():
        assert words in told(found)[name]
    assert found.backend == backend
    assert found.lines
    assert not found.equal


HARMLESS = {
    "a function for a module": (("x = self.act(x)", "x = torch.relu(x)"), "computes the same"),
    "memory": (("nn.ReLU(inplace=True)", "nn.ReLU()"), None),
    "another class for the same": (("nn.ReLU(inplace=True)", "nn.LeakyReLU(0.0)"), "is LeakyReLU"),
    "a name": (("x = self.fc(x)  # 3\n        return x", "y = self.fc(x)\n        return y"), None),
    "formatting": (("Noisy(nn.Module):", "Noisy(nn.Module):  # mine"), None),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_an_edit_that_computes_the_same_is_the_network_of_the_spec(
    what: str, tmp_path: Path
) -> None:
    replace, words = HARMLESS[what]
    found = edited(tmp_path, "torch", noisy(), replace)
    assert found.equal, found
    assert told(found) == {}
    assert bool(found.findings) == (words is not None)
    if words is not None:
        assert words in found.findings[0].told()


@pytest.mark.parametrize(
    ("backend", "make"),
    [
        *((backend, make) for backend in ("torch", "numpy") for make in (sgd_network, unet, noisy)),
        *(
            (backend, make)
            for backend in ("torch", "numpy", "keras")
            for make in (branching, heads)
        ),
    ],
)
def test_what_nobody_edited_is_the_network_of_the_spec(
    backend: str, make: Callable[[], Graph], tmp_path: Path
) -> None:
    found = edited(tmp_path, backend, make())
    assert found.equal, found
    assert found.findings == found.lines == ()
    assert found.sections()[0].notes[-1] == "the file is what archspec writes"


def test_no_layer_type_is_taken_for_an_edit(tmp_path: Path) -> None:
    """The first example of each, in PyTorch and NumPy."""
    kinds = {kind: example for _, kind, example in reversed(EXAMPLES)}
    for kind, example in kinds.items():
        for backend in ("torch", "numpy"):
            found = edited(tmp_path, backend, example_network(kind, example))
            assert found.equal, (kind, found)


def test_random_numbers_that_are_only_others_are_no_change() -> None:
    """Up to a millionth of all tensors; what is scaled or comes from elsewhere is told."""
    numbers = np.random.default_rng(0)
    for size in (1, 2, 3, 10, 100, 10_000, 200_000):
        for _ in range(20):
            pair = numbers.normal(0, 1, (2, size))
            assert redrawn(*pair, constant=False) is None
    draw = numbers.normal(0, 0.01, 64)
    assert redrawn(draw, draw.copy(), constant=False) is None
    assert redrawn(draw, 1.01 * draw, constant=False) is not None
    assert redrawn(np.zeros(1), np.ones(1), constant=True) == "as 1, in the spec as 0"
    assert redrawn(draw, np.zeros(64), constant=False) is not None
    assert redrawn(np.zeros(64), draw, constant=True) is not None
    wide = numbers.uniform(-1, 1, 20_000)
    assert redrawn(wide, numbers.normal(0, wide.std(), 20_000), constant=False) is not None


def test_a_layer_that_is_added_before_does_not_accuse_the_others(tmp_path: Path) -> None:
    """It shifts the random numbers of all behind it."""
    found = edited(
        tmp_path,
        "torch",
        sgd_network(),
        ("        self.conv1 =", "        self.more = nn.Linear(7, 7)\n        self.conv1 ="),
    )
    assert told(found).keys() == {"more"}


Failing = tuple[str, str]
FAILING: dict[str, Failing] = {
    "import torch\n\nclass Noisy(\n": ("net.py:3: no valid Python: ", "'(' was never closed"),
    "import torch\n\n\ndef broken():\n    return 1 / 0\n\n\nbroken()\n": (
        "net.py:5: ZeroDivisionError: division by zero",
        "",
    ),
    "import torch\nimport nowhere_at_all\n": ("net.py:2: ModuleNotFoundError: ", "nowhere_at_all"),
    "import torch\nimport sys\n\nsys.exit('no')\n": ("net.py:4: SystemExit: no", ""),
    "import torch\n\n\nclass Noise:\n    pass\n": (
        "net.py has no class Noisy, which is the network",
        "did you mean `Noise`?",
    ),
    "import torch\n": ("net.py has no class Noisy", "it has no classes"),
    "import torch\n\n\ndef Noisy():\n    pass\n": ("net.py has no class Noisy", ""),
    "import torch\n\n\nclass Noisy(torch.nn.Module):\n    def __init__(self, n):\n        pass\n": (
        "net.py: TypeError: ",
        "missing 1 required positional argument: 'n'",
    ),
    "import torch\n\n\nclass Noisy:\n    pass\n": (
        "net.py: AttributeError: 'Noisy' object has no attribute 'to'",
        "",
    ),
    "import keras\n\n\nclass Noisy(keras.Model):\n    def call(self, x):\n        return x\n": (
        "Noisy is no functional model",
        "",
    ),
    "import os\n": ("net.py imports no framework; say with --backend which of", "`torch`"),
    "import torch, keras\n": ("net.py imports `keras`, `torch`; say with --backend", ""),
    "": ("net.py imports no framework", ""),
    "import torch\x00\n": ("net.py:1: no valid Python: ", "null bytes"),
}


@pytest.mark.parametrize("text", FAILING, ids=[start for start, _ in FAILING.values()])
def test_a_file_that_cannot_be_used_is_told_with_its_line(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(text)
    with pytest.raises(ArchspecError) as caught:
        verify_source(noisy(), Path("net.py"))
    start, words = FAILING[text]
    assert str(caught.value).startswith(start)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_forward_pass_that_fails_is_told_with_its_line(tmp_path: Path) -> None:
    found = edited(tmp_path, "torch", noisy(), ("x = self.drop(x)", "x = self.drop(x, x, x)"))
    assert found.failure is not None
    assert "edited_torch.py:" in found.failure
    assert "TypeError" in found.failure
    assert not found.equal
    assert found.outputs is None
    assert "outputs: not compared" in found.sections()[0].notes


def test_a_numpy_file_without_its_dictionary_is_told(tmp_path: Path) -> None:
    found = edited(tmp_path, "numpy", noisy(), ('out = {"input": x}', "out = dict(input=x)"))
    assert found.failure is not None
    assert "`outputs` must begin with" in found.failure
    assert not found.equal


def test_a_backend_whose_models_cannot_be_taken_apart_says_so() -> None:
    from archspec.backends.onnx import BACKEND as ONNX

    with pytest.raises(ArchspecError, match="the onnx backend cannot be taken apart"):
        ONNX.open(noisy(), lambda: None)


@pytest.mark.parametrize("what", ["None", "[x]", "{}"])
def test_a_forward_pass_that_returns_no_tensor_is_told(what: str, tmp_path: Path) -> None:
    end = "        return x\n\n\ndef main"
    found = edited(tmp_path, "torch", noisy(), (end, end.replace("return x", f"return {what}")))
    assert found.failure is not None
    assert "instead of a tensor" in found.failure


def test_the_gradients_that_differ_are_named(tmp_path: Path) -> None:
    found = edited(tmp_path, "torch", noisy(), ("x = self.norm(x)", "x = self.norm(x).detach()"))
    expected = {"conv.weight", "norm.weight", "norm.bias", "input"}
    assert expected <= set(found.wrong) <= {*expected, "conv.bias"}
    assert any(
        note.startswith("other gradients of conv.weight") for note in found.sections()[0].notes
    )
    assert found.to_json()["wrong_gradients"] == list(found.wrong)


def test_the_lines_that_differ_are_told(tmp_path: Path) -> None:
    graph = noisy()
    lines = get_backend("torch").emit(graph).splitlines()
    place = next(i for i, line in enumerate(lines, 1) if "self.conv =" in line)
    first = (lines[place - 1], f"        # one\n        # two\n{lines[place - 1]}")
    found = edited(tmp_path, "torch", graph, first, ("Dropout(0.5)", "Dropout(0.50)"))
    drop = next(i for i, line in enumerate(lines, 1) if "self.drop =" in line)
    assert found.lines == ((place, place + 1), (drop + 2, drop + 2))
    assert found.equal


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command in a folder with lenet.py, a file that prints and that nobody edited."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    text = get_backend("torch").emit(archspec.load("lenet-5"))
    talking = text.replace("\nimport torch\n", "\nimport torch\n\nprint('here')\n")
    Path("lenet.py").write_text(talking)

    def call_main(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["archspec", "verify", "lenet-5", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call_main


def test_the_command_says_what_it_is(run: Run) -> None:
    status, out, err = run("--source", "lenet.py")
    assert status == 0
    assert "lenet.py (torch): no layer changed" in out
    assert out.endswith("lenet.py is the network of the spec\n")
    assert "here" in err
    assert "here" not in out


def test_the_command_fails_on_an_edit_and_writes_json(run: Run) -> None:
    text = Path("lenet.py").read_text().replace("nn.AvgPool2d", "nn.MaxPool2d")
    Path("lenet.py").write_text(text)
    status, out, _ = run("--source", "lenet.py", "--backend", "torch", "--format", "json")
    document = json.loads(out)
    assert status == 1
    assert not document["equal"]
    assert [change["layer"] for change in document["changed"]] == ["s2", "s4"]
    assert document["changed"][0]["changes"][0] == "is MaxPool2d, in the spec AvgPool2d"
    assert document["file"] == "lenet.py"
    assert document["outputs"] > document["output_bound"]
    status, out, _ = run("--source", "lenet.py")
    assert status == 1
    assert "2 layers changed" in out
    assert out.endswith("lenet.py is NOT the network of the spec\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source", "lenet.py", "--steps", "2"), "leave out --dtype and --steps"),
        (("--source", "lenet.py", "--dtype", "float32"), "leave out --dtype and --steps"),
        (("--source", "lenet.py", "--backend", "torch", "--backend", "keras"), "of one backend"),
        (("--source", "nowhere.py"), "cannot read nowhere.py: No such file or directory"),
        (("--source", "."), "cannot read .: Is a directory"),
    ],
)
def test_what_does_not_go_together_is_said(
    arguments: tuple[str, ...], message: str, run: Run
) -> None:
    status, out, err = run(*arguments)
    assert status == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err
