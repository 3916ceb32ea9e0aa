// Times in the reader's own zone; the server writes them in UTC, and so they stay without scripts.
const two = (n) => String(n).padStart(2, "0");

function localise(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  element.title = `${element.dateTime.slice(0, 19).replace("T", " ")} UTC`;
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  element.textContent = `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

// A time as the server sends it, as an element.
export function timeOf(text) {
  const element = document.createElement("time");
  element.dateTime = new Date(text).toISOString();
  localise(element);
  return element;
}

export function localiseAll(root) {
  for (const element of root.querySelectorAll("time[datetime]")) localise(element);
}

localiseAll(document);
