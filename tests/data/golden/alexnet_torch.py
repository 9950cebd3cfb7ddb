"""AlexNet (Krizhevsky, Sutskever and Hinton, 2012) in PyTorch.

Written by archspec VERSION from the spec alexnet
(sha256 25800e033f5276697b853a331c0b6f600a0785bff705d4ebc24587a7657e1a1a).
Input: N x 3 x 227 x 227. Output: N x 1000.
"""

import torch
import torch.nn.functional as F
from torch import nn


class LocalResponseNorm(nn.Module):
    """Divide by (k + scale * sum of squares over `size` channels) ** beta.

    `torch.nn.LocalResponseNorm` is the case scale = alpha / size. With `groups`, no
    window crosses from one group of channels to the next.
    """

    def __init__(
        self, size: int, scale: float, beta: float, k: float, groups: int = 1
    ) -> None:
        super().__init__()
        self.size, self.scale, self.beta = size, scale, beta
        self.k, self.groups = k, groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, channels = x.shape[:2]
        each, reach = channels // self.groups, self.size // 2
        squares = (x * x).reshape(n * self.groups, each, -1)
        squares = F.pad(squares, (0, 0, reach, reach))
        total = squares[:, :each].clone()
        for i in range(1, self.size):
            total += squares[:, i : i + each]
        total = total.mul_(self.scale).add_(self.k)
        return x * total.pow(-self.beta).reshape(x.shape)


class DropoutAtInference(nn.Module):
    """Dropout that scales at inference: outputs are multiplied by 1 - p."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            return x * torch.empty_like(x).bernoulli_(1 - self.p)
        return x * (1 - self.p)


class AlexNet(nn.Module):
    """3 x 227 x 227 in, 1000 out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, kernel_size=11, stride=4)
        self.relu1 = nn.ReLU(inplace=True)
        self.norm1 = LocalResponseNorm(size=5, scale=0.0001, beta=0.75, k=2.0)
        self.pool1 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.conv2 = nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2)
        self.relu2 = nn.ReLU(inplace=True)
        self.norm2 = LocalResponseNorm(size=5, scale=0.0001, beta=0.75, k=2.0)
        self.pool2 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.conv3 = nn.Conv2d(256, 384, kernel_size=3, padding=1)
        self.relu3 = nn.ReLU(inplace=True)
        self.conv4 = nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2)
        self.relu4 = nn.ReLU(inplace=True)
        self.conv5 = nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2)
        self.relu5 = nn.ReLU(inplace=True)
        self.pool5 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.flatten = nn.Flatten()
        self.fc6 = nn.Linear(9216, 4096)
        self.relu6 = nn.ReLU(inplace=True)
        self.drop6 = DropoutAtInference(0.5)
        self.fc7 = nn.Linear(4096, 4096)
        self.relu7 = nn.ReLU(inplace=True)
        self.drop7 = DropoutAtInference(0.5)
        self.fc8 = nn.Linear(4096, 1000)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        for layer in (self.conv1, self.conv3, self.fc8):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        for layer in (self.conv2, self.conv4, self.conv5, self.fc6, self.fc7):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.ones_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)  # 96 x 55 x 55
        x = self.relu1(x)  # 96 x 55 x 55
        x = self.norm1(x)  # 96 x 55 x 55
        x = self.pool1(x)  # 96 x 27 x 27
        x = self.conv2(x)  # 256 x 27 x 27
        x = self.relu2(x)  # 256 x 27 x 27
        x = self.norm2(x)  # 256 x 27 x 27
        x = self.pool2(x)  # 256 x 13 x 13
        x = self.conv3(x)  # 384 x 13 x 13
        x = self.relu3(x)  # 384 x 13 x 13
        x = self.conv4(x)  # 384 x 13 x 13
        x = self.relu4(x)  # 384 x 13 x 13
        x = self.conv5(x)  # 256 x 13 x 13
        x = self.relu5(x)  # 256 x 13 x 13
        x = self.pool5(x)  # 256 x 6 x 6
        x = self.flatten(x)  # 9216
        x = self.fc6(x)  # 4096
        x = self.relu6(x)  # 4096
        x = self.drop6(x)  # 4096
        x = self.fc7(x)  # 4096
        x = self.relu7(x)  # 4096
        x = self.drop7(x)  # 4096
        x = self.fc8(x)  # 1000
        return x


def main() -> None:
    """Print the modules and the parameters, and run one forward pass."""
    model = AlexNet().eval()
    print(model)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters")
    with torch.no_grad():
        output = model(torch.rand(1, 3, 227, 227))
    print(f"one random image in, {tuple(output.shape)} out")


if __name__ == "__main__":
    main()
