"""What a category's covers tend to look like: palette, compositions and lettering."""

from __future__ import annotations

from dataclasses import dataclass

from slotwise.sources.demo.categories import CATEGORIES


@dataclass(frozen=True)
class Style:
    """Tendencies only: every cover departs from them by chance.

    Hues are in degrees; saturation and brightness from 0 to 1; `letters` is the title's height as a share of the width.
    """

    hue: float
    accent: float
    saturation: float
    brightness: float
    compositions: tuple[str, str]
    letters: float
    upper: bool
    at: str
    """Where the title stands: top, middle or bottom."""


_STYLES = (
    Style(220, 40, 0.45, 0.30, ("skyline", "disc"), 0.14, True, "top"),
    Style(48, 330, 0.80, 0.95, ("dots", "star"), 0.17, False, "top"),
    Style(275, 50, 0.40, 0.45, ("cross", "rings"), 0.11, False, "middle"),
    Style(30, 0, 0.40, 0.55, ("frame", "bands"), 0.12, True, "middle"),
    Style(28, 210, 0.15, 0.85, ("portrait", "frame"), 0.13, False, "bottom"),
    Style(212, 20, 0.75, 0.70, ("diagonals", "columns"), 0.15, True, "top"),
    Style(175, 95, 0.60, 0.25, ("grid", "columns"), 0.12, True, "bottom"),
    Style(5, 55, 0.70, 0.65, ("bands", "diagonals"), 0.15, True, "middle"),
    Style(115, 25, 0.70, 0.80, ("star", "leaves"), 0.16, False, "bottom"),
    Style(195, 300, 0.55, 0.18, ("rings", "dots"), 0.11, True, "top"),
    Style(310, 180, 0.45, 0.75, ("disc", "waves"), 0.13, False, "middle"),
    Style(150, 350, 0.25, 0.95, ("leaves", "waves"), 0.12, False, "top"),
    Style(18, 110, 0.60, 0.92, ("plate", "disc"), 0.15, False, "bottom"),
    Style(200, 35, 0.50, 0.90, ("mountains", "waves"), 0.15, True, "top"),
    Style(60, 140, 0.12, 0.92, ("leaves", "bands"), 0.09, False, "middle"),
    Style(10, 220, 0.85, 0.85, ("diagonals", "star"), 0.17, True, "bottom"),
    Style(85, 230, 0.45, 0.80, ("columns", "plate"), 0.13, False, "top"),
    Style(340, 200, 0.30, 0.92, ("portrait", "dots"), 0.13, False, "top"),
    Style(230, 0, 0.65, 0.40, ("skyline", "bands"), 0.15, True, "middle"),
    Style(40, 170, 0.55, 0.75, ("grid", "leaves"), 0.14, False, "bottom"),
    Style(0, 45, 0.05, 0.20, ("rings", "frame"), 0.10, False, "bottom"),
    Style(55, 10, 0.95, 0.98, ("star", "grid"), 0.19, True, "bottom"),
    Style(250, 70, 0.20, 0.70, ("columns", "frame"), 0.10, False, "middle"),
    Style(345, 60, 0.65, 0.50, ("disc", "grid"), 0.11, True, "bottom"),
)

STYLES: dict[str, Style] = dict(zip(CATEGORIES, _STYLES, strict=True))
