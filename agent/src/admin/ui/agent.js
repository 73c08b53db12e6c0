// What this page asks the agent.

const KEY = "umbra-token";

/** Why the agent did not do what was asked. */
export class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

function headers(more = {}) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, authorization: `Bearer ${token}` } : more;
}

export const setToken = token => sessionStorage.setItem(KEY, token);

async function answer(response) {
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Refused(response.status, [problem.detail ?? response.statusText, problem.hint].filter(Boolean).join(": "));
}

export const get = async path => answer(await fetch(`/api/v1/${path}`, { headers: headers(), cache: "no-store" }));

export const post = async (path, body) => answer(await fetch(`/api/v1/${path}`, {
  method: "POST", headers: headers({ "content-type": "application/json" }), body: JSON.stringify(body),
}));

/** Calls `each` with every event of a stream, until it ends or `signal` says so. */
export async function stream(path, signal, each) {
  const response = await fetch(`/api/v1/${path}`, { headers: headers({ accept: "text/event-stream" }), signal });
  if (!response.ok) await answer(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const field = name => event.split("\n").filter(line => line.startsWith(`${name}:`))
        .map(line => line.slice(name.length + 1).trim()).join("\n");
      if (field("data")) each(field("event") || "message", JSON.parse(field("data")));
    }
  }
}
