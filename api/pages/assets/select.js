// Rows that are ticked: how many there are, all of them at once, and buttons that wait until there are enough.
// <form data-select> holds input[name] boxes, [data-select-all], [data-selected], [data-when-selected="2-5"].
(() => {
  "use strict";
  const boxes = (form) => [...form.querySelectorAll("input[type=checkbox][data-row]")];

  function refresh(form) {
    const all = boxes(form);
    const ticked = all.filter((box) => box.checked);
    for (const one of form.querySelectorAll("[data-selected]")) one.textContent = String(ticked.length);
    for (const one of form.querySelectorAll("[data-select-bar]")) one.classList.toggle("on", ticked.length > 0);
    for (const one of form.querySelectorAll("[data-when-selected]")) {
      const [least, most] = one.dataset.whenSelected.split("-").map(Number);
      one.disabled = ticked.length < least || (most > 0 && ticked.length > most);
    }
    const every = form.querySelector("[data-select-all]");
    if (every) {
      every.checked = all.length > 0 && ticked.length === all.length;
      every.indeterminate = ticked.length > 0 && ticked.length < all.length;
    }
  }

  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-select]");
    if (!form) return;
    if (event.target.matches("[data-select-all]")) {
      for (const box of boxes(form)) box.checked = event.target.checked;
    }
    refresh(form);
  });
  const start = () => document.querySelectorAll("form[data-select]").forEach(refresh);
  document.addEventListener("htmx:afterSettle", start);
  document.addEventListener("DOMContentLoaded", start);
  addEventListener("pageshow", start);

  // Fields that send their form as soon as they change.
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
  });
  // Buttons that ask first.
  document.addEventListener("submit", (event) => {
    const asked = event.submitter?.dataset.asks || event.target.dataset.asks;
    if (asked && !confirm(asked)) event.preventDefault();
  });
})();
