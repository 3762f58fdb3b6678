// <job-progress events="EVENTS_URL" status="STATUS_URL">a link to the job</job-progress>
//
// Shows how far a job is, on any site. It needs nothing else: no inline style,
// no innerHTML, no import, so a strict Content-Security-Policy with Trusted
// Types and an integrity attribute are fine. docs/job-progress.md describes it.
// JobStream is what is underneath, for pages that draw by themselves.

// newer tells whether an event id, "version-n", comes after another.
const newer = (a, b) => {
  const [av, an] = a.split("-").map(Number), [bv, bn] = b.split("-").map(Number);
  return av > bv || av === bv && an > bn;
};
const names = ["snapshot", "status", "progress", "log", "output", "ping", "end"];

// A browser has six HTTP/1.1 connections to a server; each open stream holds
// one. What is beyond the limit polls.
const most = 3, open = new Set();

// The events of a job, with what EventSource leaves out: it says why a stream
// ended, backs off, notices silence, and lets go of its connection when nobody
// is looking. It dispatches the stream's own events, "gap" where some are
// missing, and "phase" with {phase, wait}: connecting, live, polling, stale,
// waiting, paused, and at last ended, gone or denied.
export class JobStream extends EventTarget {
  #url; #statusUrl; #options; #es; #last; #tries = 0; #timer; #silence; #seen = ""; #stop = new AbortController();
  phase = "idle";

