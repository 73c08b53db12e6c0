// Lines over the last ten minutes.

import { h, svg, text } from "./dom.js";

const HEIGHT = 150, LEFT = 58, BOTTOM = 20, TOP = 8;
const SPAN = 10 * 60 * 1000;

/** A round value that is at least as large: 1, 2 or 5 times a power of ten. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  return [1, 2, 5, 10].map(step => step * power).find(step => step >= value) ?? 10 * power;
}

/** A chart of named lines: [{ name, kind: "a" | "b" | "c", read: point => value or null }]. */
export function chart(title, format, lines) {
  const drawing = svg("svg", { height: HEIGHT + BOTTOM, role: "img", "aria-label": title });
  const values = lines.map(line => {
    const value = h("span", { class: "number" });
    return { value, row: h("span", {}, h("i", { class: `line ${line.kind}` }), `${line.name} `, value) };
  });
  const caption = h("figcaption", {}, h("h3", {}, title), h("span", { class: "legend small" }, values.map(it => it.row)));
  const figure = h("figure", { class: "chart" }, caption, drawing);
  figure.update = points => {
    const width = Math.max(260, Math.round(figure.clientWidth || 520));
    const last = points.at(-1);
    const now = last?.time ?? Date.now();
    const span = Math.min(SPAN, Math.max(60_000, now - (points[0]?.time ?? now)));
    const top = round(Math.max(0, ...points.flatMap(point => lines.map(line => line.read(point) ?? 0))) || 1);
    const x = at => LEFT + (width - LEFT - 10) * (1 - (now - at) / span);
    const y = value => TOP + (HEIGHT - TOP) * (1 - value / top);
    const grid = [0, .5, 1].flatMap(part => [
      svg("line", { class: "grid", x1: LEFT, x2: width - 10, y1: y(part * top), y2: y(part * top) }),
      svg("text", { x: LEFT - 6, y: y(part * top) + 4, "text-anchor": "end" }, format(part * top)),
    ]);
    const ticks = [0, .5, 1].map(part => svg("text", {
      x: x(now - part * span), y: HEIGHT + 15, "text-anchor": part === 0 ? "end" : part === 1 ? "start" : "middle",
    }, part === 0 ? "now" : `${Math.round(part * span / 1000)} s ago`));
    const paths = lines.flatMap(line => {
      let pen = "M", path = "";
      for (const point of points.filter(point => now - point.time <= span)) {
        const value = line.read(point);
        if (value == null) { pen = "M"; continue; }
        path += `${pen}${x(point.time).toFixed(1)} ${y(value).toFixed(1)}`;
        pen = "L";
      }
      const value = last && line.read(last);
      const end = value == null ? null : svg("circle", { class: line.kind, cx: x(now), cy: y(value), r: 3 });
      return [svg("path", { class: line.kind, d: path }), end];
    });
    drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT + BOTTOM}`);
    drawing.replaceChildren(...grid, ...ticks, ...paths.filter(Boolean));
    values.forEach(({ value }, index) => text(value, last ? formatted(lines[index].read(last), format) : "–"));
    const spoken = lines.map(line => `${line.name} ${last ? formatted(line.read(last), format) : "none"}`).join(", ");
    drawing.setAttribute("aria-label", `${title}, now: ${spoken}`);
  };
  return figure;
}

const formatted = (value, format) => value == null ? "–" : format(value);
