"""Ratios as horizontal bars on a logarithmic scale, a mark where the goal is; readable on light and dark pages."""
import html, math, re, textwrap

STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #1f2328 } .small { font-size: 10px; fill: #59636e }
.met { fill: #1a7f37 } .lost { fill: #bc4c00 } .open { fill: #0969da } line { stroke: #59636e } .goal { stroke: #1f2328; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 } .met { fill: #3fb950 } .lost { fill: #db6d28 } .open { fill: #4493f8 }
  line { stroke: #9198a1 } .goal { stroke: #f0f6fc }
}
</style>"""


def plain(text):
    """Without Markdown's marks, and without what stands after a colon."""
    return html.escape(re.sub(r"[*`]", "", text.split(":")[0]))


def chart(rows, machine, width=900, left=480, step=22):
    """`rows`: each with work, beside, ratio, and goal or None."""
    top = max(max(row.ratio, row.goal or 0) for row in rows) * 1.1
    low = min(0.5, min(row.ratio for row in rows) * 0.9)
    place = lambda ratio: left + (width - left - 50) * math.log(ratio / low) / math.log(top / low)
    foot = textwrap.wrap("Bars: times as fast as the peer. Green: goal (upright mark) met; orange: not met; blue: no goal. "
                         + machine, 170)
    bottom = 34 + step * len(rows)
    height = bottom + 14 * len(foot) + 6
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
           f'aria-label="How many times as fast as each peer">', STYLE]
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100):
        if low <= tick <= top:
            x = place(tick)
            out.append(f'<line x1="{x:.1f}" y1="22" x2="{x:.1f}" y2="{bottom - 6}" stroke-width="{2 if tick == 1 else 0.4}"/>')
            out.append(f'<text class="small" x="{x:.1f}" y="16" text-anchor="middle">{tick:g}×</text>')
    for i, row in enumerate(rows):
        y, x, start = 28 + step * i, place(row.ratio), place(1)
        kind = "open" if row.goal is None else "met" if row.ratio >= row.goal else "lost"
        out.append(f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{plain(row.work)} / {plain(row.beside)}</text>')
        out.append(f'<rect class="{kind}" x="{min(x, start):.1f}" y="{y}" width="{max(1, abs(x - start)):.1f}" height="14"/>')
        if row.goal:
            goal = place(row.goal)
            out.append(f'<line class="goal" x1="{goal:.1f}" y1="{y - 2}" x2="{goal:.1f}" y2="{y + 16}"/>')
        # Beside the bar's right end, and beside a goal's mark that stands there.
        at = max(x, start, goal if row.goal and 0 < place(row.goal) - max(x, start) < 34 else 0)
        out.append(f'<text x="{at + 6:.1f}" y="{y + 11}">{row.ratio:.2f}</text>')
    for i, line in enumerate(foot):
        out.append(f'<text class="small" x="8" y="{bottom + 10 + 14 * i}">{html.escape(line)}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
