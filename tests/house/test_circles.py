"""No files import each other in a circle, lazily or for types alone: what both need has a place."""

import grimp


def circles() -> list[set[str]]:
    """Return the groups of files of which each reaches every other by imports."""
    graph = grimp.build_graph("vtok", cache_dir=None)
    above = {name: graph.find_upstream_modules(name) for name in graph.modules}
    found: list[set[str]] = []
    for name in sorted(graph.modules):
        group = {name} | {other for other in above[name] if name in above[other]}
        if len(group) > 1 and group not in found:
            found.append(group)
    return found


def test_there_are_no_circles() -> None:
    assert circles() == []
