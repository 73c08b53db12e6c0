// The page: asks the agent every two seconds, and shows the view that the address names.

import { get } from "./agent.js";
import { confirmed } from "./confirm.js";
import { text } from "./dom.js";
import { Traffic } from "./figures.js";
import { live } from "./live.js";
import { mirrors } from "./mirrors.js";
import { node } from "./node.js";
import { overview } from "./overview.js";
import { routes } from "./routes.js";

const EVERY = 2000;
const find = id => document.getElementById(id);
const main = find("main"), notice = find("notice"), all = find("pause-all");
const state = { traffic: new Traffic(), status: null, mirrors: null };
const ask = (action, mirror) => confirmed(action, mirror, () => { soon(0); });
let view = null, timer = null, asking = false;

function show() {
  const [name = "overview", ...rest] = decodeURIComponent(location.hash.replace(/^#\//, "")).split("/");
  const views = { overview, routes: () => routes(rest.join("/") || null), mirrors: () => mirrors(ask), live, node };
  const known = Object.hasOwn(views, name) ? name : "overview";
  view?.end?.("");
  const first = view === null;
  view = views[known]();
  main.replaceChildren(...view.parts);
  document.title = `${view.title} · umbra`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#/${known}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!first) main.focus();
  view.begin?.();
  if (state.traffic.time) view.update(state);
  soon(0);
}

async function read() {
  const [traffic, status, more] = await Promise.all([
    get("traffic?limit=1000"), get("status"), view.also ? get(`${view.also}?limit=1000`) : null]);
  state.traffic.take({ time: traffic.time, allPaused: traffic.allPaused, items: traffic.items, more: traffic.continue !== undefined });
  state.status = status;
  if (view.also) state[view.also] = more;
}

async function turn() {
  if (asking) return soon(100);
  asking = true;
  try {
    await read();
    notice.hidden = true;
    text(find("agent"), `${state.status.agent.version} · ${state.status.agent.state === "ready" ? "ready" : "not ready"}`);
    all.hidden = false;
    text(all, state.traffic.allPaused ? "Resume all copies" : "Pause all copies");
    all.classList.toggle("on", state.traffic.allPaused);
    view.update(state);
  } catch (error) {
    notice.hidden = false;
    text(notice, `The agent does not answer (${error.message}). The figures are those of before; asking again every two seconds. Traffic does not depend on it.`);
  }
  asking = false;
  soon(EVERY);
}

function soon(after) {
  clearTimeout(timer);
  timer = setTimeout(() => document.hidden ? soon(EVERY) : turn(), after);
}

all.addEventListener("click", () => ask(state.traffic.allPaused ? "resume" : "pause", null));
addEventListener("hashchange", show);
show();
