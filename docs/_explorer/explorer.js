// The port explorer: runs portrange in the browser and shows its pages of ports and services. Links end with #QUERY or
// #QUERY@SYSTEM. All files are part of the site.
const form = document.getElementById("explorer");
const status = document.getElementById("explorer-status");
const output = document.getElementById("explorer-page");
let pageOf;

async function load() {
  const { loadPyodide } = await import("./pyodide.mjs");
  const archive = await fetch(new URL("portrange.zip", import.meta.url));
  if (!archive.ok) throw new Error(`portrange.zip: ${archive.status}`);
  const pyodide = await loadPyodide({ indexURL: new URL(".", import.meta.url).href });
  pyodide.unpackArchive(await archive.arrayBuffer(), "zip");
  return pyodide.pyimport("pages").page_of;
}

function show() {
  if (pageOf) output.innerHTML = pageOf(form.query.value, form.system.value); // portrange escapes all texts
}

function readLink() {
  const [query, system] = decodeURIComponent(location.hash.slice(1)).split("@");
  if (!query) return;
  form.query.value = query;
  form.system.value = [...form.system.options].some(option => option.value === system) ? system : "linux";
  show();
}

function writeLink() {
  const system = form.system.value === "linux" ? "" : `@${form.system.value}`;
  history.replaceState(null, "", `#${encodeURIComponent(form.query.value.trim())}${system}`);
  show();
}

form.hidden = false;
form.addEventListener("submit", event => {
  event.preventDefault();
  writeLink();
});
form.system.addEventListener("change", writeLink);
addEventListener("hashchange", readLink);
readLink();
status.textContent = "Python is loading (13 MB on the first visit) …";
try {
  pageOf = await load();
  status.textContent = "";
  show();
} catch (error) {
  status.textContent = `Python cannot be loaded: ${error.message}. The command portrange 60860 prints the same page.`;
}
