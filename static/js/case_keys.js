// Keys of the review queue and of a case's page. They act on elements marked data-key="approve", "return", "next",
// "previous"; in the queue j and k walk along its rows. Never while somebody types, never with Ctrl, Alt or Meta.
// A key brings you to a button and does not press it: nothing is decided by a single stroke.
"use strict";
{
  const HELP = [
    ["j", "next case"],
    ["k", "previous case"],
    ["Enter", "open the case"],
    ["a", "go to approve: the chosen cases of the queue, else the one you are at"],
    ["r", "go to return the proposal"],
    ["?", "show these keys"],
  ];
  const NOT_TYPED_IN = ["checkbox", "radio", "button", "submit", "reset"];
  const STORED = "review-keys";
  let help, said;

  const marked = (name) => document.querySelector(`[data-key="${name}"]`);
  const caseLinks = () => [...document.querySelectorAll("#result_list tbody a.row-id")];
  const isTypedIn = (place) =>
    place instanceof HTMLElement &&
    (place.isContentEditable || (place.matches("input, textarea, select") && !NOT_TYPED_IN.includes(place.type)));

  const areOn = () => {
    try {
      return localStorage.getItem(STORED) !== "off";
    } catch {
      return true; // storage is blocked
    }
  };

  const turn = (on) => {
    try {
      localStorage.setItem(STORED, on ? "on" : "off");
    } catch {
      say("This browser keeps no settings, so the keys stay on.");
    }
  };

  const made = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  const say = (words) => {
    said ??= document.body.appendChild(made("p", { className: "keys-said", role: "status" }));
    said.textContent = words;
  };

  const goTo = (element, otherwise) => {
    if (!element) return say(otherwise);
    if (element.matches("a[href]")) return element.click();
    element.scrollIntoView({ block: "center" });
    element.focus({ focusVisible: true });
  };

  const walk = (step, mark) => {
    const links = caseLinks();
    if (!links.length) return goTo(marked(mark), `There is no ${mark} case here.`);
    const at = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
    const to = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + step, 0), links.length - 1);
    links[to].scrollIntoView({ block: "nearest" });
    links[to].focus({ focusVisible: true });
  };

  const current = () => document.activeElement?.closest("#result_list tbody tr");

  const approve = () => {
    const form = document.getElementById("changelist-form");
    if (!form) return goTo(marked("approve"), "There is nothing here that you could approve.");
    const action = form.querySelector('select[name="action"]');
    if (!action?.querySelector('option[value="approve"]')) return say("Your role approves no proposals.");
    const boxes = [...form.querySelectorAll('tbody input[name="_selected_action"]')];
    const own = current()?.querySelector('input[name="_selected_action"]');
    if (own && !boxes.some((box) => box.checked)) own.checked = true;
    if (!boxes.some((box) => box.checked)) return say("Choose a case first: j goes to the next one.");
    action.value = "approve";
    form.requestSubmit(form.querySelector('.actions button[name="index"]'));
  };

  const giveBack = () => {
    if (!document.getElementById("changelist-form")) {
      return goTo(marked("return"), "There is no proposal here that you could return.");
    }
    const link = current()?.querySelector("a.row-id");
    if (!link) return say("Choose a case first: j goes to the next one.");
    window.location.assign(`${link.href}#return`);
  };

  const showHelp = () => {
    help ??= document.body.appendChild(helpDialog());
    if (!help.open) help.showModal();
  };

  const helpDialog = () => {
    const on = made("input", { type: "checkbox", checked: areOn() });
    on.addEventListener("change", () => turn(on.checked));
    const rows = HELP.flatMap(([key, words]) => [
      made("dt", {}, made("kbd", { textContent: key })),
      made("dd", { textContent: words }),
    ]);
    const close = made("form", { method: "dialog" }, made("button", { className: "button", textContent: "Close" }));
    const title = made("h2", { id: "keys-title", textContent: "Keyboard keys" });
    const choice = made("label", {}, on, " Use these keys");
    const note = made("p", { textContent: "They rest while you type in a field." });
    const dialog = made("dialog", { className: "keys" }, title, made("dl", {}, ...rows), note, choice, close);
    dialog.setAttribute("aria-labelledby", title.id);
    return dialog;
  };

  const DEEDS = {
    j: () => walk(1, "next"),
    k: () => walk(-1, "previous"),
    a: approve,
    r: giveBack,
    "?": showHelp,
  };

  document.addEventListener("keydown", (event) => {
    const deed = Object.hasOwn(DEEDS, event.key) && DEEDS[event.key];
    if (!deed || !areOn() || event.defaultPrevented || event.isComposing) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (isTypedIn(event.target) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    if (said) said.textContent = "";
    deed();
  });

  document.addEventListener("DOMContentLoaded", () => {
    const button = made("button", { type: "button", className: "keys-button" }, "Keyboard keys ", made("kbd", { textContent: "?" }));
    button.addEventListener("click", showHelp);
    document.querySelector("#content > h1")?.before(button);
    const asked = { "#approve": "approve", "#return": "return" }[window.location.hash];
    if (asked) goTo(marked(asked), `There is nothing here to ${asked}.`);
  });
}
