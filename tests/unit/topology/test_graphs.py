"""Pictures of topologies: what is in them, where it stands, and that no name can break out of them."""

from __future__ import annotations

import itertools
import json
import re
import xml.etree.ElementTree as xml
from html.parser import HTMLParser
from unicodedata import east_asian_width

import pytest

from amqptasks.topology.graphs.build import build
from amqptasks.topology.graphs.cards import FIGURE_CHARACTER, NAME_CHARACTER, PADDING_X, TEXT_CHARACTER, label_width
from amqptasks.topology.graphs.dot import dot
from amqptasks.topology.graphs.graph import Figures, Graph
from amqptasks.topology.graphs.layout import WINDOW, layout
from amqptasks.topology.graphs.mermaid import mermaid
from amqptasks.topology.graphs.page import page
from amqptasks.topology.graphs.svg import svg
from amqptasks.topology.read.loader import from_mapping, load
from amqptasks.transport.capabilities import Capabilities
from tests.harness.worker_process import REPOSITORY

NEWEST = Capabilities()
SHOP = load(REPOSITORY / "topology" / "shop.yaml")

#: Names that mean something to HTML, SVG, scripts, Mermaid or DOT.
EVIL = "</script><script>alert('x')</script> \"a\" <b> & \\ `c` | --> [[d]]\u2028%%"

#: Everything that can lead back: exchanges in a circle, an alternate, a queue whose dead letters go to an exchange.
WINDING = {
    "version": 1,
    "exchanges": {
        "a": {"type": "topic", "bindings": [{"exchange": "c"}], "alternate_exchange": "c"},
        "b": {"type": "topic", "bindings": [{"exchange": "a", "routing_key": "#"}]},
        "c": {"type": "fanout", "bindings": [{"exchange": "b", "routing_key": "x.#"}]},
    },
    "queues": {
        "one": {"bindings": [{"exchange": "a", "routing_key": "a.*"}, {"exchange": "b", "routing_key": "b"}]},
        "two": {"bindings": [{"exchange": "c"}], "retry": {"delays": ["5s", "1m"]}, "max_length": 5},
        "log": {"type": "stream", "bindings": [{"exchange": "amq.topic", "routing_key": "#"}]},
    },
    "routes": {"t.*": {"exchange": "a", "routing_key": "a.b"}, "/u.+/": {"queue": "two"}},
}


def graph_of(mapping: dict) -> Graph:
    return build(from_mapping(mapping), NEWEST)


def ends(graph: Graph, way: str) -> set[tuple[str, str, str]]:
    return {(one.source, one.target, one.label) for one in graph.edges if one.way == way}


def names(graph: Graph, ids: frozenset[str]) -> set[str]:
    return {node.name for node in graph.nodes if node.id in ids}


def test_a_graph_has_the_routes_the_exchanges_the_queues_and_the_delays() -> None:
    graph = build(SHOP, NEWEST)
    kinds = {kind: [one.name for one in graph.nodes if one.kind == kind] for kind in ("exchange", "queue", "delays")}
    assert kinds["exchange"] == ["tasks", "events"]
    assert set(kinds["queue"]) == set(SHOP.queue_names)
    assert kinds["delays"] == ["delays"]
    assert ends(graph, "retry") == {
        ("queue:emails", "delays", "5s, 30s, 5m ±10%"),
        ("queue:payments", "delays", "1s doubling to 10m, 8 times"),
    }
    assert ("queue:emails", "queue:emails.dead", "") in ends(graph, "dead-letter")
    assert ("exchange:tasks", "queue:audit", "payment.*") in ends(graph, "binding")
    assert ("route:default", "queue:default", "") in ends(graph, "route")


def test_what_every_topology_has_alike_is_folded_away() -> None:
    graph = graph_of(WINDING)
    assert not [node.name for node in graph.nodes if node.name.startswith("amqptasks.")]


@pytest.mark.parametrize(
    ("start", "passed"),
    [
        ("route:0", {"shop.email.reset", "tasks", "emails", "emails.dead", "delays"}),
        ("route:4", {"shop.order.placed", "events", "stock", "audit", "stock.dead", "audit.dead"}),
        ("queue:stock", {"shop.order.placed", "shop.stock.*", "events", "stock", "stock.dead"}),
        ("queue:default", {"any other task", "default", "default.dead"}),
    ],
)
def test_a_path_is_the_way_of_the_messages_that_come_by(start: str, passed: set[str]) -> None:
    graph = build(SHOP, NEWEST)
    assert names(graph, graph.path(start)) == passed


