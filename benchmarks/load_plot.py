"""Percentile curves of loads as an SVG file: how long which share of requests, or of tokens, waited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.report import percentile

PANEL_WIDTH, PANEL_HEIGHT = 300, 220
LEFT, TOP, GAP, BELOW = 60, 40, 70, 60
LINE_HEIGHT = 18
TICK_PERCENTS = (0, 50, 90)
NUM_TICKS = 4
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart by the colour-blind

Curves = Mapping[str, Sequence[float]]  # by the load, its values in seconds


def svg(title: str, panels: Mapping[str, Curves]) -> str:
    """A panel for each quantity, a curve for each load in it."""
    loads = list(dict.fromkeys(load for curves in panels.values() for load in curves))
    width = LEFT + len(panels) * (PANEL_WIDTH + GAP)
    height = TOP + PANEL_HEIGHT + BELOW + LINE_HEIGHT * len(loads)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(LEFT, 18, title, weight="bold"),
    ]
    for index, (name, curves) in enumerate(panels.items()):
        parts += _panel(LEFT + index * (PANEL_WIDTH + GAP), name, curves, loads)
    parts += _legend(loads)
    return "\n".join([*parts, "</svg>", ""])


def _panel(left: float, name: str, curves: Curves, loads: Sequence[str]) -> list[str]:
    longest = max((value for values in curves.values() for value in values), default=0.0) or 1.0
    parts = [_text(left, TOP - 6, f"{name}, s"), *_grid(left, longest)]
    for load, values in curves.items():
        if values:
            parts.append(_curve(left, values, longest, _colour(loads, load)))
    return parts


def _grid(left: float, longest: float) -> list[str]:
    parts = []
    for tick in range(NUM_TICKS + 1):
        y = _y(longest * tick / NUM_TICKS, longest)
        parts.append(_line(left, y, left + PANEL_WIDTH, y))
        parts.append(_text(left - 6, y + 4, f"{longest * tick / NUM_TICKS:.3g}", anchor="end"))
    for percent in TICK_PERCENTS:
        x = _x(left, percent)
        parts.append(_line(x, TOP, x, TOP + PANEL_HEIGHT))
        parts.append(_text(x, TOP + PANEL_HEIGHT + 16, f"{percent} %", anchor="middle"))
    return parts


def _curve(left: float, values: Sequence[float], longest: float, colour: str) -> str:
    points = [(_x(left, percent), _y(percentile(values, percent), longest)) for percent in range(101)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>'


def _legend(loads: Sequence[str]) -> list[str]:
    parts = []
    for index, load in enumerate(loads):
        y = TOP + PANEL_HEIGHT + BELOW - 16 + index * LINE_HEIGHT
        parts.append(_line(LEFT, y - 4, LEFT + 24, y - 4, _colour(loads, load), 2))
        parts.append(_text(LEFT + 32, y, load))
    return parts


def _colour(loads: Sequence[str], load: str) -> str:
    return COLOURS[loads.index(load) % len(COLOURS)]


def _x(left: float, percent: float) -> float:
    return left + PANEL_WIDTH * percent / 100


def _y(value: float, longest: float) -> float:
    return TOP + PANEL_HEIGHT * (1 - value / longest)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#dddddd", width: int = 1) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f"<text {place}>{escape(text)}</text>"
