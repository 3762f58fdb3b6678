// <job-progress events="EVENTS_URL" status="STATUS_URL">a link to the job</job-progress>
//
// Shows the progress of a job on any site. It uses no inline styles, no innerHTML
// and no imports, so it works with a strict Content-Security-Policy, Trusted Types
// and an integrity attribute. See docs/job-progress.md. JobStream is the stream
// without the element, for pages that draw by themselves.

// newer reports whether the event id a ("version-n") comes after b.
const newer = (a, b) => {
  const [av, an] = a.split("-").map(Number), [bv, bn] = b.split("-").map(Number);
  return av > bv || av === bv && an > bn;
};
const names = ["snapshot", "status", "progress", "log", "output", "ping", "end"];

// A browser opens at most six HTTP/1.1 connections to a server, and each open stream
// uses one. Streams beyond this limit poll instead.
const maxStreams = 3, open = new Set();

// JobStream delivers the events of a job. Unlike EventSource, it reports why a stream
// ended, backs off between retries, treats silence as a broken stream, and closes its
// connection while the page is hidden. It dispatches the stream's own events, "gap"
// if some may be missing, and "phase" with {phase, wait}: connecting, live, polling,
// stale, waiting, paused, and finally ended, gone, denied or invalid. The constructor
// throws a TypeError for a URL that can't be requested.
export class JobStream extends EventTarget {
  #url; #statusUrl; #options; #es; #last; #tries = 0; #timer; #silenceTimer; #lastPolled = ""; #stop = new AbortController();
  phase = "idle";

