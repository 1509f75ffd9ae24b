// Elements.  What comes from an API gets into the page here only, as text.

const fill = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') {
      node.addEventListener(name, value);
    } else if (value === true) {
      node.setAttribute(name, '');
    } else if (value !== false && value !== undefined) {
      node.setAttribute(name, value);
    }
  }
  node.append(...children);
  return node;
};

export const h = (name, attributes = {}, ...children) =>
  fill(document.createElement(name), attributes, children);

export const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS('http://www.w3.org/2000/svg', name),
    attributes, children);

export const $ = (selector, within = document) =>
  within.querySelector(selector);

// These touch the page only where something changes.

export const say = (node, text) => {
  if (node.textContent !== String(text)) {
    node.textContent = text;
  }
};

export const show = (node, shown) => {
  if (node.hidden === Boolean(shown)) {
    node.hidden = !shown;
  }
};

export const mark = (node, name) => {
  if (node.className !== name) {
    node.className = name;
  }
};

const views = new WeakMap();

// Makes the children of parent those of items, in order: an item that was
// there keeps its element, and the focus.  make(item) gives {node, update}.
export const list = (parent, items, key, make) => {
  const old = views.get(parent) ?? new Map();
  const current = new Map();

  for (const item of items) {
    const id = key(item);
    const view = old.get(id) ?? make(item);
    current.set(id, view);
    view.update?.(item);
  }

  const focused = document.activeElement;
  let place = parent.firstChild;

  for (const {node} of current.values()) {
    if (node === place) {
      place = place.nextSibling;
    } else {
      parent.insertBefore(node, place);
    }
  }
  for (const [id, view] of old) {
    if (!current.has(id)) {
      view.node.remove();
    }
  }
  views.set(parent, current);

  if (focused !== document.activeElement && focused.isConnected) {
    focused.focus({preventScroll: true});
  }
};

// Asks before something is done, and shows why it could not be.
export const confirm = ({title, text, go, act}) => {
  const dialog = $('#confirm');
  const button = $('#go');
  const error = $('#confirm-error');

  say($('#confirm-title'), title);
  say($('#confirm-text'), text);
  say(button, go);
  show(error, false);
  button.disabled = false;
  button.onclick = async () => {
    button.disabled = true;
    show(error, false);
    try {
      await act();
      dialog.close();
    } catch (failure) {
      say(error, failure.message);
      show(error, true);
    }
    button.disabled = false;
  };
  dialog.showModal();
};

export const count = (n, one, many = `${one}s`) =>
  `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

// 5 s, 3 min, 2 h, 4 d
export const ago = (ms) => {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 100) {
    return `${s} s`;
  }
  if (s < 100 * 60) {
    return `${Math.round(s / 60)} min`;
  }
  return s < 48 * 3600 ? `${Math.round(s / 3600)} h`
    : `${Math.round(s / 86400)} d`;
};
