// One study's events, from where the page was rendered; comes back after every interruption.

const ENDED = new Set(["STOPPED", "COMPLETED", "CANCELLED", "FAILED"]);
const WAITS_MS = [500, 1000, 2000, 5000];
const KINDS = ["study", "trial_started", "epoch", "trial_rewound", "trial_finished"];

export function hasEnded(state) {
  return ENDED.has(state);
}

// Calls heard(kind, data) for each event, in order. Returns {restart, lastId}.
export function listen(study, after, heard) {
  const indicators = document.querySelectorAll("[data-live]");
  let lastId = after;
  let source = null;
  let tries = 0;
  let isOver = false;

  function show(state, words) {
    for (const indicator of indicators) {
      indicator.hidden = false;
      indicator.dataset.live = state;
      indicator.querySelector("span").textContent = words;
    }
  }

  function open() {
    isOver = false;
    source?.close();
    const mine = new EventSource(`/v1/studies/${encodeURIComponent(study)}/events?after=${lastId}`);
    source = mine;
    mine.onopen = () => {
      tries = 0;
      show("live", "live");
    };
    mine.onerror = () => {
      if (source !== mine) return;
      if (isOver) {
        mine.close();
        show("off", "ended");
        return;
      }
      show("lost", "reconnecting");
      // the browser gives up on an answer that is an error: then it is our turn
      if (mine.readyState === EventSource.CLOSED) {
        setTimeout(open, WAITS_MS[Math.min(tries++, WAITS_MS.length - 1)]);
      }
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

  open();
  window.addEventListener("pagehide", () => source?.close());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) open();
  });
  return { restart: open, lastId: () => lastId };
}
