// Keys: "/" to the search, "?" for help, "g" and a letter to a place. None of them while somebody types.
(() => {
  "use strict";
  const PLACES = { j: "/jobs", m: "/models", d: "/datasets", w: "/workers", f: "/farm" };
  const help = document.getElementById("help");
  const opener = document.getElementById("help-open");
  let going = 0;

  if (opener) {
    opener.hidden = false;
    opener.addEventListener("click", () => help.showModal());
  }

  const types = (target) => target.closest("input, textarea, select, [contenteditable]");

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape" && event.target.matches("[data-search]")) event.target.blur();
    if (types(event.target) || document.querySelector("dialog[open]")) return;
    const search = document.querySelector("[data-search]");
    if (event.key === "/") {
      event.preventDefault();
      if (search) search.focus();
      else location.assign("/jobs#search");
    } else if (event.key === "?") {
      event.preventDefault();
      help.showModal();
    } else if (event.key === "g") {
      going = event.timeStamp;
    } else if (event.timeStamp - going < 1500 && PLACES[event.key]) {
      location.assign(PLACES[event.key]);
    } else if (event.key === "n" && document.querySelector('a[href="/submit"]')) {
      location.assign("/submit");
    } else {
      const wanted = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === event.key);
      if (wanted) {
        event.preventDefault();
        wanted.click();
      }
    }
  });
  if (location.hash === "#search") document.querySelector("[data-search]")?.focus();

  // A menu closes when somebody looks elsewhere.
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open], details.account[open], details.drop-down[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
})();
