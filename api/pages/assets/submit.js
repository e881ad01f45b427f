// The form of a submission: what would become of it is asked of the farm at every change and drawn beside it.
"use strict";

(() => {
  const form = document.getElementById("submission");
  if (!form) return;
  const says = form.querySelector("[data-plan-says]");
  const button = form.querySelector(".submit-button");
  let asked = null;
  let timer = 0;

  const chosen = () => Array.from(form.elements).filter((one) => one.name === "target" && one.checked).map((one) => one.value);

  // Only what matters for the choice is shown: options of chosen backends, fields of the chosen way to give shapes.
  function arrange() {
    const backends = new Set(chosen().map((target) => target.split(":")[0]));
    let any = false;
    form.querySelectorAll("[data-backend]").forEach((group) => {
      group.hidden = !backends.has(group.dataset.backend);
      any = any || !group.hidden;
    });
    const none = form.querySelector("[data-no-options]");
    if (none) none.hidden = any;
    const way = form.elements.shaped ? form.elements.shaped.value : "";
    form.querySelectorAll("[data-shaped]").forEach((group) => { group.hidden = group.dataset.shaped !== way; });
  }

  // The matrix stays as it is while somebody clicks in it; only words and what can be chosen change.
  function reach(told) {
    const words = { yes: "can be built", needs: "needs more", failed: "failed before", no: "not possible" };
    form.querySelectorAll("[data-reach]").forEach((place) => {
      const one = told[place.dataset.reach];
      if (!one) return;
      for (const name of Object.keys(words)) place.classList.toggle(name, name === one.reach);
      const input = place.querySelector("input");
      input.disabled = one.reach === "no" && !input.checked;
      place.querySelector(".why").textContent = one.reason;
      const word = place.querySelector(".reach-word");
      if (word) word.textContent = words[one.reach];
    });
  }

  async function plan() {
    if (asked) asked.abort();
    const mine = asked = new AbortController();
    says.textContent = "";
    try {
      const answer = await fetch(form.getAttribute("data-plan"), { // form.dataset is the field of that name
        method: "POST", body: new URLSearchParams(new FormData(form)), signal: mine.signal, headers: { Accept: "text/html" },
      });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("plan");
      if (!answer.ok || !fresh) {
        says.textContent = answer.status === 401
          ? "You are signed out: sign in again in another tab."
          : `The farm answered ${answer.status}; the summary is not up to date.`;
        return;
      }
      const old = document.getElementById("plan");
      fresh.querySelectorAll("details[id]").forEach((one) => {
        const before = old.querySelector(`#${one.id}`);
        if (before) one.open = before.open;
      });
      old.replaceWith(fresh);
      document.dispatchEvent(new CustomEvent("htmx:afterSettle")); // its copy buttons show themselves
      reach(JSON.parse(fresh.querySelector("#reach").textContent));
      form.dispatchEvent(new CustomEvent("planned"));
    } catch (error) {
      if (error.name !== "AbortError") says.textContent = "The connection is lost; the summary is not up to date.";
    }
  }

  function soon(ms) {
    clearTimeout(timer);
    timer = setTimeout(plan, ms);
  }

  form.addEventListener("change", (event) => { if (event.target.name) { arrange(); soon(60); } });
  form.addEventListener("input", (event) => { if (event.target.name && event.target.type !== "checkbox") soon(350); });
  form.addEventListener("submit", () => {
    button.setAttribute("aria-busy", "true");
    setTimeout(() => { button.disabled = true; }); // after the fields were read
  });
  addEventListener("pageshow", () => { button.disabled = false; button.removeAttribute("aria-busy"); });
  const tick = (which) => () => {
    form.querySelectorAll("[data-reach] input[name=target]").forEach((input) => {
      const place = input.closest("[data-reach]");
      input.checked = which && input.value !== "auto" && (place.classList.contains("yes") || place.classList.contains("failed"));
    });
    arrange();
    soon(0);
  };
  form.querySelector("[data-all]")?.addEventListener("click", tick(true));
  form.querySelector("[data-none]")?.addEventListener("click", tick(false));

  // A dataset that was uploaded here is the one that is meant.
  form.addEventListener("uploaded", ({ detail }) => {
    const name = `${detail.name}@${detail.version}`;
    const select = form.elements.dataset;
    if (!Array.from(select.options).some((one) => one.value === name)) {
      select.add(new Option(`${name}, ${detail.samples} samples`, name));
    }
    select.value = name;
    select.dispatchEvent(new Event("change", { bubbles: true }));
  });

  arrange();
  if (chosen().length) soon(0); // what a browser kept over a reload
})();
