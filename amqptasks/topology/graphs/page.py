"""A graph as one page of HTML that needs nothing else: no network, no library."""

from __future__ import annotations

import json
from html import escape

from amqptasks.topology.graphs.graph import Graph
from amqptasks.topology.graphs.layout import layout
from amqptasks.topology.graphs.records import records
from amqptasks.topology.graphs.svg import picture, resource
from amqptasks.untrusted.numbers import counted

#: What the legend explains: a class of the picture, whether it is a line, and its words.
_LEGEND = (
    ("node route", "", "task route"),
    ("node exchange", "", "exchange"),
    ("node queue quorum", "", "quorum queue"),
    ("node queue classic", "", "classic queue"),
    ("node queue stream", "", "stream"),
    ("node dead", "", "dead-letter queue"),
    ("node delays", "", "delays"),
    ("edge binding", "solid", "binding"),
    ("edge dead-letter", "dashed", "dead letters"),
    ("edge retry", "dotted", "waits and comes back"),
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}<small>{counts}</small></h1>
<form id="ask" onsubmit="return false">
<input type="search" placeholder="Where does a task go? Type its name" aria-label="task name" spellcheck="false"
 autocomplete="off">
</form>
</header>
<p id="answer" aria-live="polite"></p>
<div id="scroll">
{picture}
</div>
<div id="legend">{legend}</div>
<aside hidden aria-live="polite"></aside>
<script type="application/json" id="graph">{data}</script>
<script>
{script}</script>
</body>
</html>
"""


def page(graph: Graph, title: str) -> str:
    style = "".join(map(resource, ("colours.css", "picture.css", "page.css")))
    return _PAGE.format(
        title=escape(title),
        counts=escape(_counts(graph)),
        style=style,
        picture=picture(layout(graph), graph, title),
        legend=_legend(graph),
        data=_embedded(graph),
        script=resource("page.js"),
    )


def _counts(graph: Graph) -> str:
    words = {"exchange": "exchange", "queue": "queue", "route": "route"}
    counts = {kind: sum(node.kind == kind and node.type != "default" for node in graph.nodes) for kind in words}
    return " · ".join(counted(count, words[kind]) for kind, count in counts.items() if count)


def _legend(graph: Graph) -> str:
    """Only what the picture has."""
    there = {f"node {node.kind}" for node in graph.nodes} | {f"edge {edge.way}" for edge in graph.edges}
    there |= {f"node {node.kind} {node.type}" for node in graph.nodes}
    entries = []
    for classes, line, words in _LEGEND:
        if classes in there:
            mark = f'<i class="line" style="--kind:{line}"></i>' if line else "<i></i>"
            entries.append(f'<span class="{classes}">{mark}{words}</span>')
    return "".join(entries)


def _embedded(graph: Graph) -> str:
    """JSON that ends no script element, whatever a name holds."""
    return json.dumps(records(graph)).replace("<", "\\u003c")
