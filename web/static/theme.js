// Runs before a page is drawn: applies the theme that the reader chose.
{
  const themes = ["system", "light", "dark"], root = document.documentElement.dataset;
  let store = {}; // if the browser stores nothing
  try { store = localStorage; } catch {}
  root.theme = store.theme ?? "system";
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => { button.textContent = "Theme: " + root.theme; };
    button.onclick = () => { root.theme = store.theme = themes[(themes.indexOf(root.theme) + 1) % 3]; show(); };
    button.hidden = false;
    show();
  });
}
