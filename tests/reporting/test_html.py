from __future__ import annotations

import builtins
import json
import re
from html import unescape
from html.parser import HTMLParser
from types import ModuleType

import pytest

from galenic.record.errors import InputError, MissingPackage
from galenic.record.quant import Arithmetic, QuantRule, QuantSpec
from galenic.record.report import ProbeOutcome, ProbeResult, Report
from galenic.reporting.html import render_html

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }}",
]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Elements, their attributes, their text outside scripts and styles, and the scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.unclosed: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.unclosed.append(tag)

    def handle_data(self, data: str) -> None:
        place = self.open[-1] if self.open else ""
        {"script": self.scripts, "style": self.styles}.get(place, []).append(data)
        if place not in ("script", "style"):
            self.text += data

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", self.text)


@pytest.fixture(scope="session")
def page(passing: Report) -> Page:
    return Page(render_html(passing))


def test_the_verdict_is_the_first_heading(page: Page, passing: Report) -> None:
    headings = [tag for tag, _ in page.elements if tag in ("h1", "h2", "h3")]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1
    assert passing.sentence in page.words
    assert page.words.index(passing.sentence) < page.words.index("The chain, step by step")


@pytest.mark.parametrize(
    "text",
    [
        "27× smaller",
        "14× faster",
        "1.68 MB",
        "44.7 MB",
        "0.344 ms",
        "0.385 ms",
        "91.8 %",
        "90.5–93.0 %",
        "0.961",
        "54 of 54",
        "53 of 54",
        "−2.9 to +0.5",
        "at most 5.0 points lost",
        "at least 0.930",
        "DeLong",
        "Not measured on the device",
        "Budget not measured on the device",
        "The teacher is better than the student alone",
        "was the teacher expected to help?",
        "Expected to help",
        "+0.059 (+0.047 to +0.071)",
        "both students after 3 epochs",
        "1,384",
        "features.0.0",
        "onnxruntime 1.31.1",
        "4 min 14 s",
        "3 train/test",
        "Evidence, not clearance",
        "Rows of the training split",
        "98.9 % equal decisions with its simulation",
        "Static, weights 8 bits per channel (some layers 4 bits), activations 8 bits, ranges by mse over 512 calibration",
        "ranges by min-max over 512 calibration cases",
        "The 3 layers that hurt less",
        "mse + bias correction3.1e-05",
        "2 dead of 16 channels",
    ],
)
def test_the_page_says(page: Page, text: str) -> None:
    assert text in page.words


def test_hashes_and_recipe_are_whole(page: Page, passing: Report) -> None:
    for digest in (passing.gate.split_hash, passing.task.content_hash, *(c.sha256 for c in passing.candidates)):
        assert digest in page.text
    start = page.text.index('{\n  "name": "lesions-demo"')
    recipe, _ = json.JSONDecoder().raw_decode(page.text[start:])
    assert recipe == json.loads(passing.recipe.model_dump_json(exclude_none=True))


def test_synthetic_data_are_said_to_be_so(page: Page, sample: ModuleType) -> None:
    assert "SYNTHETIC DATA" in page.words
    assert "SYNTHETIC DATA" not in Page(render_html(sample.failing())).words


def test_the_test_set_is_shown_for_the_chosen_file_and_the_reference_alone(passing: Report) -> None:
    html = render_html(passing)
    chain = html[html.index('<table class="chain">') : html.index("</table>", html.index('<table class="chain">'))]
    rows = chain.split("<tr")[3:]
    assert len(rows) == len(passing.candidates)
    empty = [row.count("<td>–</td>") for row in (re.sub(r">\s+–\s+<", ">–<", row) for row in rows)]
    assert empty == [0, 2, 2, 2, 2, 0]


def test_other_verdicts(sample: ModuleType) -> None:
    failing, undecided = Page(render_html(sample.failing())), Page(render_html(sample.undecided()))
    assert "Fail: with 97.5 % confidence" in failing.words
    assert "Budget missed: p90 latency" in failing.words
    assert "read 3 times" in failing.words
    assert "Inconclusive: these test cases cannot show" in undecided.words
    assert "no interval" in undecided.words
    assert "Device budget" not in undecided.words


def test_a_probe_that_warned_is_shown_and_one_that_was_left_out_has_no_numbers(sample: ModuleType) -> None:
    report = sample.failing()
    page = Page(render_html(report))
    assert "Expected to hurt" in page.words
    assert page.words.count(report.probe.sentence) == 2, "in the chain and to know before use"
    short = ProbeResult(outcome=ProbeOutcome.LEFT_OUT, sentence="The teacher was not probed.")
    bare = Page(render_html(report.model_copy(update={"probe": short, "notes": ()})))
    assert "Not probed" in bare.words
    assert "Teacher minus student alone" not in bare.words


