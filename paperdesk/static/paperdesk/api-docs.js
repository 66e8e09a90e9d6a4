// Swagger UI is dark where <html> has the class dark-mode; here the class follows the theme of the pages.
"use strict";
{
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => {
    const { theme } = root.dataset;
    root.classList.toggle("dark-mode", theme === "dark" || (theme === "auto" && system.matches));
  };
  follow();
  system.addEventListener("change", follow);
  document.addEventListener("theme", follow);
}
