"""Ratios as horizontal bars on a logarithmic scale, a mark where the goal is; readable on light and dark pages."""
import html, math

STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #1f2328 } .small { font-size: 10px; fill: #59636e }
.met { fill: #1a7f37 } .lost { fill: #bc4c00 } .open { fill: #0969da } line { stroke: #59636e } .goal { stroke: #1f2328; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 } .met { fill: #3fb950 } .lost { fill: #db6d28 } .open { fill: #4493f8 }
  line { stroke: #9198a1 } .goal { stroke: #f0f6fc }
}
</style>"""


def chart(table, machine, width=900, left=390, step=22):
    """`table`: rows of (work, peer, the peer's figure, ours, ratio, goal or None)."""
    top = max(max(row[4] for row in table), max(row[5] or 0 for row in table)) * 1.1
    low = min(0.5, min(row[4] for row in table))
    place = lambda ratio: left + (width - left - 60) * math.log(ratio / low) / math.log(top / low)
    height = 60 + step * len(table)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
           f'aria-label="How many times as fast as each peer">', STYLE]
    for tick in [0.5, 1, 2, 5, 10, 20, 50]:
        if low <= tick <= top:
            x = place(tick)
            out.append(f'<line x1="{x:.1f}" y1="22" x2="{x:.1f}" y2="{height - 32}" stroke-width="{2 if tick == 1 else 0.4}"/>')
            out.append(f'<text class="small" x="{x:.1f}" y="16" text-anchor="middle">{tick:g}×</text>')
    for i, (work, peer, _, _, ratio, goal) in enumerate(table):
        y, x, start = 28 + step * i, place(ratio), place(1)
        kind = "open" if goal is None else "met" if ratio >= goal else "lost"
        out.append(f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{html.escape(work)} / {html.escape(peer[:28])}</text>')
        out.append(f'<rect class="{kind}" x="{min(x, start):.1f}" y="{y}" width="{max(1, abs(x - start)):.1f}" height="14"/>')
        out.append(f'<text x="{max(x, start) + 6:.1f}" y="{y + 11}">{ratio:.2f}</text>')
        if goal:
            out.append(f'<line class="goal" x1="{place(goal):.1f}" y1="{y - 2}" x2="{place(goal):.1f}" y2="{y + 16}"/>')
    out.append(f'<text class="small" x="8" y="{height - 10}">green: goal (black mark) met; orange: not met; blue: no goal. {html.escape(machine)[:140]}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
