// The editor of a definition: line numbers, and a verdict a moment after each change.
import { number, pageData } from "./format.js";
import { say } from "./verbs.js";

const WAIT_MS = 250;
const YAML = { "Content-Type": "application/yaml", Accept: "application/json" };
const page = pageData();
const text = document.getElementById("text");
const gutter = document.getElementById("gutter");
const verdict = document.getElementById("verdict");
const problems = document.getElementById("problems");
const facts = document.getElementById("facts");
const submit = document.getElementById("submit");
const canWrite = document.querySelector(".editor").dataset.canWrite === "true";
let wrong = new Set();
let latest = 0;
let timer = null;

function drawGutter() {
  const n = text.value.split("\n").length;
  const parts = [];
  for (let line = 1; line <= n; line++) {
    const isWrong = wrong.has(line);
    const part = document.createElement(isWrong ? "b" : "span");
    part.textContent = isWrong ? String(line) : `${line}\n`;
    parts.push(part);
  }
  gutter.replaceChildren(...parts);
  gutter.scrollTop = text.scrollTop;
}

function goTo(line) {
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
  text.focus();
  text.setSelectionRange(start, start + lines[line - 1].length);
  text.scrollTop = Math.max(0, (line - 6) * 20);
}

function showProblems(found) {
  wrong = new Set(found.map((each) => each.line).filter(Boolean));
  problems.replaceChildren(...found.map((each) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const where = document.createElement("b");
    where.textContent = `${each.line ? `line ${each.line}` : "the text"}${each.loc?.length ? ` · ${each.loc.join(".")}` : ""}`;
    const what = document.createElement("div");
    what.textContent = each.msg;
    button.append(where, what);
    if (each.line) button.addEventListener("click", () => goTo(each.line));
    item.append(button);
    return item;
  }));
}

function showFacts({ definition, size, warnings }) {
  const list = document.createElement("dl");
  list.className = "pairs";
  const limit = definition.limits;
  const rows = [
    ["Name", definition.name],
    ["Data set", definition.dataset.name],
    ["Points in the space", size === null ? "infinite" : number(size)],
    ["Sampler", definition.sampler.name],
    ["Pruner", definition.pruner.name],
    ["Trials", limit.max_trials === null ? "no limit" : number(limit.max_trials)],
    ["Epochs", typeof definition.training.epochs === "number" ? number(definition.training.epochs) : JSON.stringify(definition.training.epochs)],
    ["Objectives", definition.objectives.map((each) => `${each.metric}, ${each.direction}`).join("; ")],
  ];
  for (const [name, value] of rows) {
    const term = document.createElement("dt");
    term.textContent = name;
    const shown = document.createElement("dd");
    shown.textContent = value;
    list.append(term, shown);
  }
  const notes = warnings.map((each) => {
    const note = document.createElement("p");
    note.className = "note gap";
    note.textContent = each;
    return note;
  });
  facts.replaceChildren(list, ...notes);
}

async function check() {
  const mine = ++latest;
  let answer;
  let content;
  try {
    answer = await fetch("/v1/studies:validate", { method: "POST", headers: YAML, body: text.value });
    content = await answer.json();
  } catch {
    verdict.textContent = "The server does not answer";
    return;
  }
  if (mine !== latest) return;
  submit.disabled = !answer.ok || !canWrite;
  if (answer.ok) {
    verdict.textContent = "Ready to start";
    showProblems([]);
    showFacts(content);
  } else {
    const found = content.errors ?? [{ loc: [], msg: content.detail, line: content.line }];
    verdict.textContent = found.length === 1 ? "1 thing to mend" : `${found.length} things to mend`;
    showProblems(found);
    facts.replaceChildren();
  }
  drawGutter();
}

function changed() {
  drawGutter();
  submit.disabled = true;
  clearTimeout(timer);
  timer = setTimeout(check, WAIT_MS);
}

async function create() {
  if (submit.disabled) return;
  submit.disabled = true;
  const key = crypto.randomUUID ? crypto.randomUUID() : String(Math.random());
  try {
    const answer = await fetch("/v1/studies", { method: "POST", headers: { ...YAML, "Idempotency-Key": key }, body: text.value });
    const content = await answer.json();
    if (answer.ok) return window.location.assign(`/studies/${encodeURIComponent(content.name)}`);
    if (content.errors) showProblems(content.errors);
    say(content.detail, "bad");
  } catch {
    say("the server does not answer", "bad");
  }
  submit.disabled = false;
}

text.addEventListener("input", changed);
text.addEventListener("scroll", () => (gutter.scrollTop = text.scrollTop));
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    create();
  } else if (event.key === "Enter") {
    // the next line begins where this one does
    const before = text.value.slice(0, text.selectionStart);
    const indent = /^ */.exec(before.slice(before.lastIndexOf("\n") + 1))[0];
    if (!indent) return;
    event.preventDefault();
    text.setRangeText(`\n${indent}`, text.selectionStart, text.selectionEnd, "end");
    changed();
  }
});
submit.addEventListener("click", create);
document.getElementById("start").addEventListener("change", (event) => {
  text.value = page.starts[event.target.value];
  text.scrollTop = 0;
  changed();
});
drawGutter();
check();
