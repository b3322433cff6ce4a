"""A result as one HTML page with inline SVG, from the result alone. All names are escaped."""

from __future__ import annotations

import math
from html import escape

from .result import Result, Runs, interval

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 220, 64, 28
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5")
MOST_LINES = 24
STYLE = """body{font:15px/1.45 system-ui,sans-serif;max-width:720px;margin:2em auto;color:#222}
table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right}
td:first-child,th:first-child{text-align:left}tr+tr{border-top:1px solid #ddd}
svg text{font:11px system-ui,sans-serif;fill:#555}h2{margin-top:1.6em}"""


def page(result: Result) -> str:
    name = escape(str(result.data["name"]))
    parts = [f"<h1>drmad: {name}</h1>", _runs(result), "<h2>Health</h2><ul>"]
    parts += [f"<li>{escape(h)}</li>" for h in result.health]
    parts.append("</ul>" + _path(result))
    for kind, values in result.values.items():
        parts.append(_kind(kind, values))
    head = f'<meta charset="utf-8"><title>drmad: {name}</title><style>{STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>"


def _number(x: float, digits: int = 4) -> str:
    return f"{x:.{digits}g}" if math.isfinite(x) else "&ndash;"


def _plus_minus(x: list[float], factor: float = 1) -> str:
    mean, half = interval([factor * v for v in x])
    return _number(mean) + (f" &plusmn; {_number(half, 2)}" if math.isfinite(half) else "")


def _runs(result: Result) -> str:
    rows = ""
    for r in (result.tuned, result.start, result.random_search):
        if isinstance(r, Runs):
            cells = [escape(r.name.replace("_", " ")), _plus_minus(r.test_loss)]
            cells += [_plus_minus(r.test_error, 100), f"{r.finite} of {len(r.test_loss)}"]
            rows += "<tr>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"
    if not rows:
        return "<p>Nothing was retrained.</p>"
    gain, half = result.gain
    note = f"<p>Tuning lowers the test loss by {_number(gain)} &plusmn; {_number(half, 2)}."
    note += " &plusmn; is half of a 95&nbsp;% interval over seeds.</p>"
    head = "<tr><th>trained from scratch<th>test loss<th>test error %<th>finite</tr>"
    return f"<table>{head}{rows}</table>{note}"


def _path(result: Result) -> str:
    path = [m for m in result.run.get("path", []) if m.get("objective") is not None]
    if len(path) < 2:
        return ""
    line = [(m["step"], m["objective"]) for m in path]
    best = [(m["step"], m["best"]) for m in path if m.get("best") is not None]
    title = "<h2>Objective by meta-step</h2>"
    return title + plot({"objective": line, "best so far": best}, log=False)


def _kind(kind: str, values) -> str:
    title = f"<h2>{escape(kind)}</h2>"
    if not isinstance(values, dict):
        x = values.flatten().sort().values
        spots = [(100 * i / max(1, len(x) - 1), float(v)) for i, v in enumerate(x)]
        return title + "<p>Values in order, in % of all.</p>" + plot({kind: _thin(spots)}, False)
    lines = {}
    for name, v in list(values.items())[:MOST_LINES]:
        rows = v.reshape(len(v), -1).median(1).values.tolist()
        lines[name] = [(k, x) for k, x in enumerate(rows)] + [(len(rows), rows[-1])]
    more = len(values) - len(lines)
    note = "<p>Medians of each parameter's values, by phase."
    note += f" {more} more are not drawn.</p>" if more > 0 else "</p>"
    return title + note + plot(lines, log=True, steps=True)


def _thin(spots: list, most: int = 400) -> list:
    return spots[:: max(1, len(spots) // most)]


def plot(lines: dict[str, list], log: bool, steps: bool = False) -> str:
    """An SVG of named lines of (x, y); log: y on a logarithmic scale where all is positive."""
    spots = [s for line in lines.values() for s in line if math.isfinite(s[1])]
    if not spots:
        return ""
    log = log and min(y for _, y in spots) > 0
    scale = math.log10 if log else float
    xs, ys = [x for x, _ in spots], [scale(y) for _, y in spots]
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    if x1 == x0:
        x1 = x0 + 1
    if y1 - y0 < 1e-9 * max(1.0, abs(y1)):
        y0, y1 = y0 - 0.5, y1 + 0.5

    def at(x: float, y: float) -> tuple[float, float]:
        u, v = (x - x0) / (x1 - x0), (scale(y) - y0) / (y1 - y0)
        return LEFT + u * (WIDTH - LEFT - 8), HEIGHT - BOTTOM - v * (HEIGHT - BOTTOM - 8)

    body = ""
    for i, (name, line) in enumerate(lines.items()):
        body += _line(at, name, line, COLOURS[i % len(COLOURS)], steps)
    for k in range(4):
        v = y0 + (y1 - y0) * k / 3
        y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 8) * k / 3
        body += f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
        body += f"{10**v if log else v:.3g}</text>"
    for x in (x0, x1):
        body += f'<text x="{at(x, spots[0][1])[0]:.1f}" y="{HEIGHT - 8}" '
        body += f'text-anchor="{"start" if x == x0 else "end"}">{x:.4g}</text>'
    box = f'<rect x="{LEFT}" y="8" width="{WIDTH - LEFT - 8}" height="{HEIGHT - BOTTOM - 8}" '
    box += 'fill="none" stroke="#ccc"/>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="100%">{box}{body}</svg>{_legend(lines)}'


def _line(at, name: str, line: list, colour: str, steps: bool) -> str:
    d, last = "", None
    for x, y in line:
        if not math.isfinite(y):
            last = None
            continue
        px, py = at(x, y)
        if last is not None and steps:
            d += f"H{px:.1f}"
        d += f"{'L' if last is not None else 'M'}{px:.1f} {py:.1f}"
        last = px
    title = f"<title>{escape(name)}</title>"
    return f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="1.6">{title}</path>'


def _legend(lines: dict) -> str:
    spans = (
        f'<span style="color:{COLOURS[i % len(COLOURS)]}">&#9632;</span> {escape(n)}'
        for i, n in enumerate(lines)
    )
    return "<p>" + " &ensp; ".join(spans) + "</p>"
