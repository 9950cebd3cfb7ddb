"""heads in PyTorch.

Written by archspec VERSION from the spec heads
(sha256 56b9462ed8bcf625bbd12741dba8993bac658766d5a811fd35585ed9cf659e57).
Input: N x 3 x 9 x 9. Output: N x 5.
"""

import torch
from torch import nn


class GlobalAvgPool2d(nn.Module):
    """The mean of each channel."""

    def __init__(self, keep_dims: bool = False) -> None:
        super().__init__()
        self.keep_dims = keep_dims

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3), keepdim=self.keep_dims)


class Add(nn.Module):
    """The sum of the inputs."""

    def forward(self, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        for other in others:
            first = first + other
        return first


class Heads(nn.Module):
    """3 x 9 x 9 in, 5 out."""

    def __init__(self) -> None:
        super().__init__()

        self.stem = nn.Module()
        self.stem.conv = nn.Conv2d(3, 6, kernel_size=3, padding=1, bias=False)
        self.stem.relu = nn.ReLU(inplace=True)

        self.body = nn.Module()
        block = self.body.block1 = nn.Module()
        block.first = nn.Module()
        block.first.conv = nn.Conv2d(6, 6, kernel_size=3, padding=1, bias=False)
        block.first.norm = nn.BatchNorm2d(6, eps=0.001, momentum=0.1)
        block.first.relu = nn.ReLU(inplace=True)
        block.second = nn.Module()
        block.second.conv = nn.Conv2d(6, 6, kernel_size=3, padding=1, bias=False)
        block.second.norm = nn.BatchNorm2d(6, eps=0.001, momentum=0.1)
        block.second.relu = nn.ReLU(inplace=True)
        block.add = Add()

        self.aux1 = nn.Module()
        self.aux1.pool = GlobalAvgPool2d()
        self.aux1.fc = nn.Linear(6, 5)

        block = self.body.block2 = nn.Module()
        block.first = nn.Module()
        block.first.conv = nn.Conv2d(6, 6, kernel_size=3, padding=1, bias=False)
        block.first.norm = nn.BatchNorm2d(6, eps=0.001, momentum=0.1)
        block.first.relu = nn.ReLU(inplace=True)
        block.second = nn.Module()
        block.second.conv = nn.Conv2d(6, 6, kernel_size=3, padding=1, bias=False)
        block.second.norm = nn.BatchNorm2d(6, eps=0.001, momentum=0.1)
        block.second.relu = nn.ReLU(inplace=True)
        block.add = Add()

        block = self.aux2 = nn.Module()
        block.conv = nn.Conv2d(6, 4, kernel_size=1, bias=False)
        block.norm = nn.BatchNorm2d(4, eps=0.001, momentum=0.1)
        block.relu = nn.ReLU(inplace=True)
        block.flatten = nn.Flatten()
        block.fc = nn.Linear(324, 5)

        block = self.body.block3 = nn.Module()
        block.first = nn.Module()
        block.first.conv = nn.Conv2d(6, 6, kernel_size=3, padding=1, bias=False)
        block.first.norm = nn.BatchNorm2d(6, eps=0.001, momentum=0.1)
        block.first.relu = nn.ReLU(inplace=True)
        block.second = nn.Module()
        block.second.conv = nn.Conv2d(6, 6, kernel_size=3, padding=1, bias=False)
        block.second.norm = nn.BatchNorm2d(6, eps=0.001, momentum=0.1)
        block.second.relu = nn.ReLU(inplace=True)
        block.add = Add()

        block = self.body.block4 = nn.Module()
        block.first = nn.Module()
        block.first.conv = nn.Conv2d(6, 6, kernel_size=3, padding=1, bias=False)
        block.first.norm = nn.BatchNorm2d(6, eps=0.001, momentum=0.1)
        block.first.relu = nn.ReLU(inplace=True)
        block.second = nn.Module()
        block.second.conv = nn.Conv2d(6, 6, kernel_size=3, padding=1, bias=False)
        block.second.norm = nn.BatchNorm2d(6, eps=0.001, momentum=0.1)
        block.second.relu = nn.ReLU(inplace=True)
        block.add = Add()

        self.pool = GlobalAvgPool2d()
        self.early = nn.Linear(6, 5)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(5, 5)

        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        for layer in (
            self.stem.conv,
            self.body.block1.first.conv,
            self.body.block1.second.conv,
            self.body.block2.first.conv,
            self.body.block2.second.conv,
            self.aux2.conv,
            self.body.block3.first.conv,
            self.body.block3.second.conv,
            self.body.block4.first.conv,
            self.body.block4.second.conv,
        ):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        for layer in (self.aux1.fc, self.aux2.fc, self.early, self.fc):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.normal_(layer.bias, std=0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Compute the output, in training followed by the auxiliary outputs.

        Their losses are added to that of the output, multiplied by
        aux1.fc: 0.3
        aux2.fc: 0.5
        early: 1.0
        """
        x = self.stem.conv(x)  # 6 x 9 x 9
        relu = self.stem.relu(x)  # 6 x 9 x 9

        block = self.body.block1
        x = block.first.conv(relu)  # 6 x 9 x 9
        x = block.first.norm(x)  # 6 x 9 x 9
        x = block.first.relu(x)  # 6 x 9 x 9
        x = block.second.conv(x)  # 6 x 9 x 9
        x = block.second.norm(x)  # 6 x 9 x 9
        x = block.second.relu(x)  # 6 x 9 x 9
        add = block.add(x, relu)  # 6 x 9 x 9

        if self.training:
            x = self.aux1.pool(add)  # 6
            aux1_fc = self.aux1.fc(x)  # 5

        block = self.body.block2
        x = block.first.conv(add)  # 6 x 9 x 9
        x = block.first.norm(x)  # 6 x 9 x 9
        x = block.first.relu(x)  # 6 x 9 x 9
        x = block.second.conv(x)  # 6 x 9 x 9
        x = block.second.norm(x)  # 6 x 9 x 9
        x = block.second.relu(x)  # 6 x 9 x 9
        add = block.add(x, add)  # 6 x 9 x 9

        if self.training:
            block = self.aux2
            x = block.conv(add)  # 4 x 9 x 9
            x = block.norm(x)  # 4 x 9 x 9
            x = block.relu(x)  # 4 x 9 x 9
            x = block.flatten(x)  # 324
            aux2_fc = block.fc(x)  # 5

        block = self.body.block3
        x = block.first.conv(add)  # 6 x 9 x 9
        x = block.first.norm(x)  # 6 x 9 x 9
        x = block.first.relu(x)  # 6 x 9 x 9
        x = block.second.conv(x)  # 6 x 9 x 9
        x = block.second.norm(x)  # 6 x 9 x 9
        x = block.second.relu(x)  # 6 x 9 x 9
        add = block.add(x, add)  # 6 x 9 x 9

        block = self.body.block4
        x = block.first.conv(add)  # 6 x 9 x 9
        x = block.first.norm(x)  # 6 x 9 x 9
        x = block.first.relu(x)  # 6 x 9 x 9
        x = block.second.conv(x)  # 6 x 9 x 9
        x = block.second.norm(x)  # 6 x 9 x 9
        x = block.second.relu(x)  # 6 x 9 x 9
        x = block.add(x, add)  # 6 x 9 x 9

        x = self.pool(x)  # 6
        early = self.early(x)  # 5
        x = self.relu(early)  # 5
        x = self.fc(x)  # 5

        if self.training:
            return x, aux1_fc, aux2_fc, early
        return x


def main() -> None:
    """Print the modules and the parameters, and run one forward pass."""
    model = Heads().eval()
    print(model)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters")
    with torch.no_grad():
        output = model(torch.rand(1, 3, 9, 9))
    print(f"one random image in, {tuple(output.shape)} out")


if __name__ == "__main__":
    main()
