// Every mirror: its share, what became of its copies, what went wrong last, and its switch.

import { h, keep, marked, text } from "./dom.js";
import { health, host, number, percent, rate } from "./figures.js";

const SHOWN = 100;
const PARTS = [["completed", "answered"], ["failed", "failed"], ["dropped", "dropped"], ["sampled", "not in the share"]];

function age(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s ago` : seconds < 5400 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}

const reasons = counts => Object.entries(counts).sort(([, a], [, b]) => b - a);

function card(mirror, ask) {
  const state = h("span"), button = h("button", { type: "button", class: "switch" });
  const facts = ["Share", "In force", "Answered", "Failed", "Dropped", "Under way"].map(name => [h("dt", {}, name), h("dd", {}, "–")]);
  const bar = h("div", { class: "bar", role: "img" }, PARTS.map(([kind]) => h("i", { class: kind })));
  const table = h("tbody"), error = h("p", { class: "small" });
  const none = h("p", { class: "quiet small" }, "No copy failed or was dropped.");
  const why = h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Outcome"), h("th", { scope: "col" }, "Reason"),
    h("th", { scope: "col", class: "right" }, "Copies"))), table);
  const element = h("section", { class: "card mirror", "aria-label": `Mirror ${mirror.id}` },
    h("div", { class: "mirror-head" }, h("div", {}, h("h3", { class: "name" }, host(mirror.mirror)),
      h("p", { class: "quiet small name" }, `${mirror.virtualService} ${mirror.rule}`)), state, button),
    h("dl", {}, facts.map(pair => h("div", {}, pair))), bar, error, none, why);
  button.addEventListener("click", () => ask(element.item.paused && !element.item.allPaused ? "resume" : "pause", element.item.id));
  element.update = item => {
    element.item = item;
    const { now } = item;
    const standing = !item.inForce ? ["idle", "no longer in force"] : item.paused ? ["warn", "paused"] : item.expired ? ["warn", "expired"]
      : !now?.offered ? ["idle", "no requests"] : now.lost >= 1 ? [health(now.lost, 1), `${percent(now.lost)} lost`] : ["good", "copies arrive"];
    marked(state, ...standing);
    text(button, item.paused ? "Resume" : "Pause");
    button.classList.toggle("on", item.paused);
    button.disabled = item.allPaused;
    button.title = item.allPaused ? "All copies are paused: resume all first" : "";
    button.setAttribute("aria-label", `${button.textContent} copies to ${host(item.mirror)} of ${item.virtualService} ${item.rule}`);
    [percent(item.percentage), percent(item.inForcePercentage), rate(now?.completed), rate(now?.failed), rate(now?.dropped), number(item.inFlight)]
      .forEach((value, index) => text(facts[index][1], value));
    const whole = PARTS.reduce((all, [kind]) => all + (now?.[kind] ?? 0), 0);
    PARTS.forEach(([kind], index) => bar.children[index].style.setProperty("width", `${whole ? 100 * (now?.[kind] ?? 0) / whole : 0}%`));
    bar.setAttribute("aria-label", whole ? PARTS.map(([kind, name]) => `${percent(100 * now[kind] / whole)} ${name}`).join(", ") : "no copies");
    const rows = [...reasons(item.failed).map(one => ["failed", ...one]), ...reasons(item.dropped).map(one => ["dropped", ...one])];
    none.hidden = rows.length > 0;
    why.hidden = rows.length === 0;
    keep(table, rows, ([outcome, reason]) => `${outcome} ${reason}`, ([outcome, reason]) => {
      const count = h("td", { class: "right number" });
      const line = h("tr", {}, h("td", {}, outcome), h("td", {}, h("code", {}, reason)), count);
      line.update = ([, , copies]) => text(count, number(copies));
      return line;
    });
    const trouble = item.trouble;
    error.hidden = !trouble;
    if (trouble) {
      const parts = [`${trouble.outcome}: ${trouble.reason}`, trouble.endpoint && `at ${trouble.endpoint}`, trouble.message, age(trouble.ageSeconds)];
      marked(error, trouble.ageSeconds < 60 ? "bad" : "idle", `Last: ${parts.filter(Boolean).join(" · ")}`);
    }
  };
  return element;
}

export function mirrors(ask) {
  const list = h("div", { class: "mirrors" }), count = h("p", { class: "quiet small" });
  return { title: "Mirrors", also: "mirrors", parts: [list, count], update({ traffic, mirrors: told }) {
    const troubles = new Map((told?.items ?? []).map(mirror => [mirror.id, mirror.lastError]));
    const all = traffic.busiest().flatMap(route => route.rule.mirrors.map(mirror => ({
      ...mirror, virtualService: route.rule.virtualService, rule: route.rule.rule, now: route.now?.mirrors.get(mirror.id),
      trouble: troubles.get(mirror.id), allPaused: traffic.allPaused,
    })));
    keep(list, all.slice(0, SHOWN), mirror => mirror.id, mirror => card(mirror, ask));
    text(count, all.length ? `${Math.min(all.length, SHOWN)} of ${all.length} mirrors, the busiest first. Counts since the agent's start, rates over ten seconds.` : "Nothing is mirrored.");
  } };
}
