// Light or dark: as the system has it, until somebody says otherwise. It runs before the page is drawn.
(() => {
  "use strict";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const said = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage may be switched off
    }
  };
  const shown = () => root.dataset.theme || (system.matches ? "dark" : "light");
  const use = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
    root.dispatchEvent(new CustomEvent("theme", { detail: shown() }));
  };
  root.classList.add("scripted");
  use(said());
  system.addEventListener("change", () => use(said()));
  addEventListener("storage", (event) => event.key === "theme" && use(event.newValue));
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme-switch");
    button.hidden = false;
    button.addEventListener("click", () => {
      const next = shown() === "dark" ? "light" : "dark";
      try {
        localStorage.setItem("theme", next);
      } catch {
        // it holds for this page alone
      }
      use(next);
    });
  });
})();
