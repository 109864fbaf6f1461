"""A plan in words: one line of facts, and what each part of its picture is.

In: a `Plan`. Out: short texts, the same under every picture of it.
"""

from collections import Counter

from vtok.quantities import counted
from vtok.report.cut_frame import CutFrame
from vtok.resolution import Plan, View


def facts_line(plan: Plan) -> str:
    """Return size, scheme, grid, views and tokens of a plan."""
    parts = [str(plan.size), plan.scheme]
    if plan.grid is not None:
        parts.append(f"grid {plan.grid}")
    parts.append(counted(plan.num_views, "view"))
    parts.append(tokens_text(plan))
    return " · ".join(parts)


def tokens_text(plan: Plan) -> str:
    """Return the tokens of a plan; `~` before estimates, cross-attention told apart."""
    text = ("" if plan.exact else "~") + counted(plan.num_tokens, "token")
    cross = plan.num_cross_attention_tokens
    return f"{text} + {cross:,} by cross-attention" if cross else text


def view_lines(plan: Plan) -> list[str]:
    """Return a line for every kind of view: how many, of what size, of how many tokens each."""
    kinds = Counter(
        (view.role, str(view.size), view_tokens(view))
        for view in plan.views
        if not view.box.is_empty
    )
    return [
        f"{counted(count, role) if role in ('tile', 'crop') else role} {size}, {tokens}"
        + (" each" if count > 1 else "")
        for (role, size, tokens), count in kinds.items()
    ]


def view_tokens(view: View) -> str:
    """Return the vectors of a view, and their rows and columns where they form a rectangle."""
    if not view.num_tokens:
        return "billed as a whole"
    grid = f" ({view.token_grid})" if view.token_grid is not None else ""
    return counted(view.num_tokens, "token") + grid


def padding_words(frame: CutFrame) -> str:
    """Return what the hatched parts of a picture are."""
    fills = {canvas.fill for canvas in frame.plan.canvases if canvas.is_padded}
    names = sorted(
        "repeated edge" if fill == "edge" else "#{:02x}{:02x}{:02x}".format(*fill) for fill in fills
    )
    return f"padding ({', '.join(names)})" if names else "padding"
