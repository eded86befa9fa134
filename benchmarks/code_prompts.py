"""A module of sixty lines, and requests to repeat it with a small change."""

from __future__ import annotations

MODULE = '''import json
from pathlib import Path


class Inventory:
    """Counts the goods in a shop and keeps them in a file."""

    def __init__(self, path):
        self.path = Path(path)
        self.items = {}
        if self.path.exists():
            self.load()

    def load(self):
        with self.path.open() as file:
            data = json.load(file)
        for name, entry in data.items():
            self.items[name] = entry

    def save(self):
        with self.path.open("w") as file:
            json.dump(self.items, file, indent=2)

    def add(self, name, count, price):
        if count < 0:
            raise ValueError("count must not be negative")
        entry = self.items.setdefault(name, {"count": 0, "price": price})
        entry["count"] += count
        entry["price"] = price
        self.save()

    def remove(self, name, count):
        entry = self.items.get(name)
        if entry is None:
            raise KeyError(name)
        if entry["count"] < count:
            raise ValueError("not enough in stock")
        entry["count"] -= count
        if entry["count"] == 0:
            del self.items[name]
        self.save()

    def total(self):
        result = 0.0
        for entry in self.items.values():
            result += entry["count"] * entry["price"]
        return result

    def report(self):
        lines = []
        for name, entry in sorted(self.items.items()):
            count, price = entry["count"], entry["price"]
            lines.append(f"{name:20} {count:6d} {price:8.2f}")
        lines.append(f"total {self.total():.2f}")
        return "\\n".join(lines)


if __name__ == "__main__":
    shop = Inventory("shop.json")
    shop.add("apple", 10, 0.5)
    shop.add("bread", 3, 2.25)
    print(shop.report())
'''

CHANGES = (
    "rename the class Inventory to Warehouse",
    "rename the method report to overview",
    "rename the variable price to cost",
)


def edit_prompts() -> list[str]:
    """One prompt for each change; a small model does not always get the change right, but it repeats."""
    return [
        f"Here is a Python module:\n\n```python\n{MODULE}```\n\n"
        f"Repeat the whole module, but {change}. Answer with the code only."
        for change in CHANGES
    ]
