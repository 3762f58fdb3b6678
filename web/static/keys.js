// Keyboard shortcuts. The dialog lists them and has the switch that turns them off.
const [opener, dialog] = document.querySelectorAll("#keys, #keys-open"), enabled = dialog.querySelector("input");
let store = {}, pressed; // when g was pressed
try { store = localStorage; } catch {}
enabled.checked = store.shortcuts !== "false";
enabled.onchange = () => { store.shortcuts = enabled.checked; };
opener.hidden = false;
opener.onclick = () => dialog.showModal();

// move focuses the link of the next row or the one before.
function move(by) {
  const links = [...document.querySelectorAll(":is(#list, main:not(:has(#list))) :is(tr, .plain li)")].map(row => row.querySelector("a")).filter(link => link?.checkVisibility());
  const at = links.findIndex(link => link.closest("tr, li").contains(document.activeElement));
  links[Math.max(0, Math.min(at + by, links.length - 1))]?.focus({ focusVisible: true });
}

const acts = { "/": () => document.querySelector("main [type=search]").focus(), j: () => move(1), k: () => move(-1), g() {}, "?": opener.onclick };
addEventListener("keydown", e => {
  if (!enabled.checked || e.ctrlKey || e.altKey || e.metaKey || e.target.closest("input, select, textarea, dialog")) return;
  const link = e.timeStamp - pressed < 1500 && document.querySelector(`[data-key="${CSS.escape(e.key)}"]`);
  const act = link ? () => link.click() : acts[e.key];
  pressed = act === acts.g ? e.timeStamp : NaN;
  if (!act || e.key === "/" && !document.querySelector("main [type=search]")) return;
  e.preventDefault();
  act();
});
