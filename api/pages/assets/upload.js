// Uploads in parts, hashed here, resumable: what arrived once is not sent again, after a reload or a lost connection.
// <section data-upload="model|dataset" data-hasher="…"> with a file input, [data-bar], [data-says] and [data-stop].
"use strict";

(() => {
  const MIB = 1024 * 1024;
  const AT_ONCE = 3;
  const REMEMBERED = "enginehouse.upload";
  const FIRST = [".onnx", ".pt2", ".pt", ".pth", ".ts", ".torchscript", ".keras", ".h5", ".tflite", ".pb"];

  // As enginehouse.uploads.part_size; both sides cut alike.
  const partSize = (size) => Math.max(16 * MIB, Math.ceil(Math.ceil(size / 10000) / MIB) * MIB);

  class Refused extends Error {
    constructor(problem) {
      super(problem.detail);
      this.problem = problem;
    }
  }
  class Stopped extends Error {}

  const sleep = (ms, signal) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const soon = () => { clearTimeout(timer); resolve(); };
    signal.addEventListener("abort", soon, { once: true });
    window.addEventListener("online", soon, { once: true });
  });

  // --- words --------------------------------------------------------------------------------

  function bytes(count) {
    for (const unit of ["B", "KiB", "MiB", "GiB"]) {
      if (count < 1024 || unit === "GiB") return `${unit === "B" ? count : count.toFixed(1)} ${unit}`;
      count /= 1024;
    }
  }

  function span(seconds) {
    if (seconds < 60) return `${Math.max(1, Math.ceil(seconds))} s`;
    return seconds < 3600 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
  }

  // Speed over the last seconds, so that the time left follows what the line does now.
  class Pace {
    constructor() { this.seen = []; }
    note(done) {
      const now = performance.now();
      this.seen.push([now, done]);
      while (this.seen.length > 2 && now - this.seen[0][0] > 5000) this.seen.shift();
    }
    get perSecond() {
      const [first, last] = [this.seen[0], this.seen[this.seen.length - 1]];
      const took = first && last ? (last[0] - first[0]) / 1000 : 0;
      return took > 0.2 ? (last[1] - first[1]) / took : 0;
    }
  }

  // --- talking to the farm ------------------------------------------------------------------

  async function problemOf(response) {
    try {
      const problem = await response.json();
      if (problem && problem.title) return problem;
    } catch { /* it is no problem document */ }
    return {
      title: `The farm answered ${response.status}`, detail: response.statusText || "no further words",
      advice: "Try again; if it happens again, look into the farm's log.", code: "",
    };
  }

  const worthAgain = (status) => status === 429 || status >= 500;

  // Ask until there is an answer: a lost connection is waited for, a refusal is final.
  async function ask(view, method, address, body) {
    for (let attempt = 0; ; attempt++) {
      view.alive();
      try {
        const response = await fetch(address, {
          method, signal: view.signal, headers: body ? { "Content-Type": "application/json" } : {},
          body: body ? JSON.stringify(body) : undefined,
        });
        if (response.ok) { view.connected(); return response.status === 204 ? null : await response.json(); }
        if (response.status === 401) {
          throw new Refused({
            title: "You are signed out", detail: "the farm does not know who you are any more",
            advice: "Sign in again in another tab, then choose the same file again: what has arrived is kept.", code: "",
          });
        }
        if (!worthAgain(response.status) || attempt >= 8) throw new Refused(await problemOf(response));
      } catch (error) {
        if (error instanceof Refused) throw error;
      }
      await view.away(attempt);
    }
  }

  // One part by XMLHttpRequest, which tells how far it is.
  function put(view, place, blob, tell) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      const stop = () => request.abort();
      const end = (status) => {
        view.signal.removeEventListener("abort", stop);
        resolve({ status, text: request.responseText });
      };
      request.open("PUT", place.url);
      for (const [name, value] of Object.entries(place.headers || {})) {
        if (name.toLowerCase() !== "content-length") request.setRequestHeader(name, value); // the browser's own
      }
      request.upload.onprogress = (event) => tell(event.loaded);
      request.onload = () => end(request.status);
      request.onerror = request.ontimeout = request.onabort = () => end(0);
      view.signal.addEventListener("abort", stop);
      request.send(blob);
    });
  }

  async function sendPart(view, upload, file, number, sha256, tell) {
    const blob = file.slice((number - 1) * upload.part_size, number * upload.part_size);
    let refusedOnce = false;
    for (let attempt = 0; ; attempt++) {
      view.alive();
      const { parts: [place] } = await ask(view, "POST", `/v1/uploads/${upload.id}/parts`, {
        parts: [{ number, sha256 }],
      });
      const { status, text } = await put(view, place, blob, tell);
      if (status >= 200 && status < 300) { view.connected(); return tell(blob.size); }
      tell(0);
      view.alive();
      if (status && !worthAgain(status)) {
        // An address may have expired while the line was down: one more try with a new one.
        if (refusedOnce) throw new Refused(refusalOf(status, text, place.url));
        refusedOnce = true;
        continue;
      }
      if (attempt >= 4 && status === 0 && navigator.onLine && new URL(place.url, location.href).origin !== location.origin) {
        throw new Refused({
          title: "The artifact store does not answer this browser", code: "",
          detail: `parts go straight to ${new URL(place.url).origin}, which refused or could not be reached`,
          advice: "The bucket must allow this page's origin (CORS): see 'Uploads from the browser' in docs/deployment.md.",
        });
      }
      await view.away(attempt);
    }
  }

  function refusalOf(status, text, url) {
    try {
      const problem = JSON.parse(text);
      if (problem.title) return problem;
    } catch { /* S3 answers with XML */ }
    const said = /<Message>([^<]*)<\/Message>/.exec(text || "");
    return {
      title: "A part was refused", detail: `${new URL(url, location.href).host} answered ${status}${said ? `: ${said[1]}` : ""}`,
      advice: "Choose the file again; if it happens again, the store's log says why.", code: "",
    };
  }

  // --- one file -----------------------------------------------------------------------------

  function hash(view, file, tell) {
    return new Promise((resolve, reject) => {
      const worker = new Worker(view.hasher);
      const end = () => { worker.terminate(); view.signal.removeEventListener("abort", stop); };
      const stop = () => { end(); reject(new Stopped()); };
      view.signal.addEventListener("abort", stop);
      worker.onmessage = ({ data }) => {
        if (data.done !== undefined) { tell(data.done); return; }
        end();
        if (!data.error) { resolve(data); return; }
        reject(new Refused({
          title: `${file.name} could not be read`, detail: data.error, code: "",
          advice: "Check that the file is still there and that no program is writing it, then choose it again.",
        }));
      };
      worker.onerror = () => { end(); reject(new Error("The hashing worker could not be started.")); };
      worker.postMessage({ file, partSize: partSize(file.size) });
    });
  }

  async function send(view, file, digest, tell) {
    const upload = await ask(view, "POST", "/v1/uploads", { sha256: digest.sha256, size: file.size });
    if (upload.state === "complete") { tell(file.size); return; }
    const arrived = new Map(upload.parts.map((part) => [part.number, part]));
    const sent = new Array(digest.parts.length + 1).fill(0);
    const todo = [];
    digest.parts.forEach((sha256, index) => {
      const here = arrived.get(index + 1);
      if (here && (!here.sha256 || here.sha256 === sha256)) sent[index + 1] = here.size;
      else todo.push(index + 1);
    });
    const sum = () => tell(sent.reduce((total, count) => total + count, 0));
    sum();
    const one = async () => {
      while (todo.length) {
        const number = todo.shift();
        await sendPart(view, upload, file, number, digest.parts[number - 1], (count) => { sent[number] = count; sum(); });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
    view.say("Checking what arrived …");
    await ask(view, "POST", `/v1/uploads/${upload.id}/complete`);
  }

  // --- what is shown ------------------------------------------------------------------------

  class View {
    constructor(section) {
      this.section = section;
      this.hasher = section.dataset.hasher;
      this.bar = section.querySelector("[data-bar]");
      this.says = section.querySelector("[data-says]");
      this.stopper = section.querySelector("[data-stop]");
      this.errors = section.querySelector("[data-errors]");
      this.control = new AbortController();
      this.signal = this.control.signal;
      this.sentence = "";
      this.offline = false;
    }
    alive() { if (this.signal.aborted) throw new Stopped(); }
    begin() {
      this.section.dataset.state = "busy";
      this.errors.replaceChildren();
      this.bar.parentElement.hidden = false;
      this.stopper.hidden = false;
      this.stopper.onclick = () => this.control.abort();
      this.fill(0);
    }
    fill(share) {
      this.bar.value = share;
      this.bar.textContent = `${Math.round(share * 100)} %`;
    }
    say(sentence) { this.sentence = sentence; if (!this.offline) this.says.textContent = sentence; }
    connected() { if (this.offline) { this.offline = false; this.says.textContent = this.sentence; } }
    async away(attempt) {
      this.alive();
      const seconds = Math.min(15, 2 ** Math.min(attempt, 4) / 2);
      this.offline = true;
      this.says.textContent = `The connection is lost. It goes on by itself: next try in ${span(seconds)}.`;
      await sleep(seconds * 1000, this.signal);
      this.alive();
    }
    end(state) {
      this.section.dataset.state = state;
      this.stopper.hidden = true;
      this.offline = false;
      if (state !== "done") this.bar.parentElement.hidden = true;
    }
    fail(problem) {
      this.end("failed");
      const card = document.createElement("div");
      card.className = "card error";
      card.setAttribute("role", "alert");
      const add = (tag, text, name) => {
        if (!text) return;
        const part = document.createElement(tag);
        part.textContent = text;
        if (name) part.className = name;
        card.append(part);
      };
      add("h2", problem.title);
      add("p", problem.detail, "says");
      add("p", problem.advice && `What to do: ${problem.advice}`, "advice");
      add("p", problem.code, "soft code");
      this.errors.replaceChildren(card);
    }
  }

  // --- which files, in which order ----------------------------------------------------------

  const ending = (name, endings) => endings.find((one) => name.toLowerCase().endsWith(one));

  // The model itself goes first: the graph of a SavedModel, the text of a Caffe pair, else the file of a known kind.
  function ordered(files) {
    const rank = ({ path }) => {
      if (path === "saved_model.pb") return 0;
      if (ending(path, [".prototxt"])) return 1;
      const known = FIRST.findIndex((one) => path.toLowerCase().endsWith(one));
      return known >= 0 ? 2 + known : 99;
    };
    return [...files].sort((one, other) => rank(one) - rank(other) || (one.path < other.path ? -1 : 1));
  }

  // A folder's own name is left out of the paths: what is in it lies beside the model.
  function plain(files) {
    const shown = files.filter(({ path }) => !path.split("/").some((step) => step.startsWith(".")));
    const tops = new Set(shown.map(({ path }) => path.split("/")[0]));
    const inOne = tops.size === 1 && shown.every(({ path }) => path.includes("/"));
    return shown.map(({ path, file }) => ({ file, path: inOne ? path.slice(path.indexOf("/") + 1) : path }));
  }

  async function dropped(items) {
    const found = [];
    const walk = async (entry, above) => {
      const path = above + entry.name;
      if (entry.isFile) {
        found.push({ path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
        return;
      }
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (!some.length) return;
        for (const one of some) await walk(one, `${path}/`);
      }
    };
    const entries = Array.from(items, (item) => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
    for (const entry of entries) await walk(entry, "");
    return found;
  }

  const chosen = (list) => Array.from(list, (file) => ({ path: file.webkitRelativePath || file.name, file }));

  // --- the whole way ------------------------------------------------------------------------

  function remember(names, done, total) {
    try { localStorage.setItem(REMEMBERED, JSON.stringify({ names, done, total })); } catch { /* private mode */ }
  }
  function forget() { try { localStorage.removeItem(REMEMBERED); } catch { /* private mode */ } }

  async function upload(section, given) {
    const files = ordered(plain(given));
    const view = new View(section);
    const kind = section.dataset.upload;
    if (!files.length) {
      view.fail({ title: "Nothing was chosen", detail: "there is no file in it", advice: "Choose a model's file, or a folder with one." });
      return;
    }
    if (!files[0].file.size) {
      view.fail({
        title: "The file is empty", detail: `${files[0].path} has no bytes`, code: kind === "model" ? "model.unreadable" : "dataset.unreadable",
        advice: "Check how it was written or copied, then choose it again.",
      });
      return;
    }
    if (files.length > 1000) {
      view.fail({
        title: "Too many files", detail: `${files.length} files; the farm takes 1000`, advice: "Upload an archive of them (.zip, .tar or .tar.gz).",
      });
      return;
    }
    const folder = given[0].path.includes("/") ? given[0].path.split("/")[0] : "";
    const first = files[0].path.split("/").pop();
    const name = first === "saved_model.pb" && folder ? folder : first.replace(/\.[^.]*$/, "") || first;
    const field = section.querySelector("[data-name]");
    if (field && !field.value) field.value = name.toLowerCase().replace(/[^a-z0-9_.-]+/g, "-").replace(/^[^a-z0-9]+/, "").slice(0, 100);
    const called = field ? field.value : name.slice(0, 200);
    const total = files.reduce((sum, { file }) => sum + file.size, 0);
    const names = files.map(({ path }) => path).slice(0, 3);
    const leave = (event) => event.preventDefault();
    section.uploading = view;
    window.addEventListener("beforeunload", leave);
    view.begin();
    try {
      const digests = [];
      const reading = new Pace();
      let before = 0;
      for (const { path, file } of files) {
        digests.push(await hash(view, file, (done) => {
          reading.note(before + done);
          view.fill(total ? (before + done) / total : 1);
          view.say(`Reading ${path}: ${bytes(before + done)} of ${bytes(total)}`);
        }));
        before += file.size;
      }
      const sending = new Pace();
      before = 0;
      for (const [index, { path, file }] of files.entries()) {
        await send(view, file, digests[index], (count) => {
          const done = before + count;
          sending.note(done);
          view.fill(total ? done / total : 1);
          const speed = sending.perSecond;
          const rest = speed > 0 ? `, ${bytes(speed)}/s, ${span((total - done) / speed)} left` : "";
          view.say(`Uploading ${path}: ${bytes(done)} of ${bytes(total)}${rest}`);
          if (total >= 8 * MIB) remember(names, done, total);
        });
        before += file.size;
      }
      view.fill(1);
      view.say(kind === "model" ? "Inspecting the model …" : "Inspecting the samples …");
      const body = kind === "model"
        ? { name: called, files: files.map(({ path }, index) => ({ path, sha256: digests[index].sha256 })) }
        : { name: called, sha256: digests[0].sha256 };
      const made = await ask(view, "POST", kind === "model" ? "/v1/models" : "/v1/datasets", body);
      forget();
      view.say("Done.");
      view.end("done");
      window.removeEventListener("beforeunload", leave);
      section.dispatchEvent(new CustomEvent("uploaded", { bubbles: true, detail: made }));
      if (section.dataset.then) location.assign(section.dataset.then.replace("{id}", encodeURIComponent(made.id || "")).replace("{name}", encodeURIComponent(made.name)));
    } catch (error) {
      const stopped = error instanceof Stopped || (view.signal.aborted && !error.problem);
      view.control.abort(); // other parts that are on their way
      if (stopped) {
        view.end("stopped");
        view.errors.textContent = "Stopped. What has arrived is kept for a day: choose the same file again to go on.";
      } else {
        view.fail(error.problem || { title: "The upload ended", detail: String(error.message || error), advice: "Choose the file again: what has arrived is kept." });
      }
    } finally {
      window.removeEventListener("beforeunload", leave);
      section.querySelectorAll("input[type=file]").forEach((input) => { input.value = ""; });
    }
  }

  function start(section) {
    section.hidden = false;
    section.addEventListener("change", (event) => {
      if (event.target.type === "file" && event.target.files.length) upload(section, chosen(event.target.files));
    });
    section.querySelectorAll("[data-choose]").forEach((button) => {
      button.addEventListener("click", () => section.querySelector(`input[data-pick=${button.dataset.choose}]`).click());
    });
    section.addEventListener("dragover", (event) => { event.preventDefault(); section.classList.add("over"); });
    section.addEventListener("dragleave", (event) => {
      if (!section.contains(event.relatedTarget)) section.classList.remove("over");
    });
    section.addEventListener("drop", async (event) => {
      event.preventDefault();
      section.classList.remove("over");
      if (section.dataset.state === "busy") return;
      const plainFiles = chosen(event.dataTransfer.files);
      const found = await dropped(event.dataTransfer.items);
      upload(section, found.length ? found : plainFiles);
    });
    try {
      const left = JSON.parse(localStorage.getItem(REMEMBERED) || "null");
      const note = section.querySelector("[data-unfinished]");
      if (left && note && section.dataset.upload === "model") {
        note.textContent = `${left.names.join(", ")} was at ${Math.round((left.done / left.total) * 100)} % when the page was left. Choose the same file again: only what is missing is sent.`;
        note.hidden = false;
      }
    } catch { /* private mode, or not ours */ }
  }

  // A file that misses the box must not make the browser leave the page.
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
  document.querySelectorAll("[data-upload]").forEach(start);
})();
