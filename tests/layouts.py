"""One of the many ways in which the same data can be written as YAML, for property tests."""

from __future__ import annotations

import json
import random
from typing import Any

from archspec.source.editing import written


class Layout:
    """Writes data as YAML in one of the many ways that it can be written."""

    def __init__(self, random: random.Random) -> None:
        self.random = random

    def text(self, data: dict[str, Any]) -> str:
        text = "".join(f"{line}\n" for line in self.block(data, 0))
        if self.random.random() < 0.3:
            text = text.rstrip("\n")
        if self.random.random() < 0.3:
            text = text.replace("\n", "\r\n")
        return text

    def often(self, share: float) -> bool:
        return self.random.random() < share

    def scalar(self, value: Any) -> str:
        if not isinstance(value, str):
            return written(value)
        if value.isidentifier() and self.often(0.5):
            return value
        if self.often(0.5):
            return "'" + value.replace("'", "''") + "'"
        return json.dumps(value, ensure_ascii=False)

    def comment(self, before: str = "  ") -> str:
        return self.random.choice(["", "", "", f"{before}# größer, [nicht}}", f"{before}# x: 1"])

    def block(self, data: dict[str, Any] | list[Any], indent: int) -> list[str]:
        lines = []
        pairs = data.items() if isinstance(data, dict) else enumerate(data)
        for key, value in pairs:
            if self.often(0.15):
                lines.append(" " * indent + "# a line of its own")
            if self.often(0.1):
                lines.append("")
            head = f"{self.scalar(key)}:" if isinstance(data, dict) else "-"
            if isinstance(value, (dict, list)) and value and self.often(0.6):
                inner = self.block(value, indent + 2)
                if head == "-" and not inner[0].lstrip().startswith("#") and inner[0].strip():
                    lines.append(" " * indent + "- " + inner[0].lstrip())
                    inner = inner[1:]
                else:
                    lines.append(" " * indent + head + self.comment())
                lines += inner
            else:
                shown = self.flow(value, indent + 4)
                space = " " * self.random.choice([1, 1, 3])
                lines += (" " * indent + head + space + shown + self.comment("\t")).split("\n")
        return lines

    def flow(self, value: Any, indent: int) -> str:
        if not isinstance(value, (dict, list)):
            return self.scalar(value)
        items = (
            [f"{self.scalar(key)}: {self.flow(item, indent)}" for key, item in value.items()]
            if isinstance(value, dict)
            else [self.flow(item, indent) for item in value]
        )
        broken = self.often(0.3)
        text = ""
        for number, item in enumerate(items):
            if broken and self.often(0.7):
                comment = "" if text and not text.endswith(",") else self.comment()
                text = f"{text.rstrip()}{comment}\n{' ' * indent}"
            text += item
            if number + 1 < len(items) or self.often(0.1):
                text += "," if broken else self.random.choice([", ", ",  ", " , "])
                text += " " if broken else ""
        if broken and self.often(0.5):
            text = f"{text.rstrip()}\n{' ' * indent}"
        opened, closed = "{}" if isinstance(value, dict) else "[]"
        return f"{opened}{text}{closed}"