def test_every_layer_is_drawn_with_its_bits_and_read_aloud(page: Page) -> None:
    labels = [str(a["aria-label"]) for _, a in page.elements if "depthwise" in str(a.get("aria-label"))]
    assert len(labels) == 15
    assert labels[0] == (
        "features.0.block.0.depthwise.conv: 8 bits 5.0e-04 nats (4.0e-04 to 6.0e-04), chosen; 4 bits 0.063 nats (0.050 to 0.076)"
    )
    assert labels[-1].endswith("(1.6e-05 to 2.4e-05), chosen")
    marks = [str(a["class"]) for _, a in page.elements if str(a.get("class")).startswith("bits")]
    assert (marks.count("bits"), marks.count("bits chosen")) == (15, 15)


def test_a_float_file_has_no_quantization_to_show(passing: Report) -> None:
    plain = tuple(c.model_copy(update={"quant": None}) for c in passing.candidates)
    page = Page(render_html(passing.model_copy(update={"candidates": plain})))
    assert "How the file was quantized" not in page.words
    assert "#quantization" not in {a.get("href") for _, a in page.elements}
    bare = tuple(
        c.model_copy(update={"quant": QuantSpec(rule=QuantRule(arithmetic=Arithmetic.DYNAMIC))})
        for c in passing.candidates
    )
    words = Page(render_html(passing.model_copy(update={"candidates": bare}))).words
    assert "dynamic, weights 8 bits per channel, activations 8 bits, ranges found in each call" in words
    assert "How the file was quantized" not in words


def test_every_class_stands_in_the_matrices(sample: ModuleType) -> None:
    report = sample.multi_class()
    page = Page(render_html(report))
    for name in report.task.classes:
        assert name in page.words


def test_a_report_with_no_extras_renders(passing: Report) -> None:
    bare = tuple(
        c.model_copy(update={"confusion": None, "parity": None, "quant": None, "integer_ops": None, "validation": {}})
        for c in passing.candidates
    )
    update = {"candidates": bare, "comparison": None, "probe": None, "budget": None, "notes": ()}
    update |= {"gate": passing.gate.model_copy(update={"checks": ()})}
    update |= {"reference": passing.reference.model_copy(update={"confusion": None})}
    page = Page(render_html(passing.model_copy(update=update)))
    assert "No check was declared" in page.words
    assert "nothing to plot" in page.words
    assert "no confusion matrix" in page.words
    assert page.scripts == []


def test_elements_are_closed(sample: ModuleType) -> None:
    for name in ("passing", "failing", "undecided", "multi_class"):
        page = Page(render_html(getattr(sample, name)()))
        assert page.open == []
        assert page.unclosed == []


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?:", "".join(page.styles))
    policies = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies
    assert "default-src 'none'" in str(policies[0])


def test_links_lead_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {str(a["href"])[1:] for tag, a in page.elements if tag == "a"}
    labels = {str(a["aria-labelledby"]) for _, a in page.elements if "aria-labelledby" in a}
    assert targets | labels <= set(ids)


def test_regions_and_columns_are_named(page: Page) -> None:
    for tag, attributes in page.elements:
        if "scroll" in str(attributes.get("class")).split():
            assert attributes.get("aria-label")
            assert attributes.get("tabindex") == "0"
        if tag == "th":
            assert attributes.get("scope") in ("col", "row", "colgroup")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(sample: ModuleType, name: str) -> None:
    page = Page(render_html(sample.hostile(name)))
    assert [a.get("type") for tag, a in page.elements if tag == "script"] == ["application/json", None, None]
    assert not any(tag == "img" for tag, _ in page.elements)
    assert page.unclosed == []
    assert page.text.count(name) > 20
    figure = json.loads(page.scripts[0])
    assert name in unescape(figure["data"][1]["hovertext"][0])


def test_a_missing_library_is_named(passing: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name == "plotly.offline":
            raise ImportError(name)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackage, match=r"plotly is not installed.*galenic\[forge\]"):
        render_html(passing)


def test_a_chosen_file_that_is_not_there_is_refused(passing: Report) -> None:
    with pytest.raises(InputError, match="ghost"):
        render_html(passing.model_copy(update={"chosen": "ghost"}))