  constructor(eventsUrl, statusUrl, options = {}) {
    super();
    // The server says something every 15 seconds.
    this.#options = { after: "", silence: 40000, min: 1000, max: 30000, ...options };
    this.#url = new URL(eventsUrl, document.baseURI);
    this.#statusUrl = new URL(statusUrl ?? String(this.#url).replace(/\/events(\?|$)/, "$1"), document.baseURI);
    this.#last = this.#options.after;
    const on = (target, type, f) => target.addEventListener(type, f, { signal: this.#stop.signal });
    // In hidden tabs and in the back/forward cache a stream would hold its
    // connection too.
    on(window, "pagehide", () => this.#pause());
    on(window, "pageshow", e => e.persisted && this.#open());
    on(document, "visibilitychange", () => document.hidden ? this.#pause() : this.#open());
    on(window, "online", () => this.phase === "waiting" && this.#open());
  }
  start() { if (document.hidden) this.#to("paused"); else this.#open(); return this; }
  close() { this.#letGo(); this.#stop.abort(); }

  get #over() { return ["ended", "gone", "denied"].includes(this.phase) || this.#stop.signal.aborted; }
  #to(phase, wait = 0) { this.phase = phase; this.#tell("phase", { phase, wait }); }
  #letGo() { this.#es?.close(); this.#es = null; open.delete(this); clearTimeout(this.#timer); clearTimeout(this.#silence); }
  #pause() { if (!this.#over) { this.#letGo(); this.#to("paused"); } }
  #tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }

  #open() {
    if (this.#over || this.#es) return;
    this.#letGo();
    if (!window.EventSource || open.size >= most) return this.#ask();
    if (this.phase !== "polling") this.#to("connecting");
    const url = new URL(this.#url);
    if (this.#last) url.searchParams.set("after", this.#last); // a new EventSource sends no Last-Event-ID
    const es = this.#es = new EventSource(url);
    open.add(this);
    this.#listen(); // a connection that never answers is silence too
    es.onopen = () => { if (es === this.#es && this.phase === "connecting") this.#to("live"); };
    es.onerror = () => { if (es === this.#es) this.#ask(); };
    for (const name of names) es.addEventListener(name, e => es === this.#es && this.#take(name, e));
  }
  #listen() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => { this.#to("stale"); this.#ask(); }, this.#options.silence);
  }
  #take(name, e) {
    // Not before the first event: a server that has no room opens the stream
    // and closes it.
    this.#tries = 0;
    this.#listen();
    if (this.phase !== "live") this.#to("live");
    if (name === "ping") return;
    const id = e.lastEventId, snapshot = name === "snapshot" || name === "end";
    if (id && this.#last && !newer(id, this.#last) && !snapshot) return; // seen before
    if (name === "snapshot" && this.#last && id && newer(id, this.#last)) this.#tell("gap", { after: this.#last, to: id });
    if (id) this.#last = id;
    let data;
    try { data = JSON.parse(e.data); } catch { return; }
    this.#tell(name, data);
    if (name === "end") { this.#letGo(); this.#to("ended"); }
  }
  // The error of an EventSource has no status: the job itself says what is
  // wrong. While streams do not work, this is what goes on.
  async #ask() {
    this.#letGo();
    let wait = Math.min(this.#options.max, this.#options.min * 2 ** this.#tries++) * (0.5 + Math.random() / 2), answered = false;
    const elsewhere = () => this.#over || this.#es || this.phase === "paused";
    try {
      const answer = await fetch(this.#statusUrl, { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (elsewhere()) return;
      if (answer.status === 404 || answer.status === 410) return this.#to("gone");
      if (answer.status === 401 || answer.status === 403) return this.#to("denied");
      if (!answer.ok) wait = Math.max(wait, 1000 * (Number(answer.headers.get("Retry-After")) || 0));
      else {
        const job = await answer.json();
        if (elsewhere()) return;
        answered = true;
        if (job.last_event_id !== this.#seen) { this.#seen = job.last_event_id; this.#tell("snapshot", { job }); }
        if (job.done) { this.#tell("end", { job }); return this.#to("ended"); }
        wait = Math.min(wait, 1000 * (Number(answer.headers.get("Retry-After")) || 5));
      }
    } catch { if (elsewhere()) return; }
    // A stream is tried again each time but where there is no room for one.
    const polling = answered && (this.#tries > 3 || !window.EventSource || open.size >= most);
    this.#to(polling ? "polling" : "waiting", wait);
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
  @media (prefers-color-scheme: dark) { small.error { color: var(--job-error, #ff8a80); } }
`);
const element = (tag, part) => Object.assign(document.createElement(tag), { part });
const words = {
  connecting: "◌ connecting…", live: "● live", polling: "● asking every few seconds", stale: "▲ no news from the server; connecting again…",
  paused: "paused while nobody looks", gone: "This job no longer exists.", denied: "This link is not valid, or you are not signed in.",
};

export class JobProgress extends HTMLElement {
  static observedAttributes = ["events", "status"];
  #stream; #status = element("span", "status"); #percent = element("span", "percent"); #bar = element("progress", "bar"); #note = element("small", "note");

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" }), row = element("div", "row");
    root.adoptedStyleSheets = [sheet];
    this.#status.setAttribute("role", "status");
    this.#bar.max = 100;
    row.append(this.#status, this.#percent);
    root.append(row, this.#bar, this.#note);
  }
  connectedCallback() { this.#start(); }
  disconnectedCallback() { this.#stream?.close(); this.#stream = null; }
  attributeChangedCallback() { if (this.isConnected) { this.disconnectedCallback(); this.#start(); } }

  #start() {
    const events = this.getAttribute("events");
    if (!events || this.#stream) return;
    this.#bar.setAttribute("aria-label", this.getAttribute("label") || "Progress of the job");
    const stream = this.#stream = new JobStream(events, this.getAttribute("status") ?? undefined, { after: this.getAttribute("after") ?? "" });
    const on = (name, f) => stream.addEventListener(name, e => f(e.detail));
    on("phase", ({ phase, wait }) => {
      this.setAttribute("phase", phase);
      this.#note.textContent = phase === "waiting" ? `▲ connection lost; trying again in ${Math.ceil(wait / 1000)} s` : words[phase] ?? "";
      this.#note.className = phase === "gone" || phase === "denied" ? "error" : "";
      this.#tell("phase", { phase, wait });
    });
    on("snapshot", ({ job }) => { this.#show(job.status, job.progress); this.#tell("snapshot", job); });
    on("status", d => { this.#show(d.status); this.#tell("status", d); });
    on("progress", d => { this.#show("running", d); this.#tell("progress", d); });
    for (const name of ["log", "output", "gap"]) on(name, d => this.#tell(name, d));
    on("end", ({ job }) => { this.#show(job.status, job.progress); this.#tell("end", job); });
    stream.start();
  }
  // For those who listen, a change of the status is news, each percent is not.
  #show(status, progress) {
    if (status !== this.#said) this.#status.textContent = this.#said = status;
    this.setAttribute("state", status);
    if (!progress) return;
    this.#bar.value = progress.percent;
    this.#percent.textContent = `${progress.message ? progress.message + " · " : ""}${Math.floor(progress.percent)} %`;
  }
  #said = "";
  #tell(name, detail) { this.dispatchEvent(new CustomEvent("job-" + name, { detail, bubbles: true, composed: true })); }
}
if (!customElements.get("job-progress")) customElements.define("job-progress", JobProgress);