def test_an_alternate_exchange_is_on_the_way_of_what_nothing_else_takes() -> None:
    routes = {"known": {"exchange": "d", "routing_key": "k"}, "unknown": {"exchange": "d", "routing_key": "u"}}
    graph = graph_of(
        {
            "version": 1,
            "exchanges": {"d": {"alternate_exchange": "rest"}, "rest": {"type": "fanout"}},
            "queues": {
                "q": {"bindings": [{"exchange": "d", "routing_key": "k"}]},
                "r": {"bindings": [{"exchange": "rest"}]},
            },
            "routes": routes,
        }
    )
    assert names(graph, graph.routed["route:0"]) == {"known", "d", "q"}
    assert names(graph, graph.routed["route:1"]) == {"unknown", "d", "rest", "r"}


def test_a_priority_queue_of_an_older_release_is_drawn_as_what_it_is_there() -> None:
    assert build(SHOP, NEWEST).node("queue:emails").type == "quorum"
    assert build(SHOP, Capabilities(version=(3, 10, 0))).node("queue:emails").type == "classic"


@pytest.mark.parametrize("topology", [SHOP, from_mapping(WINDING)], ids=["shop", "winding"])
def test_no_card_stands_on_another_and_every_edge_is_drawn(topology) -> None:
    graph = build(topology, NEWEST)
    placed = layout(graph)
    assert set(placed.boxes) == {node.id for node in graph.nodes}
    assert {line.edge.id for line in placed.lines} == {edge.id for edge in graph.edges}
    for one, other in itertools.combinations(placed.boxes.values(), 2):
        apart = one.right <= other.x or other.right <= one.x or one.bottom <= other.y or other.bottom <= one.y
        assert apart, (one, other)
    assert all(
        box.x >= 0 and box.right <= placed.width and box.bottom <= placed.height for box in placed.boxes.values()
    )


def test_the_shop_fits_a_window_of_1280_pixels() -> None:
    assert layout(build(SHOP, NEWEST)).width <= 1280


def test_retries_are_drawn_where_they_wait() -> None:
    mapping = {
        "version": 1,
        "queues": {
            "own": {"retry": {"delays": ["5s", "1m"], "queues": True}, "dead_letter": {"queue": "graves"}},
            "native": {"retry": {"native": True, "first": "1s"}, "dead_letter": {"queue": "graves"}},
            "graves": {"dead_letter": False},
        },
    }
    graph = graph_of(mapping)
    own = {("queue:own", "queue:own.retry.5s", "5s"), ("queue:own", "queue:own.retry.1m", "1m")}
    assert ends(graph, "retry") == own
    assert ends(graph, "dead-letter") == {("queue:own", "queue:graves", ""), ("queue:native", "queue:graves", "")}
    assert graph.node("queue:graves").kind == "dead"
    assert len(layout(graph).lines) == len(graph.edges)
    older = build(from_mapping(mapping), Capabilities(version=(4, 0, 0)))
    assert ("queue:native", "delays") in {(source, target) for source, target, _ in ends(older, "retry")}


def test_a_large_topology_is_drawn_in_time() -> None:
    queues = {f"q{n}": {"bindings": [{"exchange": "t", "routing_key": f"k.{n}"}]} for n in range(400)}
    graph = graph_of({"version": 1, "exchanges": {"t": {"type": "topic"}}, "queues": queues})
    assert len(layout(graph).lines) == 800


def evil() -> Graph:
    return graph_of(
        {
            "version": 1,
            "exchanges": {EVIL: {"type": "topic"}},
            "queues": {EVIL: {"bindings": [{"exchange": EVIL, "routing_key": EVIL}]}},
            "routes": {EVIL: {"queue": EVIL}},
        }
    )


def test_no_name_breaks_out_of_the_picture() -> None:
    root = xml.fromstring(svg(evil(), EVIL))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags == {"svg", "style", "defs", "marker", "path", "rect", "g", "title", "text", "polygon"}
    assert EVIL.replace("\n", " ") in {
        " ".join(t.split("\n")) for e in root.iter() for t in [e.get("aria-label") or ""]
    }


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_has_its_own_scripts_only_and_asks_for_nothing() -> None:
    text = page(evil(), EVIL)
    parser = Elements()
    parser.feed(text)
    scripts = [attributes for tag, attributes in parser.found if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "graph"}, {}]
    attributes = [name for tag, given in parser.found for name in given]
    assert not {"src", "href", "srcset"} & set(attributes)
    assert not [name for name in attributes if name.startswith("on") and name != "onsubmit"]
    assert re.findall(r"https?://[^\s\"'<]*", text.replace("http://www.w3.org/2000/svg", "")) == []
    assert "default-src 'none'" in text


