// Runs on all pages: refreshes parts of the page, shows times in the reader's time
// zone, and copies code.

// local converts times to the reader's time zone.
function local(root) {
  const today = new Date().toDateString();
  for (const time of root.querySelectorAll("time[datetime]:not(.at)")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toDateString() === today ? at.toLocaleTimeString() : at.toLocaleString();
    time.title = time.dateTime;
  }
}

// prepare converts the times in a part of the page and shows its copy buttons.
function prepare(root) {
  local(root);
  for (const button of root.querySelectorAll("button.copy")) button.hidden = false;
}

// busy reports whether the reader is using a form in a part of the page, which must
// then not be replaced.
const busy = part => part.querySelector("details.ask[open],input:checked") || part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");

// key returns a selector of a node or else its index; find returns the node for a key.
const key = (part, node, kind) => node.id ? "#" + CSS.escape(node.id) : node.href ? `[href="${CSS.escape(node.getAttribute("href"))}"]` : [...part.querySelectorAll(kind)].indexOf(node);
const find = (part, name, kind) => typeof name === "string" ? part.querySelector(name) : part.querySelectorAll(kind)[name];

// hold keeps a list in place under the pointer: it updates the rows, and offers those that
// are new.
let showNew = false;
function hold(old, now) {
  const offer = old.querySelector("#new");
  if (!offer) return false;
  if (showNew || !old.matches(":hover")) return showNew = false;
  const rows = part => new Map([...part.querySelectorAll("tbody tr")].map(row => [row.querySelector("a").href, row]));
  const shown = rows(old), all = rows(now), fresh = [...all.keys()].filter(href => !shown.has(href)).length;
  if (!fresh) return false;
  for (const [href, row] of shown) if (all.has(href)) row.replaceWith(document.adoptNode(all.get(href)));
  offer.textContent = `Show ${fresh} new`;
  offer.hidden = false;
  offer.onclick = () => { showNew = true; update().then(() => old.querySelector("tbody a").focus()); };
  return true;
}

// swap replaces the content of a part, and keeps open details and the focus.
export function swap(old, now) {
  prepare(now);
  if (now.dataset.refresh) old.dataset.refresh = now.dataset.refresh; else delete old.dataset.refresh;
  if (busy(old) || old.innerHTML === now.innerHTML || hold(old, now)) return;
  const open = [...old.querySelectorAll("details[open]")].map(d => key(old, d, "details"));
  const focus = old.contains(document.activeElement) && key(old, document.activeElement, "a, button, summary, pre");
  old.replaceChildren(...document.adoptNode(now).childNodes);
  for (const name of open) { const d = find(old, name, "details"); if (d) d.open = true; }
  if (focus !== false) find(old, focus, "a, button, summary, pre")?.focus({ preventScroll: true });
}

// refresh loads this page again and replaces the parts marked data-live. The browser
// runs no scripts of the loaded document.
let loading = null, problem;
function refresh() {
  return loading ??= new Promise(done => {
    const request = new XMLHttpRequest();
    request.open("GET", location.href);
    request.responseType = "document";
    request.timeout = 10000;
    request.onloadend = () => {
      loading = null;
      const ok = request.responseXML && request.status === 200 && new URL(request.responseURL).pathname === location.pathname;
      problem = { 0: "Disconnected", 200: "Signed out" }[request.status] ?? `Error ${request.status}`;
      if (ok) for (const old of document.querySelectorAll("[data-live]")) {
        const now = request.responseXML.getElementById(old.id);
        if (now) swap(old, now);
      }
      if (ok) document.dispatchEvent(new CustomEvent("page-loaded", { detail: request.responseXML }));
      done(ok);
    };
    request.send();
  });
}

// update refreshes now. A response already under way may be out of date, so it waits
// for that one and then loads the page again.
export async function update() {
  await loading;
  await refresh();
  plan();
}

// A page with data-refresh is refreshed at that interval, in seconds, while it is
// visible. The header shows that it works, and a banner that it does not.
const indicator = document.getElementById("fresh"), banner = document.getElementById("connection");
const interval = () => document.querySelector("[data-refresh]")?.dataset.refresh;
let timer, failures = 0, updated = Date.now();
async function tick() {
  if (document.hidden || !interval()) return;
  const lost = failures;
  failures = await refresh() ? 0 : failures + 1;
  if (!failures) updated = Date.now();
  if (failures || lost) {
    const text = failures ? `▲ ${problem}, last updated ${new Date(updated).toLocaleTimeString()}` : "● Connected again";
    if (banner.textContent !== text) banner.textContent = text; // announced once
    banner.className = failures ? "lost" : "";
    setTimeout(() => { if (!failures) banner.textContent = ""; }, 5000);
  }
  plan();
}
function plan() {
  clearTimeout(timer);
  const seconds = interval();
  indicator.hidden = !seconds || failures;
  if (seconds) timer = setTimeout(tick, Math.min(60, seconds * 2 ** failures) * 1000);
}
document.addEventListener("visibilitychange", () => document.hidden ? clearTimeout(timer) : tick());
window.addEventListener("pagehide", () => clearTimeout(timer));
window.addEventListener("pageshow", e => e.persisted && tick());
window.addEventListener("online", tick);

document.addEventListener("click", async e => {
  const button = e.target.closest("button.copy");
  if (!button) return;
  const label = button.dataset.label ??= button.textContent;
  try {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = label; }, 1500);
});

prepare(document);
plan();
