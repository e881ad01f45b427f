// Buttons that copy what their data-copy says. They show themselves where a clipboard is.
(() => {
  "use strict";
  const reveal = (root) => {
    for (const button of root.querySelectorAll("button[data-copy][hidden]")) button.hidden = false;
  };
  if (navigator.clipboard) {
    reveal(document);
    document.addEventListener("htmx:load", (event) => reveal(event.target));
    document.addEventListener("htmx:afterSettle", () => reveal(document));
  }
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("button[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.classList.add("done");
      button.title = "Copied";
    } catch {
      button.title = "The browser does not allow it: select the text and copy it";
    }
    setTimeout(() => {
      button.classList.remove("done");
      button.title = "Copy";
    }, 1600);
  });
})();
