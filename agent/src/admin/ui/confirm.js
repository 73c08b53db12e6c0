// The kill switch, with a question before it.

import { post, setToken } from "./agent.js";

const find = id => document.getElementById(id);

/** Asks, and does it when the answer is yes. `after` is called when it is done. */
export function confirmed(action, mirror, after) {
  const dialog = find("confirm"), fault = find("confirm-fault"), token = find("confirm-token");
  const form = find("confirm-form"), [no, yes] = form.querySelectorAll("button");
  const name = action === "pause" ? "Pause" : "Resume";
  find("confirm-title").textContent = mirror ? `${name} this mirror?` : `${name} all copies?`;
  find("confirm-text").textContent = `${mirror ?? "Every mirror of this agent"}: ${action === "pause"
    ? "no further copies are sent. Copies under way end as they would. Clients notice nothing."
    : "copies are sent again, as the configuration says."}`;
  fault.textContent = "";
  token.hidden = true;
  yes.textContent = name;
  yes.classList.toggle("on", action === "resume");
  yes.disabled = false;
  no.onclick = () => dialog.close();
  form.onsubmit = async event => {
    event.preventDefault();
    if (!token.hidden) setToken(token.querySelector("input").value);
    yes.disabled = true;
    try {
      await post(action, mirror ? { mirrors: [mirror] } : { all: true });
      dialog.close();
      after();
    } catch (error) {
      token.hidden = error.status !== 401;
      fault.textContent = `Not done: ${error.message}`;
      yes.disabled = false;
    }
  };
  dialog.showModal();
  no.focus();
}
