// The first view: is it well, what goes where, and how much.

import { h, keep, marked, text } from "./dom.js";
import { chart } from "./chart.js";
import { graph } from "./graph.js";
import { host, number, percent, rate, time } from "./figures.js";

function tile(name) {
  const value = h("div", { class: "value" }, "–"), under = h("div", { class: "quiet small" });
  const item = h("li", { class: "card" }, h("div", { class: "quiet small" }, name), value, under);
  item.say = (what, more = "") => { text(value, what); text(under, more); };
  return item;
}

/** What somebody should look at, the worst first. */
function attention({ traffic, status }) {
  const found = [];
  if (status?.agent.state === "notReady") found.push(["bad", `Not ready: ${status.agent.why.join("; ")}`]);
  for (const namespace of status?.namespaces ?? []) {
    if (namespace.state === "failing") found.push(["bad", `Nothing is captured in ${namespace.pod ?? namespace.netns}: ${namespace.why}`]);
  }
  if (traffic.allPaused) found.push(["warn", "All copies are paused."]);
  for (const route of traffic.busiest()) {
    for (const mirror of route.rule.mirrors) {
      const now = route.now?.mirrors.get(mirror.id);
      if (mirror.paused && !traffic.allPaused) found.push(["warn", `${mirror.id} is paused.`]);
      if (mirror.expired) found.push(["warn", `${mirror.id} has expired: the ttl of its policy is over.`]);
      if (now?.lost >= 1) {
        found.push([now.lost >= 5 ? "bad" : "warn", `${percent(now.lost)} of the copies of ${mirror.id} fail or are dropped.`]);
      }
      const worse = (now?.failing ?? 0) - (route.now?.primary.failing ?? 0);
      if (worse >= 1) {
        found.push([worse >= 5 ? "bad" : "warn", `${host(mirror.mirror)} answers ${percent(now.failing)} with errors, the primary ${percent(route.now.primary.failing)}.`]);
      }
    }
  }
  return found.sort(([a], [b]) => a === b ? 0 : a === "bad" ? -1 : 1).slice(0, 8);
}

export function overview() {
  const tiles = { requests: tile("Requests"), copies: tile("Copies answered"), primary: tile("Primary p95, busiest route"),
    shadow: tile("Shadow p95, same route"), lost: tile("Copies failed or dropped") };
  const list = h("ul", { class: "attention" });
  const picture = graph();
  const flow = chart("Requests and copies per second", number, [
    { name: "requests", kind: "a", read: point => point.requests },
    { name: "copies answered", kind: "b", read: point => point.copies },
  ]);
  const trouble = chart("Copies failed and dropped per second", number, [
    { name: "failed", kind: "c", read: point => point.failed },
    { name: "dropped", kind: "b", read: point => point.dropped },
  ]);
  const parts = [h("ul", { class: "tiles", "aria-label": "Figures of the last ten seconds" }, Object.values(tiles)),
    h("section", { class: "card", "aria-label": "Attention" }, h("h2", {}, "Attention"), list), picture,
    h("div", { class: "columns" }, h("div", { class: "card" }, flow), h("div", { class: "card" }, trouble))];
  return { title: "Overview", parts, update(state) {
    const { traffic } = state;
    const total = traffic.total();
    const busiest = traffic.busiest().find(route => route.rule.mirrors.length) ?? traffic.busiest()[0];
    const now = busiest?.now;
    const first = now && [...now.mirrors.values()][0];
    tiles.requests.say(rate(total?.requests), total ? `${percent(total.failing)} failed` : "");
    tiles.copies.say(rate(total?.copies), total?.requests ? `${percent(100 * total.copies / total.requests)} of the requests` : "");
    tiles.primary.say(time(now?.primary.p95), busiest ? busiest.rule.id : "");
    tiles.shadow.say(time(first?.p95), first && busiest.rule.mirrors.length ? host(busiest.rule.mirrors[0].mirror) : "");
    tiles.lost.say(rate(total ? total.failed + total.dropped : null), total ? `${rate(total.failed)} failed, ${rate(total.dropped)} dropped` : "");
    const found = attention(state);
    const all = found.length ? found : [["good", "Nothing: every namespace is captured and copies arrive."]];
    keep(list, all, ([, what]) => what, () => {
      const item = h("li");
      item.update = ([health, what]) => marked(item, health, what);
      return item;
    });
    picture.update(traffic);
    flow.update(traffic.points);
    trouble.update(traffic.points);
  } };
}
