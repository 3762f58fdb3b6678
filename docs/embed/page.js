// A host page that listens to <job-progress>.
const job = document.querySelector("job-progress"), heard = document.getElementById("heard");
const show = url => job.setAttribute("events", url);

for (const name of ["job-phase", "job-snapshot", "job-status", "job-progress", "job-log", "job-output", "job-gap", "job-end"])
  job.addEventListener(name, e => {
    const line = document.createElement("li");
    line.textContent = `${name} ${JSON.stringify(e.detail).slice(0, 100)}`;
    heard.append(line);
  });

document.querySelector("form").addEventListener("submit", e => {
  e.preventDefault();
  show(e.target.elements.events.value);
});
const initial = new URLSearchParams(location.search).get("events");
if (initial) show(initial);
