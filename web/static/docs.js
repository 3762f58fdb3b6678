// Runs on /docs: the search, the current place in the contents, and "Try it", which sends
// requests from the page with the session or with an API key that is typed in.

const sections = [...document.querySelectorAll(".op")];
const items = new Map([...document.querySelectorAll("[data-for]")].map(item => [item.dataset.for, item]));
const docs = document.querySelector(".docs"), side = document.querySelector(".side");
const search = document.getElementById("search"), found = document.getElementById("found");

// words returns what the search looks at in an operation: its names, path and texts.
const words = section => [...section.querySelectorAll("h3, :scope > p, td:first-child code")].map(e => e.textContent).join(" ").toLowerCase();
const texts = new Map(sections.map(section => [section, words(section)]));

// filter shows only the operations that have all words of the search.
function filter() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const [section, text] of texts) {
    const match = wanted.every(word => text.includes(word));
    section.hidden = items.get(section.id).hidden = !match;
    count += match;
  }
  for (const group of document.querySelectorAll(".group")) group.hidden = !group.querySelector(":is(li, .op):not([hidden])");
  docs.classList.toggle("searching", wanted.length > 0);
  found.textContent = wanted.length ? `${count} of ${sections.length} operations` : "";
}
search.addEventListener("input", filter);
document.getElementById("find").hidden = false;

// reveal ends a search that hides the target of a link.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && !target.checkVisibility()) {
    search.value = "";
    filter();
    target.scrollIntoView();
  }
}
addEventListener("hashchange", reveal);

// The contents mark the operation at the top of the window.
const observer = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    const link = items.get(target.id).firstElementChild;
    if (isIntersecting) {
      link.setAttribute("aria-current", "true");
      side.scrollTop = link.offsetTop - side.clientHeight / 2;
    } else link.removeAttribute("aria-current");
  }
}, { rootMargin: "-10% 0px -89% 0px" });
for (const section of sections) observer.observe(section);

// make creates an element.
function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

const most = 200000; // characters of a body that are shown
let key = "", job = ""; // the API key that was typed in, and the token of the last job

// pretty indents JSON, unless that would change it: numbers may have more digits than a script keeps.
function pretty(text) {
  try {
    const value = JSON.parse(text);
    return JSON.stringify(value) === text.trim() ? JSON.stringify(value, null, 2) : text;
  } catch { return text; }
}

// offer replaces a button by the form that sends the operation's request.
function offer(button) {
  const section = button.closest(".op");
  const form = make("form", { className: "try" });
  const field = (text, input) => { form.append(make("label", {}, text, input)); return input; };
  const fields = [...section.querySelectorAll("[data-in]")].map(row => {
    const { name, in: place, required } = row.dataset;
    const input = field(`${name} (${place})`, make("input", { required: required !== undefined, spellcheck: false, autocomplete: "off" }));
    if (name === "job") input.value = job;
    return { name, place, input };
  });
  const secret = "secured" in docs.dataset && field("API key (empty: your session)", make("input", { type: "password", autocomplete: "off", value: key }));
  const body = "body" in button.dataset && field("Body", make("textarea", { spellcheck: false, value: section.querySelector(".body").textContent }));
  const stop = make("button", { type: "button", textContent: "Stop", hidden: true });
  form.append(make("div", { className: "row" }, make("button", { className: "main", textContent: "Send" }), stop));
  const status = make("p", { role: "status", className: "answer small" });
  const headers = make("pre", { tabIndex: 0, hidden: true }), output = make("pre", { tabIndex: 0, hidden: true });
  headers.setAttribute("aria-label", "Response headers");
  output.setAttribute("aria-label", "Response body");
  for (const part of [headers, output]) part.setAttribute("role", "group");
  form.append(status, headers, output);
  const shown = { status, headers, output, stop };
  form.addEventListener("submit", event => {
    event.preventDefault();
    if (secret) key = secret.value.trim();
    send(section.dataset, fields, body && body.value, shown);
  });
  button.replaceWith(form);
  form.querySelector("input, textarea, button").focus();
}

// send sends a request and shows the response, whose body may be a stream.
async function send({ method, path }, fields, body, shown) {
  shown.current?.abort(); // the request before
  const aborter = new AbortController(), headers = new Headers(), query = new URLSearchParams(), start = performance.now();
  shown.current = aborter;
  shown.stop.onclick = () => aborter.abort();
  shown.status.textContent = "Sending";
  shown.headers.hidden = shown.output.hidden = true;
  shown.stop.hidden = false;
  try {
    for (const { name, place, input } of fields) {
      const value = input.value.trim();
      if (!value) continue;
      if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(value));
      else if (place === "query") query.append(name, value);
      else headers.set(name, value);
    }
    if (key) headers.set("Authorization", "Bearer " + key);
    if (body !== false) headers.set("Content-Type", "application/json");
    const response = await fetch(path + (query.size ? "?" + query : ""), {
      method, headers, cache: "no-store", credentials: key ? "omit" : "same-origin", signal: aborter.signal,
      ...(body !== false && { body }),
    });
    shown.status.textContent = `${response.status} ${response.statusText}, ${Math.round(performance.now() - start)} ms`;
    shown.headers.textContent = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    shown.headers.hidden = false;
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let part; reader && !(part = await reader.read()).done;) {
      text += part.value;
      shown.output.textContent = text.slice(0, most);
      shown.output.hidden = false;
      if (text.length > most) {
        shown.status.textContent += `, only the first ${most} characters`;
        aborter.abort();
        return;
      }
    }
    shown.output.textContent = pretty(text);
    if (method === "POST" && response.ok) job = JSON.parse(text).token ?? job;
  } catch (error) {
    if (shown.current !== aborter) return; // a newer request has the place
    shown.status.textContent = error.name === "AbortError" ? shown.status.textContent + ", stopped" : `No response: ${error.message}`;
  } finally { if (shown.current === aborter) shown.stop.hidden = true; }
}

for (const button of document.querySelectorAll("button.try")) {
  button.hidden = false;
  button.addEventListener("click", () => offer(button));
}
