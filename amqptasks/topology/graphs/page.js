"use strict";
const graph = JSON.parse(document.getElementById("graph").textContent);
const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
const picture = document.querySelector("svg.picture");
const shown = new Map([...picture.querySelectorAll("[data-id]")].map((element) => [element.dataset.id, element]));
const panel = document.querySelector("aside");
const answer = document.getElementById("answer");
const input = document.querySelector("#ask input");
let kept = null;

function highlight(id, at = id) {
  picture.classList.toggle("chosen", id !== null);
  const on = new Set(id === null ? [] : graph.paths[id] || [id]);
  for (const [name, element] of shown) {
    element.classList.toggle("on", on.has(name));
    element.classList.toggle("at", name === at);
  }
}

function element(tag, text, parent) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function rows(title, pairs) {
  if (!pairs.length) return;
  element("h3", title, panel);
  const table = element("table", undefined, panel);
  for (const [name, value, id] of pairs) {
    const row = element("tr", undefined, table);
    element("td", name, row);
    const cell = element("td", id ? undefined : value, row);
    if (id) {
      const link = element("a", value, cell);
      link.addEventListener("click", () => choose(id));
    }
  }
}

const WAYS = { route: "published", binding: "bound", alternate: "if nothing fits", "dead-letter": "dead letters", retry: "retries" };
const KINDS = { route: "route", exchange: "exchange", queue: "queue", dead: "dead-letter queue", waiting: "queue for waiting", delays: "delays" };

function choose(id) {
  kept = id;
  highlight(id);
  panel.replaceChildren();
  panel.hidden = id === null;
  document.body.classList.toggle("told", id !== null);
  if (id === null) return;
  const node = nodes.get(id);
  const close = element("button", "×", panel);
  close.setAttribute("aria-label", "close");
  close.addEventListener("click", () => choose(null));
  element("h2", node.name, panel);
  element("p", [node.type, KINDS[node.kind], ...node.badges].join(" · "), panel);
  const figures = node.figures;
  if (figures) {
    rows("now", [["ready", figures.ready], ["unacked", figures.unacked], ["consumers", figures.consumers],
      ["in", figures.rate_in.toFixed(1) + " /s"], ["out", figures.rate_out.toFixed(1) + " /s"]]);
  }
  const edges = (end, other) => graph.edges.filter((edge) => edge[end] === id)
    .map((edge) => [edge.label || WAYS[edge.way], nodes.get(edge[other]).name, edge[other]]);
  rows("from", edges("target", "source"));
  rows("to", edges("source", "target"));
  rows("properties", node.details);
  shown.get(id).scrollIntoView({ block: "nearest", inline: "center" });
}

function fits(route, task) {
  if (route.type === "exact") return route.name === task;
  try {
    if (route.type === "regex") return new RegExp("^(?:" + route.name.slice(1, -1) + ")$").test(task);
    const glob = route.name.replace(/\[!?[^\]]+\]|[\s\S]/g, (part) => part === "*" ? "[\\s\\S]*" : part === "?" ? "[\\s\\S]"
      : part.length > 1 ? "[" + part.slice(1, -1).replace(/^!/, "^").replace(/\\/g, "\\\\") + "]" : part.replace(/[.*+?^${}()|[\]\\\/-]/g, "\\$&"));
    return new RegExp("^" + glob + "$").test(task);
  } catch { return false; }
}

function asked() {
  const task = input.value.trim();
  answer.replaceChildren();
  if (!task) { highlight(kept); return; }
  const routes = graph.nodes.filter((node) => node.kind === "route" && node.type !== "default");
  const exact = routes.find((route) => route.type === "exact" && route.name === task);
  const found = exact || routes.find((route) => route.type !== "exact" && fits(route, task)) || nodes.get("route:default");
  if (!found) { answer.textContent = "No route takes it, and there is no default queue."; highlight(null); return; }
  const queues = graph.paths[found.id].map((id) => nodes.get(id)).filter((node) => node && node.kind === "queue");
  const means = found === exact ? "a route of its own" : found.name;
  const names = queues.map((queue) => queue.name).join(", ");
  answer.append(element("b", task), " goes by ", element("b", [means, ...found.badges].join(", ")), " to ", element("b", names));
  highlight(found.id);
}

for (const [id, one] of shown) {
  if (!nodes.has(id)) {
    const edge = graph.edges.find((other) => other.id === id);
    const both = () => {
      if (kept) return;
      picture.classList.add("chosen");
      for (const name of [id, edge.source, edge.target]) shown.get(name)?.classList.add("on");
    };
    one.addEventListener("mouseenter", both);
    one.addEventListener("mouseleave", () => { if (!kept) asked(); });
    continue;
  }
  one.addEventListener("mouseenter", () => { if (!kept) highlight(id); });
  one.addEventListener("mouseleave", () => { if (!kept) asked(); });
  one.addEventListener("click", (event) => { event.stopPropagation(); choose(id === kept ? null : id); });
  one.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(id); } });
}
picture.addEventListener("click", () => choose(null));
document.addEventListener("keydown", (event) => { if (event.key === "Escape") { input.value = ""; choose(null); asked(); } });
function addressed() {
  const named = decodeURIComponent(location.hash.slice(1));
  if (nodes.has(named)) choose(named);
  else if (named) { input.value = named; asked(); }
}

addressed();
window.addEventListener("hashchange", addressed);
input.addEventListener("input", () => { choose(null); asked(); });
