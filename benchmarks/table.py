"""The README's table of results, made from benchmarks/results: python benchmarks/table.py [--write]"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
MARKS = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.S)


def results(name: str) -> dict[str, Any]:
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text())["figures"] if path.exists() else {}


def interval(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def rows() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    medmnist, sisfall = results("medmnist"), results("sisfall")
    published = {"pneumoniamnist": (".944", ".854"), "breastmnist": (".901", ".863"), "retinamnist": (".717", ".524")}
    titles = {"pneumoniamnist": "PneumoniaMNIST, rebuilt", "breastmnist": "BreastMNIST", "retinamnist": "RetinaMNIST"}
    for name, (auc, accuracy) in published.items():
        if f"{name}.auc" in medmnist:
            kilobytes = f"{medmnist[f'{name}.size_bytes']['value'] / 1e3:.0f} KB"
            found.append(
                (
                    titles[name],
                    kilobytes,
                    interval(medmnist[f"{name}.auc"]),
                    auc,
                    interval(medmnist[f"{name}.accuracy"]),
                    accuracy,
                )
            )
    if sisfall:
        rule = sisfall["logistic.auc"]["value"], sisfall["logistic.accuracy"]["value"]
        size = f"{sisfall['size_bytes']['value'] / 1e3:.0f} KB"
        found.append(
            (
                "SisFall, by subject",
                size,
                interval(sisfall["auc"]),
                f"{rule[0]:.3f}",
                interval(sisfall["accuracy"]),
                f"{rule[1]:.3f}",
            )
        )
    return found


def table() -> str:
    lines = ["| data | INT8 file | AUC (95 %) | to beat | accuracy (95 %) | to beat |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows()]
    return "\n".join(lines) + "\n"


def readme_with_table() -> str:
    return MARKS.sub(lambda match: match[1] + table() + match[2], README.read_text())


if __name__ == "__main__":
    if "--write" in sys.argv:
        README.write_text(readme_with_table())
    print(table())
