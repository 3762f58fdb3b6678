// The job page: shows log lines as they arrive, and updates the rest on changes.
import "/embed/v1/job-progress.js";
import { update } from "./page.js";

const progress = document.getElementById("progress"), log = document.getElementById("log");
const note = document.getElementById("log-note"), newest = document.getElementById("log-newest");
const maxLines = 5000, on = (name, act) => progress.addEventListener("job-" + name, act);

// The server draws the stored lines, up to number data-last. Live lines follow, once a
// frame, without colors. The log stays at its end unless the reader scrolls up.
let stored = Number(log.dataset.last), newestLine = stored, live = [], lines = [], dropped = 0, follow = true;
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" }); // slow to create
function local(root) {
  for (const time of root.querySelectorAll("time.at")) {
    time.title = time.dateTime;
    time.textContent = clock.format(new Date(time.dateTime));
  }
}
local(log);
log.scrollTop = log.scrollHeight;
log.addEventListener("scroll", () => {
  follow = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  newest.hidden = follow;
});
newest.addEventListener("click", () => { log.scrollTop = log.scrollHeight; });
function flush() {
  const part = document.createDocumentFragment();
  if (lines.length > maxLines) { dropped += lines.length - maxLines; lines = lines.slice(-maxLines); }
  for (let over = log.childElementCount + lines.length - maxLines; over > 0; over--, dropped++) log.firstElementChild.remove();
  for (const { at, level, message } of lines.splice(0)) {
    const line = document.createElement("span"), time = document.createElement("span");
    time.className = "at";
    time.textContent = at ? clock.format(new Date(at)) + " " : "";
    line.className = level;
    line.append(time, message.replace(/\x1b(\[[ -?]*[@-~]|].*?(\x07|\x1b\\)|[ -/]*.)/g, "") + "\n");
    part.append(line);
  }
  log.append(part);
  if (dropped) note.textContent = `${dropped} earlier lines are not shown.`;
  if (follow) log.scrollTop = log.scrollHeight;
}
function add(line) {
  log.hidden = false;
  live.push(line);
  if (live.length > 2 * maxLines) live = live.slice(-maxLines);
  if (lines.push(line) === 1) requestAnimationFrame(flush);
}
on("log", e => {
  const n = e.detail.line ?? 0;
  if (n && n <= stored) return; // the server has drawn it
  if (n > newestLine + 1) fill();
  if (n) newestLine = n;
  add(e.detail);
});
on("output", e => add({ level: "output", message: e.detail.chunk }));
on("gap", () => {
  if (!log.hidden) add({ level: "gap", message: "… some lines may be missing here …" });
  fill();
});

// A gap is filled from the stored log, in which lines arrive up to two seconds later.
let gap = false, timer;
function fill() {
  gap = true;
  timer ??= setTimeout(() => { timer = null; update(); }, 2500);
}
document.addEventListener("page-loaded", e => {
  const now = e.detail.getElementById("log"), last = Number(now?.dataset.last);
  if (!(last > stored) || !gap && live.some(line => !line.line)) return; // streamed output has its place
  const top = log.scrollTop;
  live = live.filter(line => line.line ? line.line > last : line.level !== "gap");
  gap = live.some(line => line.line) && live.find(line => line.line).line > last + 1;
  stored = last;
  newestLine = Math.max(newestLine, last);
  local(now);
  log.replaceChildren(...document.adoptNode(now).childNodes);
  log.hidden = false;
  lines = live.slice();
  dropped = 0;
  flush();
  if (!follow) log.scrollTop = top;
  if (gap) fill();
});

// The server renders the rest. It is updated when the status changes.
const service = document.querySelector("h1").textContent;
let shown = document.getElementById("job-status").textContent.trim();
function changed(status) {
  shown = status;
  document.title = `${status}: ${service} – Coatcheck`;
  update();
}
for (const name of ["snapshot", "end"]) on(name, e => e.detail.status !== shown && changed(e.detail.status));
on("status", e => changed(e.detail.status));
