// Nodes, made of data. Text always becomes text: nothing here reads markup.

export const byId = (id) => document.getElementById(id);

/** Makes an element; `properties` are DOM properties or attributes, `children` nodes or strings. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function button(text, onclick, properties = {}) {
  return el("button", { type: "button", className: "quiet", onclick, ...properties }, text);
}

/** Makes an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
