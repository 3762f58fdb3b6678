// Runs on the pages of services: adds items to lists, and shows the code examples for what
// is entered.
import { swap } from "/static/page.js";

const form = document.getElementById("run");

// follow updates the code examples.
let request = null, timer;
function follow() {
  request?.abort();
  request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.responseType = "document";
  request.timeout = 10000;
  request.onload = ({ target }) => {
    const now = target.status === 200 && target.responseXML?.getElementById("snippets");
    if (now) swap(document.getElementById("snippets"), now);
  };
  const entered = new URLSearchParams([...new FormData(form)].filter(([, value]) => typeof value === "string"));
  entered.set("edit", "");
  request.send(entered);
}

// add adds an empty item to a list: the last one again, with another number.
function add(button) {
  const items = button.previousElementSibling, n = items.childElementCount;
  const copy = items.lastElementChild.cloneNode(true);
  const at = items.dataset.name.length, last = `[${n - 1}]`; // ids are as long as names
  for (const node of [copy, ...copy.querySelectorAll("*")]) {
    for (const { name, value } of node.attributes) if (value.startsWith("input") && value.startsWith(last, at)) node.setAttribute(name, `${value.slice(0, at)}[${n}]${value.slice(at + last.length)}`);
    node.removeAttribute("aria-invalid");
    if (node.matches("input, textarea")) node.value = "";
    if (node.matches("select")) node.selectedIndex = 0;
    if (node.matches(".error")) node.remove();
  }
  copy.querySelector("label, legend").firstChild.data = `${items.dataset.label} ${n + 1}`;
  items.append(copy);
  copy.querySelector("input, select, textarea").focus();
  button.hidden = n + 1 >= items.dataset.most;
}

for (const button of form.querySelectorAll("button[name=edit]")) {
  button.type = "button"; // so that the Enter key runs the service
  button.hidden = button.previousElementSibling.childElementCount >= button.previousElementSibling.dataset.most;
}
form.addEventListener("click", e => e.target.matches("button[name=edit]") && add(e.target));
form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(follow, 300); });
