// Buttons that act: the verbs of a study and of a trial. Every refusal is said in words.

export function say(text, kind = "") {
  const note = document.createElement("p");
  note.className = `note ${kind}`;
  note.textContent = text;
  document.querySelector("#toast > :not([data-kept])")?.remove();
  document.getElementById("toast").append(note);
  setTimeout(() => note.remove(), kind === "bad" ? 10000 : 4000);
}

// Says something that stays until it is no longer so; "" takes it back.
export function keep(text, href = "", label = "") {
  document.querySelector("#toast [data-kept]")?.remove();
  if (!text) return;
  const note = document.createElement("p");
  note.className = "note bad";
  note.dataset.kept = "";
  note.textContent = text;
  if (href) {
    const link = document.createElement("a");
    link.href = href;
    link.textContent = label;
    note.append(" ", link);
  }
  document.getElementById("toast").append(note);
}

// Sends a request; returns the answer's JSON, or null after saying what went wrong.
export async function send(method, path, body) {
  const options = { method, headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  try {
    const answer = await fetch(path, options);
    const text = await answer.text();
    const content = text ? JSON.parse(text) : {};
    if (answer.ok) return content;
    const more = (content.errors ?? []).map((each) => each.msg).join("; ");
    say(more || content.detail || `the server answered ${answer.status}`, "bad");
  } catch {
    say("the server does not answer", "bad");
  }
  return null;
}

const POSSIBLE = {
  pause: ["ACTIVE"],
  resume: ["PAUSED", "STOPPING", "STOPPED"],
  stop: ["ACTIVE", "PAUSED"],
  cancel: ["ACTIVE", "PAUSED", "STOPPING"],
  delete: ["PAUSED", "STOPPED", "COMPLETED", "CANCELLED", "FAILED"],
};

export function allow(state) {
  for (const button of document.querySelectorAll("[data-verb]")) {
    button.disabled = !POSSIBLE[button.dataset.verb].includes(state);
  }
}

// Asks before something that cannot be undone; resolves to the answer.
export function confirmed(title, text, action) {
  const dialog = document.createElement("dialog");
  const head = document.createElement("h2");
  head.id = "confirm-title";
  head.textContent = title;
  const body = document.createElement("p");
  body.textContent = text;
  const row = document.createElement("div");
  row.className = "row";
  const no = document.createElement("button");
  no.type = "button";
  no.textContent = "Keep it";
  const yes = document.createElement("button");
  yes.type = "button";
  yes.className = "danger primary";
  yes.textContent = action;
  row.append(no, yes);
  dialog.setAttribute("aria-labelledby", head.id);
  dialog.append(head, body, row);
  document.body.append(dialog);
  dialog.showModal();
  no.focus();
  return new Promise((resolve) => {
    no.onclick = () => dialog.close("no");
    yes.onclick = () => dialog.close("yes");
    dialog.onclose = () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    };
  });
}

export function studyVerbs(name, state, changed) {
  allow(state);
  for (const button of document.querySelectorAll("[data-verb]")) {
    button.addEventListener("click", async () => {
      const verb = button.dataset.verb;
      const path = `/v1/studies/${encodeURIComponent(name)}`;
      if (verb === "delete") {
        const text = `Delete ${name} with all its trials, curves and models? This cannot be undone.`;
        if (!(await confirmed("Delete this study?", text, "Delete"))) return;
        if ((await send("DELETE", path)) !== null) window.location.assign("/");
        return;
      }
      if (verb === "cancel") {
        const text = `Cancel ${name}? Running trials end at their epoch and do not count.`;
        if (!(await confirmed("Cancel this study?", text, "Cancel the study"))) return;
      }
      button.disabled = true;
      const study = await send("POST", `${path}:${verb}`);
      if (study === null) return void (button.disabled = false);
      changed(study);
    });
  }
}
