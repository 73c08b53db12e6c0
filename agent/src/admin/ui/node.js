// The node: where traffic is captured, how each app is reached, what was not read.

import { h, keep, marked, text } from "./dom.js";
import { number, percent } from "./figures.js";

const STATES = { enrolled: "good", failing: "bad", same: "idle", leaving: "warn" };

function namespace() {
  const state = h("span"), why = h("p", { class: "small" }), verdicts = h("p", { class: "quiet small" });
  const title = h("h3", { class: "name" }), body = h("tbody");
  const table = h("table", {}, h("thead", {}, h("tr", {},
    ["Captured at", "Connections", "App reached by"].map(name => h("th", { scope: "col" }, name)))), body);
  const element = h("section", { class: "card" }, h("div", { class: "mirror-head" }, title, state), why, verdicts,
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Captured endpoints" }, table));
  element.update = item => {
    text(title, item.pod ?? item.netns);
    marked(state, STATES[item.state] ?? "idle", item.state === "enrolled" ? `enrolled, ${number(item.connections)} connections open` : item.state);
    why.hidden = !item.why && !item.notes.length;
    text(why, [item.why, ...item.notes].filter(Boolean).join(" "));
    const given = Object.entries(item.verdicts).filter(([, count]) => count);
    text(verdicts, given.length ? `Verdicts on new connections: ${given.map(([verdict, count]) => `${verdict} ${number(count)}`).join(", ")}` : "No new connection yet.");
    table.hidden = !item.ports.length;
    keep(body, item.ports, port => port.at, () => {
      const cells = [h("th", { scope: "row" }), h("td", { class: "number" }), h("td")];
      const row = h("tr", {}, cells);
      row.update = port => [port.at, percent(port.percentage), [port.way, port.reason].filter(Boolean).join(": ")].forEach((value, index) => text(cells[index], value));
      return row;
    });
  };
  return element;
}

/** Tables of the agent's own counts, those that it tells. */
function counts(title) {
  const body = h("tbody");
  const element = h("section", { class: "card", "aria-label": title }, h("h2", {}, title), h("table", {}, body));
  element.update = entries => {
    element.hidden = entries.length === 0;
    keep(body, entries, ([name]) => name, ([name]) => {
      const value = h("td", { class: "right number" });
      const row = h("tr", {}, h("th", { scope: "row" }, name), value);
      row.update = ([, count]) => text(value, typeof count === "number" ? number(count) : count);
      return row;
    });
  };
  return element;
}

export function node() {
  const pressure = h("p", { class: "bad mark", hidden: true });
  const agent = h("p"), list = h("div", { class: "mirrors" });
  const tables = [["protocols", "Connections by protocol"], ["unread", "Connections not read, by reason"], ["unreadRequests", "Requests not read, by reason"]]
    .map(([key, title]) => [key, counts(title)]);
  return { title: "Node", parts: [h("section", { class: "card", "aria-label": "Agent" }, h("h2", {}, "Agent"), agent, pressure), list,
    h("div", { class: "columns" }, tables.map(([, table]) => table))],
  update({ status }) {
    if (!status) return;
    const short = Object.entries(status.pressure).filter(([, shed]) => shed).map(([what]) => what);
    pressure.hidden = short.length === 0;
    text(pressure, `New connections are left to the apps, for want of ${short.join(", ")}.`);
    const { version, uptimeSeconds, state, why } = status.agent;
    marked(agent, state === "ready" ? "good" : "bad", `umbra ${version}, ${state === "ready" ? "ready" : `not ready: ${why.join("; ")}`}, up for ${Math.round(uptimeSeconds / 60)} min`);
    keep(list, status.namespaces, item => item.pod ?? item.netns, namespace);
    for (const [key, table] of tables) table.update(Object.entries(status[key] ?? {}).filter(([, count]) => count));
  } };
}
