// Numbers and durations as the server writes them, so that nothing changes its look when live.

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en-US");
  const text = Number(value.toPrecision(4));
  const size = Math.abs(text);
  if (size !== 0 && (size < 1e-4 || size >= 1e4)) {
    const [digits, power] = text.toExponential().split("e");
    const sign = power.startsWith("-") ? "-" : "+";
    return `${digits}e${sign}${power.replace(/[+-]/, "").padStart(2, "0")}`;
  }
  return String(text);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const total = Math.round(seconds);
  const minutes = Math.floor(total / 60);
  if (minutes < 60) return `${minutes} min ${String(total % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

const SHAPES = { active: "running", completed: "complete", failed: "fail", succeeded: "complete" };

// The badge of a state: shape, colour, word.
export function badge(state) {
  const key = state.toLowerCase();
  const holder = document.createElement("span");
  holder.className = `state ${key}`;
  const svg = icon(SHAPES[key] ?? key);
  const word = document.createElement("span");
  word.textContent = state;
  holder.append(svg, word);
  return holder;
}

// A parameter's name that may go on in the next line after each dot.
export function breakable(name) {
  return name.split(".").flatMap((part, i) => (i ? [".", document.createElement("wbr"), part] : [part]));
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

// Writes text only where it differs, so that a selection or a screen reader is left alone.
export function write(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

export function pageData() {
  return JSON.parse(document.getElementById("page-data").textContent);
}
