import { keep } from "./verbs.js";

// One study's events, from where the page was rendered; comes back after every interruption.

const ENDED = new Set(["STOPPED", "COMPLETED", "CANCELLED", "FAILED"]);
const WAITS_MS = [500, 1000, 2000, 5000];
const SILENT_MS = 5000; // without a connection, after which the page says so in a sentence
const HIDDEN_MS = 10000; // a tab nobody looks at gives its connection back: browsers allow six
const KINDS = ["study", "trial_started", "epoch", "trial_rewound", "trial_finished"];

export function hasEnded(state) {
  return ENDED.has(state);
}

// Calls heard(kind, data) for each event, in order. Returns {restart, lastId}.
export function listen(study, after, heard) {
  const indicators = document.querySelectorAll("[data-live]");
  const path = `/v1/studies/${encodeURIComponent(study)}`;
  let lastId = after;
  let source = null;
  let tries = 0;
  let isOver = false; // the last event was a study that has ended
  let isDone = false; // nothing will come any more
  let sentence = null;
  let hiding = null;

  function show(state, words) {
    for (const indicator of indicators) {
      indicator.hidden = false;
      indicator.dataset.live = state;
      indicator.querySelector("span").textContent = words;
    }
  }

  function lost() {
    show("lost", "reconnecting");
    sentence ??= setTimeout(() => keep("The server does not answer. This page goes on by itself when it is back."), SILENT_MS);
  }

  function found() {
    tries = 0;
    show("live", "live");
    clearTimeout(sentence);
    sentence = null;
    keep("");
  }

  function end(words, text = "") {
    isDone = true;
    source?.close();
    show("off", words);
    clearTimeout(sentence);
    keep(text, "/", "All studies");
  }

  // The browser has given up on an answer that is an error: which one decides.
  async function again() {
    let status = 0;
    try {
      status = (await fetch(path, { headers: { Accept: "application/json" } })).status;
    } catch {
      // away: try later
    }
    if (status === 404) return end("deleted", "This study has been deleted.");
    if (status === 401) return end("logged out", "The login has ended: open the login link again.");
    setTimeout(open, WAITS_MS[Math.min(tries++, WAITS_MS.length - 1)]);
  }

  function open() {
    isOver = false;
    isDone = false;
    source?.close();
    const mine = new EventSource(`${path}/events?after=${lastId}`);
    source = mine;
    mine.onopen = found;
    mine.onerror = () => {
      if (source !== mine || isDone) return;
      if (isOver) return end("ended");
      lost();
      if (mine.readyState === EventSource.CLOSED) again();
    };
    for (const kind of KINDS) {
      mine.addEventListener(kind, (event) => {
        if (source !== mine) return;
        if (event.lastEventId) lastId = Number(event.lastEventId);
        const data = JSON.parse(event.data);
        heard(kind, data);
        // more may follow in a replay: the server closes the stream once all is told
        isOver = kind === "study" && hasEnded(data.state);
      });
    }
  }

  function seen() {
    clearTimeout(hiding);
    if (isDone) return;
    if (document.hidden) {
      hiding = setTimeout(() => {
        source?.close();
        source = null;
      }, HIDDEN_MS);
    } else if (source === null) {
      open();
    }
  }

  open();
  document.addEventListener("visibilitychange", seen);
  window.addEventListener("pagehide", () => source?.close());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted && !isDone) open();
  });
  return { restart: open, lastId: () => lastId };
}
