// Exchanges as they end, each with the end of its copy.

import { stream } from "./agent.js";
import { h, text } from "./dom.js";
import { bytes, host, time } from "./figures.js";

const ROWS = 200;
const VERDICTS = ["", "completed", "failed", "dropped", "none"];

export function live() {
  let stop = null, waiting = [], dropped = 0;
  const body = h("tbody"), said = h("p", { class: "quiet small", role: "status" });
  const field = (name, placeholder) => h("label", {}, name, h("input", { name, placeholder, autocomplete: "off" }));
  const verdict = h("label", {}, "verdict", h("select", { name: "verdict" }, VERDICTS.map(value => h("option", { value }, value || "any"))));
  const button = h("button", { type: "submit" }, "Follow");
  const form = h("form", { class: "filters", onsubmit: event => { event.preventDefault(); stop ? end() : follow(); } },
    field("method", "GET"), field("path", "/api*"), field("status", "5xx"), field("to", "my-app-v2"), verdict, button);

  function end(why = "Stopped.") {
    stop?.abort();
    stop = null;
    text(button, "Follow");
    update();
    text(said, why);
  }

  async function follow() {
    stop = new AbortController();
    const mine = stop;
    text(button, "Stop");
    text(said, "Waiting for the next exchange …");
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    try {
      await stream(`tap?${query}`, stop.signal, (kind, item) => {
        if (stop !== mine) return;
        if (kind === "dropped") dropped = item.dropped ?? dropped;
        else waiting.push(item);
        if (waiting.length > ROWS) waiting.splice(0, waiting.length - ROWS);
      });
      if (stop === mine) end("The agent ended the stream.");
    } catch (error) {
      if (stop === mine) end(error.message);
    }
  }

  function row(item) {
    const { primary, shadow } = item;
    const side = it => it ? `${it.status || "none"} · ${time(it.durationMicros)}` : "–";
    const verdict = shadow ? shadow.outcome : "none";
    const health = { completed: "good", failed: "bad", dropped: "warn" }[verdict] ?? "idle";
    const who = item.source?.name ?? item.client;
    const about = `${who} to ${item.host || item.destination} · ${bytes(primary.requestBytes)} in, ${bytes(primary.responseBytes)} out`;
    return h("tr", {}, h("td", { class: "number" }, item.time.slice(11, 23)), h("td", {}, item.method ?? "?"),
      h("td", { class: "path" }, item.path ?? "", h("span", { class: "under" }, about)),
      h("td", { class: "number" }, side(primary)), h("td", { class: "number" }, side(shadow)),
      h("td", {}, shadow ? host(shadow.mirror) : "–"),
      h("td", {}, h("span", { class: `mark ${health}` }, shadow?.reason ? `${verdict}: ${shadow.reason}` : verdict)));
  }

  // What waits is shown.
  function update() {
    if (!waiting.length) return;
    const fresh = waiting.map(row).reverse();
    waiting = [];
    body.prepend(...fresh);
    while (body.children.length > ROWS) body.lastChild.remove();
    text(said, `${body.children.length} exchanges, the newest first${dropped ? `; ${dropped} left out because this page was too slow` : ""}.`);
  }

  const table = h("table", { class: "live" }, h("thead", {}, h("tr", {},
    ["Time", "Method", "Path", "Primary", "Shadow", "Copy to", "Verdict"].map(name => h("th", { scope: "col" }, name)))), body);
  return { title: "Live", parts: [h("section", { class: "card", "aria-label": "Live exchanges" }, h("h2", {}, "Live exchanges"), form, said,
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of exchanges" }, table))],
  begin: follow, end, update };
}
