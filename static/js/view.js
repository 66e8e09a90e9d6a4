// A piece of the page made from a <template>: its parts with data-field show the values of an object.
//
// data-field="daily.win_rate"  where the value is      data-form="ratio"  how it is shown (format.js)
// data-none="unknown"          text when there is none (a dash)
// data-why="..."               title when there is none; data-why-field="unmarked": the field with a better one
// data-optional                hidden when there is none
// data-href="href"             field with the address of a link
// data-mirror="is"             the value goes into data-is, too, for the style sheet
// A documented figure whose name stands in its object's list `undefined` has no value (it is 0 on the wire).

import { show } from "./format.js";

function valueAt(source, path) {
  const names = path.split(".");
  const name = names.pop();
  const owner = names.reduce((object, step) => object?.[step], source);
  if (owner?.undefined?.includes?.(name)) return null;
  return owner?.[name];
}

function write(node, text, title) {
  if (node.textContent !== text) node.textContent = text;
  if (node.title !== title) node.title = title;
}

function paint(node, source) {
  const value = valueAt(source, node.dataset.field);
  if (node instanceof HTMLProgressElement) {
    node.value = Math.min(1, Math.max(0, Number(value) || 0));
    return;
  }
  const { text, tone, isKnown } = show(value, node.dataset.form);
  const { none, why, whyField } = node.dataset;
  if (isKnown) write(node, text, "");
  else write(node, none || text, (whyField && valueAt(source, whyField)) || why || "");
  if ("optional" in node.dataset) node.hidden = !isKnown;
  node.classList.toggle("gain", tone === "gain");
  node.classList.toggle("loss", tone === "loss");
  node.classList.toggle("unknown", !isKnown);
  if (node.dataset.mirror) node.dataset[node.dataset.mirror] = text;
  if (node.dataset.href) node.href = valueAt(source, node.dataset.href);
}

export class View {
  // `root` is an element; its fields are found once, before lists put rows of their own into it.
  constructor(root) {
    this.root = root;
    this.fields = [...root.querySelectorAll("[data-field]")];
  }

  static fromTemplate(id) {
    return new View(document.getElementById(id).content.firstElementChild.cloneNode(true));
  }

  update(source) {
    for (const node of this.fields) paint(node, source);
  }
}

// The rows of one table body or list: kept by key, so that an update moves and changes only what differs.
export class Rows {
  constructor(host, template, emptyNode = null) {
    this.host = host;
    this.template = template;
    this.emptyNode = emptyNode;
    this.views = new Map();
  }

  static ofTable(table, template) {
    const body = table.tBodies[0];
    const cell = document.createElement("td");
    cell.className = "empty";
    cell.colSpan = table.tHead.rows[0].cells.length;
    cell.textContent = body.dataset.empty ?? "";
    const row = document.createElement("tr");
    row.append(cell);
    return new Rows(body, template, row);
  }

  update(items, keyOf) {
    const wanted = new Map(items.map((item) => [keyOf(item), item]));
    for (const [key, view] of this.views) {
      if (!wanted.has(key)) {
        view.root.remove();
        this.views.delete(key);
      }
    }
    let place = null;
    for (const [key, item] of wanted) {
      const view = this.views.get(key) ?? View.fromTemplate(this.template);
      this.views.set(key, view);
      view.update(item);
      const next = place ? place.nextSibling : this.host.firstChild;
      if (view.root !== next) this.host.insertBefore(view.root, next);
      place = view.root;
    }
    this.showEmpty(wanted.size === 0);
  }

  showEmpty(isEmpty) {
    if (!this.emptyNode) return;
    if (isEmpty) this.host.replaceChildren(this.emptyNode);
    else this.emptyNode.remove();
  }
}
