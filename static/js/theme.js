// Light, dark, or what the system says. Django's admin uses the same key of the same storage, so both change together.
"use strict";
{
  const THEMES = ["auto", "light", "dark"];

  const stored = () => {
    try {
      return localStorage.getItem("theme") || "auto";
    } catch {
      return "auto"; // storage is blocked: the choice then lasts as long as the page
    }
  };

  const choose = (theme) => {
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      return;
    }
  };

  document.documentElement.dataset.theme = THEMES.includes(stored()) ? stored() : "auto";

  document.addEventListener("DOMContentLoaded", () => {
    const toggle = document.getElementById("theme-toggle");
    if (!toggle) return;
    const words = toggle.querySelector("span");
    const show = () => (words.textContent = document.documentElement.dataset.theme);
    toggle.hidden = false;
    show();
    toggle.addEventListener("click", () => {
      const next = (THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length;
      choose(THEMES[next]);
      show();
      document.dispatchEvent(new CustomEvent("theme"));
    });
  });
}
