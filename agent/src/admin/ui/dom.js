// Elements without a framework: made once, then kept, so that focus and screen readers stay where they are.

/** An element with attributes (`on…` are listeners) and children. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children.flat().filter(child => child != null));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, attributes);
  element.append(...children.flat().filter(child => child != null));
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
}

/** Sets the text where it differs. */
export function text(element, value) {
  if (element.textContent !== String(value)) element.textContent = value;
}

/** Keeps one child of `parent` for each item, by key and in order; each has an `update` of its own. */
export function keep(parent, items, key, make) {
  const known = parent.kept ??= new Map();
  const wanted = new Set(items.map(key));
  for (const [id, element] of known) {
    if (!wanted.has(id)) { element.remove(); known.delete(id); }
  }
  items.forEach((item, index) => {
    const id = key(item);
    if (!known.has(id)) known.set(id, make(item));
    const element = known.get(id);
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
    element.update?.(item);
  });
}

/** A text with its health, told by a mark and a word as well as by colour. */
export function marked(element, state, value) {
  const name = `mark ${state}`;
  if (element.className !== name) element.className = name;
  text(element, value);
}
