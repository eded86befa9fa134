import xml.etree.ElementTree as ET

from benchmarks.load_plot import PANEL_HEIGHT, TOP, svg

SVG = "{http://www.w3.org/2000/svg}"


def test_each_load_has_a_curve_in_each_panel_and_a_name() -> None:
    curves = {"1 streams": [1.0, 2.0], "8 streams": [2.0, 4.0]}
    tree = ET.fromstring(svg("a <model>", {"first": curves, "second": curves}))
    polylines = tree.findall(f"{SVG}polyline")
    assert len(polylines) == 4
    assert len({line.get("stroke") for line in polylines}) == 2
    texts = [element.text for element in tree.findall(f"{SVG}text")]
    assert {"a <model>", "first, s", "second, s", "1 streams", "8 streams", "4"} <= set(texts)


def test_a_curve_rises_to_the_largest_value_of_its_panel() -> None:
    tree = ET.fromstring(svg("t", {"first": {"a": [1.0, 4.0], "b": [2.0]}}))
    heights = [
        [float(point.split(",")[1]) for point in (line.get("points") or "").split()]
        for line in tree.findall(f"{SVG}polyline")
    ]
    assert heights[0][0] == TOP + PANEL_HEIGHT * 0.75
    assert heights[0][-1] == TOP
    assert set(heights[1]) == {TOP + PANEL_HEIGHT / 2}


def test_a_load_without_values_has_no_curve() -> None:
    tree = ET.fromstring(svg("t", {"first": {"a": [], "b": [0.0]}}))
    assert len(tree.findall(f"{SVG}polyline")) == 1