def test_the_data_of_the_page_are_the_graph() -> None:
    embedded = re.search(r'<script type="application/json" id="graph">(.*?)</script>', page(evil(), "t"), re.DOTALL)
    assert embedded is not None
    found = json.loads(embedded[1])
    assert EVIL in {node["name"] for node in found["nodes"]}
    assert set(found["paths"]) == {node["id"] for node in found["nodes"]}


def test_mermaid_and_dot_hold_every_name_in_quotes() -> None:
    lines = mermaid(evil()).splitlines()
    assert len(lines) == 1 + len(evil().nodes) + len(evil().edges)
    assert all(line.count('"') in (0, 2) and "<script" not in line for line in lines)
    assert '\\"a\\"' in dot(evil())
    assert "\n%%" not in dot(evil())


def test_figures_of_a_living_broker_stand_on_the_cards() -> None:
    graph = build(SHOP, NEWEST, {"emails": Figures(1234, 5, 0, 1.5, 0.25)})
    drawn = svg(graph, "shop")
    assert "1,234 ready · 5 unacked" in drawn
    assert "0 consumers · 1.5/s in · 0.2/s out" in drawn
    assert "1234 ready" in mermaid(graph)
    plain = next(node for node in build(SHOP, NEWEST).nodes if node.id == "queue:emails")
    assert plain.figures is None


#: Names that are long or wide, a retry of many steps, and a routing key as long as a name.
WIDE = {
    "version": 1,
    "exchanges": {"events.of.customers.".ljust(60, "x"): {"type": "x-consistent-hash"}, "漢字" * 15: {"type": "topic"}},
    "queues": {
        "orders.of.customers.".ljust(60, "q"): {
            "type": "classic",
            "max_priority": 10,
            "bindings": [{"exchange": "漢字" * 15, "routing_key": "k" * 60}],
            "retry": {"delays": ["1s", "5s", "30s", "1m", "5m", "10m", "30m", "1h", "2h", "6h", "12h"]},
        },
        "注文の待ち行列" * 4: {"bindings": [{"exchange": "漢字" * 15, "routing_key": "鍵" * 12}]},
    },
    "routes": {"t" * 60: {"exchange": "漢字" * 15, "routing_key": "鍵" * 12}},
}
MANY = Figures(9_999_999, 1_234_567, 12_345, 123_456.7, 98_765.4)


def cells(text: str) -> int:
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


@pytest.mark.parametrize("mapping", [WIDE, WINDING, {"version": 1, "queues": {"emails": None}}])
def test_no_text_is_wider_than_its_card(mapping: dict) -> None:
    topology = from_mapping(mapping)
    graph = build(
        topology, NEWEST, dict.fromkeys((*topology.queues, *(f"{name}.dead" for name in topology.queues)), MANY)
    )
    texts = 0
    for box in layout(graph).boxes.values():
        room = box.card.width - 2 * PADDING_X
        assert cells(box.card.name) * NAME_CHARACTER <= room
        for line in box.card.lines:
            assert cells(line) * TEXT_CHARACTER <= room, line
        for line in box.card.figures:
            assert cells(line) * FIGURE_CHARACTER <= room, line
        texts += 1 + len(box.card.lines) + len(box.card.figures)
    assert texts > 5


def test_a_name_of_60_characters_is_whole_where_the_window_has_room() -> None:
    name = "orders.of.customers.".ljust(60, "q")
    small = layout(graph_of({"version": 1, "queues": {name: {"dead_letter": False}}}))
    assert name in {box.card.name for box in small.boxes.values()}
    assert small.width <= WINDOW


def test_a_label_of_an_edge_that_leads_back_has_room_between_the_columns() -> None:
    placed = layout(graph_of(WINDING))
    line = next(line for line in placed.lines if line.edge.label == "what finds no queue")
    source, target = placed.boxes[line.edge.source], placed.boxes[line.edge.target]
    assert line.anchor == "end"
    assert target.right < line.label_x - label_width(line.edge.label)
    assert line.label_x < source.x
