// The job page: shows log lines as they arrive, and updates the rest on changes.
import "/embed/v1/job-progress.js";
import { update } from "./page.js";

const progress = document.getElementById("progress"), log = document.getElementById("log");
const note = document.getElementById("log-note"), newest = document.getElementById("log-newest");
const maxLines = 5000;

// Lines are added once per frame. The log stays scrolled to the end unless the
// reader has scrolled up.
let lines = [], kept = 0, dropped = 0, follow = true;
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" }); // created once, because that is slow
log.addEventListener("scroll", () => {
  follow = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  newest.hidden = follow;
});
newest.addEventListener("click", () => { log.scrollTop = log.scrollHeight; });
function flush() {
  const part = document.createDocumentFragment();
  if (lines.length > maxLines) { dropped += lines.length - maxLines; lines = lines.slice(-maxLines); }
  for (kept += lines.length; kept > maxLines; kept--, dropped++) log.firstElementChild.remove();
  for (const { at, level, message } of lines.splice(0)) {
    const line = document.createElement("span"), time = document.createElement("span");
    time.className = "at";
    time.textContent = at ? clock.format(new Date(at)) + " " : "";
    line.className = level;
    line.append(time, message + "\n");
    part.append(line);
  }
  log.append(part);
  if (dropped) note.textContent = `${dropped} earlier lines are not shown.`;
  if (follow) log.scrollTop = log.scrollHeight;
}
function add(line) {
  log.hidden = false;
  if (lines.push(line) === 1) requestAnimationFrame(flush);
}
progress.addEventListener("job-log", e => add(e.detail));
progress.addEventListener("job-output", e => add({ level: "output", message: e.detail.chunk }));
progress.addEventListener("job-gap", () => {
  if (log.hidden) note.textContent = "Earlier lines are no longer available.";
  else add({ level: "gap", message: "… some lines may be missing here …" });
});

// The server renders the rest. It is updated when the status changes.
const service = document.querySelector("h1").textContent;
let shown = document.getElementById("job-status").textContent.trim();
function changed(status) {
  shown = status;
  document.title = `${status}: ${service} – Coatcheck`;
  update();
}
progress.addEventListener("job-snapshot", e => e.detail.status !== shown && changed(e.detail.status));
progress.addEventListener("job-status", e => changed(e.detail.status));
progress.addEventListener("job-end", e => e.detail.status !== shown && changed(e.detail.status));