  constructor(eventsUrl, statusUrl, options = {}) {
    super();
    // The server sends an event or a ping at least every 15 seconds.
    this.#options = { after: "", silence: 40000, min: 1000, max: 30000, ...options };
    this.#url = new URL(eventsUrl, document.baseURI);
    if (!/^https?:$/.test(this.#url.protocol)) throw new TypeError(`expected a URL with http or https, got ${this.#url.protocol}`);
    this.#statusUrl = new URL(statusUrl ?? String(this.#url).replace(/\/events(\?|$)/, "$1"), document.baseURI);
    this.#last = this.#options.after;
    const on = (target, type, f) => target.addEventListener(type, f, { signal: this.#stop.signal });
    // Hidden tabs and pages in the back/forward cache must not hold a connection.
    on(window, "pagehide", () => this.#pause());
    on(window, "pageshow", e => e.persisted && this.#open());
    on(document, "visibilitychange", () => document.hidden ? this.#pause() : this.#open());
    on(window, "online", () => this.phase === "waiting" && this.#open());
  }
  start() { if (document.hidden) this.#setPhase("paused"); else this.#open(); return this; }
  close() { this.#disconnect(); this.#stop.abort(); }

  get #finished() { return ["ended", "gone", "denied", "invalid"].includes(this.phase) || this.#stop.signal.aborted; }
  #setPhase(phase, wait = 0) { this.phase = phase; this.#emit("phase", { phase, wait }); }
  #disconnect() { this.#es?.close(); this.#es = null; open.delete(this); clearTimeout(this.#timer); clearTimeout(this.#silenceTimer); }
  #pause() { if (!this.#finished) { this.#disconnect(); this.#setPhase("paused"); } }
  #emit(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }

  #open() {
    if (this.#finished || this.#es) return;
    this.#disconnect();
    if (!window.EventSource || open.size >= maxStreams) return this.#poll();
    if (this.phase !== "polling") this.#setPhase("connecting");
    const url = new URL(this.#url);
    if (this.#last) url.searchParams.set("after", this.#last); // a new EventSource sends no Last-Event-ID
    const es = this.#es = new EventSource(url);
    open.add(this);
    this.#watch(); // also times out a connection that never opens
    es.onopen = () => { if (es === this.#es && this.phase === "connecting") this.#setPhase("live"); };
    es.onerror = () => { if (es === this.#es) this.#poll(); };
    for (const name of names) es.addEventListener(name, e => es === this.#es && this.#receive(name, e));
  }
  #watch() {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => { this.#setPhase("stale"); this.#poll(); }, this.#options.silence);
  }
  #receive(name, e) {
    // Reset the backoff only on an event, not when the stream opens: a server at its
    // stream limit opens a stream and closes it at once.
    this.#tries = 0;
    this.#watch();
    if (this.phase !== "live") this.#setPhase("live");
    if (name === "ping") return;
    const id = e.lastEventId, snapshot = name === "snapshot" || name === "end";
    if (id && this.#last && !newer(id, this.#last) && !snapshot) return; // duplicate
    if (name === "snapshot" && this.#last && id && newer(id, this.#last)) this.#emit("gap", { after: this.#last, to: id });
    if (id) this.#last = id;
    let data;
    try { data = JSON.parse(e.data); } catch { return; }
    this.#emit(name, data);
    if (name === "end") { this.#disconnect(); this.#setPhase("ended"); }
  }
  // An EventSource error has no HTTP status, so this requests the job's status to find
  // the cause. While streams do not work, it polls.
  async #poll() {
    this.#disconnect();
    let wait = Math.min(this.#options.max, this.#options.min * 2 ** this.#tries++) * (0.5 + Math.random() / 2), loaded = false;
    const superseded = () => this.#finished || this.#es || this.phase === "paused";
    try {
      const response = await fetch(this.#statusUrl, { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (superseded()) return;
      if (response.status === 404 || response.status === 410) {
        const problem = await response.json().catch(() => ({}));
        if (superseded()) return;
        return this.#setPhase(problem.errors?.some(e => e.location === "path.job") ? "denied" : "gone"); // a wrong token
      }
      if (response.status === 401 || response.status === 403) return this.#setPhase("denied");
      if (!response.ok) wait = Math.max(wait, 1000 * (Number(response.headers.get("Retry-After")) || 0));
      else {
        const job = await response.json().catch(() => ({}));
        if (superseded()) return;
        // A URL under which there never was a job is wrong. Later, it is a proxy that answers.
        if (!job.last_event_id && !this.#lastPolled && this.#last === this.#options.after) return this.#setPhase("invalid");
        if (!job.last_event_id) throw new TypeError("not a job");
        loaded = true;
        if (job.last_event_id !== this.#lastPolled) { this.#lastPolled = job.last_event_id; this.#emit("snapshot", { job }); }
        if (job.done) { this.#emit("end", { job }); return this.#setPhase("ended"); }
        wait = Math.min(wait, 1000 * (Number(response.headers.get("Retry-After")) || 5));
      }
    } catch { if (superseded()) return; }
    // Each time, try a stream again, unless too many are open.
    const polling = loaded && (this.#tries > 3 || !window.EventSource || open.size >= maxStreams);
    this.#setPhase(polling ? "polling" : "waiting", wait);
    this.#timer = setTimeout(() => this.#open(), wait);
  }
}

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  :host { display: block; font: inherit; color: inherit; }
  :host([hidden]) { display: none; }
  div { display: flex; gap: 1ch; align-items: baseline; justify-content: space-between; }
  progress { inline-size: 100%; block-size: .6rem; accent-color: var(--job-accent, currentColor); }
  small { font-size: .85em; color: var(--job-soft, inherit); } small.error { color: var(--job-error, #b3261e); }
  small { overflow-wrap: anywhere; } slot[hidden] { display: none; }
  @media (prefers-color-scheme: dark) { small.error { color: var(--job-error, #ff8a80); } }
`);
const element = (tag, part) => Object.assign(document.createElement(tag), { part });
const notes = {
  connecting: "◌ Connecting…", live: "● Live", polling: "● Polling every few seconds", stale: "▲ No response from the server; reconnecting…",
  paused: "Paused while this tab is hidden", gone: "This job no longer exists.", denied: "This link is not valid, or you are not signed in.",
  invalid: "There is no job at this URL.",
};

export class JobProgress extends HTMLElement {
  static observedAttributes = ["events", "status"];
  #stream; #status = element("span", "status"); #percent = element("span", "percent"); #bar = element("progress", "bar"); #note = element("small", "note"); #fallback = element("slot", "fallback"); #failure = "";

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" }), row = element("div", "row");
    root.adoptedStyleSheets = [sheet];
    this.#status.setAttribute("role", "status");
    this.#bar.max = 100;
    row.append(this.#status, this.#percent);
    root.append(row, this.#bar, this.#note, this.#fallback);
  }
  connectedCallback() { this.#start(); }
  disconnectedCallback() { this.#stream?.close(); this.#stream = null; }
  attributeChangedCallback() { if (this.isConnected) { this.disconnectedCallback(); this.#start(); } }

  #start() {
    const events = this.getAttribute("events");
    if (this.#stream) return;
    this.#failure = "";
    this.#fallback.hidden = Boolean(events);
    if (!events) return;
    this.#bar.setAttribute("aria-label", this.getAttribute("label") || "Job progress");
    let stream;
    try {
      stream = this.#stream = new JobStream(events, this.getAttribute("status") ?? undefined, { after: this.getAttribute("after") ?? "" });
    } catch { return this.#setPhase("invalid", 0); }
    const on = (name, f) => stream.addEventListener(name, e => f(e.detail));
    on("phase", ({ phase, wait }) => this.#setPhase(phase, wait));
    on("snapshot", ({ job }) => { this.#show(job.status, job.progress); this.#emit("snapshot", job); });
    on("status", d => { this.#show(d.status); this.#emit("status", d); });
    on("progress", d => { this.#show("running", d); this.#emit("progress", d); });
    for (const name of ["log", "output", "gap"]) on(name, d => this.#emit(name, d));
    on("end", ({ job }) => { this.#failure = job.error?.message ?? ""; this.#show(job.status, job.progress); this.#emit("end", job); });
    stream.start();
  }
  #setPhase(phase, wait) {
    this.setAttribute("phase", phase);
    this.#note.textContent = phase === "waiting" ? `▲ Connection lost; retrying in ${Math.ceil(wait / 1000)} s` : phase === "ended" ? this.#failure : notes[phase] ?? "";
    this.#note.className = ["gone", "denied", "invalid"].includes(phase) || this.#note.textContent && phase === "ended" ? "error" : "";
    this.#fallback.hidden = phase !== "invalid";
    this.#emit("phase", { phase, wait });
  }
  // Screen readers announce changes of the status, but not of the percentage.
  #show(status, progress) {
    if (status !== this.#announced) this.#status.textContent = this.#announced = status;
    this.setAttribute("state", status);
    if (!progress) return;
    this.#bar.value = progress.percent;
    this.#percent.textContent = `${progress.message ? progress.message + " · " : ""}${Math.floor(progress.percent)}%`;
  }
  #announced = "";
  #emit(name, detail) { this.dispatchEvent(new CustomEvent("job-" + name, { detail, bubbles: true, composed: true })); }
}
if (!customElements.get("job-progress")) customElements.define("job-progress", JobProgress);
