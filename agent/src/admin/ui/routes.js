// Every route, primary beside shadow, and one of them in detail.

import { chart } from "./chart.js";
import { h, keep, marked, text } from "./dom.js";
import { health, host, number, percent, rate, time } from "./figures.js";

const SHOWN = 200;
const COLUMNS = [
  ["Route", route => route.rule.id, false],
  ["Requests", route => route.now?.primary.rate ?? 0, true],
  ["Failed", route => route.now?.primary.failing ?? 0, true],
  ["Shadow failed", route => worst(route, "failing"), true],
  ["p50", route => route.now?.primary.p50 ?? 0, true],
  ["p95", route => route.now?.primary.p95 ?? 0, true],
  ["p99", route => route.now?.primary.p99 ?? 0, true],
  ["Shadow p50", route => worst(route, "p50"), true],
  ["Shadow p95", route => worst(route, "p95"), true],
  ["Shadow p99", route => worst(route, "p99"), true],
];

const mirrors = route => [...route.now?.mirrors.values() ?? []];
/** Of several mirrors the worst. */
const worst = (route, figure) => Math.max(0, ...mirrors(route).map(mirror => mirror[figure] ?? 0));

function row(route) {
  const link = h("a", {}), under = h("span", { class: "under" });
  const cells = COLUMNS.slice(1).map(() => h("td", { class: "right number" }));
  const failed = cells[1], shadowFailed = cells[2];
  const marks = [h("span"), h("span")];
  failed.append(marks[0]);
  shadowFailed.append(marks[1]);
  const element = h("tr", {}, h("th", { scope: "row", class: "name" }, link, under), cells);
  element.update = ({ rule, now }) => {
    link.href = `#/routes/${encodeURIComponent(rule.id)}`;
    text(link, rule.id);
    text(under, rule.mirrors.length ? rule.mirrors.map(mirror => `⇢ ${host(mirror.mirror)}`).join("  ") : "mirrors nothing");
    const has = rule.mirrors.length > 0;
    const of = figure => has ? worst({ now }, figure) || null : null;
    text(cells[0], rate(now?.primary.rate));
    marked(marks[0], health(now?.primary.failing, now?.primary.requests), percent(now?.primary.failing));
    const failing = has && now ? mirrors({ now }).map(mirror => mirror.failing).filter(value => value != null) : [];
    const most = failing.length ? Math.max(...failing) : null;
    marked(marks[1], health(most, failing.length), percent(most));
    [now?.primary.p50, now?.primary.p95, now?.primary.p99, of("p50"), of("p95"), of("p99")]
      .forEach((value, index) => text(cells[index + 3], time(value)));
  };
  return element;
}

function detail(id) {
  let wanted = "p95";
  const name = `percentile-${Math.random().toString(36).slice(2)}`;
  const choice = h("fieldset", { class: "segments small" }, h("legend", { class: "unseen" }, "Percentile"),
    ["p50", "p95", "p99"].map(part => h("label", {}, h("input", {
      type: "radio", name, value: part, checked: part === wanted, onchange: event => { wanted = event.target.value; element.again?.(); },
    }), part)));
  const charts = h("div", { class: "columns" });
  const element = h("section", { class: "card", "aria-label": `Route ${id}` },
    h("div", { class: "mirror-head" }, h("h2", { class: "name" }, id), choice, h("a", { href: "#/routes" }, "close")), charts);
  element.update = route => {
    element.again = () => element.update(route);
    if (!charts.children.length) {
      const made = [chart("Latency", time, [
        { name: "primary", kind: "a", read: point => point.primary[wanted] },
        ...route.rule.mirrors.slice(0, 2).map((mirror, index) => ({
          name: host(mirror.mirror), kind: "bc"[index], read: point => point.mirrors.get(mirror.id)?.[wanted] ?? null,
        })),
      ]), chart("Per second", number, [
        { name: "requests", kind: "a", read: point => point.primary.rate },
        { name: "copies answered", kind: "b", read: point => [...point.mirrors.values()].reduce((all, one) => all + one.completed, 0) },
      ]), chart("Failed, in percent", number, [
        { name: "primary", kind: "a", read: point => point.primary.failing },
        { name: "shadow", kind: "b", read: point => [...point.mirrors.values()][0]?.failing ?? null },
        { name: "copies lost", kind: "c", read: point => [...point.mirrors.values()][0]?.lost ?? null },
      ])];
      charts.append(...made);
    }
    [...charts.children].forEach(one => one.update(route.points));
  };
  return element;
}

export function routes(selected) {
  let by = 1, down = true, last = null, wanted = "";
  const body = h("tbody");
  const heads = COLUMNS.map(([name, , numeric], index) => h("th", { scope: "col", class: numeric ? "right" : "" },
    h("button", { type: "button", onclick: () => { [by, down] = [index, by === index ? !down : index !== 0]; view.update(last); } }, name)));
  const count = h("p", { class: "quiet small", role: "status" });
  const search = h("input", { type: "search", oninput: event => { wanted = event.target.value.toLowerCase(); view.update(last); } });
  const table = h("section", { class: "card", "aria-label": "Routes" },
    h("div", { class: "mirror-head" }, h("h2", {}, "Routes, last ten seconds"), h("label", { class: "small quiet" }, "Find ", search)),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of routes" },
      h("table", {}, h("thead", {}, h("tr", {}, heads)), body)), count);
  const panel = selected ? detail(selected) : null;
  const view = { title: selected ?? "Routes", parts: [panel, table].filter(Boolean), update(state) {
    last = state;
    const { traffic } = state;
    const read = COLUMNS[by][1];
    const all = traffic.busiest().filter(route => route.rule.id.toLowerCase().includes(wanted));
    const order = (a, b) => typeof read(a) === "string" ? read(a).localeCompare(read(b)) : read(a) - read(b);
    const sorted = [...all].sort((a, b) => down ? order(b, a) : order(a, b));
    heads.forEach((head, index) => {
      if (index === by) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    keep(body, sorted.slice(0, SHOWN), route => route.rule.id, row);
    text(count, `${Math.min(all.length, SHOWN)} of ${all.length}${traffic.more ? " (the first of more: see umbra top)" : ""} routes. Percentiles are known to an eighth.`);
    const route = panel && traffic.routes.get(selected);
    if (route) panel.update(route);
  } };
  return view;
}
