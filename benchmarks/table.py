"""The tables of the README and docs/runtime_matrix.md, made from benchmarks/results: python benchmarks/table.py [--write]"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
MATRIX = HERE.parent / "docs" / "runtime_matrix.md"
PRECISIONS = ("float32", "float16", "int8", "int4")
DISTILLATION = (
    ("MNIST, 2 x 800 units, test errors: labels alone", "hinton_mnist", "plain.errors", "146 (Hinton)"),
    ("the same, distilled at T = 20 on moved views", "hinton_mnist", "distilled.errors", "74 (Hinton)"),
    ("threes right by a net that never saw one", "hinton_mnist", "omitted3.recall_of_3", "0.986 (Hinton)"),
    (
        "HAM10000-64, own lesion split, gain in macro AUC: adaptive features (best on validation)",
        "ham_distillation",
        "feature_adaptive.gain",
        "0",
    ),
    ("the same: soft targets", "ham_distillation", "kd.gain", "0"),
    ("the same: DKD", "ham_distillation", "dkd.gain", "0"),
    ("the same: soft targets with attention transfer", "ham_distillation", "kd_at.gain", "0"),
    ("the same: three teachers, learned attention", "ham_distillation", "multi_attention.gain", "0"),
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
RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "litert": "LiteRT", "executorch": "ExecuTorch"}
QUANTIZATION = (
    *(
        (
            f"ResNet-18 at 224 px, INT8, {title}: times as fast as float",
            "int8_speed",
            f"resnet18_224.{name}.speedup",
            "3.3",
        )
        for name, title in RUNTIMES.items()
    ),
    *(
        (f"INT8, mean change of accuracy over 8 nets, {title}", "int8_matrix", f"mean.{name}.accuracy_change", "-0.003")
        for name, title in RUNTIMES.items()
    ),
    (
        "W4A8 by aware training, MobileNetV3-small, change of accuracy",
        "int4",
        "mobilenet_v3_small.qat.accuracy_change",
        "-0.01",
    ),
    ("the same file / its float file, bytes", "int4", "mobilenet_v3_small.size_ratio", "0.22"),
    ("mixed precision over uniform at the size of 3 bits", "mixed_precision", "w3.gain", "0"),
    *(
        (f"accuracy over the peer's quantizer, {title}", "quantization_peers", f"{name}.accuracy_gain", "-0.005")
        for name, title in RUNTIMES.items()
    ),
    ("calibration: seconds grow with the rows to the power of", "calibration", "exponent.rows", "1"),
    ("the same with the layers", "calibration", "exponent.layers", "1"),
)

DEVICES = (
    ("fall net in C, Cortex-M4: flash, bytes", "fall_mcu", "flash_bytes", "20480"),
    ("the same: RAM, bytes", "fall_mcu", "ram_bytes", "16384"),
    ("the same: AUC against its float net", "fall_mcu", "auc_change", "-0.005"),
    ("the same: logits within one step of TFLite Micro's", "fall_mcu", "within_1_step", "0.99"),
    ("the same: false alarms a day, from 3 h of daily activity", "fall_mcu", "false_alarms_per_day", ""),
    ("`galenic bench`: added to a runtime's raw call, microseconds", "bench_overhead", "microseconds", "20"),
    ("MobileNetV3-small at 224 px in Chromium, LiteRT.js: median ms", "web", "litert.p50_ms", ""),
    ("the same, ONNX Runtime Web", "web", "onnxruntime.p50_ms", ""),
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


def reached(wanted_figures: Sequence[tuple[str, str, str, str]]) -> str:
    """What each of these reached, of those whose results are here."""
    lines = ["| what | measured (95 %) | to reach |", "|---|---|---|"]
    for title, name, key, wanted in wanted_figures:
        found = results(name).get(key)
        if found is not None:
            lines.append(f"| {title} | {short(found)} | {wanted} |")
    return "\n".join(lines) + "\n"


def short(figure: dict[str, Any]) -> str:
    if figure["unit"] == "errors":
        return f"{figure['value']:.1f} ({figure['low']:.0f} to {figure['high']:.0f})"
    if figure["unit"] == "bytes":
        return f"{figure['value']:,.0f} ({figure['low']:,.0f} to {figure['high']:,.0f})"
    return interval(figure)


def matrix() -> str:
    """Every model in every runtime: one row each, one column a precision."""
    found = results("runtime_matrix")
    cells = list(dict.fromkeys(tuple(key.split(".")[:2]) for key in found))
    lines = []
    for model in dict.fromkeys(model for model, _ in cells):
        lines += [f"### {model}", "", f"| runtime | {' | '.join(PRECISIONS)} |", "|---|---|---|---|---|"]
        for runtime in (runtime for one, runtime in cells if one == model):
            told = (cell(found, f"{model}.{runtime}.{precision}") for precision in PRECISIONS)
            lines.append(f"| {runtime} | {' | '.join(told)} |")
        lines.append("")
    return "\n".join(lines)


def cell(found: dict[str, Any], key: str) -> str:
    """Size (of what is stored, where the file is source text), agreement, accuracy, p90 and times float32; or the reason."""

    def value(name: str) -> Any:
        return found[f"{key}.{name}"]["value"] if f"{key}.{name}" in found else None

    parts = []
    if (size := value("stored_bytes") or value("size_bytes")) is not None:
        parts.append(f"{size / 1e3:,.0f} KB")
    if (agreement := value("agreement")) is not None:
        parts.append(f"{agreement * 100:.1f} %, {value('accuracy'):.3f}")
    if (p90 := value("p90_ms")) is not None:
        times = value("speedup")
        parts.append(f"{p90:.2f} ms" + (f", {times:.2f} ×" if times is not None else ""))
    if (why := value("reason")) is not None:
        parts.append(f"*{why}*")
    return "; ".join(parts)


def with_tables(document: Path) -> str:
    """The document with what stands between its marks made anew."""
    text = document.read_text()
    made = {
        "results": table(),
        "distillation": reached(DISTILLATION),
        "quantization": reached(QUANTIZATION),
        "devices": reached(DEVICES),
        "matrix": matrix(),
    }
    for mark, lines in made.items():
        between = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.S)
        text = between.sub(lambda match, lines=lines: match[1] + lines + match[2], text)
    return text


if __name__ == "__main__":
    if "--write" in sys.argv:
        for document in (README, MATRIX):
            document.write_text(with_tables(document))
    for lines in (table(), reached(DISTILLATION), reached(QUANTIZATION), reached(DEVICES), matrix()):
        print(lines)
