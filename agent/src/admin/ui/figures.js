// From cumulative counts to what a person reads: rates, shares and percentiles over the last seconds, and their history.

/** Readings that a rate is taken over: five of two seconds each. */
const WINDOW = 6;
/** Points kept of each line: ten minutes. */
const POINTS = 300;

export const number = value => value >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en")
  : value >= 10 ? value.toFixed(1) : value.toFixed(2);
export const rate = value => value == null ? "–" : `${number(value)}/s`;
export const percent = value => value == null ? "–" : `${+value.toFixed(value < 1 ? 2 : 1)} %`;
export const time = micros => micros == null ? "–" : micros < 1000 ? `${Math.round(micros)} µs`
  : micros < 1e6 ? `${(micros / 1e3).toPrecision(3)} ms` : `${(micros / 1e6).toPrecision(3)} s`;
export const bytes = value => value < 1024 ? `${value} B` : value < 1 << 20 ? `${(value / 1024).toPrecision(3)} KiB`
  : `${(value / (1 << 20)).toPrecision(3)} MiB`;
export const host = name => name.replace(/\.svc\.cluster\.local/, "");

/** The health of something with a part of failures, and so few requests that it says nothing. */
export function health(failing, requests) {
  if (!requests || failing == null) return "idle";
  return failing >= 5 ? "bad" : failing >= 1 ? "warn" : "good";
}

/** How wide the cell below this bound is: an eighth of a power of two. */
const width = upper => { const power = Math.floor(Math.log2(upper - 1)); return power >= 3 ? 2 ** (power - 3) : 1; };

/** The times that these parts of the requests stayed within: [[upper, count], …] now, less those of before. */
function percentiles(now, before, parts) {
  const was = new Map(before);
  const cells = now.map(([upper, count]) => [upper, count - (was.get(upper) ?? 0)]).filter(([, count]) => count > 0);
  const all = cells.reduce((sum, [, count]) => sum + count, 0);
  return parts.map(part => {
    let below = 0;
    for (const [upper, count] of cells) {
      if (below + count >= part * all) return upper - width(upper) * (1 - (part * all - below) / count);
      below += count;
    }
    return null;
  });
}

const sum = counts => Object.values(counts).reduce((a, b) => a + b, 0);

/** What happened between two readings of the same counts. */
function side(now, before, seconds) {
  const requests = now.requests - before.requests;
  const [p50, p95, p99] = percentiles(now.latencyMicros, before.latencyMicros, [.5, .95, .99]);
  const failing = requests ? 100 * (now.failures - before.failures) / requests : null;
  return { rate: requests / seconds, requests, failing, p50, p95, p99 };
}

function copies(now, before, seconds) {
  const per = (a, b) => (a - b) / seconds;
  const ended = { completed: per(now.completed, before.completed), failed: per(sum(now.failed), sum(before.failed)),
    dropped: per(sum(now.dropped), sum(before.dropped)), sampled: per(now.sampledOut, before.sampledOut) };
  const lost = per(now.lost, before.lost), due = ended.completed + lost;
  return { ...ended, offered: per(now.offered, before.offered), ...side(now.shadow, before.shadow, seconds),
    lost: due ? 100 * lost / due : null, failures: lost };
}

/** One rule with the history of its figures. */
class Route {
  constructor() { this.readings = []; this.points = []; }

  take(time, rule) {
    this.rule = rule;
    this.readings.push({ time, rule });
    if (this.readings.length > WINDOW) this.readings.shift();
    const before = this.readings[0];
    const seconds = (time - before.time) / 1000;
    const mirrors = new Map();
    if (seconds > 0) {
      for (const mirror of rule.mirrors) {
        const was = before.rule.mirrors.find(other => other.id === mirror.id);
        if (was) mirrors.set(mirror.id, copies(mirror, was, seconds));
      }
      this.now = { time, primary: side(rule.primary, before.rule.primary, seconds), mirrors };
      this.points.push(this.now);
      if (this.points.length > POINTS) this.points.shift();
    }
  }

  get hasTraffic() { return this.rule.primary.requests > 0 || this.rule.mirrors.some(mirror => mirror.offered > 0); }
}

/** Everything the page knows of the traffic. */
export class Traffic {
  constructor() { this.routes = new Map(); this.points = []; this.last = null; }

  take({ time, allPaused, items, more }) {
    const restarted = items.some(rule => {
      const known = this.routes.get(rule.id);
      return known && known.rule.primary.requests > rule.primary.requests;
    });
    if (restarted) { this.routes.clear(); this.points = []; }
    const gone = new Set(this.routes.keys());
    for (const rule of items) {
      if (!this.routes.has(rule.id)) this.routes.set(rule.id, new Route());
      this.routes.get(rule.id).take(time, rule);
      gone.delete(rule.id);
    }
    gone.forEach(id => this.routes.delete(id));
    Object.assign(this, { allPaused, more, time });
    const all = this.total();
    if (all) {
      this.points.push({ time, ...all });
      if (this.points.length > POINTS) this.points.shift();
    }
  }

  /** Routes with figures, the busiest first. */
  busiest() {
    return [...this.routes.values()].sort((a, b) => (b.now?.primary.rate ?? 0) - (a.now?.primary.rate ?? 0)
      || b.rule.primary.requests - a.rule.primary.requests || a.rule.id.localeCompare(b.rule.id));
  }

  total() {
    const now = [...this.routes.values()].map(route => route.now).filter(Boolean);
    if (!now.length) return null;
    const add = read => now.reduce((all, one) => all + read(one), 0);
    const ofMirrors = read => add(one => [...one.mirrors.values()].reduce((all, mirror) => all + read(mirror), 0));
    return { requests: add(one => one.primary.rate), copies: ofMirrors(mirror => mirror.completed),
      failed: ofMirrors(mirror => mirror.failed), dropped: ofMirrors(mirror => mirror.dropped),
      failing: add(one => one.primary.rate * (one.primary.failing ?? 0)) / (add(one => one.primary.rate) || 1) };
  }
}
