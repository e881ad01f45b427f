// The live log: lines as they come, kept in view while "Follow" is ticked; and the way to a line that is elsewhere.
(() => {
  "use strict";
  const LOOK_MS = 700;
  const KEPT = 5000; // lines that stay on the page while it follows
  const TROUBLE = /error:|warning|failed|failure|fatal|exception|traceback|killed|aborted/i;
  const log = document.getElementById("log");
  if (!log) return;
  const follow = document.getElementById("follow");
  const said = document.getElementById("log-state");
  const { build, attempt, base } = log.dataset;
  let last = Number(log.dataset.last);
  let lines = Number(log.dataset.total);
  let own = false;

  // A permalink to a line that this page does not hold is another page.
  function elsewhere() {
    const wanted = location.hash.match(/^#L(\d+)$/);
    if (!wanted || document.getElementById(`L${wanted[1]}`)) return;
    const address = new URL(location.href);
    if (address.searchParams.get("line") === wanted[1]) return;
    address.searchParams.set("line", wanted[1]);
    location.replace(address);
  }
  elsewhere();
  addEventListener("hashchange", elsewhere);

  function drawn(line) {
    const row = document.createElement("div");
    row.className = TROUBLE.test(line.text) ? "line trouble" : "line";
    row.id = `L${line.seq}`;
    const number = document.createElement("a");
    number.className = "no";
    number.href = `${base}?attempt=${attempt}&line=${line.seq}#L${line.seq}`;
    number.textContent = line.seq;
    const time = document.createElement("time");
    time.className = "at";
    time.dateTime = line.time;
    time.dataset.fixed = "";
    time.textContent = new Date(line.time).toISOString().slice(11, 19);
    const words = document.createElement("span");
    words.className = "words";
    words.textContent = line.text;
    row.append(number, time, words);
    return row;
  }

  function toTheEnd() {
    own = true;
    log.scrollTop = log.scrollHeight;
  }

  async function look() {
    if (document.hidden) return true;
    const answer = await fetch(`/v1/builds/${build}/log?attempt=${Number(attempt) || 1}&after=${last}`, { cache: "no-store" });
    if (!answer.ok) return answer.status >= 500;
    const page = await answer.json();
    if (page.lines.length && attempt === "0") return false; // the first attempt has begun
    if (page.lines.length) {
      const rows = document.createDocumentFragment();
      page.lines.forEach((line) => rows.append(drawn(line)));
      log.append(rows);
      last = page.lines.at(-1).seq;
      lines = last;
      document.getElementById("no-lines")?.remove();
      while (follow.checked && log.childElementCount > KEPT) log.firstElementChild.remove();
      if (follow.checked) toTheEnd();
    }
    said.textContent = `${lines} lines, attempt ${attempt}${page.ended ? "" : "; it goes on"}`;
    return !page.ended;
  }

  async function keepLooking() {
    let more = true;
    try {
      more = await look();
    } catch {
      // the farm is away for a moment: the next look finds it
    }
    if (more) setTimeout(keepLooking, LOOK_MS);
    else if (log.dataset.attempt === "0" || !document.querySelector(".state.succeeded, .state.failed, .state.cancelled")) {
      location.reload(); // an attempt has begun, or the build has ended
    }
  }

  follow.addEventListener("change", () => follow.checked && toTheEnd());
  log.addEventListener("scroll", () => {
    if (own) {
      own = false;
      return;
    }
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    if (!atEnd) follow.checked = false;
  });
  const live = log.dataset.following === "yes";
  if (!location.hash && live) {
    follow.checked = true;
    toTheEnd();
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView({ block: "center" });
  if (live) keepLooking();
})();
