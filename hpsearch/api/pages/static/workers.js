import { localiseAll } from "./times.js";

// Looks again every two seconds while the page is seen.
const LOOK_MS = 2000;

async function look() {
  if (document.hidden || document.getElementById("workers").contains(document.activeElement)) return;
  try {
    const answer = await fetch("/workers");
    if (!answer.ok) return;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = next.getElementById("workers");
    localiseAll(found);
    document.getElementById("workers").replaceWith(found);
  } catch {
    // the server is away for a moment; the next look tells
  }
}
setInterval(look, LOOK_MS);
