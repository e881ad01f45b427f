// Events from the farm, for htmx's "sse" extension: every event is also a "change", several within a second are one.
// A page that nobody looks at lets go of its connection, since a browser has six of them for all its tabs.
(() => {
  "use strict";
  const LEAST_MS = 1000;
  const FIRST_RETRY_MS = 1000;
  const LONGEST_RETRY_MS = 15000;
  const LOST_AFTER_MS = 4000;

  class Events extends EventTarget {
    static OPEN = 1;

    constructor(address) {
      super();
      this.url = new URL(address, location.href);
      this.last = this.url.searchParams.get("after");
      this.readyState = Events.OPEN; // it comes back by itself: for htmx it never ends
      this.wait = FIRST_RETRY_MS;
      this.told = 0;
      this.pending = null;
      this.hear = () => (document.hidden ? this.stop() : this.start());
      document.addEventListener("visibilitychange", this.hear);
      addEventListener("offline", () => this.again());
      addEventListener("online", () => this.again());
      addEventListener("pagehide", () => this.stop());
      addEventListener("pageshow", (event) => event.persisted && this.hear());
      this.hear();
    }

    start() {
      if (this.reading || this.closed) return;
      this.reading = new AbortController();
      this.read(this.reading);
    }

    stop() {
      clearTimeout(this.retry);
      this.reading?.abort();
      this.reading = null;
    }

    // The network has changed: what is open may hang for minutes before it tells.
    again() {
      this.stop();
      this.hear();
    }

    close() {
      this.closed = true;
      this.stop();
      connection(this, true);
      document.removeEventListener("visibilitychange", this.hear);
      clearTimeout(this.pending);
    }

    // One connection, until it ends; then the next one from the last event on.
    async read(mine) {
      try {
        if (this.last !== null) this.url.searchParams.set("after", this.last);
        const answer = await fetch(this.url, {
          headers: { Accept: "text/event-stream" },
          signal: mine.signal,
          cache: "no-store",
        });
        if (!answer.ok || !answer.body) throw new Error(`events: ${answer.status}`);
        this.wait = FIRST_RETRY_MS;
        connection(this, true);
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";
        for (;;) {
          const { done, value } = await reader.read();
          if (done) break;
          text += value;
          const events = text.split("\n\n");
          text = events.pop();
          events.forEach((event) => this.take(event));
        }
      } catch (error) {
        if (mine.signal.aborted) return;
        connection(this, false);
      }
      if (mine !== this.reading) return;
      this.retry = setTimeout(() => {
        this.reading = null;
        this.hear();
      }, this.wait);
      this.wait = Math.min(this.wait * 2, LONGEST_RETRY_MS);
    }

    take(text) {
      const field = (name) => text.match(new RegExp(`^${name}: (.*)$`, "m"))?.[1];
      const kind = field("event");
      if (!kind) return;
      this.last = field("id") ?? this.last;
      const data = field("data");
      this.dispatchEvent(new MessageEvent(kind, { data, lastEventId: this.last ?? "" }));
      document.dispatchEvent(new CustomEvent("farm-event", { detail: { kind, data } }));
      if (this.pending) return;
      const ago = performance.now() - this.told;
      this.pending = setTimeout(() => {
        this.pending = null;
        this.told = performance.now();
        this.dispatchEvent(new MessageEvent("change", { data }));
      }, Math.max(50, LEAST_MS - ago));
    }
  }

  // The banner: only for what lasts, a restart of the farm is over before anybody reads it.
  const lost = new Map();
  function connection(source, well) {
    if (well) {
      clearTimeout(lost.get(source));
      lost.delete(source);
    } else if (!lost.has(source)) {
      lost.set(source, setTimeout(() => show(true), LOST_AFTER_MS));
    }
    if (!lost.size) show(false);
  }
  const show = (is) => {
    const banner = document.getElementById("connection");
    if (banner) banner.hidden = !is;
  };

  window.Events = Events;
  if (window.htmx) htmx.createEventSource = (address) => new Events(address);

  // A live part whose address answers an error stays as it is; what was open or typed in stays so, too.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status >= 400) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.target.classList.contains("live")) event.detail.headers["X-Live"] = "1";
  });
  const keep = (name, node) =>
    (name === "open" && node.matches("details, dialog")) ||
    (name === "hidden" && node.matches("[data-copy]")) ||
    (name === "checked" && node.matches("[data-row], [data-select-all], [data-kept]"));
  if (window.Idiomorph) {
    Idiomorph.defaults.ignoreActiveValue = true;
    Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !keep(name, node);
  }

  // "3 min ago" stays true while a page stays open.
  const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["h", 3600], ["min", 60]];
  function words(seconds) {
    const size = Math.abs(seconds);
    let said = `${Math.round(size)} s`;
    for (const [unit, length] of UNITS) {
      if (size >= length) {
        const count = Math.floor(size / length);
        said = `${count} ${unit}${count > 1 && length >= 86400 ? "s" : ""}`;
        break;
      }
    }
    return seconds < -1 ? `in ${said}` : seconds >= 1 ? `${said} ago` : "now";
  }
  function refresh() {
    if (document.hidden) return;
    for (const one of document.querySelectorAll("time[datetime]:not([data-fixed])")) {
      const seconds = (Date.now() - Date.parse(one.dateTime)) / 1000;
      const said = words(seconds);
      if (one.textContent !== said) one.textContent = said;
    }
  }
  setInterval(refresh, 5000);
  document.addEventListener("visibilitychange", refresh);
})();
