"""The README's tables of results, made from benchmarks/results: python benchmarks/table.py [--write]"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
DISTILLATION = (
    ("MNIST, 2 x 800 units, test errors: labels alone", "hinton_mnist", "plain.errors", "146 (Hinton)"),
    ("the same, distilled at T = 20 on moved views", "hinton_mnist", "distilled.errors", "74 (Hinton)"),
    ("threes right by a net that never saw one", "hinton_mnist", "omitted3.recall_of_3", "0.986 (Hinton)"),
    ("HAM10000-64, own lesion split, gain in macro AUC: soft targets", "ham_distillation", "kd.gain", "0"),
    ("the same with attention transfer", "ham_distillation", "kd_at.gain", "0"),
    ("the same, three teachers, learned attention", "ham_distillation", "multi_attention.gain", "0"),
    ("CIFAR-10, JPEG copy, ResNet-8 of 78,042 parameters, accuracy", "cifar_distillation", "resnet8.accuracy", "0.85"),
    ("the same as an INT8 file", "cifar_distillation", "resnet8.int8.accuracy", "0.85"),
    ("BUSI, part of the lesion in the top 20 % of attention: teacher", "busi_attention", "teacher.overlap", ""),
    ("the same: student alone", "busi_attention", "plain.overlap", ""),
    ("the same: student with soft targets and attention transfer", "busi_attention", "attention.overlap", ""),
    ("what attention transfer added to the student alone, paired", "busi_attention", "attention.gain.overlap", "0"),
    ("the same in the pointing game", "busi_attention", "attention.gain.pointing_game", "0"),
    ("throughput, cached over live teacher (ResNet-18)", "distillation_throughput", "cached_over_live.resnet18", "2.5"),
    ("the same (ResNet-50)", "distillation_throughput", "cached_over_live.resnet50", "5"),
)


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


def distillation() -> str:
    """What each distillation benchmark reached, of those whose results are here."""
    lines = ["| what | measured (95 %) | to reach |", "|---|---|---|"]
    for title, name, key, wanted in DISTILLATION:
        found = results(name).get(key)
        if found is not None:
            lines.append(f"| {title} | {short(found)} | {wanted} |")
    return "\n".join(lines) + "\n"


def short(figure: dict[str, Any]) -> str:
    if figure["unit"] == "errors":
        return f"{figure['value']:.1f} ({figure['low']:.0f} to {figure['high']:.0f})"
    return interval(figure)


def readme_with_table() -> str:
    text = README.read_text()
    for mark, made in {"results": table, "distillation": distillation}.items():
        between = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.S)
        text = between.sub(lambda match, made=made: match[1] + made() + match[2], text)
    return text


if __name__ == "__main__":
    if "--write" in sys.argv:
        README.write_text(readme_with_table())
    print(table())
    print(distillation())
