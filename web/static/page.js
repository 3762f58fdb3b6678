// What all pages do where there is JavaScript: parts of them stay fresh, times
// are the reader's own, and code can be copied.

// local shows times in the reader's time zone.
function local(root) {
  const today = new Date().toDateString();
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toDateString() === today ? at.toLocaleTimeString() : at.toLocaleString();
    time.title = time.dateTime;
  }
}

// prepare makes a part of the page ready for the reader.
function prepare(root) {
  local(root);
  for (const button of root.querySelectorAll("button.copy")) button.hidden = false;
}

// busy says that somebody is doing something in a part of the page, which must
// not be taken out of their hands.
const busy = part => part.querySelector("details.ask[open]") || part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");

// key names what is open or has the focus, so that it is found again.
const key = (part, node, kind) => node.id || [...part.querySelectorAll(kind)].indexOf(node);
const find = (part, name, kind) => typeof name === "string" ? document.getElementById(name) : part.querySelectorAll(kind)[name];

// swap puts what is new of a part in the place of what it was.
function swap(old, now) {
  prepare(now);
  if (now.dataset.refresh) old.dataset.refresh = now.dataset.refresh; else delete old.dataset.refresh;
  if (busy(old) || old.innerHTML === now.innerHTML) return;
  const open = [...old.querySelectorAll("details[open]")].map(d => key(old, d, "details"));
  const focus = old.contains(document.activeElement) && key(old, document.activeElement, "a, button, summary, pre");
  old.replaceChildren(...document.adoptNode(now).childNodes);
  for (const name of open) { const d = find(old, name, "details"); if (d) d.open = true; }
  if (focus !== false) find(old, focus, "a, button, summary, pre")?.focus({ preventScroll: true });
}

// refresh asks for this page again and takes over the parts that are marked
// data-live. The browser parses it without running anything.
let asking = null;
function refresh() {
  return asking ??= new Promise(done => {
    const ask = new XMLHttpRequest();
    ask.open("GET", location.href);
    ask.responseType = "document";
    ask.timeout = 10000;
    ask.onloadend = () => {
      asking = null;
      const ok = ask.status === 200 && ask.responseXML;
      if (ok) for (const old of document.querySelectorAll("[data-live]")) {
        const now = ask.responseXML.getElementById(old.id);
        if (now) swap(old, now);
      }
      done(Boolean(ok));
    };
    ask.send();
  });
}

// update refreshes with what is now; an answer under way may be too old.
export async function update() {
  await asking;
  const ok = await refresh();
  plan();
  return ok;
}

// Parts that are marked data-refresh are kept fresh, every so many seconds,
// while somebody looks. The header says how that goes.
const sign = document.getElementById("fresh");
const every = () => document.querySelector("[data-refresh]")?.dataset.refresh;
let timer, fails = 0, since = Date.now();
async function tick() {
  if (document.hidden || !every()) return;
  if (await refresh()) { fails = 0; since = Date.now(); } else fails++;
  plan();
}
function plan() {
  clearTimeout(timer);
  const seconds = every();
  sign.hidden = !seconds;
  if (!seconds) return;
  sign.textContent = fails ? `▲ not fresh since ${new Date(since).toLocaleTimeString()}` : `● fresh every ${seconds} s`;
  timer = setTimeout(tick, Math.min(60, seconds * 2 ** fails) * 1000);
}
document.addEventListener("visibilitychange", () => document.hidden ? clearTimeout(timer) : tick());
window.addEventListener("pagehide", () => clearTimeout(timer));
window.addEventListener("pageshow", e => e.persisted && tick());
window.addEventListener("online", tick);

document.addEventListener("click", async e => {
  const button = e.target.closest("button.copy");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

prepare(document);
plan();
