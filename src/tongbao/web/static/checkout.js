// Makes the checkout page move by itself: server-sent events first, polling after one failed reconnect, and a look at
// once when the page comes back to the foreground. It renders nothing: it fetches the page again and swaps it in.
"use strict";

const POLL_MS = 1000;
const POLL_LATER_MS = 2000;
const POLLS_SOON = 30;
const QUIET_MS = 20000;
const PATIENCE_MS = 8000;
const live = document.getElementById("live");
let page = document.getElementById("page");
let source = null;
let failures = 0;
let polls = 0;
let timer = 0;
let heardAt = Date.now();
let ahead = Number(page.dataset.now) - Date.now();
let over = false;
let swapping = false;
let wanted = page.dataset.version;

const isFinal = () => page.dataset.final === "yes";
const isOver = () => Number(page.dataset.expires) - Date.now() - ahead <= 0;

function pad(number) {
  return String(number).padStart(2, "0");
}

function tick() {
  const clock = page.querySelector(".countdown");
  if (!clock) {
    return;
  }
  const left = Math.max(0, Math.floor((Number(page.dataset.expires) - Date.now() - ahead) / 1000));
  const hours = Math.floor(left / 3600);
  const minutes = `${pad(Math.floor(left / 60) % 60)}:${pad(left % 60)}`;
  clock.textContent = hours > 0 ? `${hours}:${minutes}` : minutes;
  if (isOver() && !over) {
    over = true;
    ask();
  }
}

async function get(url, accept) {
  const patience = new AbortController();
  const limit = setTimeout(() => patience.abort(), PATIENCE_MS);
  try {
    const answer = await fetch(url, { headers: { accept }, cache: "no-store", signal: patience.signal });
    if (!answer.ok) {
      throw new Error(String(answer.status));
    }
    return await (accept === "text/html" ? answer.text() : answer.json());
  } finally {
    clearTimeout(limit);
  }
}

async function arrived(told) {
  heardAt = Date.now();
  ahead = Date.parse(told.now) - heardAt;
  wanted = told.version;
  if (wanted !== page.dataset.version && !swapping) {
    swapping = true;
    try {
      await swap();
      if (wanted !== page.dataset.version) {
        await swap(); // it changed again while the page was fetched
      }
    } finally {
      swapping = false;
    }
  }
}

async function swap() {
  const html = await get(location.href, "text/html");
  const fresh = new DOMParser().parseFromString(html, "text/html");
  const next = document.adoptNode(fresh.getElementById("page"));
  const focused = page.contains(document.activeElement);
  page.replaceWith(next);
  page = next;
  document.title = fresh.title;
  ahead = Number(page.dataset.now) - Date.now();
  const title = page.querySelector("h1");
  live.textContent = title.textContent;
  if (focused) {
    title.focus();
  }
  tick();
  if (isFinal()) {
    stop();
  }
}

async function ask() {
  try {
    await arrived(await get(page.dataset.status, "application/json"));
  } catch {
    // Away for a moment; whoever called asks again.
  }
}

function poll() {
  clearTimeout(timer);
  if (isFinal()) {
    return;
  }
  timer = setTimeout(async () => {
    await ask();
    polls += 1;
    if (polls % 10 === 0) {
      connect();
    } else {
      poll();
    }
  }, polls < POLLS_SOON ? POLL_MS : POLL_LATER_MS);
}

function connect() {
  clearTimeout(timer);
  stop();
  if (isFinal()) {
    return;
  }
  failures = 0;
  source = new EventSource(page.dataset.stream);
  source.addEventListener("open", () => {
    failures = 0;
  });
  source.addEventListener("status", (event) => {
    arrived(JSON.parse(event.data)).catch(poll);
  });
  source.addEventListener("error", () => {
    failures += 1;
    ask();
    if (source && (failures > 1 || source.readyState === EventSource.CLOSED)) {
      stop();
      poll();
    }
  });
}

function stop() {
  if (source) {
    source.close();
    source = null;
  }
}

function say(outcome) {
  for (const told of page.querySelectorAll("[data-said]")) {
    told.hidden = told.dataset.said !== outcome;
  }
}

// Calls the wallet whose browser this is; see web/bridges.py. Its answer is only a hint: the server asks the channel.
function pay(button) {
  const bridge = JSON.parse(button.dataset.bridge);
  const answered = (answer) => {
    clearTimeout(limit);
    button.disabled = false;
    const outcome = bridge.outcomes[String(answer && answer[bridge.result])] || "failed";
    say(outcome);
    if (outcome === "paid") {
      ask();
    }
  };
  const call = () => window[bridge.object][bridge.verb](bridge.call, bridge.params, answered);
  const limit = window[bridge.object] ? 0 : setTimeout(answered, PATIENCE_MS);
  button.disabled = true;
  say("");
  if (window[bridge.object]) {
    call();
  } else {
    document.addEventListener(bridge.ready, call, { once: true });
  }
}

function back() {
  if (!isFinal()) {
    ask();
    connect();
  }
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") {
    back();
  }
});
addEventListener("pageshow", (event) => {
  document.body.classList.remove("busy");
  if (event.persisted) {
    back();
  }
});
addEventListener("pagehide", stop);
addEventListener("online", back);
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-bridge]");
  if (button) {
    pay(button);
  }
});
document.addEventListener("submit", () => document.body.classList.add("busy"));
setInterval(tick, 1000);
setInterval(() => {
  if (!isFinal() && Date.now() - heardAt > QUIET_MS) {
    heardAt = Date.now();
    ask();
  }
}, QUIET_MS / 4);

tick();
connect();
