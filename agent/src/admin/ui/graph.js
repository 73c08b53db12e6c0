// The picture: clients, the service they ask, who answers (solid), and who gets copies (dashed).

import { h, svg } from "./dom.js";
import { health, host, percent, rate } from "./figures.js";

/** Services drawn; the others are in the table of routes. */
const MOST = 8;
const ROW = 58, GAP = 12;

/** What goes where, by service. */
function model(traffic) {
  const services = new Map();
  for (const route of traffic.busiest()) {
    const { rule, now } = route;
    const name = rule.services[0] ?? rule.virtualService;
    if (!services.has(name)) services.set(name, { name, rate: 0, failing: 0, ends: new Map() });
    const service = services.get(name);
    const flow = now?.primary ?? { rate: 0, failing: null };
    service.rate += flow.rate;
    service.failing += flow.rate * (flow.failing ?? 0);
    const weights = rule.primaries.reduce((all, one) => all + one.weight, 0);
    for (const one of rule.primaries) {
      const part = rule.primaries.length > 1 && weights ? one.weight / weights : 1;
      const end = at(service, `p ${one.host} ${one.subset}`, { label: label(one.host, one.subset), mirror: false });
      end.rate += flow.rate * part;
      end.bad += flow.rate * part * (flow.failing ?? 0);
      end.tried += flow.rate * part;
    }
    for (const mirror of rule.mirrors.filter(one => one.inForce)) {
      const copies = now?.mirrors.get(mirror.id);
      const end = at(service, `m ${mirror.mirror}`, { label: host(mirror.mirror), mirror: true });
      end.shares.push(mirror.inForcePercentage ?? 0);
      end.paused ||= mirror.paused;
      if (!copies) continue;
      end.rate += copies.completed;
      end.bad += copies.rate * (copies.failing ?? 0) + 100 * copies.failures;
      end.tried += copies.rate + copies.failures;
    }
  }
  return [...services.values()];
}

const label = (name, subset) => host(name) + (subset ? `/${subset}` : "");

function at(service, key, what) {
  if (!service.ends.has(key)) service.ends.set(key, { ...what, rate: 0, bad: 0, tried: 0, shares: [], paused: false });
  return service.ends.get(key);
}

function share(end) {
  const [least, most] = [Math.min(...end.shares), Math.max(...end.shares)];
  return least === most ? percent(most) : `${percent(least)} to ${percent(most)}`;
}

const failing = one => one.tried ? one.bad / one.tried : null;
const state = one => one.paused ? "idle" : health(failing(one), one.tried);

function said(end) {
  const what = end.mirror ? end.paused ? "paused" : `${share(end)} · ${rate(end.rate)}` : `answers · ${rate(end.rate)}`;
  const bad = failing(end);
  return { what, bad: bad == null ? "" : `${percent(bad)} ${end.mirror ? "failed or lost" : "failed"}` };
}

const cut = (value, most) => value.length > most ? `${value.slice(0, most - 1)}…` : value;

function box(x, y, width, kind, title, lines) {
  return svg("g", {},
    svg("title", {}, title),
    svg("rect", { x, y, width, height: ROW, rx: 8, class: kind }),
    svg("text", { x: x + 12, y: y + 23 }, cut(title, Math.floor((width - 20) / 7.4))),
    svg("text", { x: x + 12, y: y + 43, class: `quiet ${lines.state ?? ""}` }, lines.text));
}

function edge(from, to, kind, one) {
  const bend = (to.x - from.x) / 2;
  const width = one.tried || one.rate ? Math.min(6, 1.5 + Math.log10(1 + one.rate)) : 1.5;
  const path = svg("path", {
    d: `M${from.x} ${from.y}C${from.x + bend} ${from.y} ${to.x - bend} ${to.y} ${to.x} ${to.y}`,
    class: `${kind} ${state(one)} ${one.rate ? "moving" : ""}`,
  });
  path.setAttribute("stroke-width", width.toFixed(1));
  return path;
}

function drawn(services, width) {
  const [clientWidth, serviceWidth, endWidth] = [104, Math.min(270, width * .27), Math.min(330, width * .34)];
  const serviceX = clientWidth + (width - clientWidth - serviceWidth - endWidth) * .36;
  const endX = width - endWidth - 1;
  const edges = [], boxes = [];
  let y = 4;
  const middles = services.map(service => {
    const top = y;
    const ends = [...service.ends.values()];
    const height = Math.max(1, ends.length) * (ROW + GAP) - GAP;
    const middle = top + height / 2;
    ends.forEach(end => {
      const { what, bad } = said(end);
      const from = { x: serviceX + serviceWidth, y: middle }, to = { x: endX, y: y + ROW / 2 };
      edges.push(edge(from, to, end.mirror ? "mirror" : "primary", end));
      boxes.push(box(endX, y, endWidth, end.mirror ? "mirror" : "primary", end.label,
        { text: [what, bad].filter(Boolean).join(" · "), state: state(end) === "bad" ? "bad" : "" }));
      y += ROW + GAP;
    });
    if (!ends.length) y += ROW + GAP;
    boxes.push(box(serviceX, middle - ROW / 2, serviceWidth, "", host(service.name), { text: rate(service.rate) }));
    y += GAP;
    return { service, middle };
  });
  const height = y - GAP;
  const center = height / 2;
  for (const { service, middle } of middles) {
    const whole = { rate: service.rate, tried: service.rate, bad: service.failing };
    edges.push(edge({ x: clientWidth, y: center }, { x: serviceX, y: middle }, "primary", whole));
  }
  const all = services.reduce((sum, service) => sum + service.rate, 0);
  boxes.push(box(1, center - ROW / 2, clientWidth, "", "clients", { text: rate(all) }));
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, ...edges, ...boxes);
  return picture;
}

/** The same for narrow windows and screen readers. */
function told(services) {
  return services.map(service => h("li", {}, h("strong", { class: "name" }, host(service.name)), ` ${rate(service.rate)}`,
    h("ul", {}, [...service.ends.values()].map(end => {
      const { what, bad } = said(end);
      return h("li", { class: end.mirror ? "mirror" : "primary" }, `${end.mirror ? "copies to" : "to"} ${end.label} `,
        h("span", { class: `small mark ${state(end)}` }, [what, bad].filter(Boolean).join(", ")));
    }))));
}

export function graph() {
  const picture = h("div", { "aria-hidden": "true" });
  const tree = h("ul", { class: "tree" });
  const rest = h("p", { class: "quiet small" });
  const key = h("p", { class: "key small quiet", "aria-hidden": "true" },
    h("span", {}, "solid: answers clients"), h("span", {}, "dashed: gets copies, its share beside it"),
    h("span", { class: "good mark" }, "below 1 % failed"), h("span", { class: "warn mark" }, "1 to 5 %"),
    h("span", { class: "bad mark" }, "5 % and more"), h("span", { class: "idle mark" }, "idle or paused"));
  const card = h("section", { class: "card graph", "aria-label": "Traffic" }, h("h2", {}, "Traffic"), picture, tree, rest, key);
  card.update = traffic => {
    const services = model(traffic);
    const shown = services.slice(0, MOST);
    const width = card.clientWidth - 40;
    const wide = width >= 640;
    picture.classList.toggle("drawn", wide);
    picture.replaceChildren(...(wide && shown.length ? [drawn(shown, width)] : []));
    tree.replaceChildren(...told(shown));
    rest.textContent = services.length > MOST ? `and ${services.length - MOST} more services: see Routes`
      : services.length ? "" : "No rule is in force: the configuration mirrors no service.";
  };
  return card;
}
